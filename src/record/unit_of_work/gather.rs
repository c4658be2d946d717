//! Reading what the commands name, a set at a time.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::UnitOfWork;
use crate::domain::chart_plan::plan;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::record::RecordContext;
use crate::record::command_keys::CommandKeys;
use crate::record::dossier::Dossier;
use crate::record::identify::id_of;
use crate::store::patient::Patient;
use crate::store::{episode, idempotency, outbox, recommendation, resource, story};

impl UnitOfWork {
    /// Reads what the commands name, and locks their patients in one order.
    pub async fn gather(&mut self, context: &RecordContext<'_>, named: &CommandKeys) -> Result<(), Problem> {
        for (kind, token) in named.conditional() {
            resource::hold_identifier(&mut self.tx, &self.clinic, kind, token).await?;
        }
        let ids = self.patients_named(context, named).await?;
        self.lock_each(&ids).await?;
        let survivors: Vec<PatientId> =
            ids.iter().filter_map(|id| self.patients.get(id)?.merged_into).filter(|id| !ids.contains(id)).collect();
        if !survivors.is_empty() {
            self.lock_each(&survivors).await?;
        }
        for (kind, ids) in &named.resources {
            self.gather_resources(kind, &texts(ids)).await?;
        }
        for (kind, tokens) in &named.tokens {
            self.gather_carriers(kind, &texts(tokens)).await?;
        }
        let keys = texts(&named.once);
        for (key, answered) in idempotency::find_each(&mut self.tx, &self.clinic, &keys).await? {
            self.answers.gathered(key, Some(answered));
        }
        for key in keys.into_iter().filter(|key| !self.answers.is_known(key)).collect::<Vec<_>>() {
            self.answers.gathered(key, None);
        }
        let patients: Vec<Patient> =
            self.patients.iter().map(|(_, patient)| patient).filter(|p| p.merged_into.is_none()).cloned().collect();
        for dossier in self.load_each(context, patients).await? {
            self.dossiers.gathered(dossier.patient.id, Some(dossier));
        }
        Ok(())
    }

    /// The ids of the patients that the commands name, in order; also those that a new patient would get.
    async fn patients_named(
        &mut self,
        context: &RecordContext<'_>,
        named: &CommandKeys,
    ) -> Result<Vec<PatientId>, Problem> {
        let mut ids = named.patients.clone();
        self.gather_keys(&texts(&named.keys)).await?;
        for key in &named.keys {
            match self.keys.get(&crate::store::patient::stored_key(key)) {
                Some(known) if !known.is_empty() => ids.extend(known),
                _ => {
                    ids.insert(PatientId(id_of(context.clinic, &["patient", key])));
                }
            }
        }
        let episodes: Vec<EpisodeId> = named.episodes.iter().copied().collect();
        ids.extend(episode::owners(&mut self.tx, &self.clinic, &episodes).await?);
        for (kind, deleted) in &named.deleted {
            let rows = resource::find_each(&mut self.tx, &self.clinic, kind, &texts(deleted)).await?;
            ids.extend(rows.into_iter().filter_map(|row| row.patient_id));
        }
        Ok(ids.into_iter().collect())
    }

    /// Reads the dossiers of locked patients.
    pub(super) async fn load_each(
        &mut self,
        context: &RecordContext<'_>,
        patients: Vec<Patient>,
    ) -> Result<Vec<Dossier>, Problem> {
        let ids: Vec<PatientId> = patients.iter().map(|patient| patient.id).collect();
        let in_care = story::in_care(&patients);
        let episodes = episode::of_each(&mut self.tx, &self.clinic, &in_care).await?;
        for stored in &episodes {
            self.episodes.gathered(stored.episode.id, Some(stored.clone()));
        }
        let stories = story::of_each_with(&mut self.tx, &self.clinic, &patients, episodes).await?;
        let mut ledgers: HashMap<PatientId, Vec<outbox::LedgerEntry>> = HashMap::new();
        for entry in outbox::of_each(&mut self.tx, &self.clinic, &ids).await? {
            ledgers.entry(entry.patient_id).or_default().push(entry);
        }
        let mut listed: HashMap<PatientId, BTreeMap<Uuid, recommendation::RecommendationRow>> = HashMap::new();
        for row in recommendation::of_each(&mut self.tx, &self.clinic, &in_care).await? {
            listed.entry(row.patient_id).or_default().insert(row.id, row);
        }
        let dossiers = patients.into_iter().zip(stories).map(|(patient, story)| Dossier {
            ledger: ledgers.remove(&patient.id).unwrap_or_default(),
            recommendations: listed.remove(&patient.id).unwrap_or_default(),
            plan: plan(&story, context.rules, context.today),
            patient,
            story,
        });
        Ok(dossiers.collect())
    }
}

fn texts<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    names.into_iter().cloned().collect()
}

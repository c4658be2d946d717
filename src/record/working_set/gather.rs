//! Reading what commands name, a set at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::WorkingSet;
use crate::domain::chart_plan::plan;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::record::RecordContext;
use crate::record::derived_id::id_of;
use crate::record::dossier::Dossier;
use crate::record::row_keys::RowKeys;
use crate::store::patient::{Patient, link, matches, stored_key};
use crate::store::{
    WriteTx, completion, episode, event_log, idempotency, measurement, outbox, panel, patient, recommendation,
    resource, review_session, story,
};

/// A name that more people carry is a placeholder: their stories are read when somebody asks for them.
const MOST_HOLDERS: usize = 8;

impl WorkingSet {
    /// Reads rows, and locks their patients in one order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn gather(
        &mut self,
        tx: &mut WriteTx,
        context: &RecordContext<'_>,
        named: &RowKeys,
    ) -> Result<(), Problem> {
        for (kind, tokens) in &named.conditions {
            for token in tokens {
                resource::hold_identifier(tx, &self.clinic, kind, token).await?;
            }
        }
        let told_about = self.patients_named(tx, context, named).await?;
        self.gather_patients(tx, told_about.union(&named.rows).copied().collect()).await?;
        self.gather_dossiers(tx, context, &told_about).await?;
        for id in &named.episodes {
            if !self.episodes.is_known(id) {
                self.episodes.gathered(*id, None);
            }
        }
        self.gather_resources(tx, named).await?;
        self.gather_completions(tx, named).await?;
        self.gather_evidence(tx, named, &told_about).await?;
        self.gather_matches(tx, named).await?;
        self.gather_care(tx, named).await?;
        let keys = texts(&named.idempotency_keys);
        let answered: HashMap<_, _> = idempotency::find_each(tx, &self.clinic, &keys).await?.into_iter().collect();
        for key in keys {
            let found = answered.get(&key).cloned();
            self.answers.gathered(key, found);
        }
        Ok(())
    }

    /// The ids of the patients that are named; also those that a new patient would get.
    async fn patients_named(
        &mut self,
        tx: &mut WriteTx,
        context: &RecordContext<'_>,
        named: &RowKeys,
    ) -> Result<BTreeSet<PatientId>, Problem> {
        let mut ids = named.patients.clone();
        let keys = texts(&named.keys);
        self.keys.extend(keys.iter().map(|key| (stored_key(key), BTreeMap::new())));
        for row in patient::with_keys(tx, &self.clinic, &keys).await? {
            self.keys.entry(row.key.clone()).or_default().insert(row.patient_id, row);
        }
        for key in &named.keys {
            match self.keys.get(&stored_key(key)).filter(|holders| !holders.is_empty()) {
                Some(holders) => ids.extend(holders.keys().take(MOST_HOLDERS)),
                None => drop(ids.insert(PatientId(id_of(context.clinic, &["patient", key])))),
            }
        }
        let episodes: Vec<EpisodeId> = named.episodes.iter().copied().collect();
        ids.extend(episode::owners(tx, &self.clinic, &episodes).await?);
        for (kind, deleted) in &named.deleted {
            let rows = resource::find_each(tx, &self.clinic, kind, &texts(deleted)).await?;
            ids.extend(rows.into_iter().filter_map(|row| row.patient_id));
        }
        Ok(ids)
    }

    /// Locks patients, whether they exist or not, and those they were merged into.
    async fn gather_patients(&mut self, tx: &mut WriteTx, mut ids: BTreeSet<PatientId>) -> Result<(), Problem> {
        ids.retain(|id| !self.patients.is_known(id));
        while !ids.is_empty() {
            let rows = patient::lock_each(tx, &self.clinic, &ids.iter().copied().collect::<Vec<_>>()).await?;
            let mut found: HashMap<PatientId, Patient> = rows.into_iter().map(|row| (row.id, row)).collect();
            let mut survivors = BTreeSet::new();
            for id in ids {
                let row = found.remove(&id);
                survivors.extend(row.as_ref().and_then(|row| row.merged_into));
                self.patients.gathered(id, row);
            }
            survivors.retain(|id| !self.patients.is_known(id));
            ids = survivors;
        }
        Ok(())
    }

    /// Reads what is known about patients, or about those they were merged into.
    async fn gather_dossiers(
        &mut self,
        tx: &mut WriteTx,
        context: &RecordContext<'_>,
        ids: &BTreeSet<PatientId>,
    ) -> Result<(), Problem> {
        let named = ids.iter().filter_map(|id| self.patients.get(id));
        let survivors: BTreeSet<PatientId> = named.map(|patient| patient.merged_into.unwrap_or(patient.id)).collect();
        let unread = survivors.iter().filter(|id| !self.dossiers.is_known(id)).filter_map(|id| self.patients.get(id));
        let patients: Vec<Patient> = unread.filter(|patient| patient.merged_into.is_none()).cloned().collect();
        let ids: Vec<PatientId> = patients.iter().map(|patient| patient.id).collect();
        let in_care = story::in_care(&patients);
        let episodes = episode::of_each(tx, &self.clinic, &in_care).await?;
        for stored in &episodes {
            self.episodes.gathered(stored.episode.id, Some(stored.clone()));
        }
        let stories = story::of_each_with(tx, &self.clinic, &patients, episodes).await?;
        let mut ledgers: HashMap<PatientId, Vec<Arc<outbox::LedgerEntry>>> = HashMap::new();
        for entry in outbox::of_each(tx, &self.clinic, &ids).await? {
            ledgers.entry(entry.patient_id).or_default().push(Arc::new(entry));
        }
        let mut listed: HashMap<PatientId, BTreeMap<Uuid, recommendation::RecommendationRow>> = HashMap::new();
        for row in recommendation::of_each(tx, &self.clinic, &in_care).await? {
            listed.entry(row.patient_id).or_default().insert(row.id, row);
        }
        for (patient, story) in patients.into_iter().zip(stories) {
            let dossier = Dossier {
                ledger: ledgers.remove(&patient.id).unwrap_or_default(),
                recommendations: Arc::new(listed.remove(&patient.id).unwrap_or_default()),
                plan: Arc::new(plan(&story, context.rules, context.today)),
                patient,
                story,
            };
            self.dossiers.gathered(dossier.patient.id, Some(dossier));
        }
        Ok(())
    }

    async fn gather_resources(&mut self, tx: &mut WriteTx, named: &RowKeys) -> Result<(), Problem> {
        let mut wanted = named.resources.clone();
        for (kind, tokens) in named.conditions.iter().chain(&named.tokens) {
            let tokens: Vec<String> = tokens.iter().map(|token| resource::stored_token(token)).collect();
            self.identifier_holders.extend(tokens.iter().map(|token| ((kind.clone(), token.clone()), BTreeSet::new())));
            for (token, id) in resource::identifier_holders(tx, &self.clinic, kind, &tokens).await? {
                wanted.entry(kind.clone()).or_default().insert(id.clone());
                self.identifier_holders.entry((kind.clone(), token)).or_default().insert(id);
            }
        }
        for (kind, mut ids) in wanted {
            ids.retain(|id| !self.resources.is_known(&(kind.clone(), id.clone())));
            let rows = resource::find_each(tx, &self.clinic, &kind, &texts(&ids)).await?;
            let mut found: HashMap<String, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
            for id in ids {
                let row = found.remove(&id);
                self.resources.gathered((kind.clone(), id), row);
            }
        }
        Ok(())
    }

    async fn gather_completions(&mut self, tx: &mut WriteTx, named: &RowKeys) -> Result<(), Problem> {
        for (kind, ids) in &named.completions {
            for id in ids {
                let found = completion::find(tx, &self.clinic, kind, id).await?;
                self.completions.gathered((kind.clone(), id.clone()), found);
            }
        }
        Ok(())
    }

    async fn gather_evidence(
        &mut self,
        tx: &mut WriteTx,
        named: &RowKeys,
        told_about: &BTreeSet<PatientId>,
    ) -> Result<(), Problem> {
        let mut patients = named.items.clone();
        if named.has_items {
            let survivor = |id: &PatientId| Some(self.patients.get(id)?.merged_into.unwrap_or(*id));
            patients.extend(told_about.iter().filter_map(survivor));
        }
        patients.retain(|id| !self.items_read.contains(id));
        let ids: Vec<PatientId> = patients.iter().copied().collect();
        for (patient, item) in measurement::items_of_each(tx, &self.clinic, &ids).await? {
            self.items.gathered((patient, item.source.clone()), Some(item));
        }
        // Of somebody who is new there is nothing to read.
        self.items_read.extend(patients);
        self.gather_panels(tx, named).await
    }

    /// Reads what names the items that are here, and what the panels that are named consist of.
    async fn gather_panels(&mut self, tx: &mut WriteTx, named: &RowKeys) -> Result<(), Problem> {
        let here = self.items.iter().map(|((_, source), _)| source);
        let members: BTreeSet<String> = here.chain(&named.members).cloned().collect();
        let members: Vec<String> = members.into_iter().filter(|one| !self.members_read.contains(one)).collect();
        let mut found = panel::of_members(tx, &self.clinic, &members).await?;
        let named_panels = named.panels.iter().chain(found.iter().map(|one| &one.panel));
        let panels: BTreeSet<String> = named_panels.cloned().collect();
        let panels: Vec<String> = panels.into_iter().filter(|one| !self.panels_read.contains(one)).collect();
        found.extend(panel::of_panels(tx, &self.clinic, &panels).await?);
        for one in found {
            self.members.gathered(one, Some(true));
        }
        self.members_read.extend(members);
        self.panels_read.extend(panels);
        Ok(())
    }

    async fn gather_matches(&mut self, tx: &mut WriteTx, named: &RowKeys) -> Result<(), Problem> {
        let sources = texts(&named.sources);
        self.links.extend(sources.iter().map(|source| (source.clone(), Vec::new())));
        for (source, link) in link::of_sources(tx, &self.clinic, &sources).await? {
            self.links.entry(source).or_default().push(link);
        }
        let pairs: Vec<(String, String)> = named.namesakes.iter().cloned().collect();
        self.namesakes.extend(pairs.iter().map(|pair| (pair.clone(), BTreeSet::new())));
        for (born, name, id) in matches::namesakes(tx, &self.clinic, &pairs).await? {
            self.namesakes.entry((born, name)).or_default().insert(id);
        }
        for id in &named.matches {
            let found = matches::find(tx, &self.clinic, *id).await?;
            self.matches.gathered(*id, found);
        }
        for (person, reference) in &named.merged {
            let found = link::merged_record(tx, &self.clinic, *person, reference).await?;
            self.merged.insert((*person, reference.clone()), found.map(|record| record.id));
        }
        Ok(())
    }

    async fn gather_care(&mut self, tx: &mut WriteTx, named: &RowKeys) -> Result<(), Problem> {
        for (episode, kind) in &named.events_by_kind {
            let events = event_log::of_episode(tx, &self.clinic, *episode, kind).await?;
            self.events_by_kind.insert((*episode, kind.clone()), events);
        }
        for id in &named.sessions {
            let found = review_session::find(tx, &self.clinic, *id).await?;
            self.sessions.insert(*id, found);
        }
        for id in &named.deliveries {
            let found = outbox::look(tx, &self.clinic, *id, self.now).await?;
            self.deliveries.insert(*id, found);
        }
        Ok(())
    }
}

fn texts<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    names.into_iter().cloned().collect()
}

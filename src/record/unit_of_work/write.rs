//! Writing what differs, each row once, several rows in a statement, in one order.

use super::UnitOfWork;
use super::table::{Difference, Table};
use crate::domain::caseload_row::CaseloadRow;
use crate::domain::history::History;
use crate::domain::rules::RuleSet;
use crate::domain::standing::Standing;
use crate::id::{EpisodeId, PatientId};
use crate::problem::{Category, Problem};
use crate::record::dossier::Dossier;
use crate::store::measurement::Taking;
use crate::store::resource::CarriedIdentifier;
use crate::store::standing::StandingWrite;
use crate::store::{
    episode, event_log, idempotency, journal, measurement, outbox, patient, quarantine, recommendation, resource,
    review_session, standing,
};

/// Somebody else has stored what was not there when we looked: everything is gathered again.
fn meanwhile() -> Problem {
    Problem::new(Category::Unavailable, "the same was stored by somebody else just now; try again")
}

impl UnitOfWork {
    /// Writes everything, and the journal last.
    ///
    /// # Errors
    /// When the database refuses something, or does not answer.
    pub async fn write(&mut self) -> Result<(), Problem> {
        self.write_rows().await?;
        journal::append(&mut self.tx, &self.clinic, &self.lines).await
    }

    /// Commits.
    ///
    /// # Errors
    /// When the database did not say that it has committed. It may have.
    pub async fn commit(self) -> Result<(), Problem> {
        self.tx.commit().await
    }

    /// Takes back everything.
    ///
    /// # Errors
    /// When the database does not answer; nothing is kept then either.
    pub async fn rollback(self) -> Result<(), Problem> {
        self.tx.rollback().await
    }

    /// Writes everything so far, so that the database can work on it.
    pub(super) async fn write_through(&mut self) -> Result<(), Problem> {
        self.write_rows().await?;
        self.written_through += 1;
        self.keys.clear();
        self.key_changes.clear();
        self.resources.clear();
        self.carriers.clear();
        self.carrier_changes.clear();
        self.measurements.clear();
        self.items.clear();
        self.items_read.clear();
        self.episodes.clear();
        self.entered_by.clear();
        self.recommendations.clear();
        self.planned.clear();
        self.quarantined.clear();
        self.arrived.clear();
        self.answers.clear();
        self.planned_anew.clear();
        self.facts.clear();
        self.joined.clear();
        self.patients.stored();
        self.dossiers.stored();
        Ok(())
    }

    /// Forgets what was read: the database has changed it by itself.
    pub(super) fn forget(&mut self) {
        self.patients.clear();
        self.dossiers.clear();
        self.locked.clear();
    }

    async fn write_rows(&mut self) -> Result<(), Problem> {
        self.write_persons().await?;
        self.write_resources().await?;
        self.write_evidence().await?;
        self.write_care().await?;
        self.write_ledger().await?;
        self.write_quarantine().await?;
        let answers: Vec<_> = self.answers.differences().map(|(key, one)| (key.as_str(), one.now())).collect();
        if !idempotency::insert_all(&mut self.tx, &self.clinic, &answers, self.now).await? {
            return Err(meanwhile());
        }
        Ok(())
    }

    async fn write_persons(&mut self) -> Result<(), Problem> {
        let (new, other) = split(&self.patients);
        if !patient::insert_all(&mut self.tx, &self.clinic, &new, self.now).await? {
            return Err(meanwhile());
        }
        patient::update_all(&mut self.tx, &self.clinic, &other, self.now).await?;
        let changes = || self.key_changes.iter().map(|((key, id), has)| ((key.as_str(), *id), *has));
        let added: Vec<(&str, PatientId)> = changes().filter(|(_, has)| *has).map(|(key, _)| key).collect();
        patient::add_keys(&mut self.tx, &self.clinic, &added).await?;
        for ((key, id), _) in changes().filter(|(_, has)| !has) {
            patient::drop_key(&mut self.tx, &self.clinic, key, id).await?;
        }
        Ok(())
    }

    async fn write_resources(&mut self) -> Result<(), Problem> {
        let (new, other) = split(&self.resources);
        if !resource::insert_all(&mut self.tx, &self.clinic, &new).await? {
            return Err(meanwhile());
        }
        resource::update_all(&mut self.tx, &self.clinic, &other).await?;
        let changes = || {
            self.carrier_changes.iter().map(|((kind, token, id), has)| (CarriedIdentifier { kind, token, id }, *has))
        };
        let added: Vec<CarriedIdentifier<'_>> = changes().filter(|(_, has)| *has).map(|(carried, _)| carried).collect();
        resource::add_identifiers(&mut self.tx, &self.clinic, &added).await?;
        for (CarriedIdentifier { kind, token, id }, _) in changes().filter(|(_, has)| !has) {
            resource::drop_identifier(&mut self.tx, &self.clinic, kind, token, id).await?;
        }
        Ok(())
    }

    async fn write_evidence(&mut self) -> Result<(), Problem> {
        let items: Vec<_> = self.items.differences().map(|((patient, _), item)| (*patient, item.now())).collect();
        measurement::put_items(&mut self.tx, &self.clinic, &items).await?;
        let taken = self.measurements.iter();
        let takings: Vec<Taking<'_>> = taken
            .map(|((patient, _), (measurement, at))| Taking { patient: *patient, measurement, recorded_at: *at })
            .collect();
        measurement::put_all(&mut self.tx, &self.clinic, &takings).await
    }

    async fn write_care(&mut self) -> Result<(), Problem> {
        let (new, other) = split(&self.episodes);
        let by = |id: &EpisodeId| self.entered_by.get(id).map(String::as_str).unwrap_or_default();
        let new: Vec<_> = new.into_iter().map(|stored| (stored, by(&stored.episode.id))).collect();
        episode::insert_all(&mut self.tx, &self.clinic, &new).await?;
        episode::update_all(&mut self.tx, &self.clinic, &other).await?;
        event_log::append(&mut self.tx, &self.clinic, &self.facts).await?;
        review_session::join_all(&mut self.tx, &self.clinic, &self.joined).await?;

        let dossiers = self.planned_anew.iter().filter_map(|patient| self.dossiers.get(patient));
        let rows: Vec<ListedEpisode<'_>> = dossiers.flat_map(|dossier| listed_episodes(dossier, &self.rules)).collect();
        let written: Vec<(PatientId, StandingWrite<'_>)> = rows.iter().map(ListedEpisode::written).collect();
        standing::put_all(&mut self.tx, &self.clinic, &written, self.now).await?;

        let listed: Vec<_> = self.recommendations.iter().filter_map(|(_, row)| row.as_ref()).collect();
        recommendation::put_all(&mut self.tx, &self.clinic, &listed, self.now).await?;
        let gone = self.recommendations.iter().filter(|(_, row)| row.is_none()).map(|(id, _)| *id);
        recommendation::remove_all(&mut self.tx, &self.clinic, &gone.collect::<Vec<_>>()).await
    }

    async fn write_ledger(&mut self) -> Result<(), Problem> {
        let planned: Vec<_> = self.planned.iter().map(|(_, planned)| planned).collect();
        outbox::plan_all(&mut self.tx, &self.clinic, &planned, self.now).await?;
        let mut patients: Vec<PatientId> = planned.iter().map(|planned| planned.patient).collect();
        patients.dedup();
        outbox::wake_each(&mut self.tx, &self.clinic, &patients, self.now).await
    }

    async fn write_quarantine(&mut self) -> Result<(), Problem> {
        for ((patient, code), ()) in self.arrived.iter() {
            quarantine::release_patient(&mut self.tx, &self.clinic, *patient, code).await?;
        }
        let gone = self.quarantined.iter().filter(|(_, kept)| kept.is_none()).map(|(id, _)| *id);
        quarantine::release_all(&mut self.tx, &self.clinic, &gone.collect::<Vec<_>>()).await?;
        let kept: Vec<_> = self.quarantined.iter().filter_map(|(_, kept)| kept.as_ref()).collect();
        quarantine::put_all(&mut self.tx, &self.clinic, &kept).await
    }
}

/// The rows that are new, and those that have changed.
fn split<K: Ord + Clone, V>(table: &Table<K, V>) -> (Vec<&V>, Vec<&V>) {
    let (mut new, mut other) = (Vec::new(), Vec::new());
    for (_, difference) in table.differences() {
        match difference {
            Difference::New(row) => new.push(row),
            Difference::Other(row) => other.push(row),
        }
    }
    (new, other)
}

/// What the caseload shows of an episode.
struct ListedEpisode<'a> {
    dossier: &'a Dossier,
    label: String,
    standing: &'a Standing,
    line: CaseloadRow,
}

fn listed_episodes<'a>(dossier: &'a Dossier, rules: &RuleSet) -> Vec<ListedEpisode<'a>> {
    let history = History::of(&dossier.story);
    let row = |standing: &'a Standing| {
        let courses = history.courses(standing.as_of);
        let course = courses.iter().find(|course| course.episode.id == standing.episode)?;
        let line = CaseloadRow::of(&history, rules, course, standing);
        Some(ListedEpisode { dossier, label: dossier.patient.label(), standing, line })
    };
    dossier.plan.standings.iter().filter_map(row).collect()
}

impl ListedEpisode<'_> {
    fn written(&self) -> (PatientId, StandingWrite<'_>) {
        let episode = self.dossier.story.episodes.iter().find(|e| e.id == self.standing.episode);
        let written = StandingWrite {
            label: &self.label,
            care_manager: episode.and_then(|e| e.care_manager.as_deref()),
            psychiatric_consultant: episode.and_then(|e| e.psychiatric_consultant.as_deref()),
            standing: self.standing,
            line: &self.line,
        };
        (self.dossier.patient.id, written)
    }
}

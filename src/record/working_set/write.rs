//! Writing what differs, each row once, several rows in a statement, in one order.

use super::WorkingSet;
use super::table::{Difference, Table};
use crate::domain::caseload_row::CaseloadRow;
use crate::domain::history::History;
use crate::domain::rules::RuleSet;
use crate::domain::standing::Standing;
use crate::id::{EpisodeId, PatientId};
use crate::problem::{Category, Problem};
use crate::record::dossier::Dossier;
use crate::store::WriteTx;
use crate::store::completion::CompletedResource;
use crate::store::measurement::Taking;
use crate::store::panel::PanelMember;
use crate::store::patient::matches;
use crate::store::resource::CarriedIdentifier;
use crate::store::standing::StandingWrite;
use crate::store::{
    completion, episode, event_log, idempotency, journal, measurement, outbox, panel, patient, quarantine,
    recommendation, resource, review_session, standing,
};

/// Somebody else has stored what was not there when we looked: everything is gathered again.
fn meanwhile() -> Problem {
    Problem::new(Category::Unavailable, "the same was stored by somebody else just now; try again")
}

impl WorkingSet {
    /// Writes everything, and the journal last.
    ///
    /// # Errors
    /// When the database refuses something, or does not answer.
    pub async fn write(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        self.write_rows(tx).await?;
        journal::append(tx, &self.clinic, &self.journal_entries).await
    }

    /// Writes everything so far and forgets what was read, so that rows can move from one person to another.
    ///
    /// # Errors
    /// As [`WorkingSet::write`].
    pub async fn write_and_forget(&mut self, tx: &mut WriteTx) -> Result<(), Problem> {
        self.write_rows(tx).await?;
        let new = Self::new(&self.clinic, self.now, self.rules.clone());
        let before = std::mem::replace(self, new);
        self.journal_entries = before.journal_entries;
        self.outbox_changed = before.outbox_changed;
        self.flushes = before.flushes + 1;
        Ok(())
    }

    async fn write_rows(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        self.write_persons(tx).await?;
        self.write_resources(tx).await?;
        self.write_evidence(tx).await?;
        self.write_care(tx).await?;
        self.write_ledger(tx).await?;
        self.write_quarantine(tx).await?;
        let answers: Vec<_> = self.answers.differences().map(|(key, one)| (key.as_str(), one.now())).collect();
        if !idempotency::insert_all(tx, &self.clinic, &answers, self.now).await? {
            return Err(meanwhile());
        }
        Ok(())
    }

    async fn write_persons(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        let (new, other) = split(&self.patients);
        if !patient::insert_all(tx, &self.clinic, &new, self.now).await? {
            return Err(meanwhile());
        }
        patient::update_all(tx, &self.clinic, &other, self.now).await?;
        let (mut carried, mut gone) = (Vec::new(), Vec::new());
        for ((key, id), row) in self.key_changes.iter() {
            match row {
                Some(row) => carried.push(row),
                None => gone.push((key.as_str(), *id)),
            }
        }
        patient::write_keys(tx, &self.clinic, &carried).await?;
        for (key, id) in gone {
            patient::drop_key(tx, &self.clinic, key, id).await?;
        }
        let (noted, decided) = split(&self.matches);
        matches::note_all(tx, &self.clinic, &noted).await?;
        for one in decided {
            matches::decide(tx, &self.clinic, one).await?;
        }
        Ok(())
    }

    async fn write_resources(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        let (new, other) = split(&self.resources);
        if !resource::insert_all(tx, &self.clinic, &new).await? {
            return Err(meanwhile());
        }
        resource::update_all(tx, &self.clinic, &other).await?;
        let changes = || {
            self.carrier_changes.iter().map(|((kind, token, id), has)| (CarriedIdentifier { kind, token, id }, *has))
        };
        let added: Vec<CarriedIdentifier<'_>> = changes().filter(|(_, has)| *has).map(|(carried, _)| carried).collect();
        resource::add_identifiers(tx, &self.clinic, &added).await?;
        for (CarriedIdentifier { kind, token, id }, _) in changes().filter(|(_, has)| !has) {
            resource::drop_identifier(tx, &self.clinic, kind, token, id).await?;
        }
        let said = self.completions.differences();
        let said: Vec<_> =
            said.map(|((kind, id), completion)| CompletedResource { kind, id, completion: completion.now() }).collect();
        completion::put_all(tx, &self.clinic, &said).await
    }

    async fn write_evidence(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        let items: Vec<_> = self.items.differences().map(|((patient, _), item)| (*patient, item.now())).collect();
        measurement::put_items(tx, &self.clinic, &items).await?;
        let (added, removed): (Vec<_>, Vec<_>) =
            self.members.differences().partition(|(_, is_member)| *is_member.now());
        let added: Vec<&PanelMember> = added.into_iter().map(|(named, _)| named).collect();
        panel::add_all(tx, &self.clinic, &added).await?;
        for (named, _) in removed {
            panel::remove(tx, &self.clinic, named).await?;
        }
        let taken = self.measurements.iter();
        let takings: Vec<Taking<'_>> = taken
            .map(|((patient, _), (measurement, at))| Taking { patient: *patient, measurement, recorded_at: *at })
            .collect();
        measurement::put_all(tx, &self.clinic, &takings).await
    }

    async fn write_care(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        let (new, other) = split(&self.episodes);
        let by = |id: &EpisodeId| self.entered_by.get(id).map(String::as_str).unwrap_or_default();
        let new: Vec<_> = new.into_iter().map(|stored| (stored, by(&stored.episode.id))).collect();
        episode::insert_all(tx, &self.clinic, &new).await?;
        episode::update_all(tx, &self.clinic, &other).await?;
        event_log::append(tx, &self.clinic, &self.events).await?;
        review_session::join_all(tx, &self.clinic, &self.session_reviews).await?;

        let dossiers = self.replanned.iter().filter_map(|patient| self.dossiers.get(patient));
        let rows: Vec<ListedEpisode<'_>> = dossiers.flat_map(|dossier| listed_episodes(dossier, &self.rules)).collect();
        let written: Vec<(PatientId, StandingWrite<'_>)> = rows.iter().map(ListedEpisode::written).collect();
        standing::put_all(tx, &self.clinic, &written, self.now).await?;

        let listed: Vec<_> = self.recommendations.iter().filter_map(|(_, row)| row.as_ref()).collect();
        recommendation::put_all(tx, &self.clinic, &listed, self.now).await?;
        let gone = self.recommendations.iter().filter(|(_, row)| row.is_none()).map(|(id, _)| *id);
        recommendation::remove_all(tx, &self.clinic, &gone.collect::<Vec<_>>()).await
    }

    async fn write_ledger(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        for (delivery, noted) in &self.sightings {
            outbox::record(tx, &self.clinic, delivery, noted, self.now).await?;
        }
        let planned: Vec<_> = self.planned.iter().map(|(_, planned)| planned).collect();
        outbox::plan_all(tx, &self.clinic, &planned, self.now).await?;
        let mut patients: Vec<PatientId> = planned.iter().map(|planned| planned.patient).collect();
        patients.dedup();
        outbox::wake_each(tx, &self.clinic, &patients, self.now).await
    }

    async fn write_quarantine(&self, tx: &mut WriteTx) -> Result<(), Problem> {
        let arrived: Vec<PatientId> = self.arrived.iter().map(|(patient, ())| *patient).collect();
        quarantine::release_patients(tx, &self.clinic, &arrived).await?;
        let gone = self.quarantined.iter().filter(|(_, kept)| kept.is_none()).map(|(id, _)| *id);
        quarantine::release_all(tx, &self.clinic, &gone.collect::<Vec<_>>()).await?;
        let kept: Vec<_> = self.quarantined.iter().filter_map(|(_, kept)| kept.as_ref()).collect();
        quarantine::put_all(tx, &self.clinic, &kept).await
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

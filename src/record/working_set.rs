//! The rows that a batch of commands reads and changes, in memory.
//!
//! ```text
//! gather   what the commands name is read, a set at a time, and their patients are locked in one order
//! apply    commands change rows in memory; one that fails takes back its own changes and no others
//! write    what differs from what was gathered is written, each row once and in a fixed order; then the journal
//! ```
//!
//! Commands are applied without the database. A row that was not gathered is noted as missing, and the command is applied
//! again once it is here.

mod care;
mod evidence;
mod gather;
mod ledger;
mod person;
mod resources;
mod table;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::dossier::Dossier;
use super::row_keys::RowKeys;
use crate::domain::measurement::Measurement;
use crate::domain::rules::RuleSet;
use crate::id::{EpisodeId, MeasurementId, PatientId};
use crate::problem::Problem;
use crate::store::completion::Completion;
use crate::store::event_log::EventRow;
use crate::store::idempotency::StoredAnswer;
use crate::store::measurement::ItemObservation;
use crate::store::outbox::{ChartNote, Delivery, PlannedDelivery};
use crate::store::panel::PanelMember;
use crate::store::patient::link::Link;
use crate::store::patient::matches::PatientMatch;
use crate::store::patient::{Patient, StoredKey};
use crate::store::quarantine::QuarantineRecord;
use crate::store::resource::Resource;
use crate::store::review_session::{ReviewSession, SessionReview};
use crate::store::{episode, journal, recommendation};
use table::{Table, Undo};

/// The command is applied again when what is missing is here: nobody sees this.
fn not_gathered() -> Problem {
    Problem::internal("a row was not gathered")
}

/// The rows of one transaction in one clinic.
#[derive(Default)]
pub struct WorkingSet {
    clinic: String,
    now: DateTime<Utc>,
    rules: RuleSet,
    /// What a command needs and was not gathered.
    missing: RowKeys,
    patients: Table<PatientId, Patient>,
    /// Whom each key led to when it was read.
    keys: HashMap<String, BTreeMap<PatientId, StoredKey>>,
    /// Keys of patients where they have changed; `None` where they are gone.
    key_changes: Table<(String, PatientId), Option<StoredKey>>,
    /// What sources say about records that are one person, as it was read.
    links: HashMap<String, Vec<Link>>,
    /// Who had a birth date and a name when it was read.
    namesakes: HashMap<(String, String), BTreeSet<PatientId>>,
    matches: Table<Uuid, PatientMatch>,
    /// The record of a reference among those that were merged into a person.
    merged: HashMap<(PatientId, String), Option<PatientId>>,
    dossiers: Table<PatientId, Dossier>,
    /// Patients whose standings are written at the end.
    replanned: BTreeSet<PatientId>,
    resources: Table<(String, String), Resource>,
    /// What persons said of resources, by type and id.
    completions: Table<(String, String), Completion>,
    /// Which resources carried an identifier when it was read, by type and token.
    identifier_holders: HashMap<(String, String), BTreeSet<String>>,
    /// Whether a resource carries an identifier, where that has changed, by type, token and id.
    carrier_changes: Table<(String, String, String), bool>,
    measurements: Table<(PatientId, MeasurementId), (Measurement, DateTime<Utc>)>,
    /// By patient and source.
    items: Table<(PatientId, String), ItemObservation>,
    /// Patients whose items are all here.
    items_read: HashSet<PatientId>,
    /// Whether a panel names a member.
    members: Table<PanelMember, bool>,
    /// Single items whose panels are all here.
    members_read: HashSet<String>,
    /// Panels whose members are all here.
    panels_read: HashSet<String>,
    episodes: Table<EpisodeId, episode::EpisodeRecord>,
    /// Who entered the episodes that are new.
    entered_by: BTreeMap<EpisodeId, String>,
    /// `None` where it is removed.
    recommendations: Table<Uuid, Option<recommendation::RecommendationRow>>,
    /// By patient and key.
    planned: Table<(PatientId, String), PlannedDelivery>,
    /// `None` where it is let go.
    quarantined: Table<Uuid, Option<QuarantineRecord>>,
    /// Patients who have arrived, so that what waited for them is let go.
    arrived: Table<PatientId, ()>,
    events: Vec<EventRow>,
    /// Events of a kind in an episode, as they were read.
    events_by_kind: HashMap<(EpisodeId, String), Vec<EventRow>>,
    sessions: HashMap<Uuid, Option<ReviewSession>>,
    /// Deliveries that were looked at in the chart.
    deliveries: HashMap<Uuid, Option<Delivery>>,
    sightings: Vec<(Delivery, ChartNote)>,
    session_reviews: Vec<SessionReview>,
    answers: Table<String, StoredAnswer>,
    /// What the journal says about it.
    pub journal_entries: Vec<journal::JournalEntry>,
    /// Whether anything was put into the outbox.
    pub outbox_changed: bool,
    /// How often everything was written and forgotten, because rows moved from one person to another.
    flushes: usize,
}

/// A point that a command can return to.
#[derive(Clone, Copy, Debug)]
pub struct UndoMark {
    flushes: usize,
    tables: [usize; 16],
    events: usize,
    sightings: usize,
    session_reviews: usize,
    journal_entries: usize,
    outbox_changed: bool,
}

impl WorkingSet {
    pub fn new(clinic: &str, now: DateTime<Utc>, rules: RuleSet) -> Self {
        Self { clinic: clinic.to_owned(), now, rules, ..Self::default() }
    }

    /// Every table that commands change.
    fn tables(&mut self) -> [&mut dyn Undo; 16] {
        [
            &mut self.patients,
            &mut self.key_changes,
            &mut self.matches,
            &mut self.dossiers,
            &mut self.resources,
            &mut self.completions,
            &mut self.carrier_changes,
            &mut self.measurements,
            &mut self.items,
            &mut self.members,
            &mut self.episodes,
            &mut self.recommendations,
            &mut self.planned,
            &mut self.quarantined,
            &mut self.arrived,
            &mut self.answers,
        ]
    }

    /// A point to return to.
    pub fn mark(&mut self) -> UndoMark {
        UndoMark {
            flushes: self.flushes,
            tables: self.tables().map(|table| table.mark()),
            events: self.events.len(),
            sightings: self.sightings.len(),
            session_reviews: self.session_reviews.len(),
            journal_entries: self.journal_entries.len(),
            outbox_changed: self.outbox_changed,
        }
    }

    /// Takes back every change since a mark. `false` where some of them are in the database already.
    pub fn take_back(&mut self, mark: &UndoMark) -> bool {
        if mark.flushes != self.flushes {
            return false;
        }
        for (table, mark) in self.tables().into_iter().zip(mark.tables) {
            table.take_back(mark);
        }
        self.events.truncate(mark.events);
        self.sightings.truncate(mark.sightings);
        self.session_reviews.truncate(mark.session_reviews);
        self.journal_entries.truncate(mark.journal_entries);
        self.outbox_changed = mark.outbox_changed;
        true
    }

    /// What was missing since it was asked for the last time.
    pub fn take_missing(&mut self) -> RowKeys {
        std::mem::take(&mut self.missing)
    }

    /// A copy of the dossier of a locked patient, to be changed and put back.
    pub fn take(&mut self, patient: Patient) -> Result<Dossier, Problem> {
        let Some(dossier) = self.dossiers.get(&patient.id) else {
            self.missing.patients.insert(patient.id);
            return Err(not_gathered());
        };
        Ok(Dossier { patient, ..dossier.clone() })
    }

    /// Puts a dossier back for the next command.
    pub fn put(&mut self, dossier: Dossier) {
        self.dossiers.set(dossier.patient.id, dossier);
    }

    /// Lets the standings of a patient be written at the end.
    pub fn plan_anew(&mut self, patient: PatientId) {
        self.replanned.insert(patient);
    }

    /// Adds lines to the log.
    pub fn append(&mut self, events: Vec<EventRow>) {
        self.events.extend(events);
    }
}

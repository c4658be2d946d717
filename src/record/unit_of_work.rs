//! One transaction as the commands see it: rows in memory.
//!
//! ```text
//! gather   what the commands name is read, a set at a time, and their patients are locked in one order
//! apply    commands change rows in memory; one that fails takes back its own changes and no others
//! write    what differs from what was gathered is written, each row once and in a fixed order; then the journal; then the commit
//! ```
//!
//! A row that no command named is read when it is asked for. What the database has to do by itself, such as the moving of
//! every row of a merged patient, happens after everything before it was written ([`UnitOfWork::write_through`]): from then on
//! a command that fails cannot take its changes back alone, and the recorder runs each command in a transaction of its own.

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

use super::RecordContext;
use super::dossier::Dossier;
use crate::domain::measurement::Measurement;
use crate::domain::rules::RuleSet;
use crate::id::{EpisodeId, MeasurementId, PatientId};
use crate::problem::Problem;
use crate::store::event_log::EventRow;
use crate::store::idempotency::StoredAnswer;
use crate::store::measurement::ItemObservation;
use crate::store::outbox::PlannedDelivery;
use crate::store::patient::Patient;
use crate::store::quarantine::QuarantineRecord;
use crate::store::resource::Resource;
use crate::store::review_session::SessionReview;
use crate::store::{WriteTx, episode, journal, recommendation};
use table::Table;

/// The rows of one transaction in one clinic.
pub struct UnitOfWork {
    tx: WriteTx,
    clinic: String,
    now: DateTime<Utc>,
    rules: RuleSet,
    locked: HashSet<PatientId>,
    patients: Table<PatientId, Patient>,
    /// Whom each key belonged to when it was read.
    keys: HashMap<String, BTreeSet<PatientId>>,
    /// Whether a patient is known by a key, where that has changed.
    key_changes: Table<(String, PatientId), bool>,
    dossiers: Table<PatientId, Dossier>,
    /// Patients whose standings are written at the end.
    planned_anew: BTreeSet<PatientId>,
    resources: Table<(String, String), Resource>,
    /// Which resources carried an identifier when it was read, by type and token.
    carriers: HashMap<(String, String), BTreeSet<String>>,
    /// Whether a resource carries an identifier, where that has changed, by type, token and id.
    carrier_changes: Table<(String, String, String), bool>,
    measurements: Table<(PatientId, MeasurementId), (Measurement, DateTime<Utc>)>,
    /// By patient and source.
    items: Table<(PatientId, String), ItemObservation>,
    /// Patients whose items are all here.
    items_read: HashSet<PatientId>,
    episodes: Table<EpisodeId, episode::EpisodeRecord>,
    /// Who entered the episodes that are new.
    entered_by: BTreeMap<EpisodeId, String>,
    /// `None` where it is removed.
    recommendations: Table<Uuid, Option<recommendation::RecommendationRow>>,
    /// By patient and key.
    planned: Table<(PatientId, String), PlannedDelivery>,
    /// `None` where it is let go.
    quarantined: Table<Uuid, Option<QuarantineRecord>>,
    /// Patients who have arrived, so that what waited for them is let go, by reason.
    arrived: Table<(PatientId, String), ()>,
    facts: Vec<EventRow>,
    joined: Vec<SessionReview>,
    answers: Table<String, StoredAnswer>,
    /// What the journal says about it.
    pub lines: Vec<journal::JournalEntry>,
    /// Whether anything was put into the outbox.
    pub delivers: bool,
    /// How often everything was written in the middle.
    written_through: usize,
}

/// A point that a command can return to.
#[derive(Clone, Copy, Debug)]
pub struct UndoMark {
    written_through: usize,
    tables: [usize; 13],
    facts: usize,
    joined: usize,
    lines: usize,
    delivers: bool,
}

impl UnitOfWork {
    pub fn new(tx: WriteTx, clinic: &str, now: DateTime<Utc>, rules: RuleSet) -> Self {
        Self {
            tx,
            clinic: clinic.to_owned(),
            now,
            rules,
            locked: HashSet::new(),
            patients: Table::default(),
            keys: HashMap::new(),
            key_changes: Table::default(),
            dossiers: Table::default(),
            planned_anew: BTreeSet::new(),
            resources: Table::default(),
            carriers: HashMap::new(),
            carrier_changes: Table::default(),
            measurements: Table::default(),
            items: Table::default(),
            items_read: HashSet::new(),
            episodes: Table::default(),
            entered_by: BTreeMap::new(),
            recommendations: Table::default(),
            planned: Table::default(),
            quarantined: Table::default(),
            arrived: Table::default(),
            facts: Vec::new(),
            joined: Vec::new(),
            answers: Table::default(),
            lines: Vec::new(),
            delivers: false,
            written_through: 0,
        }
    }

    /// A point to return to.
    pub fn mark(&self) -> UndoMark {
        UndoMark {
            written_through: self.written_through,
            tables: [
                self.patients.mark(),
                self.key_changes.mark(),
                self.dossiers.mark(),
                self.resources.mark(),
                self.carrier_changes.mark(),
                self.measurements.mark(),
                self.items.mark(),
                self.episodes.mark(),
                self.recommendations.mark(),
                self.planned.mark(),
                self.quarantined.mark(),
                self.arrived.mark(),
                self.answers.mark(),
            ],
            facts: self.facts.len(),
            joined: self.joined.len(),
            lines: self.lines.len(),
            delivers: self.delivers,
        }
    }

    /// Takes back every change since a mark. `false` where some of them are in the database already.
    pub fn take_back(&mut self, mark: &UndoMark) -> bool {
        if mark.written_through != self.written_through {
            return false;
        }
        let [patients, keys, dossiers, resources, carriers, measurements, items, rest @ ..] = mark.tables;
        let [episodes, recommendations, planned, quarantined, arrived, answers] = rest;
        self.patients.take_back(patients);
        self.key_changes.take_back(keys);
        self.dossiers.take_back(dossiers);
        self.resources.take_back(resources);
        self.carrier_changes.take_back(carriers);
        self.measurements.take_back(measurements);
        self.items.take_back(items);
        self.episodes.take_back(episodes);
        self.recommendations.take_back(recommendations);
        self.planned.take_back(planned);
        self.quarantined.take_back(quarantined);
        self.arrived.take_back(arrived);
        self.answers.take_back(answers);
        self.facts.truncate(mark.facts);
        self.joined.truncate(mark.joined);
        self.lines.truncate(mark.lines);
        self.delivers = mark.delivers;
        true
    }

    /// A copy of the dossier of a locked patient, to be changed and put back.
    pub async fn take(&mut self, context: &RecordContext<'_>, patient: Patient) -> Result<Dossier, Problem> {
        if let Some(dossier) = self.dossiers.get(&patient.id) {
            return Ok(Dossier { patient, ..dossier.clone() });
        }
        self.load(context, patient).await
    }

    /// Puts a dossier back for the next command.
    pub fn put(&mut self, dossier: Dossier) {
        self.dossiers.set(dossier.patient.id, dossier);
    }

    /// Reads the dossier of a locked patient.
    pub async fn load(&mut self, context: &RecordContext<'_>, patient: Patient) -> Result<Dossier, Problem> {
        self.load_each(context, vec![patient]).await?.pop().ok_or_else(|| Problem::internal("a story was not read"))
    }

    /// Lets the standings of a patient be written at the end.
    pub fn plan_anew(&mut self, patient: PatientId) {
        self.planned_anew.insert(patient);
    }

    /// Adds lines to the log.
    pub fn append(&mut self, facts: Vec<EventRow>) {
        self.facts.extend(facts);
    }
}

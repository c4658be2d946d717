//! Commands of the recorder, and their results.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::import::ImportedCase;
use crate::domain::care::{Care, FitCheck};
use crate::domain::episode::Episode;
use crate::domain::instrument::Instrument;
use crate::domain::patient_match::MatchDecision;
use crate::domain::score::Answers;
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::chart_item::ChartItem;
use crate::fhir::content::EvidenceTime;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::completion::Completion;

/// On what condition a resource is taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// None: create it, or replace what is there.
    #[default]
    None,
    /// `If-None-Exist`: only where nothing carries this `system|value`.
    NoneWith(String),
    /// `PUT Type?identifier=`: replaces what carries this `system|value`.
    TheOneWith(String),
    /// `If-Match`: only on this version of ours.
    Version(i64),
    /// As the condition, and only if the resource ends up under this id: others that were sent with it say so.
    Under { id: String, condition: Box<Condition> },
    /// What is stored already is evaluated anew: a mapping has changed, or a patient has arrived.
    Again,
    /// The same, with what a person said that the resource does not say: whose it is, when it was taken.
    Completed(Completion),
}

/// Whom a fact is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientKey {
    Id(PatientId),
    /// By a key the patient is known by: `Patient/123` or `system|value`.
    Key(String),
}

/// One change to a story.
#[derive(Clone, Debug)]
pub enum Command {
    /// A resource arrived.
    StoreResource {
        arrival: Box<Arrival>,
        /// On what condition.
        condition: Condition,
    },
    /// A resource was deleted.
    DeleteResource {
        kind: ResourceType,
        id: String,
        /// Only on this version of ours.
        if_match: Option<i64>,
    },
    /// An episode began.
    Enroll {
        whom: PatientKey,
        episode: Box<Episode>,
        /// The fit check that was made with it.
        fit: Option<Box<FitCheck>>,
    },
    /// The particulars of an episode changed.
    AmendEpisode {
        episode: EpisodeId,
        amendment: Amendment,
        /// Only on this revision.
        if_match: Option<i64>,
    },
    /// The care team did something in an episode.
    RecordCare {
        episode: EpisodeId,
        on: NaiveDate,
        /// The instant, where known.
        at: Option<DateTime<Utc>>,
        care: Care,
        /// Only on this revision of the episode.
        if_match: Option<i64>,
    },
    /// Something about the patient, in whichever episode: suicide risk was assessed, or somebody pays.
    RecordPatientCare { patient: PatientId, at: DateTime<Utc>, care: Care },
    /// A score was taken outside the EHR.
    RecordMeasurement {
        patient: PatientId,
        /// The instrument.
        instrument: Instrument,
        taken: EvidenceTime,
        /// The stored answer to a request.
        answers: Answers,
        /// Who took it, where that is not who enters it.
        taken_by: Option<String>,
        /// In which language (BCP 47), where known.
        language: Option<String>,
    },
    /// Something that we wrote into the chart was looked at there.
    ReadBack(Box<Sighting>),
    /// A row of a spreadsheet registry is taken over.
    ImportCase(Box<ImportedCase>),
    /// Somebody names two records that may be one person.
    ProposeMatch { records: [PatientId; 2] },
    /// Somebody decides whether two records are one person.
    DecideMatch { id: Uuid, decision: MatchDecision, reason: String },
    /// Nothing new, but a day has passed, or the rules have changed: look at the patient again.
    Replan { patient: PatientId },
}

/// A look at something that we wrote into the chart.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Whose it is, by the ledger.
    pub patient: PatientId,
    /// The delivery that wrote it.
    pub delivery: Uuid,
    /// The namespace of our identifiers there.
    pub system: String,
    /// What stands there; `None` where it is gone.
    pub seen: Option<ChartItem>,
}

/// What becomes of a field that may be empty. In JSON: left out, `null`, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    #[default]
    Keep,
    Empty,
    To(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Empty, Self::To))
    }
}

impl<T> Change<T> {
    /// The same change in other words.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Empty => Change::Empty,
            Self::To(value) => Change::To(to(value)),
        }
    }

    pub fn apply(&self, field: &mut Option<T>)
    where
        T: Clone,
    {
        match self {
            Self::Keep => {}
            Self::Empty => *field = None,
            Self::To(value) => *field = Some(value.clone()),
        }
    }
}

/// Changes to an episode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Enrollment, while only referred.
    pub enrolled_on: Option<NaiveDate>,
    pub consent_on: Change<NaiveDate>,
    /// Which measures are treated to target; the primary one stays.
    pub target_instruments: Option<Vec<Instrument>>,
    /// The care manager from now on.
    pub care_manager: Change<String>,
    /// The patient's own doctor from now on.
    pub primary_care_provider: Change<String>,
    /// The consultant from now on.
    pub psychiatric_consultant: Change<String>,
    pub reason: Option<String>,
    /// The care manager hands the patient over on this local date: only in an open episode, and to somebody else.
    pub transferred_on: Option<NaiveDate>,
}

/// Facts that were sent together.
#[derive(Clone, Debug)]
pub struct Submission {
    pub clinic: String,
    pub by: String,
    pub commands: Vec<Command>,
    pub atomic: bool,
}

/// Effect of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandEffect {
    Created,
    /// Replaced what was there.
    Updated,
    /// Known already, or older than what is known: nothing was done.
    Unchanged,
    Deleted,
}

/// Effect of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub effect: CommandEffect,
    /// The id of the resource, episode or entry.
    pub id: String,
    /// Our version of the resource, or the revision of the episode.
    pub version: i64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// The patient it belongs to.
    pub patient: Option<PatientId>,
    /// Why it waits in quarantine, if it does.
    pub quarantined: Option<String>,
    /// What of an imported row was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<ImportCount>,
}

/// What of an imported row was new, beside the episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCount {
    pub measurements: usize,
    /// Contacts, reviews and the like.
    pub entries: usize,
}

/// Result of each command of a submission.
pub type SubmissionResult = Vec<Result<Recorded, Problem>>;

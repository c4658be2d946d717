//! Content of resources, as far as the registry reads it.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::base::Bases;
use super::mapping::CodeMapping;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::EvidenceStatus;
use crate::domain::score::Answers;

/// Context for reading a resource.
#[derive(Clone, Copy, Debug)]
pub struct ReadingContext<'a> {
    /// The clinic's time zone: what counts as a day.
    pub zone: Tz,
    /// The present instant: what counts as the future.
    pub now: DateTime<Utc>,
    /// Meaning of the connection's codes.
    pub mapping: &'a CodeMapping,
    /// The bases under which a Patient is one of ours.
    pub bases: &'a Bases,
}

/// A business identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    /// Namespace; many real identifiers have none.
    pub system: Option<String>,
    pub value: String,
}

impl Identifier {
    /// `system|value`, as in a search.
    pub fn token(&self) -> String {
        format!("{}|{}", self.system.as_deref().unwrap_or_default(), self.value)
    }
}

/// Subject of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A reference to a Patient by its logical id.
    Reference {
        /// The Patient's id.
        id: String,
        /// The other server whose Patient it is; `None` for one of ours.
        base: Option<String>,
    },
    /// `urn:uuid:…`: only has a meaning inside its Bundle, unless a Patient was stored under that id.
    Urn(String),
    /// Whoever carries these business identifiers.
    Identifiers(Vec<Identifier>),
}

impl Subject {
    /// The keys that the person is known by.
    pub fn keys(&self) -> Vec<String> {
        match self {
            Self::Reference { id, base: None } => vec![format!("Patient/{id}")],
            Self::Reference { id, base: Some(base) } => vec![format!("{base}/Patient/{id}")],
            Self::Urn(urn) => vec![urn.clone()],
            Self::Identifiers(identifiers) => identifiers.iter().map(Identifier::token).collect(),
        }
    }

    /// Whether it names a Patient of another server.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Reference { base: Some(_), .. })
    }
}

/// What one record of a person says about another (`Patient.link`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// The other one is used instead of this one.
    ReplacedBy,
    /// This one is used instead of the other.
    Replaces,
    /// Both are in use and are about the same person (`refer`, `seealso`).
    SamePerson,
}

/// A link from one Patient to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientLink {
    pub kind: LinkKind,
    pub other: Subject,
}

/// Why something that was sent in good faith cannot be used (yet): a stable code and a sentence without patient data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Stable code, e.g. `no_authored`.
    pub code: &'static str,
    pub detail: String,
}

/// The doubts that go away when somebody says whose a resource is.
pub const SUBJECT_DOUBTS: [&str; 3] = ["no_subject", "unusable_subject", "contained_subject"];
/// The doubts that go away when somebody says when it was taken.
pub const DATE_DOUBTS: [&str; 3] = ["no_authored", "imprecise_authored", "future_authored"];

/// Whether a patient or a date is all that a resource waits for.
pub fn can_be_completed(doubt: &str) -> bool {
    SUBJECT_DOUBTS.contains(&doubt) || DATE_DOUBTS.contains(&doubt)
}

/// When a form was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceTime {
    /// The instant; local midnight where only a date is known.
    pub at: DateTime<Utc>,
    /// The date in the clinic's time zone.
    pub on: NaiveDate,
}

/// One instrument found in a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentReading {
    /// The instrument.
    pub instrument: Instrument,
    /// The stored answer to a request.
    pub answers: Answers,
    /// The resource carries one item of the instrument (an item Observation), not the whole form:
    /// readings of the same instrument and instant belong together.
    pub is_single_item: bool,
}

/// Content of a form or an Observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Subject; `None` if the resource does not name one.
    pub subject: Option<Subject>,
    /// Whether it counts.
    pub counting: EvidenceStatus,
    /// When it was taken; `None` where the resource does not say (then there is a doubt).
    pub taken: Option<EvidenceTime>,
    /// The instruments found. Empty for a form that is none of ours: kept, and nothing is computed.
    pub readings: Vec<InstrumentReading>,
    /// Why it must wait in quarantine.
    pub doubt: Option<Doubt>,
    /// The language it was asked in (BCP 47), where the resource says so.
    pub language: Option<String>,
    /// The Observations (`Observation/123`) that a panel or a total says to consist of.
    pub members: Vec<String>,
}

impl Evidence {
    /// Whether a person may have said what it does not.
    pub fn can_be_completed(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| can_be_completed(doubt.code))
    }
}

/// Content of a Patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatientDetails {
    /// For display: the official name, else the first usable one.
    pub display_name: Option<String>,
    /// Family name for sorting.
    pub family: Option<String>,
    /// Date of birth as sent; may be a year or a month.
    pub birth_date: Option<String>,
    /// `male`, `female`, `other`, `unknown`.
    pub gender: Option<String>,
    /// Preferred language (BCP 47).
    pub language: Option<String>,
    /// `false` only where the resource says so.
    pub inactive: bool,
    /// Deceased, as far as the resource says.
    pub deceased: bool,
    /// The date in the clinic's time zone, where the resource gives one.
    pub deceased_on: Option<NaiveDate>,
    /// What it says about other records of the same person.
    pub links: Vec<PatientLink>,
    /// Identifiers that the person had once (`use = old`).
    pub former_identifiers: Vec<Identifier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Patient(PatientDetails),
    /// A QuestionnaireResponse or an Observation.
    Evidence(Evidence),
}

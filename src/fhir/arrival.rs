//! One resource as it arrived, read as far as the registry needs it.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::date::FhirDate;
use super::json::JsonNode;
use super::mapping::CodeMapping;
use super::{observation, patient, questionnaire_response, reference};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::EvidenceStatus;
use crate::domain::score::Answers;
use crate::problem::Problem;

/// What reading depends on, beside the resource.
#[derive(Clone, Copy, Debug)]
pub struct ReadingContext<'a> {
    /// The clinic's time zone: what counts as a day.
    pub zone: Tz,
    /// The present instant: what counts as the future.
    pub now: DateTime<Utc>,
    /// What the connection's codes mean.
    pub mapping: &'a CodeMapping,
}

/// The resource types that the registry takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// Who.
    Patient,
    /// A filled-in form.
    QuestionnaireResponse,
    /// A score or an item, as a single value.
    Observation,
}

impl ResourceType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Patient, Self::QuestionnaireResponse, Self::Observation];

    /// By its FHIR type name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The FHIR type name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::QuestionnaireResponse => "QuestionnaireResponse",
            Self::Observation => "Observation",
        }
    }
}

/// A business identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    /// Namespace; many real identifiers have none.
    pub system: Option<String>,
    /// The value in it.
    pub value: String,
}

impl Identifier {
    /// `system|value`, as in a search.
    pub fn token(&self) -> String {
        format!("{}|{}", self.system.as_deref().unwrap_or_default(), self.value)
    }
}

/// Whom a resource is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A reference to a Patient: its logical id. `base` is set for an absolute URL.
    Reference {
        /// The Patient's id.
        id: String,
        /// The server's base, for an absolute reference.
        base: Option<String>,
    },
    /// `urn:uuid:…`: only has a meaning inside its Bundle, unless a Patient was stored under that id.
    Urn(String),
    /// A logical reference by identifier.
    Identifier(Identifier),
}

/// Why something that was sent in good faith cannot be used (yet): a stable code and a sentence without patient data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Stable code, e.g. `no_authored`.
    pub code: &'static str,
    /// A sentence.
    pub detail: String,
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
    /// Which instrument.
    pub instrument: Instrument,
    /// What was answered.
    pub answers: Answers,
    /// The resource carries one item of the instrument (an item Observation), not the whole form:
    /// readings of the same instrument and instant belong together.
    pub is_single_item: bool,
}

/// What a form or an Observation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whom it is about; `None` where the resource does not say.
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
}

/// What a Patient says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatientDetails {
    /// For display: the official name, else the first usable one.
    pub display_name: Option<String>,
    /// Family name for sorting.
    pub family: Option<String>,
    /// As sent; may be a year or a month.
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
    /// Ids of Patients that replace this one (`link.type = replaced-by`).
    pub replaced_by: Vec<Subject>,
    /// Ids of Patients that this one replaces (`link.type = replaces`).
    pub replaces: Vec<Subject>,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A Patient.
    Patient(PatientDetails),
    /// A QuestionnaireResponse or an Observation.
    Evidence(Evidence),
}

/// One resource as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its type.
    pub kind: ResourceType,
    /// Its logical id, where it has one.
    pub id: Option<String>,
    /// `meta.versionId`.
    pub version_id: Option<String>,
    /// `meta.lastUpdated`.
    pub last_updated: Option<DateTime<Utc>>,
    /// Business identifiers; old ones (`use = old`) are left out.
    pub identifiers: Vec<Identifier>,
    /// What it says.
    pub content: Content,
    /// The JSON as it came.
    pub raw: String,
}

impl Arrival {
    /// The JSON to keep: as it came, with the id that it is stored under.
    pub fn body(&self, id: &str) -> String {
        if self.id.is_some() { self.raw.clone() } else { with_id(&self.raw, id) }
    }

    /// Itself under an id, where it came without one.
    #[must_use]
    pub fn with_id(mut self, id: String) -> Self {
        if self.id.is_none() {
            self.raw = self.body(&id);
            self.id = Some(id);
        }
        self
    }
}

/// A resource without an id, with one. It goes in front: everything that came stays to the letter.
pub fn with_id(raw: &str, id: &str) -> String {
    match raw.trim_start().strip_prefix('{') {
        Some(rest) => format!("{{\"id\":{},{rest}", serde_json::Value::from(id)),
        None => raw.to_owned(),
    }
}

/// Whether a text can be a logical id: FHIR's, and what real servers use. It becomes part of URLs, so it must not be
/// able to break one.
pub fn is_logical_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// The identifiers of a resource that was stored; none if it cannot be read any more.
pub fn identifiers_of(raw: &str) -> Vec<Identifier> {
    JsonNode::read(raw).map(|resource| reference::identifiers(&resource)).unwrap_or_default()
}

/// Reads one resource as it arrived.
///
/// Unknown elements never fail. What violates FHIR where we look is a [`Problem`] with the place in it; what is valid
/// but cannot be used safely is a [`Doubt`] in the evidence. Neither repeats anything that the resource says.
pub fn read(raw: &str, context: &ReadingContext<'_>) -> Result<Arrival, Problem> {
    let raw = raw.trim_start_matches('\u{feff}').trim();
    let resource = JsonNode::read(raw)?;
    if !matches!(resource, JsonNode::Object(_)) {
        return Err(Problem::malformed("a resource must be a JSON object").at("Resource"));
    }
    let kind = match resource.text("resourceType") {
        Some("Patient") => ResourceType::Patient,
        Some("QuestionnaireResponse") => ResourceType::QuestionnaireResponse,
        Some("Observation") => ResourceType::Observation,
        Some(name) if is_type_name(name) => {
            return Err(Problem::unprocessable(format!("{name} is not taken in here")).at("Resource.resourceType"));
        }
        _ => return Err(Problem::malformed("resourceType is missing or no type name").at("Resource.resourceType")),
    };
    let id = logical_id(&resource, kind)?;
    let about = resource.get("meta");
    let version_id = about.and_then(|about| about.get("versionId")).and_then(|version| match version {
        JsonNode::Number(number) => Some(number.to_string()),
        version => version.as_text().map(str::to_owned),
    });
    let last_updated = last_updated(about, kind)?;
    let identifiers = reference::identifiers(&resource);
    let language = resource.text("language").map(str::trim).filter(|tag| is_language(tag)).map(str::to_owned);
    let in_language = |evidence: Evidence| Content::Evidence(Evidence { language, ..evidence });
    let says = match kind {
        ResourceType::Patient => Content::Patient(patient::read(&resource, context)),
        ResourceType::QuestionnaireResponse => in_language(questionnaire_response::read(&resource, context)?),
        ResourceType::Observation => in_language(observation::read(&resource, context)?),
    };
    Ok(Arrival { kind, id, version_id, last_updated, identifiers, content: says, raw: raw.to_owned() })
}

/// Whether a text can be a language tag (BCP 47): `es`, `pt-BR`, `zh-Hans-CN`.
pub fn is_language(tag: &str) -> bool {
    tag.len() <= 35
        && tag.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && tag.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_type_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphabetic())
}

fn logical_id(resource: &JsonNode<'_>, kind: ResourceType) -> Result<Option<String>, Problem> {
    let id = match resource.get("id") {
        // An id that is there and empty would stand beside the one we give.
        None if resource.members().iter().any(|(name, _)| name == "id") => "",
        None => return Ok(None),
        Some(JsonNode::Text(id)) => id.as_ref(),
        Some(_) => "",
    };
    if is_logical_id(id) {
        Ok(Some(id.to_owned()))
    } else {
        Err(Problem::malformed("not a logical id").at(format!("{}.id", kind.name())))
    }
}

fn last_updated(about: Option<&JsonNode<'_>>, kind: ResourceType) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(updated) = about.and_then(|about| about.get("lastUpdated")) else { return Ok(None) };
    let when = if let JsonNode::Text(text) = updated { FhirDate::parse(text) } else { None };
    let impossible =
        || Problem::malformed("not a possible FHIR instant").at(format!("{}.meta.lastUpdated", kind.name()));
    // The server's own clock, so a missing offset cannot be the clinic's.
    Ok(when.ok_or_else(impossible)?.taken(Tz::UTC).map(|taken| taken.at))
}

#[cfg(test)]
mod tests;

//! One resource as it arrived, read as far as the registry needs it.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::content::{Content, Evidence, Identifier, ReadingContext};
use super::date::FhirDate;
use super::json::JsonNode;
use super::{observation, patient, questionnaire_response, reference};
use crate::problem::Problem;

/// The resource types that the registry takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    Patient,
    /// A filled-in form.
    QuestionnaireResponse,
    /// A score or an item, as a single value.
    Observation,
}

impl ResourceType {
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

/// One resource as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub kind: ResourceType,
    /// Its logical id, where it has one.
    pub id: Option<String>,
    /// `meta.versionId`.
    pub version_id: Option<String>,
    /// `meta.lastUpdated`.
    pub last_updated: Option<DateTime<Utc>>,
    /// Business identifiers; old ones (`use = old`) are left out.
    pub identifiers: Vec<Identifier>,
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
/// but cannot be used safely is a [`Doubt`](super::content::Doubt) in the evidence. Neither repeats anything that the resource says.
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

//! A Task or a Flag of ours as it stands in the chart, read back: its status, and who says so, as far as the chart tells.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::date::FhirDate;
use super::write::parts::AUTHOR;
use crate::domain::task::ChartResource;
use crate::problem::Problem;

/// The longest text that is taken over.
const LONGEST: usize = 1000;

/// A resource of ours as it is in the chart.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartItem {
    pub resource: ChartResource,
    pub id: String,
    pub status: String,
    /// `meta.versionId`.
    pub version: Option<String>,
    /// `meta.lastUpdated`.
    pub updated: Option<DateTime<Utc>>,
    /// When it was changed last, as it says itself or as the server does: whichever is later.
    pub changed_at: Option<DateTime<Utc>>,
    /// Owner: the person who acts on it.
    pub owner: Option<String>,
    /// Why it has its status.
    pub reason: Option<String>,
    /// The last note that is not ours.
    pub note: Option<String>,
    /// The patient it is about: `Patient/12` or `system|value`.
    pub about: Option<String>,
    pub body: Value,
}

impl ChartItem {
    /// Reads a resource that the server gave.
    ///
    /// # Errors
    /// Where it is no resource of that type, or has no id or status.
    pub fn read(raw: &str, resource: ChartResource) -> Result<Self, Problem> {
        let no = |what: &str| Problem::malformed(format!("no {what}")).at(format!("{resource}.{what}"));
        let body: Value =
            serde_json::from_str(raw).map_err(|_| Problem::malformed("not JSON").at(resource.as_str()))?;
        if body["resourceType"] != resource.as_str() {
            return Err(no("resourceType"));
        }
        let id = body["id"].as_str().ok_or_else(|| no("id"))?.to_owned();
        let is_code =
            |text: &&str| (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let status = body["status"].as_str().filter(is_code).ok_or_else(|| no("status"))?.to_owned();
        let version = match &body["meta"]["versionId"] {
            Value::String(version) => Some(version.clone()),
            Value::Number(version) => Some(version.to_string()),
            _ => None,
        };
        let updated = instant(&body["meta"]["lastUpdated"]);
        Ok(Self {
            resource,
            id,
            status,
            version,
            updated,
            changed_at: updated.max(instant(&body["lastModified"])),
            owner: named(&body["owner"]),
            reason: concept(&body["statusReason"]),
            note: body["note"].as_array().and_then(|notes| {
                notes.iter().rev().find(|note| note["authorString"] != AUTHOR).and_then(|note| text(&note["text"]))
            }),
            about: person(
                &body[match resource {
                    ChartResource::Task => "for",
                    ChartResource::Flag => "subject",
                }],
            ),
            body,
        })
    }
}

/// The server's own clock, so a missing offset cannot be the clinic's.
fn instant(value: &Value) -> Option<DateTime<Utc>> {
    Some(FhirDate::parse(value.as_str()?)?.taken(Tz::UTC)?.at)
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST).collect())
}

fn named(reference: &Value) -> Option<String> {
    let identifier = || text(&reference["identifier"]["value"]);
    text(&reference["display"]).or_else(|| text(&reference["reference"])).or_else(identifier)
}

fn concept(concept: &Value) -> Option<String> {
    let coding = &concept["coding"][0];
    text(&concept["text"]).or_else(|| text(&coding["display"])).or_else(|| text(&coding["code"]))
}

fn person(reference: &Value) -> Option<String> {
    if let Some(reference) = reference["reference"].as_str() {
        if reference.starts_with("urn:") {
            return Some(reference.to_owned());
        }
        let path = reference.split_once("/_history").map_or(reference, |(path, _)| path);
        let mut parts = path.rsplit('/');
        let (id, kind) = (parts.next()?, parts.next()?);
        return (kind == "Patient").then(|| format!("Patient/{id}"));
    }
    let identifier = &reference["identifier"];
    let value = identifier["value"].as_str()?;
    Some(format!("{}|{value}", identifier["system"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn who_and_why_are_read_as_far_as_the_chart_says() {
        let task = json!({
            "resourceType": "Task", "id": "7", "status": "rejected",
            "meta": {"versionId": 3, "lastUpdated": "2026-03-02T14:00:00Z"},
            "lastModified": "2026-03-02T10:00:00-05:00", "owner": {"reference": "Practitioner/9", "display": "Dr. Ames"},
            "statusReason": {"coding": [{"code": "declined"}]},
            "note": [{"text": "Prefers therapy"}, {"authorString": AUTHOR, "text": "No longer called for"}],
            "for": {"reference": "https://ehr.example/fhir/Patient/12/_history/2"},
        });
        let seen = ChartItem::read(&task.to_string(), ChartResource::Task).unwrap();
        assert_eq!((seen.status.as_str(), seen.version.as_deref()), ("rejected", Some("3")));
        assert_eq!(seen.changed_at.unwrap().to_rfc3339(), "2026-03-02T15:00:00+00:00");
        assert_eq!((seen.owner.as_deref(), seen.reason.as_deref()), (Some("Dr. Ames"), Some("declined")));
        assert_eq!((seen.note.as_deref(), seen.about.as_deref()), (Some("Prefers therapy"), Some("Patient/12")));
    }

    #[rstest]
    #[case("[]")]
    #[case("<html>")]
    #[case(r#"{"resourceType":"Flag","id":"1","status":"active"}"#)]
    #[case(r#"{"resourceType":"Task","id":7,"status":"completed"}"#)]
    #[case(r#"{"resourceType":"Task","id":"7"}"#)]
    #[case(r#"{"resourceType":"Task","id":"7","status":{"value":"completed"}}"#)]
    #[case(r#"{"resourceType":"Task","id":"7","status":"Drop Table"}"#)]
    fn what_is_none_of_ours_to_read_is_refused(#[case] raw: &str) {
        assert!(ChartItem::read(raw, ChartResource::Task).is_err());
    }

    #[rstest]
    #[case(json!({"identifier": {"system": "urn:mrn", "value": "m1"}}), Some("urn:mrn|m1"))]
    #[case(json!({"reference": "urn:uuid:5"}), Some("urn:uuid:5"))]
    #[case(json!({"reference": "Practitioner/5"}), None)]
    #[case(json!({"display": "Somebody"}), None)]
    fn whom_it_is_about_is_a_key(#[case] reference: Value, #[case] key: Option<&str>) {
        assert_eq!(person(&reference).as_deref(), key);
    }
}

//! A line of the journal as a FHIR R4 AuditEvent.

use chrono::{DateTime, Utc};
use fhir_sdk::r4b::codes::{AuditEventAction, AuditEventOutcome};
use fhir_sdk::r4b::resources::{
    AuditEvent, AuditEventAgent, AuditEventEntity, AuditEventEntityDetail, AuditEventEntityDetailValue,
    AuditEventSource,
};
use fhir_sdk::r4b::types::{Coding, Identifier, Reference};
use serde_json::Value;
use uuid::Uuid;

use super::write::parts::{AUTHOR, COMPLETE, coding, concept, instant_text, named};
use crate::id::PatientId;

const TYPES: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const INTERACTIONS: &str = "http://hl7.org/fhir/restful-interaction";
const ENTITY_TYPES: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLES: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPES: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
/// Our code system: what changed.
const EVENTS: &str = "https://cocm-registry.dev/fhir/CodeSystem/event";
/// Our code system: who acts.
const ROLES: &str = "https://cocm-registry.dev/fhir/CodeSystem/role";
/// The namespace of subjects as tokens name them, and of this program.
const SUBJECTS: &str = "https://cocm-registry.dev/fhir/NamingSystem/subject";

#[derive(Clone, Debug)]
pub struct AuditedEntry<'a> {
    pub id: Uuid,
    /// Its place in the chain.
    pub seq: i64,
    pub clinic: &'a str,
    pub at: DateTime<Utc>,
    pub by: &'a str,
    /// Role of the author; `None` for this program.
    pub role: Option<&'a str>,
    /// Names of the changes; empty for a read.
    pub events: &'a [String],
    /// The request: method, route and status.
    pub request: Option<(&'a str, &'a str, u16)>,
    /// The patients it is about.
    pub patients: Vec<PatientId>,
    /// Other object of the entry.
    pub subject: Option<&'a str>,
}

/// The AuditEvent; `None` only for years that FHIR cannot write.
pub fn audit_event(told: &AuditedEntry<'_>) -> Option<Value> {
    let recorded = instant_text(told.at).parse().ok()?;
    let (kind, subtypes) = if let Some((method, route, _)) = told.request {
        let interaction = interaction(method, route);
        (coding(TYPES, "rest", Some("RESTful Operation")), vec![Some(coding(INTERACTIONS, interaction, None))])
    } else {
        let subtypes = told.events.iter().map(|event| Some(coding(EVENTS, event, None))).collect();
        (coding(DICOM, "110110", Some("Patient Record")), subtypes)
    };
    let mut event = AuditEvent::builder()
        .id(told.id.to_string())
        .r#type(kind)
        .subtype(subtypes)
        .action(action(told))
        .recorded(recorded)
        .outcome(outcome(told.request.map_or(200, |(_, _, status)| status)))
        .agent(vec![Some(agent(told))])
        .source(source(told))
        .entity(entities(told));
    if let Some((method, route, status)) = told.request {
        event = event.outcome_desc(format!("{method} {route}: {status}"));
    }
    serde_json::to_value(event.build().expect(COMPLETE)).ok()
}

fn interaction(method: &str, route: &str) -> &'static str {
    match method {
        "GET" | "HEAD" if route.ends_with('}') => "read",
        "GET" | "HEAD" => "search-type",
        "POST" if route.ends_with("_search") => "search-type",
        "POST" if route == "/fhir" || route == "/fhir/" => "batch",
        "POST" if route.ends_with("simulate") => "operation",
        "POST" => "create",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "update",
    }
}

fn action(told: &AuditedEntry<'_>) -> AuditEventAction {
    if let Some((method, route, _)) = told.request {
        return match interaction(method, route) {
            "read" => AuditEventAction::R,
            "create" => AuditEventAction::C,
            "update" | "patch" => AuditEventAction::U,
            "delete" => AuditEventAction::D,
            _ => AuditEventAction::E,
        };
    }
    match told.events.first().and_then(|event| event.rsplit('.').next()) {
        Some("recorded" | "enrolled" | "referred" | "created" | "proposed" | "attested" | "added") => {
            AuditEventAction::C
        }
        Some("deleted") => AuditEventAction::D,
        _ => AuditEventAction::U,
    }
}

/// 0: success; 4: refused or not found; 8: a fault of ours.
fn outcome(status: u16) -> AuditEventOutcome {
    match status {
        0..=399 => AuditEventOutcome::N0,
        400..=499 => AuditEventOutcome::N4,
        _ => AuditEventOutcome::N8,
    }
}

fn agent(told: &AuditedEntry<'_>) -> AuditEventAgent {
    let identifier = Identifier::builder().system(SUBJECTS.to_owned()).value(told.by.to_owned());
    let who = Reference::builder().identifier(identifier.build().expect(COMPLETE)).build().expect(COMPLETE);
    let agent = AuditEventAgent::builder().who(who).requestor(true);
    match told.role {
        Some(role) => agent.role(vec![Some(concept(Some(coding(ROLES, role, None)), role))]),
        None => agent.name(AUTHOR.to_owned()),
    }
    .build()
    .expect(COMPLETE)
}

fn source(told: &AuditedEntry<'_>) -> AuditEventSource {
    AuditEventSource::builder()
        .site(told.clinic.to_owned())
        .observer(named(AUTHOR))
        .r#type(vec![Some(coding(SOURCE_TYPES, "4", Some("Application Server")))])
        .build()
        .expect(COMPLETE)
}

fn entities(told: &AuditedEntry<'_>) -> Vec<Option<AuditEventEntity>> {
    let patients = told.patients.iter().map(|patient| {
        let what = Reference::builder().r#type("Patient".to_owned()).reference(format!("urn:uuid:{patient}"));
        entity(what.build().expect(COMPLETE), ("1", "Person"), ("1", "Patient"), told.seq)
    });
    let subject =
        told.subject.map(|subject| entity(named(subject), ("2", "System Object"), ("4", "Domain Resource"), told.seq));
    patients.chain(subject).map(Some).collect()
}

fn entity(what: Reference, kind: (&str, &str), role: (&str, &str), seq: i64) -> AuditEventEntity {
    let code = |system: &str, (code, display): (&str, &str)| -> Coding { coding(system, code, Some(display)) };
    let place = AuditEventEntityDetail::builder()
        .r#type("place in the chain".to_owned())
        .value(AuditEventEntityDetailValue::String(seq.to_string()))
        .build()
        .expect(COMPLETE);
    AuditEventEntity::builder()
        .what(what)
        .r#type(code(ENTITY_TYPES, kind))
        .role(code(OBJECT_ROLES, role))
        .detail(vec![Some(place)])
        .build()
        .expect(COMPLETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> AuditedEntry<'static> {
        AuditedEntry {
            id: Uuid::nil(),
            seq: 7,
            clinic: "demo",
            at: "2026-03-02T14:00:00.5Z".parse().unwrap(),
            by: "kim",
            role: Some("care_manager"),
            events: &[],
            request: Some(("GET", "/api/v1/patients/{id}", 200)),
            patients: vec![PatientId(Uuid::nil())],
            subject: None,
        }
    }

    #[test]
    fn a_read_is_a_rest_read_by_a_person_about_a_patient() {
        let event = audit_event(&told()).unwrap();
        assert_eq!(event["resourceType"], "AuditEvent");
        assert_eq!((&event["type"]["code"], &event["subtype"][0]["code"]), (&"rest".into(), &"read".into()));
        assert_eq!((&event["action"], &event["outcome"]), (&"R".into(), &"0".into()));
        assert_eq!(event["recorded"].as_str().map(|at| at.starts_with("2026-03-02T14:00:00.5")), Some(true));
        assert_eq!(event["agent"][0]["who"]["identifier"]["value"], "kim");
        assert_eq!(event["agent"][0]["role"][0]["coding"][0]["code"], "care_manager");
        assert_eq!(event["agent"][0]["requestor"], true);
        assert_eq!(event["source"]["observer"]["display"], AUTHOR);
        assert_eq!(event["entity"][0]["what"]["reference"], format!("urn:uuid:{}", Uuid::nil()));
    }

    #[test]
    fn a_change_and_a_refusal_are_told_as_such() {
        let events = ["contact.recorded".to_owned(), "standing.changed".to_owned()];
        let event = audit_event(&AuditedEntry { request: None, events: &events, role: None, ..told() }).unwrap();
        assert_eq!((&event["type"]["code"], &event["action"]), (&"110110".into(), &"C".into()));
        assert_eq!(event["subtype"][1]["code"], "standing.changed");
        let refused = AuditedEntry { request: Some(("GET", "/api/v1/patients/{id}", 404)), ..told() };
        assert_eq!(audit_event(&refused).unwrap()["outcome"], "4");
    }
}

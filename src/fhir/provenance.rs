//! From what something in the chart was derived, and that a program wrote it.

use chrono::{DateTime, Utc};
use fhir_sdk::r4b::codes::ProvenanceEntityRole;
use fhir_sdk::r4b::resources::{Provenance, ProvenanceAgent, ProvenanceEntity};
use serde_json::Value;

use super::write::parts::{COMPLETE, coding, concept, instant_text, is_reference, ourselves, reference};
use crate::domain::chart_plan::WriteIntent;

const OPERATIONS: &str = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";
const PARTICIPANTS: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// The Provenance of what was written as `target` (`Task/12`, or a `urn:uuid` in the same transaction). `None` only for
/// years that FHIR cannot write.
pub fn provenance(intent: &WriteIntent, target: &str, now: DateTime<Utc>) -> Option<Value> {
    let evidence = intent.desired.evidence.iter().filter(|name| is_reference(name));
    let source = |name: &String| {
        let entity = ProvenanceEntity::builder().role(ProvenanceEntityRole::Source).what(reference(name));
        Some(entity.build().expect(COMPLETE))
    };
    let agent = ProvenanceAgent::builder()
        .r#type(concept(Some(coding(PARTICIPANTS, "author", Some("Author"))), ""))
        .who(ourselves());
    let provenance = Provenance::builder()
        .target(vec![Some(reference(target))])
        .recorded(instant_text(now).parse().ok()?)
        .activity(concept(Some(coding(OPERATIONS, "CREATE", Some("create"))), ""))
        .agent(vec![Some(agent.build().expect(COMPLETE))])
        .entity(evidence.map(source).collect());
    Some(serde_json::to_value(provenance.build().expect(COMPLETE)).expect("a Provenance is JSON"))
}

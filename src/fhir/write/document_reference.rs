//! A work item as a note in the chart: a `DocumentReference` with a text that a doctor can read.

use chrono::{DateTime, Utc};
use fhir_sdk::Base64Binary;
use fhir_sdk::r4b::codes::{CompositionStatus, DocumentReferenceStatus, DocumentRelationshipType};
use fhir_sdk::r4b::resources::{DocumentReference, DocumentReferenceContent, DocumentReferenceRelatesTo};
use fhir_sdk::r4b::types::Attachment;
use serde_json::Value;

use super::Planned;
use super::note;
use super::parts::{
    COMPLETE, ChartState, Merge, WrittenPostures, coding, concept, fhir_instant, identifier, instant_text, mend,
    ourselves, person, reference, restricted, take,
};
use crate::domain::task::Posture;

const LOINC: &str = "http://loinc.org";
const CATEGORIES: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category";

/// DocumentReference.status for a posture.
pub fn status(posture: Posture) -> &'static str {
    match posture {
        Posture::Open => "current",
        Posture::Fulfilled | Posture::Withdrawn => "superseded",
        Posture::EnteredInError => "entered-in-error",
    }
}

/// The note as the plan wants it.
pub fn document_reference(planned: Planned<'_>) -> Value {
    let intent = planned.intent;
    let status = match intent.desired.posture {
        Posture::Open => DocumentReferenceStatus::Current,
        Posture::Fulfilled | Posture::Withdrawn => DocumentReferenceStatus::Superseded,
        Posture::EnteredInError => DocumentReferenceStatus::EnteredInError,
    };
    let text = note::paragraphs(intent).join("\n\n");
    written(planned, &intent.identifier, status, text, None, intent.authored_on)
}

/// A follow-up to a note that can never be changed.
pub fn follow_up(planned: Planned<'_>, first: &str, number: u32, now: DateTime<Utc>) -> Value {
    let text = note::follow_up(planned.intent, number);
    let identifier = planned.follow_up_identifier(number);
    written(planned, &identifier, DocumentReferenceStatus::Current, text, Some(first), now)
}

fn written(
    planned: Planned<'_>,
    name: &str,
    status: DocumentReferenceStatus,
    text: String,
    first: Option<&str>,
    at: DateTime<Utc>,
) -> Value {
    let heading = note::heading(planned.intent);
    let mut attachment = Attachment::builder()
        .content_type("text/plain".to_owned())
        .data(Base64Binary(text.into_bytes()))
        .title(heading.clone());
    if let Some(at) = fhir_instant(at) {
        attachment = attachment.creation(at);
    }
    let content = DocumentReferenceContent::builder().attachment(attachment.build().expect(COMPLETE)).build();
    let mut note = DocumentReference::builder()
        .identifier(vec![Some(identifier(planned.system, name))])
        .status(status)
        .doc_status(CompositionStatus::Final)
        .r#type(concept(Some(coding(LOINC, "34109-9", Some("Note"))), ""))
        .category(vec![Some(concept(Some(coding(CATEGORIES, "clinical-note", Some("Clinical Note"))), ""))])
        .subject(person(&planned.intent.patient))
        .author(vec![Some(ourselves())])
        .description(heading)
        .content(vec![Some(content.expect(COMPLETE))]);
    if let Ok(at) = instant_text(at).parse() {
        note = note.date(at);
    }
    if let Some(first) = first {
        let relation = DocumentReferenceRelatesTo::builder()
            .code(DocumentRelationshipType::Appends)
            .target(reference(&format!("DocumentReference/{first}")));
        note = note.relates_to(vec![Some(relation.build().expect(COMPLETE))]);
    }
    if note::is_about_safety(planned.intent.desired.code) {
        note = note.meta(restricted());
    }
    serde_json::to_value(note.build().expect(COMPLETE)).expect("a DocumentReference is JSON")
}

/// How the note stands in the chart: it is ours, or somebody took it out of use.
pub fn state(current: &Value, written: &WrittenPostures) -> ChartState {
    let is_it = |posture: Posture| current["status"] == status(posture);
    if is_it(Posture::Open) || written.any(is_it) { ChartState::Ours } else { ChartState::ClosedThere }
}

/// Brings our change into the chart's present version; never takes back into use what a person took out of it.
pub fn merge(current: &Value, planned: Planned<'_>, written: &WrittenPostures) -> Merge {
    let state = state(current, written);
    if state == ChartState::ClosedThere {
        return Merge { state, body: None, only_noted: false };
    }
    let wanted = document_reference(planned);
    let mut body = current.clone();
    take(&mut body, &wanted, "status");
    // Some servers keep the text elsewhere and show its address: what they made of the same words is left.
    if is_other_text(current, &wanted) {
        take(&mut body, &wanted, "content");
    }
    mend(&mut body, &wanted, "subject", &["type", "category", "author", "date", "description", "docStatus"]);
    Merge::of(state, current, body)
}

fn is_other_text(current: &Value, wanted: &Value) -> bool {
    let text = |note: &Value| note["content"][0]["attachment"]["data"].clone();
    let status_changes = current["status"] != wanted["status"];
    status_changes || (text(current).is_string() && text(current) != text(wanted))
}

#[cfg(test)]
mod tests;

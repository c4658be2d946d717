//! A work item as a Communication: a message that the chart shows to its recipients.

use chrono::{DateTime, Utc};
use fhir_sdk::r4b::codes::EventStatus;
use fhir_sdk::r4b::resources::{Communication, CommunicationPayload, CommunicationPayloadContent};
use fhir_sdk::r4b::types::CodeableConcept;
use serde_json::Value;

use super::Planned;
use super::note;
use super::parts::{
    COMPLETE, ChartState, FLAG_CODES, Merge, TASK_CODES, WrittenPostures, coding, concept, fhir_instant, identifier,
    is_reference, mend, named, ourselves, person, priority, reference, restricted, take,
};
use super::task::{closing, display, ended_because, is_our_closing};
use crate::domain::chart_plan::WriteIntent;
use crate::domain::task::{ChartResource, Code, Posture};

const CATEGORIES: &str = "http://terminology.hl7.org/CodeSystem/communication-category";

/// Communication.status for a posture, if the message can be changed later.
pub fn status(posture: Posture) -> &'static str {
    match posture {
        Posture::Open => "in-progress",
        Posture::Fulfilled => "completed",
        Posture::Withdrawn => "stopped",
        Posture::EnteredInError => "entered-in-error",
    }
}

/// The Communication as the plan wants it. Where it can never be changed, it is one that was sent.
pub fn communication(planned: Planned<'_>) -> Value {
    let (intent, plan) = (planned.intent, &planned.intent.desired);
    let status = match plan.posture {
        Posture::Open if !planned.updates => EventStatus::Completed,
        Posture::Open => EventStatus::InProgress,
        Posture::Fulfilled => EventStatus::Completed,
        Posture::Withdrawn => EventStatus::Stopped,
        Posture::EnteredInError => EventStatus::EnteredInError,
    };
    let message =
        MessageContent { identifier: &intent.identifier, status, texts: note::paragraphs(intent), first: None };
    written(planned, message, intent.authored_on)
}

/// A follow-up to one that can never be changed.
pub fn follow_up(planned: Planned<'_>, first: &str, number: u32, now: DateTime<Utc>) -> Value {
    let identifier = planned.follow_up_identifier(number);
    let texts = vec![note::follow_up(planned.intent, number)];
    let first = Some(format!("Communication/{first}"));
    written(planned, MessageContent { identifier: &identifier, status: EventStatus::Completed, texts, first }, now)
}

/// Content that differs between the first message and follow-ups.
struct MessageContent<'a> {
    identifier: &'a str,
    status: EventStatus,
    texts: Vec<String>,
    first: Option<String>,
}

fn written(planned: Planned<'_>, message: MessageContent<'_>, sent: DateTime<Utc>) -> Value {
    let (intent, plan) = (planned.intent, &planned.intent.desired);
    let safety = note::is_about_safety(plan.code);
    let category = if safety { ("alert", "Alert") } else { ("notification", "Notification") };
    let mut resource = Communication::builder()
        .identifier(vec![Some(identifier(planned.system, message.identifier))])
        .status(message.status)
        .category(vec![Some(concept(Some(coding(CATEGORIES, category.0, Some(category.1))), ""))])
        .priority(priority(plan.priority))
        .subject(person(&intent.patient))
        .topic(topic(intent))
        .recipient(vec![Some(named(display(plan.owner, intent.owner_display.as_deref())))])
        .sender(ourselves())
        .payload(message.texts.into_iter().map(|text| Some(payload(text))).collect());
    if let Some(first) = message.first {
        resource = resource.in_response_to(vec![Some(reference(&first))]);
    }
    if let Some(sent) = fhir_instant(sent) {
        resource = resource.sent(sent);
    }
    if safety {
        resource = resource.meta(restricted());
    } else {
        let evidence = plan.evidence.iter().filter(|name| is_reference(name));
        resource = resource
            .reason_code(vec![Some(concept(None, plan.rule.as_str()))])
            .about(evidence.map(|name| Some(reference(name))).collect());
    }
    if planned.updates && plan.posture != Posture::Open {
        let because = if safety { "Closed." } else { ended_because(intent) };
        resource = resource.status_reason(closing(plan.posture, because));
    }
    serde_json::to_value(resource.build().expect(COMPLETE)).expect("a Communication is JSON")
}

/// Topic; for safety only as much as a Flag says.
fn topic(intent: &WriteIntent) -> CodeableConcept {
    let plan = &intent.desired;
    let (system, code) = match plan.resource {
        _ if note::is_about_safety(plan.code) => (FLAG_CODES, Code::CocmSafety),
        ChartResource::Task => (TASK_CODES, plan.code),
        ChartResource::Flag => (FLAG_CODES, plan.code),
    };
    concept(Some(coding(system, code.as_str(), None)), &note::heading(intent))
}

fn payload(text: String) -> CommunicationPayload {
    CommunicationPayload::builder().content(CommunicationPayloadContent::String(text)).build().expect(COMPLETE)
}

/// How the Communication stands in the chart: whoever completed it there has read it.
pub fn state(current: &Value, written: &WrittenPostures) -> ChartState {
    match current["status"].as_str().unwrap_or_default() {
        "preparation" | "in-progress" | "on-hold" | "unknown" => ChartState::Ours,
        _ if is_our_closing(current, written, status) => ChartState::Ours,
        _ => ChartState::ClosedThere,
    }
}

/// Brings our change into the chart's present version; never reopens what a person closed.
pub fn merge(current: &Value, planned: Planned<'_>, written: &WrittenPostures) -> Merge {
    let state = state(current, written);
    if state == ChartState::ClosedThere {
        return Merge { state, body: None, only_noted: false };
    }
    let wanted = communication(planned);
    let mut body = current.clone();
    for field in ["payload", "about", "reasonCode", "priority"] {
        take(&mut body, &wanted, field);
    }
    // An item on hold is still open.
    let is_open = matches!(current["status"].as_str(), Some("preparation" | "in-progress" | "on-hold" | "unknown"));
    if !(is_open && planned.intent.desired.posture == Posture::Open) {
        take(&mut body, &wanted, "status");
        take(&mut body, &wanted, "statusReason");
    }
    mend(&mut body, &wanted, "subject", &["category", "topic", "sender", "recipient", "sent"]);
    Merge::of(state, current, body)
}

#[cfg(test)]
mod tests;

//! A planned Task, written as R4 and brought into what the chart holds.

use chrono::{DateTime, Utc};
use fhir_sdk::r4b::codes::{TaskIntent, TaskStatus};
use fhir_sdk::r4b::resources::{Task, TaskInput, TaskInputValue, TaskRestriction};
use fhir_sdk::r4b::types::{CodeableConcept, Period};
use serde_json::{Value, json};

use super::parts::{
    AUTHOR, CLOSING_CODES, COMPLETE, ChartState, Merge, TASK_CODES, WrittenPostures, coding, concept, fhir_date,
    fhir_instant, forget_narrative, identifier, instant_text, is_reference, keep_identifier, mend, named, ourselves,
    person, priority, put, reference, take, title,
};
use crate::domain::chart_plan::WriteIntent;
use crate::domain::task::{Owner, Posture};

/// Marks our own entries among a Task's inputs.
const EVIDENCE: &str = "evidence";

/// Task.status for a posture.
pub fn status(posture: Posture) -> &'static str {
    match posture {
        Posture::Open => "requested",
        Posture::Fulfilled => "completed",
        Posture::Withdrawn => "cancelled",
        Posture::EnteredInError => "entered-in-error",
    }
}

fn role(owner: Owner) -> &'static str {
    match owner {
        Owner::CareManager => "Behavioral care manager",
        Owner::PsychiatricConsultant => "Psychiatric consultant",
        Owner::PrimaryCareProvider => "Primary care provider",
    }
}

/// The Task as the plan wants it. `system` is the namespace of `intent.identifier`.
pub fn task(intent: &WriteIntent, system: &str, now: DateTime<Utc>) -> Value {
    let plan = &intent.desired;
    let mut evidence = plan.evidence.iter().filter(|name| is_reference(name));
    let latest = evidence.next();

    let mut task = Task::builder()
        .identifier(vec![Some(identifier(system, &intent.identifier))])
        .status(match plan.posture {
            Posture::Open => TaskStatus::Requested,
            Posture::Fulfilled => TaskStatus::Completed,
            Posture::Withdrawn => TaskStatus::Cancelled,
            Posture::EnteredInError => TaskStatus::EnteredInError,
        })
        // The SDK's enum knows only the code that R4 added itself; the others come from request-intent.
        .intent(TaskIntent::_Custom("order".to_owned()))
        .priority(priority(plan.priority))
        .code(concept(Some(coding(TASK_CODES, plan.code.as_str(), Some(title(plan.code)))), title(plan.code)))
        .r#for(person(&intent.patient))
        .requester(ourselves())
        .owner(named(display(plan.owner, intent.owner_display.as_deref())))
        .reason_code(concept(None, plan.rule.as_str()))
        .input(evidence.map(|name| Some(input(name))).collect());
    if let Some(latest) = latest {
        task = task.focus(reference(latest)).reason_reference(reference(latest));
    }
    if !plan.reason.trim().is_empty() {
        task = task.description(plan.reason.trim().to_owned());
    }
    if plan.posture != Posture::Open {
        task = task.status_reason(closing(plan.posture, ended_because(intent)));
    }
    // inv-1: lastModified is never before authoredOn, whatever the clocks say.
    if let Some(authored) = fhir_instant(intent.authored_on) {
        task = task.authored_on(authored);
    }
    if let Some(modified) = fhir_instant(now.max(intent.authored_on)) {
        task = task.last_modified(modified);
    }
    if let Some(ended) = intent.ended_on.filter(|_| plan.posture != Posture::Open).and_then(fhir_date) {
        task = task.execution_period(Period::builder().end(ended).build().expect(COMPLETE));
    }
    if let Some(restriction) = restriction(intent) {
        task = task.restriction(restriction);
    }
    let mut task = serde_json::to_value(task.build().expect(COMPLETE)).expect("a Task is JSON");
    // The SDK drops zeros at the end of a fraction; Medplum compares the two as texts, and would refuse the Task.
    for (field, at) in [("authoredOn", intent.authored_on), ("lastModified", now.max(intent.authored_on))] {
        if task.get(field).is_some() {
            task[field] = json!(instant_text(at));
        }
    }
    task
}

/// By when, and who is asked where that is more than one: R4 has one owner, and this element for the others.
fn restriction(intent: &WriteIntent) -> Option<TaskRestriction> {
    let plan = &intent.desired;
    let due = plan.due_on.and_then(fhir_date);
    let names =
        std::iter::once(&intent.owner_display).chain(intent.also_for_display.iter().chain(std::iter::repeat(&None)));
    let asked = std::iter::once(plan.owner).chain(plan.also_for.iter().copied()).zip(names);
    let recipients: Vec<_> = match plan.also_for.as_slice() {
        [] => Vec::new(),
        _ => asked.map(|(owner, name)| Some(named(display(owner, name.as_deref())))).collect(),
    };
    if due.is_none() && recipients.is_empty() {
        return None;
    }
    let mut restriction = TaskRestriction::builder().recipient(recipients);
    if let Some(due) = due {
        restriction = restriction.period(Period::builder().end(due).build().expect(COMPLETE));
    }
    Some(restriction.build().expect(COMPLETE))
}

/// A person's name, or the role where nobody is known.
pub(super) fn display(owner: Owner, name: Option<&str>) -> &str {
    name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(role(owner))
}

fn input(name: &str) -> TaskInput {
    TaskInput::builder()
        .r#type(concept(None, EVIDENCE))
        .value(TaskInputValue::Reference(reference(name)))
        .build()
        .expect(COMPLETE)
}

pub(super) fn ended_because(intent: &WriteIntent) -> &str {
    intent.ended_because.as_deref().map_or("No longer called for.", str::trim)
}

pub(super) fn closing(posture: Posture, reason: &str) -> CodeableConcept {
    concept(Some(coding(CLOSING_CODES, posture.as_str(), None)), reason)
}

/// State of the Task in the chart.
pub fn state(current: &Value, written: &WrittenPostures) -> ChartState {
    match current["status"].as_str().unwrap_or_default() {
        "draft" | "requested" | "received" => ChartState::Ours,
        // An unknown status is a person's: nothing of ours has it.
        "completed" | "cancelled" | "rejected" | "failed" | "entered-in-error"
            if is_our_closing(current, written, status) =>
        {
            ChartState::Ours
        }
        "completed" | "cancelled" | "rejected" | "failed" | "entered-in-error" => ChartState::ClosedThere,
        _ => ChartState::InProgress,
    }
}

/// Whether the status is one that we gave: it says so itself, or the ledger does.
pub(super) fn is_our_closing(current: &Value, written: &WrittenPostures, status: fn(Posture) -> &'static str) -> bool {
    let is_it = |posture: Posture| current["status"] == status(posture);
    let marked = current["statusReason"]["coding"].as_array().into_iter().flatten().any(|coding| {
        coding["system"] == CLOSING_CODES
            && coding["code"].as_str().and_then(|code| code.parse().ok()).is_some_and(is_it)
    });
    marked || written.any(is_it)
}

/// Brings our change into the chart's present version: keeps what the chart added, never reopens what a person
/// closed, and tells a person who works on it by a note instead of cancelling under their hands.
pub fn merge(
    current: &Value,
    intent: &WriteIntent,
    system: &str,
    written: &WrittenPostures,
    now: DateTime<Utc>,
) -> Merge {
    let state = state(current, written);
    let posture = intent.desired.posture;
    match (state, posture) {
        (ChartState::ClosedThere, _) => Merge { state, body: None, only_noted: false },
        (ChartState::InProgress, Posture::Withdrawn | Posture::EnteredInError) => {
            Merge { state, body: with_note(current, intent, now), only_noted: true }
        }
        (_, Posture::Open) => Merge::of(state, current, opened(current, intent, system, state, now)),
        (_, _) => Merge::of(state, current, ended(current, intent, system, now)),
    }
}

fn opened(current: &Value, intent: &WriteIntent, system: &str, state: ChartState, now: DateTime<Utc>) -> Value {
    let wanted = task(intent, system, now);
    let mut body = current.clone();
    // `for` stays the chart's: after a merge of patients it has moved the Task itself.
    for field in ["description", "focus", "reasonCode", "reasonReference"] {
        take(&mut body, &wanted, field);
    }
    mend(&mut body, &wanted, "for", &["authoredOn", "requester", "code", "intent"]);
    if state == ChartState::Ours {
        take(&mut body, &wanted, "priority");
        if !taken_by_a_person(current) {
            take(&mut body, &wanted, "owner");
            // Ours names more than one where it names any; what a person put there otherwise is theirs.
            if let Some(recipients) = wanted["restriction"].get("recipient") {
                put(&mut body, &["restriction", "recipient"], Some(recipients.clone()));
            }
        }
        if !matches!(current["status"].as_str(), Some("draft" | "requested" | "received")) {
            // We closed it, and the cause is back.
            body["status"] = wanted["status"].clone();
            put(&mut body, &["statusReason"], None);
            put(&mut body, &["executionPeriod", "end"], None);
        }
    }
    put(&mut body, &["restriction", "period", "end"], wanted["restriction"]["period"].get("end").cloned());
    body["lastModified"] = wanted["lastModified"].clone();
    let evidence = wanted["input"].as_array().cloned().unwrap_or_default();
    let others = current["input"].as_array().into_iter().flatten().filter(|one| one["type"]["text"] != EVIDENCE);
    let inputs: Vec<Value> = evidence.into_iter().chain(others.cloned()).collect();
    put(&mut body, &["input"], (!inputs.is_empty()).then_some(Value::Array(inputs)));
    body
}

fn ended(current: &Value, intent: &WriteIntent, system: &str, now: DateTime<Utc>) -> Value {
    let wanted = task(intent, system, now);
    let mut body = current.clone();
    // Why it was asked for stays readable: only how it ended is added.
    for field in ["status", "statusReason", "lastModified"] {
        take(&mut body, &wanted, field);
    }
    if let Some(end) = wanted["executionPeriod"]["end"].as_str() {
        // per-1: a period does not end before it starts.
        let starts_later = current["executionPeriod"]["start"].as_str().is_some_and(|start| *start > *end);
        if !starts_later {
            put(&mut body, &["executionPeriod", "end"], Some(json!(end)));
        }
    }
    keep_identifier(&mut body, system, &intent.identifier);
    forget_narrative(&mut body);
    body
}

/// We name an owner by display only; a reference or an identifier was put there by the chart.
fn taken_by_a_person(current: &Value) -> bool {
    current["owner"].get("reference").is_some() || current["owner"].get("identifier").is_some()
}

/// `None` where the note is there already.
fn with_note(current: &Value, intent: &WriteIntent, now: DateTime<Utc>) -> Option<Value> {
    let opening = match intent.desired.posture {
        Posture::EnteredInError => "The evidence for this task was retracted",
        _ => "No longer called for",
    };
    let text = format!("{opening}: {}", ended_because(intent));
    let notes = current["note"].as_array().cloned().unwrap_or_default();
    if notes.iter().any(|note| note["text"] == *text) {
        return None;
    }
    let mut body = current.clone();
    let note = json!({"authorString": AUTHOR, "time": instant_text(now), "text": text});
    body["note"] = notes.into_iter().chain([note]).collect();
    body["lastModified"] = json!(instant_text(now.max(intent.authored_on)));
    forget_narrative(&mut body);
    Some(body)
}

#[cfg(test)]
mod tests;

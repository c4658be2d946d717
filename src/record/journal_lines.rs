//! What the journal says about what the hallway did: ids and codes, never words, names or scores.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{Command, CommandEffect, RecordContext, Recorded};
use crate::fhir::arrival::ResourceType;
use crate::id::PatientId;
use crate::identity::acting;
use crate::problem::Problem;
use crate::store::journal::{self, JournalEntry, ResourceDigest, digest};
use crate::store::{WriteTx, event_log};

/// A fact was logged.
pub(super) fn of_settled(context: &RecordContext<'_>, fact: &event_log::EventRow) -> JournalEntry {
    let mut line = JournalEntry::new(fact.id, context.clinic, context.now, context.by, context.role).event(name(fact));
    line.patient = Some(fact.patient_id);
    line.episode = fact.episode_id;
    line.subject = fact.body.0["source"].as_str().map(str::to_owned);
    line.fact = Some(digest(fact));
    with_changes(line, &fact.changes.0)
}

/// A day has passed, or the rules have changed, and with them a plan.
pub(super) fn of_passed(context: &RecordContext<'_>, patient: PatientId, changes: &Value) -> JournalEntry {
    let mut line = JournalEntry::new(context.clock.id(), context.clinic, context.now, context.by, context.role);
    line.patient = Some(patient);
    with_changes(line, changes)
}

/// What is left to be said after a fact: a resource that changed nothing else, or one that waits in quarantine.
pub(super) fn of_fact(
    context: &RecordContext<'_>,
    lines: &mut Vec<JournalEntry>,
    written: usize,
    fact: &Command,
    done: &Recorded,
) {
    let (kind, body) = match fact {
        Command::StoreResource { arrival, .. } => (arrival.kind, Some(arrival.body(&done.id))),
        Command::DeleteResource { kind, .. } => (*kind, None),
        _ => return,
    };
    if lines.len() == written {
        let event = match done.effect {
            CommandEffect::Created => "resource.created",
            CommandEffect::Updated => "resource.updated",
            CommandEffect::Deleted => "resource.deleted",
            CommandEffect::Unchanged => return,
        };
        let mut line = JournalEntry::new(context.clock.id(), context.clinic, context.now, context.by, context.role);
        line.patient = done.patient;
        line.subject = Some(subject(kind, &done.id));
        lines.push(line.event(event));
    }
    if let Some(line) = lines.last_mut().filter(|_| done.effect != CommandEffect::Unchanged) {
        line.resource = Some(ResourceDigest::of(subject(kind, &done.id), done.version, body.as_deref()));
    }
    if let Some(line) = lines.last_mut().filter(|_| done.quarantined.is_some()) {
        line.events.push("quarantine.added".to_owned());
    }
}

/// Something of the clinic changed that is nobody's story: its rules, its sessions, its closed months.
pub(super) async fn of_clinic(
    tx: &mut WriteTx,
    clinic: &str,
    by: &str,
    now: DateTime<Utc>,
    event: &str,
    subject: String,
) -> Result<(), Problem> {
    let mut line = JournalEntry::new(crate::clock::new_id(), clinic, now, by, acting()).event(event);
    line.subject = Some(subject);
    journal::add(tx, &[line]).await
}

fn subject(kind: ResourceType, id: &str) -> String {
    format!("{}/{id}", kind.name())
}

/// The stable name of what a kind of fact is to a listener.
fn name(fact: &event_log::EventRow) -> String {
    match fact.kind.as_str() {
        // `task.completed_in_chart`, `flag.inactive_in_chart`, `task.deleted_in_chart`
        "set_in_chart" => {
            let text = |field: &str| fact.body.0[field].as_str().unwrap_or_default().to_lowercase();
            format!("{}.{}_in_chart", text("resource"), text("status").replace('-', "_"))
        }
        "enrolment" => "episode.enrolled".to_owned(),
        "referral" => "episode.referred".to_owned(),
        "amendment" => "episode.amended".to_owned(),
        "discharge" => "episode.discharged".to_owned(),
        "retraction" => "measurement.retracted".to_owned(),
        kind => format!("{kind}.recorded"),
    }
}

fn with_changes(mut line: JournalEntry, changes: &Value) -> JournalEntry {
    let names = [
        ("episodes", "standing.changed"),
        ("safety_opened", "safety.opened"),
        ("safety_closed", "safety.closed"),
        ("planned", "plan.changed"),
        ("ended", "plan.changed"),
    ];
    for (key, event) in names {
        if changes.get(key).is_some() && !line.events.iter().any(|said| said == event) {
            line.events.push(event.to_owned());
        }
    }
    line.changes = Some(codes(changes)).filter(|codes| !codes.is_empty()).map(Value::Object);
    line
}

/// The changes without the scores that a baseline carries.
fn codes(changes: &Value) -> Map<String, Value> {
    let mut codes = changes.as_object().cloned().unwrap_or_default();
    for episode in codes.get_mut("episodes").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fields) = episode.get_mut("changes").and_then(Value::as_object_mut) else { continue };
        for (_, value) in fields.iter_mut().filter(|(field, _)| field.ends_with(".baseline")) {
            *value = json!(true);
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_told_without_its_score() {
        let changes = json!({"episodes": [{"episode": "e", "changes": {
            "status": {"from": "referred", "to": "active"},
            "phq9.baseline": {"from": null, "to": [18, "2026-01-05"]},
            "findings_opened": ["phq9:nonresponse"],
        }}]});
        let expected = json!({"episodes": [{"episode": "e", "changes": {
            "status": {"from": "referred", "to": "active"},
            "phq9.baseline": true,
            "findings_opened": ["phq9:nonresponse"],
        }}]});
        assert_eq!(Value::Object(codes(&changes)), expected);
    }
}

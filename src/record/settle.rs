//! The end of the hallway: the plan after the fact, written beside it, and the difference put into the outbox.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;

use super::derived_id::id_of;
use super::dossier::Dossier;
use super::new_event::NewEvent;
use super::recommendation_rows;
use super::working_set::WorkingSet;
use super::{RecordContext, candidate, documents, journal_lines};
use crate::domain::chart_plan::{ChartPlan, WorkItem, WriteIntent, plan, resolve};
use crate::domain::safety::ConcernState;
use crate::domain::standing::Standing;
use crate::domain::task::{Owner, Posture};
use crate::hex;
use crate::problem::Problem;
use crate::store::event_log::EventRow;
use crate::store::outbox::{self, PlannedDelivery};

/// Plans anew after the story of `dossier` has changed, and writes everything that follows from it.
/// `event` is what the log says about it; no event is appended for a day that merely passed.
pub fn settle(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    event: Option<NewEvent>,
) -> Result<(), Problem> {
    dossier.story.patient = dossier.patient.for_story();
    let after = plan(&dossier.story, context.rules, context.today);
    let mut changes = changes(&dossier.plan, &after);
    let row_differs = candidate::settle(context, &mut dossier, &after, &mut changes);
    if let Some(event) = event {
        documents::changes(&dossier.story, &event, &mut changes);
        append(set, context, &dossier, vec![(event, changes)]);
    } else if changes.as_object().is_some_and(|changes| !changes.is_empty()) {
        set.journal_entries.push(journal_lines::of_passed(context, dossier.patient.id, &changes));
    }
    for now in after.standings.iter().filter(|now| phase_changed(&dossier.plan, now)) {
        set.settle_episode(now)?;
    }
    recommendation_rows::write(set, context, &mut dossier);
    write_ledger(set, context, &mut dossier, &after)?;
    if row_differs {
        set.update_patient(&dossier.patient);
    }
    dossier.plan = Arc::new(after);
    set.plan_anew(dossier.patient.id);
    set.put(dossier);
    Ok(())
}

/// Whether an episode stands elsewhere than it did before.
fn phase_changed(before: &ChartPlan, now: &Standing) -> bool {
    let end = |s: &Standing| (s.status, s.discharged_on, s.discharge_reason);
    before.standings.iter().find(|s| s.episode == now.episode).is_none_or(|before| end(before) != end(now))
}

/// Appends events before the plan is made: of several that change the story together, all but the last.
pub fn append_events(set: &mut WorkingSet, context: &RecordContext<'_>, dossier: &Dossier, events: Vec<NewEvent>) {
    append(set, context, dossier, events.into_iter().map(|event| (event, json!({}))).collect());
}

fn append(set: &mut WorkingSet, context: &RecordContext<'_>, dossier: &Dossier, events: Vec<(NewEvent, Value)>) {
    // Both databases keep microseconds: the digest has to match what is read back.
    let micros = |at: DateTime<Utc>| DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at);
    let row = |(event, changes): (NewEvent, Value)| EventRow {
        patient_id: dossier.patient.id,
        id: event.id,
        episode_id: event.episode,
        kind: event.kind,
        is_care: event.is_care,
        happened_on: event.on,
        happened_at: micros(event.at),
        outcome: event.outcome,
        minutes: event.minutes.and_then(|m| i16::try_from(m).ok()),
        body: Json(event.body),
        changes: Json(changes),
        recorded_at: micros(context.now),
        recorded_by: context.by.to_owned(),
    };
    let rows: Vec<EventRow> = events.into_iter().map(row).collect();
    set.journal_entries.extend(rows.iter().map(|row| journal_lines::of_settled(context, row)));
    set.append(rows);
}

/// Puts the difference between the plan and the ledger into the outbox.
fn write_ledger(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    after: &ChartPlan,
) -> Result<(), Problem> {
    let patient = dossier.patient.id;
    // Rows that stand for something planned.
    let mut kept: Vec<String> = Vec::new();
    for desired in &after.desired {
        let (key, known) = match ledger_row(dossier, desired)? {
            LedgerRow::Known(i) => (dossier.ledger[i].key.clone(), Some(i)),
            LedgerRow::New(key) => (key, None),
        };
        kept.push(key.clone());
        let mut intent = intent(context, dossier, desired, &key, known.map(|i| &*dossier.ledger[i]));
        intent.desired.key.clone_from(&key);
        let digest = digest(&intent);
        if known.is_some_and(|i| dossier.ledger[i].digest == digest && dossier.ledger[i].posture == Posture::Open) {
            continue;
        }
        let before = known.map(|i| dossier.ledger.remove(i));
        let id = before
            .as_ref()
            .map_or_else(|| id_of(context.clinic, &["delivery", &patient.to_string(), &key]), |before| before.id);
        dossier.ledger.push(Arc::new(outbox::LedgerEntry {
            patient_id: patient,
            key,
            id,
            code: desired.code,
            state: before.as_ref().map_or(outbox::DeliveryState::Pending, |before| before.state),
            posture: Posture::Open,
            identifier: intent.identifier.clone(),
            digest: digest.clone(),
            intent: serde_json::to_string(&intent).ok(),
            created_at: before.map_or(context.now, |before| before.created_at),
        }));
        set.plan(PlannedDelivery { patient, id, intent, digest });
    }
    for entry in &mut dossier.ledger {
        if entry.posture != Posture::Open || kept.contains(&entry.key) {
            continue;
        }
        let mut intent = entry.intent()?;
        let slot = entry.slot();
        let (posture, reason) = if after.desired.iter().any(|desired| desired.slot() == slot) {
            (Posture::Withdrawn, "Merged into another item for the same purpose.".to_owned())
        } else {
            resolve(&intent.desired, &dossier.story, context.today)
        };
        intent.desired.posture = posture;
        intent.desired.key.clone_from(&entry.key);
        intent.ended_on = Some(context.today);
        intent.ended_because = Some(reason);
        let digest = digest(&intent);
        let entry = Arc::make_mut(entry);
        (entry.posture, entry.digest, entry.intent) = (posture, digest.clone(), None);
        set.plan(PlannedDelivery { patient, id: entry.id, intent, digest });
    }
    Ok(())
}

/// The row of the ledger that stands for something planned.
enum LedgerRow {
    /// One that is there.
    Known(usize),
    /// A new one under this key.
    New(String),
}

/// R14: reuses the open row of this slot. If a person closed it in the chart, only new reasons open another.
fn ledger_row(dossier: &Dossier, desired: &WorkItem) -> Result<LedgerRow, Problem> {
    let ledger = || dossier.ledger.iter().enumerate();
    let row_or_new = |key: &str| {
        let row = ledger().find(|(_, entry)| entry.key == key);
        row.map_or_else(|| LedgerRow::New(key.to_owned()), |(i, _)| LedgerRow::Known(i))
    };
    let slot = desired.slot();
    let mut open: Vec<_> = ledger().filter(|(_, e)| e.posture == Posture::Open && e.slot() == slot).collect();
    open.sort_by_key(|(_, e)| (e.state == outbox::DeliveryState::ClosedInChart, e.key != desired.key));
    let Some((i, entry)) = open.first() else { return Ok(row_or_new(&desired.key)) };
    if entry.state != outbox::DeliveryState::ClosedInChart {
        return Ok(LedgerRow::Known(*i));
    }
    let known: Vec<String> = entry.intent()?.desired.reason_keys();
    Ok(match desired.reasons.iter().find(|reason| !known.contains(&reason.key)) {
        Some(new) => row_or_new(&new.key),
        None => LedgerRow::Known(*i),
    })
}

fn intent(
    context: &RecordContext<'_>,
    dossier: &Dossier,
    desired: &WorkItem,
    key: &str,
    known: Option<&outbox::LedgerEntry>,
) -> WriteIntent {
    let episode = desired.episode.and_then(|id| dossier.story.episodes.iter().find(|e| e.id == id));
    // For safety, the care manager of any open episode is the one to act.
    let episode = episode.or_else(|| {
        let open = dossier.plan.standings.iter().find(|s| s.discharged_on.is_none())?;
        dossier.story.episodes.iter().find(|e| e.id == open.episode)
    });
    let display = |owner: Owner| {
        episode.and_then(|e| match owner {
            Owner::CareManager => e.care_manager.clone(),
            Owner::PsychiatricConsultant => e.psychiatric_consultant.clone(),
            Owner::PrimaryCareProvider => e.primary_care_provider.clone(),
        })
    };
    WriteIntent {
        // What stands in the chart keeps its name, also where a merge has brought it here.
        identifier: known.map_or_else(
            || format!("{}/{}/{key}", context.clinic, dossier.patient.id),
            |entry| entry.identifier.clone(),
        ),
        patient: dossier.patient.reference.clone(),
        desired: desired.clone(),
        owner_display: display(desired.owner),
        also_for_display: desired.also_for.iter().map(|owner| display(*owner)).collect(),
        authored_on: known.map_or(context.now, |entry| entry.created_at),
        ended_on: None,
        ended_because: None,
        rule_set: context.rules.label(),
    }
}

/// Digest of everything that requires a rewrite. It excludes the version of the rule set: the same Task under new rules is
/// not written again.
fn digest(intent: &WriteIntent) -> String {
    let said = (&intent.identifier, &intent.patient, &intent.desired, &intent.owner_display, &intent.ended_because);
    let text = if intent.also_for_display.is_empty() {
        serde_json::to_string(&said)
    } else {
        serde_json::to_string(&(said.0, said.1, said.2, said.3, said.4, &intent.also_for_display))
    };
    let hash = Sha256::digest(text.unwrap_or_default());
    hex::encode(&hash[..16])
}

/// What a fact changed, for the timeline.
fn changes(before: &ChartPlan, after: &ChartPlan) -> Value {
    let mut changes = serde_json::Map::new();
    let mut episodes = Vec::new();
    for now in &after.standings {
        let was = before.standings.iter().find(|s| s.episode == now.episode);
        let change = standing_changes(was, now);
        if !change.is_empty() {
            episodes.push(json!({"episode": now.episode, "changes": change}));
        }
    }
    if !episodes.is_empty() {
        changes.insert("episodes".into(), json!(episodes));
    }
    let open = |plan: &ChartPlan| -> Vec<String> {
        plan.concerns.iter().filter(|c| c.state == ConcernState::Open).map(|c| c.key.clone()).collect()
    };
    add_difference(&mut changes, ["safety_opened", "safety_closed"], &open(before), &open(after));
    let keys = |plan: &ChartPlan| -> Vec<String> { plan.desired.iter().map(|d| d.key.clone()).collect() };
    add_difference(&mut changes, ["planned", "ended"], &keys(before), &keys(after));
    Value::Object(changes)
}

/// What is only in the later list, and what is only in the earlier one, under these names.
fn add_difference(
    changes: &mut serde_json::Map<String, Value>,
    [added, removed]: [&str; 2],
    before: &[String],
    after: &[String],
) {
    for (name, list, other) in [(added, after, before), (removed, before, after)] {
        let only: Vec<&String> = list.iter().filter(|one| !other.contains(one)).collect();
        if !only.is_empty() {
            changes.insert(name.to_owned(), json!(only));
        }
    }
}

fn standing_changes(was: Option<&Standing>, now: &Standing) -> serde_json::Map<String, Value> {
    let mut changes = serde_json::Map::new();
    let mut differs = |name: &str, from: Value, to: Value| {
        if from != to {
            changes.insert(name.to_owned(), json!({"from": from, "to": to}));
        }
    };
    differs("status", json!(was.map(|s| s.status)), json!(now.status));
    differs("plan_started_on", json!(was.and_then(|s| s.plan_started_on)), json!(now.plan_started_on));
    let appointment = |s: &Standing| s.next_contact.as_ref().map(|next| next.on);
    differs("next_contact", json!(was.and_then(appointment)), json!(appointment(now)));
    differs("at_target", json!(was.is_some_and(|s| s.at_target)), json!(now.at_target));
    for measure in &now.measures {
        let before = was.and_then(|s| s.measures.iter().find(|m| m.instrument == measure.instrument));
        let name = measure.instrument.id();
        differs(&format!("{name}.status"), json!(before.map(|m| m.status)), json!(measure.status));
        let baseline = |m: &crate::domain::target::MeasureSummary| m.baseline.as_ref().map(|b| (b.score, b.taken_on));
        differs(&format!("{name}.baseline"), json!(before.and_then(baseline)), json!(baseline(measure)));
    }
    let findings = |s: &Standing| -> Vec<String> {
        s.findings
            .iter()
            .map(|f| f.instrument.map_or_else(|| f.rule.to_string(), |i| format!("{}:{}", i.id(), f.rule)))
            .collect()
    };
    let before = was.map(findings).unwrap_or_default();
    add_difference(&mut changes, ["findings_opened", "findings_closed"], &before, &findings(now));
    changes
}

#[cfg(test)]
mod tests {
    use crate::domain::finding::{Rule, TaskReason};
    use crate::domain::task::{ChartResource, Code, Priority};

    use super::*;

    /// Digests are stored: another text for the same intent would write everything into the chart again.
    #[test]
    fn what_a_digest_is_of_is_sorted_by_name() {
        let (since, rule) = (chrono::NaiveDate::default(), Rule::SafetyItem9);
        let reason = TaskReason {
            episode: None,
            instrument: None,
            key: "safety:1".to_owned(),
            reason: "because".to_owned(),
            rule,
            since,
        };
        let item = WorkItem {
            also_for: vec![Owner::PrimaryCareProvider],
            code: Code::SafetyAssessment,
            due_on: None,
            episode: None,
            evidence: vec!["QuestionnaireResponse/1".to_owned()],
            instrument: None,
            key: "safety:1".to_owned(),
            owner: Owner::CareManager,
            posture: Posture::Open,
            priority: Priority::Stat,
            reason: "because".to_owned(),
            reasons: vec![reason],
            resource: ChartResource::Task,
            rule,
            since,
        };
        assert_eq!(serde_json::to_string(&item).unwrap(), json!(item).to_string());
    }
}

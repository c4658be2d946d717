//! The end of the hallway: the plan after the fact, written beside it, and the difference put into the outbox.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use uuid::Uuid;

use super::dossier::Dossier;
use super::identify::id_of;
use super::recommendation_rows;
use super::unit_of_work::UnitOfWork;
use super::{RecordContext, candidate, documents, journal_lines};
use crate::domain::chart_plan::{ChartPlan, WorkItem, WriteIntent, plan, resolve};
use crate::domain::safety::ConcernState;
use crate::domain::standing::Standing;
use crate::domain::task::{Owner, Posture};
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::event_log::EventRow;
use crate::store::outbox::{self, PlannedDelivery};

/// What is written into the log about a fact.
pub struct NewEvent {
    /// Its id: the entry's, where it is one.
    pub id: Uuid,
    /// The episode it belongs to.
    pub episode: Option<EpisodeId>,
    pub kind: String,
    /// Entered by the care team: part of the story.
    pub is_care: bool,
    pub on: NaiveDate,
    pub at: DateTime<Utc>,
    /// For contacts and decisions.
    pub outcome: Option<String>,
    pub minutes: Option<u16>,
    pub body: Value,
}

/// Plans anew after the story of `dossier` has changed, and writes everything that follows from it.
/// `line` is what the log says about it; nothing is logged for a day that merely passed.
pub async fn settle(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    mut dossier: Dossier,
    line: Option<NewEvent>,
) -> Result<(), Problem> {
    dossier.story.patient = dossier.patient.for_story();
    let after = plan(&dossier.story, context.rules, context.today);
    let mut changes = changes(&dossier.plan, &after);
    let row_differs = candidate::settle(context, &mut dossier, &after, &mut changes);
    if let Some(line) = line {
        documents::changes(&dossier.story, &line, &mut changes);
        append(work, context, &dossier, vec![(line, changes)]);
    } else if changes.as_object().is_some_and(|changes| !changes.is_empty()) {
        work.lines.push(journal_lines::of_passed(context, dossier.patient.id, &changes));
    }
    for now in after.standings.iter().filter(|now| is_new_phase(&dossier.plan, now)) {
        work.settle_episode(now).await?;
    }
    recommendation_rows::write(work, context, &mut dossier);
    write_ledger(work, context, &mut dossier, &after)?;
    if row_differs {
        work.update_patient(&dossier.patient);
    }
    dossier.plan = after;
    work.plan_anew(dossier.patient.id);
    work.put(dossier);
    Ok(())
}

/// Whether an episode stands elsewhere than it did before.
fn is_new_phase(before: &ChartPlan, now: &Standing) -> bool {
    let end = |s: &Standing| (s.status, s.discharged_on, s.discharge_reason);
    before.standings.iter().find(|s| s.episode == now.episode).is_none_or(|before| end(before) != end(now))
}

/// Writes lines into the log before the plan is made: of several that change the story together, all but the last.
pub fn note(work: &mut UnitOfWork, context: &RecordContext<'_>, dossier: &Dossier, lines: Vec<NewEvent>) {
    append(work, context, dossier, lines.into_iter().map(|line| (line, json!({}))).collect());
}

fn append(work: &mut UnitOfWork, context: &RecordContext<'_>, dossier: &Dossier, lines: Vec<(NewEvent, Value)>) {
    // What both databases keep: the digest is of what will be read again.
    let micros = |at: DateTime<Utc>| DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at);
    let fact = |(line, changes): (NewEvent, Value)| EventRow {
        patient_id: dossier.patient.id,
        id: line.id,
        episode_id: line.episode,
        kind: line.kind,
        is_care: line.is_care,
        happened_on: line.on,
        happened_at: micros(line.at),
        outcome: line.outcome,
        minutes: line.minutes.and_then(|m| i16::try_from(m).ok()),
        body: Json(line.body),
        changes: Json(changes),
        recorded_at: micros(context.now),
        recorded_by: context.by.to_owned(),
    };
    let facts: Vec<EventRow> = lines.into_iter().map(fact).collect();
    work.lines.extend(facts.iter().map(|fact| journal_lines::of_settled(context, fact)));
    work.append(facts);
}

/// Puts the difference between the plan and the ledger into the outbox.
fn write_ledger(
    work: &mut UnitOfWork,
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    after: &ChartPlan,
) -> Result<(), Problem> {
    let patient = dossier.patient.id;
    for desired in &after.desired {
        let known = dossier.ledger.iter().position(|e| e.key == desired.key);
        let intent = intent(context, dossier, desired, known.map(|i| &dossier.ledger[i]));
        let digest = digest(&intent);
        if known.is_some_and(|i| dossier.ledger[i].digest == digest && dossier.ledger[i].posture == Posture::Open) {
            continue;
        }
        let before = known.map(|i| dossier.ledger.remove(i));
        let id = before.as_ref().map_or_else(
            || id_of(context.clinic, &["delivery", &patient.to_string(), &desired.key]),
            |before| before.id,
        );
        dossier.ledger.push(outbox::LedgerEntry {
            patient_id: patient,
            key: desired.key.clone(),
            id,
            posture: Posture::Open,
            identifier: intent.identifier.clone(),
            digest: digest.clone(),
            intent: serde_json::to_string(&intent).ok(),
            created_at: before.map_or(context.now, |before| before.created_at),
        });
        work.plan(PlannedDelivery { patient, id, intent, digest });
    }
    for entry in &mut dossier.ledger {
        if entry.posture != Posture::Open || after.desired.iter().any(|d| d.key == entry.key) {
            continue;
        }
        let unreadable = || Problem::internal("a stored intent cannot be read");
        let stored = entry.intent.take().ok_or_else(unreadable)?;
        let mut intent: WriteIntent = serde_json::from_str(&stored).map_err(|_| unreadable())?;
        let (posture, reason) = resolve(&intent.desired, &dossier.story, context.today);
        intent.desired.posture = posture;
        intent.desired.key.clone_from(&entry.key);
        intent.ended_on = Some(context.today);
        intent.ended_because = Some(reason);
        let digest = digest(&intent);
        (entry.posture, entry.digest) = (posture, digest.clone());
        work.plan(PlannedDelivery { patient, id: entry.id, intent, digest });
    }
    Ok(())
}

fn intent(
    context: &RecordContext<'_>,
    dossier: &Dossier,
    desired: &WorkItem,
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
            || format!("{}/{}/{}", context.clinic, dossier.patient.id, desired.key),
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

/// What makes an intent another one. Not the rule set's version: the same Task under new rules is not written again.
fn digest(intent: &WriteIntent) -> String {
    let mut said = vec![
        json!(intent.identifier),
        json!(intent.patient),
        json!(intent.desired),
        json!(intent.owner_display),
        json!(intent.ended_because),
    ];
    if !intent.also_for_display.is_empty() {
        said.push(json!(intent.also_for_display));
    }
    let said = Value::Array(said);
    let hash = Sha256::digest(said.to_string());
    hash.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
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
    let (was, now) = (open(before), open(after));
    let opened: Vec<&String> = now.iter().filter(|k| !was.contains(k)).collect();
    let closed: Vec<&String> = was.iter().filter(|k| !now.contains(k)).collect();
    if !opened.is_empty() {
        changes.insert("safety_opened".into(), json!(opened));
    }
    if !closed.is_empty() {
        changes.insert("safety_closed".into(), json!(closed));
    }
    let keys = |plan: &ChartPlan| -> Vec<String> { plan.desired.iter().map(|d| d.key.clone()).collect() };
    let (was, now) = (keys(before), keys(after));
    let opened: Vec<&String> = now.iter().filter(|k| !was.contains(k)).collect();
    let ended: Vec<&String> = was.iter().filter(|k| !now.contains(k)).collect();
    if !opened.is_empty() {
        changes.insert("planned".into(), json!(opened));
    }
    if !ended.is_empty() {
        changes.insert("ended".into(), json!(ended));
    }
    Value::Object(changes)
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
    let after = findings(now);
    let opened: Vec<&String> = after.iter().filter(|f| !before.contains(f)).collect();
    let closed: Vec<&String> = before.iter().filter(|f| !after.contains(f)).collect();
    if !opened.is_empty() {
        changes.insert("findings_opened".into(), json!(opened));
    }
    if !closed.is_empty() {
        changes.insert("findings_closed".into(), json!(closed));
    }
    changes
}

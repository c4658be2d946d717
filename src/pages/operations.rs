//! How the machine does: the connection to the chart, what waits or failed, what arrived and could not be understood.

pub mod connections;
pub mod quarantine;
pub mod rules;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::date_texts::{self, instant};
use super::response::{ProblemPage, html};
use super::roles::{OPERATORS, READERS_OF_RULES};
use super::session::{FormPost, Visitor};
use super::shell::{Confirmation, NavSection, Shell};
use super::words::{self, Tone};
use crate::domain::read_back::Drift;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::outbox::{self, Delivery, DeliveryState, StateCount};
use crate::store::{patient, resource};
use connections::ConnectionStatus;

/// Rows shown of each list; the counts are of all.
const SHOWN: i64 = 100;
/// Confirmation to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OperationsPageQuery {
    done: String,
}

/// A Task or Flag that is not in the chart yet.
struct UndeliveredItem {
    id: Uuid,
    patient: PatientId,
    name: String,
    what: String,
    priority: &'static str,
    reason: String,
    error: Option<String>,
    attempts: Vec<String>,
    next: String,
    /// May have been executed all the same.
    unknown: bool,
}

/// A resource in quarantine.
struct QuarantineLine {
    id: Uuid,
    resource: String,
    code: String,
    detail: String,
    received: String,
}

struct ConnectionLine {
    name: String,
    base: String,
    waiting: i64,
    oldest: Option<String>,
    failed: i64,
    delivered: i64,
    /// Settled, on a rung where nothing is written.
    below: i64,
    lag_tone: Tone,
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage {
    shell: Shell,
    connection: Option<ConnectionLine>,
    /// Where we fetch from.
    fetched: Vec<ConnectionStatus>,
    /// Last arrivals: (type, time).
    arrivals: Vec<(&'static str, String)>,
    failed: Vec<UndeliveredItem>,
    failed_count: i64,
    waiting: Vec<UndeliveredItem>,
    waiting_count: i64,
    /// Items whose chart state differs from what was written.
    drifted: Vec<DriftedItem>,
    quarantine: Vec<QuarantineLine>,
    rules: bool,
}

/// A Task or Flag that stands otherwise in the chart.
struct DriftedItem {
    patient: PatientId,
    name: String,
    what: String,
    stands: String,
    drift: &'static str,
    seen: String,
}

fn count(tally: &[StateCount], state: DeliveryState) -> i64 {
    tally.iter().filter(|t| t.state == state.as_str()).map(|t| t.count).sum()
}

pub async fn show(visitor: Visitor, Query(asked): Query<OperationsPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(OPERATORS)?;
    let (clinic, zone, now, today) = (visitor.clinic(), visitor.zone(), visitor.now(), visitor.today());
    let mut tx = visitor.pages.app.db.read().await?;
    let tally = outbox::tally(&mut tx, clinic).await?;
    let mut arrivals = Vec::new();
    for kind in ["Patient", "QuestionnaireResponse", "Observation"] {
        let last = resource::last_arrival(&mut tx, clinic, kind).await?;
        let said = last.map_or_else(
            || "never".to_owned(),
            |at| format!("{} ago ({})", date_texts::elapsed(now - at), instant(at, zone, today)),
        );
        arrivals.push((kind, said));
    }
    let mut lists = Vec::new();
    for state in [DeliveryState::Parked, DeliveryState::Pending] {
        let mut list = Vec::new();
        for delivery in outbox::page(
            &mut tx,
            clinic,
            outbox::DeliveryFilter { state: Some(state), ..outbox::DeliveryFilter::default() },
            None,
            SHOWN,
        )
        .await?
        {
            list.push(undelivered(&mut tx, &visitor, delivery).await?);
        }
        lists.push(list);
    }
    let mut drifted = Vec::new();
    // A person's changes are theirs; these need somebody to look.
    for drift in [Drift::OursLost, Drift::Deleted, Drift::NamesAnotherPatient] {
        let which = outbox::DeliveryFilter { drift: Some(drift), ..outbox::DeliveryFilter::default() };
        for d in outbox::page(&mut tx, clinic, which, None, SHOWN).await? {
            let row = patient::find(&mut tx, clinic, d.patient_id).await?;
            let desired = &d.intent.desired;
            drifted.push(DriftedItem {
                patient: d.patient_id,
                name: row.map_or_else(|| "unknown".to_owned(), |row| row.label()),
                what: format!("{}: {} ({})", desired.resource, words::code(desired.code), words::posture(d.posture)),
                stands: d.chart_status.unwrap_or_default(),
                drift: words::drift(drift).0,
                seen: d.chart_seen_at.map(|at| instant(at, zone, today)).unwrap_or_default(),
            });
        }
    }
    let kept = crate::store::quarantine::page(&mut tx, clinic, None, SHOWN).await?;
    drop(tx);
    let config = &visitor.pages.app.config;
    let ehr = config.clinic(&visitor.caller.clinic).and_then(|c| c.ehr).and_then(|name| config.ehr(&name).cloned());
    let oldest = tally.iter().filter(|t| t.state == DeliveryState::Pending.as_str()).filter_map(|t| t.oldest).min();
    let connection = ehr.map(|ehr| ConnectionLine {
        name: ehr.name,
        base: ehr.base_url,
        waiting: count(&tally, DeliveryState::Pending),
        oldest: oldest.map(|at| date_texts::elapsed(now - at)),
        failed: count(&tally, DeliveryState::Parked),
        delivered: count(&tally, DeliveryState::Settled) + count(&tally, DeliveryState::ClosedInChart),
        below: tally.iter().filter(|t| t.state == "below").map(|t| t.count).sum(),
        lag_tone: match oldest.map(|at| (now - at).num_minutes()) {
            None | Some(..=5) => Tone::Good,
            Some(6..=60) => Tone::Watch,
            Some(_) => Tone::Bad,
        },
    });
    let mut shell = Shell::around(&visitor, "Operations", NavSection::Operations).await?;
    let said = match asked.done.as_str() {
        "retry" => Some("It is being sent again."),
        "replay" => Some("It was read again and could be used: it is no longer in quarantine."),
        "still" => Some("It was read again, and stays in quarantine."),
        "sync" => Some("The EHR is looked through as soon as possible."),
        _ => None,
    };
    shell.done = said.map(|words| Confirmation { words: words.to_owned(), undo: None });
    let waiting = lists.pop().unwrap_or_default();
    let page = OperationsPage {
        shell,
        connection,
        fetched: connections::read(&visitor).await?,
        arrivals,
        failed: lists.pop().unwrap_or_default(),
        failed_count: count(&tally, DeliveryState::Parked),
        waiting,
        waiting_count: count(&tally, DeliveryState::Pending),
        drifted,
        quarantine: kept
            .into_iter()
            .map(|k| QuarantineLine {
                id: k.id,
                resource: format!("{}/{}", k.kind, k.resource_id),
                code: words::spaced(&k.code),
                detail: k.detail,
                received: instant(k.received_at, zone, today),
            })
            .collect(),
        rules: visitor.is(READERS_OF_RULES),
    };
    Ok(html(&page))
}

async fn undelivered(
    tx: &mut crate::store::ReadTx,
    visitor: &Visitor,
    d: Delivery,
) -> Result<UndeliveredItem, Problem> {
    let (clinic, zone, today) = (visitor.clinic(), visitor.zone(), visitor.today());
    let row = patient::find(tx, clinic, d.patient_id).await?;
    let attempts = outbox::attempts(tx, clinic, d.id).await?;
    let desired = d.intent.0.desired;
    let attempt = |a: &outbox::DeliveryAttempt| {
        let status = a.http_status.map(|status| format!(" {status}")).unwrap_or_default();
        let detail = a.detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default();
        format!("{} {}{status}{detail} ({} ms)", instant(a.at, zone, today), words::spaced(&a.outcome), a.milliseconds)
    };
    Ok(UndeliveredItem {
        id: d.id,
        patient: d.patient_id,
        name: row.map_or_else(|| "unknown".to_owned(), |row| row.label()),
        what: format!("{}: {} ({})", desired.resource, words::code(desired.code), words::posture(d.posture)),
        priority: desired.priority.as_str(),
        reason: date_texts::in_sentence(words::without_notice(&desired.reason), today),
        error: d.last_error,
        attempts: attempts.iter().rev().map(attempt).collect(),
        next: instant(d.next_attempt_at, zone, today),
        unknown: d.outcome_unknown,
    })
}

pub async fn retry(Path(id): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("delivery"))?;
    let path = format!("deliveries/{id}/retry");
    visitor.pages.door.post(&visitor.caller, &path, None, &json!({})).await?;
    Ok(Redirect::to("/operations?done=retry").into_response())
}

pub async fn replay(Path(id): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("item in quarantine"))?;
    let path = format!("quarantine/{id}/replay");
    let answer = visitor.pages.door.post(&visitor.caller, &path, None, &json!({})).await?;
    let done = if answer["released"] == Value::Bool(true) { "replay" } else { "still" };
    Ok(Redirect::to(&format!("/operations?done={done}")).into_response())
}

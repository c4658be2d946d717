//! `GET safety-concerns?state=`

use std::collections::BTreeSet;

use axum::Json;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::episodes::PatientName;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::domain::finding::Rule;
use crate::domain::rules::RuleSet;
use crate::domain::safety::{Concern, ConcernState, Escalation, concerns};
use crate::domain::story::Story;
use crate::domain::task::Priority;
use crate::domain::timeliness::{WaitingTime, to_assessment};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::record::local_midnight;
use crate::store::outbox::DeliveryState;
use crate::store::safety::{self, SafetyTask};
use crate::store::{ReadTx, patient, rule_set, story};

/// More open concerns than any clinic should have; beyond it the newest wait for the older ones.
const MOST: i64 = 100_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_concerns))
}

/// Filter and page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConcernsQuery {
    /// `open` without it.
    #[serde(default = "open")]
    #[param(required = false)]
    state: ConcernState,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

fn open() -> ConcernState {
    ConcernState::Open
}

/// An answer to item 9 that somebody has to assess, or has assessed.
#[derive(Debug, Serialize, ToSchema)]
struct ConcernBody {
    /// The patient.
    patient: PatientName,
    /// Names it within the patient.
    key: String,
    /// State of the concern.
    state: ConcernState,
    /// The rule: `safety_item9`, or `safety_item9_high` for a level that cannot wait.
    rule: Rule,
    /// Priority.
    priority: Priority,
    /// The local date of the answer.
    answered_on: NaiveDate,
    /// The instant of the first answer; local midnight where only the date is known.
    answered_at: Option<DateTime<Utc>>,
    /// When the assessment is due.
    due_on: Option<NaiveDate>,
    /// Whether it is open and was due before today.
    overdue: bool,
    /// Why it is at this level.
    reason: String,
    /// Person who should act, if known: the care manager of an open episode.
    owner: Option<String>,
    /// Escalation steps when it is past due, with their days; steps up to today have happened. Empty for a level that
    /// was assessed shortly before.
    escalation: Vec<Escalation>,
    /// When it was assessed.
    assessed_at: Option<DateTime<Utc>>,
    /// From the answer to the assessment.
    to_assessment: Option<WaitingTime>,
    /// When somebody closed its Task in the chart, which assesses nothing: it stays open until an assessment is
    /// documented, and is escalated all the same.
    closed_in_chart_on: Option<NaiveDate>,
    /// The delivery that tells the chart.
    delivery: Uuid,
    /// Delivery state.
    delivery_state: DeliveryState,
}

fn due_first(row: &SafetyTask) -> (Option<NaiveDate>, Uuid) {
    (row.intent.desired.due_on, row.id)
}

fn latest_first(row: &SafetyTask) -> (DateTime<Utc>, Uuid) {
    (row.created_at, row.id)
}

/// Whether an instant stands for a whole day: local midnight, or the end of the day of an assessment without an hour.
pub fn only_a_day(zone: Tz) -> impl Fn(DateTime<Utc>) -> bool {
    move |at| {
        let on = at.with_timezone(&zone).date_naive();
        let end = local_midnight(zone, on.checked_add_days(Days::new(1)).unwrap_or(on)) - TimeDelta::microseconds(1);
        at == local_midnight(zone, on) || at == end
    }
}

/// Safety answers of the clinic, enrolled or not: the unassessed ones, longest due first, apart from everything else;
/// or with `state=assessed` those that were assessed, latest first, with the time it took.
///
/// This service is not a crisis service.
#[utoipa::path(get, path = "/safety-concerns", tag = "caseload", params(ConcernsQuery),
    responses((status = 200, description = "In order", body = Page<ConcernBody>), ReadErrors))]
async fn list_concerns(
    ask: RequestContext,
    StrictQuery(query): StrictQuery<ConcernsQuery>,
) -> Result<Json<Page<ConcernBody>>, Problem> {
    ask.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let mut tx = ask.app.db.read().await?;
    let tasks = match query.state {
        ConcernState::Open => {
            let after: Option<(Option<NaiveDate>, Uuid)> = paging.after()?;
            let mut rows = safety::open(&mut tx, ask.clinic(), MOST).await?;
            rows.sort_by_key(due_first);
            rows.retain(|row| after.is_none_or(|after| due_first(row) > after));
            page(rows, limit, due_first, |row| row)
        }
        ConcernState::Assessed => {
            let rows = safety::assessed(&mut tx, ask.clinic(), paging.after()?, limit + 1).await?;
            page(rows, limit, latest_first, |row| row)
        }
    };
    let rules = rule_set::active(&mut tx, ask.clinic()).await?;
    let concerns = concerns_behind(&mut tx, &ask, &rules, &tasks.items).await?;
    let concern_of = |task: &SafetyTask| {
        concerns.iter().find(|(patient, concern)| (*patient, &concern.key) == (task.patient_id, &task.key))
    };
    let items = tasks.items.into_iter().map(|task| {
        let concern = concern_of(&task).map(|(_, concern)| concern.clone());
        body(&ask, query.state, task, concern)
    });
    Ok(Json(Page { items: items.collect(), next: tasks.next }))
}

/// What the stories of these patients say about their safety answers: those that still stand.
async fn concerns_behind(
    tx: &mut ReadTx,
    ask: &RequestContext,
    rules: &RuleSet,
    tasks: &[SafetyTask],
) -> Result<Vec<(PatientId, Concern)>, Problem> {
    let ids: BTreeSet<PatientId> = tasks.iter().map(|task| task.patient_id).collect();
    let ids: Vec<PatientId> = ids.into_iter().collect();
    let patients = patient::find_each(tx, ask.clinic(), &ids).await?;
    let stories = story::of_each(tx, ask.clinic(), &patients).await?;
    let of = |story: &Story| {
        let patient = story.patient.id;
        concerns(story, rules, ask.today()).into_iter().map(move |concern| (patient, concern))
    };
    Ok(stories.iter().flat_map(of).collect())
}

fn body(ask: &RequestContext, state: ConcernState, task: SafetyTask, concern: Option<Concern>) -> ConcernBody {
    let display_name = task.display_name.unwrap_or_else(|| task.reference.clone());
    let intent = task.intent.0;
    let desired = intent.desired;
    let elapsed = concern.as_ref().and_then(|concern| to_assessment(concern, &only_a_day(ask.zone())));
    let overdue = state == ConcernState::Open && desired.due_on.is_some_and(|due| due < ask.today());
    ConcernBody {
        patient: PatientName { id: task.patient_id, display_name, reference: task.reference },
        key: task.key,
        state,
        rule: desired.rule,
        priority: desired.priority,
        answered_on: desired.since,
        answered_at: concern.as_ref().map(|concern| concern.answered_at),
        due_on: desired.due_on,
        overdue,
        reason: desired.reason,
        owner: intent.owner_display,
        to_assessment: elapsed,
        closed_in_chart_on: concern.as_ref().and_then(|concern| concern.closed_in_chart_on),
        assessed_at: concern.as_ref().and_then(|concern| concern.assessed_at),
        escalation: concern.map(|concern| concern.escalation).unwrap_or_default(),
        delivery: task.id,
        delivery_state: task.state,
    }
}

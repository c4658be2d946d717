//! `GET safety-concerns?state=`

use std::collections::{BTreeSet, HashMap};

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
use crate::store::{ReadTx, patient, quarantine, rule_set, story};

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
    /// The highest answer, 1–3; 0 where only a question beside the scored ones was answered with yes.
    item9: Option<u8>,
    /// No answer arrived: the total cannot be reached without one.
    implied: bool,
    /// The answer was corrected or withdrawn: confirm it with the patient.
    changed: bool,
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

/// Safety concerns, and what could not be read beside them.
#[derive(Debug, Serialize, ToSchema)]
struct ConcernsPage {
    #[serde(flatten)]
    page: Page<ConcernBody>,
    /// Forms in quarantine that could not be read: nobody knows what they say about self-harm.
    unreadable_forms: i64,
}

/// Where a page of open concerns ends: the day its Task is due, the Task, the concern.
type OpenPosition = (Option<NaiveDate>, Uuid, String);

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
    responses((status = 200, description = "In order", body = ConcernsPage), ReadErrors))]
async fn list_concerns(
    call: RequestContext,
    StrictQuery(query): StrictQuery<ConcernsQuery>,
) -> Result<Json<ConcernsPage>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let mut tx = call.app.db.read().await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    let page = match query.state {
        ConcernState::Open => open_concerns(&mut tx, &call, &rules, &paging).await?,
        ConcernState::Assessed => assessed_concerns(&mut tx, &call, &rules, &paging).await?,
    };
    let unreadable_forms = quarantine::count_unreadable(&mut tx, call.clinic()).await?;
    Ok(Json(ConcernsPage { page, unreadable_forms }))
}

/// One Task may stand for several concerns of a patient: the page counts concerns.
async fn open_concerns(
    tx: &mut ReadTx,
    call: &RequestContext,
    rules: &RuleSet,
    paging: &PageQuery,
) -> Result<Page<ConcernBody>, Problem> {
    let limit = paging.limit()?;
    let after: Option<OpenPosition> = paging.after()?;
    let mut tasks = safety::open(tx, call.clinic(), MOST).await?;
    tasks.sort_by_key(|task| (task.intent.desired.due_on, task.id));
    let place = |task: &SafetyTask| (task.intent.desired.due_on, task.id);
    if let Some((due_on, id, _)) = &after {
        tasks.retain(|task| place(task) >= (*due_on, *id));
    }
    // Each has at least one concern, but for the first, whose concerns may all be on the page before.
    tasks.truncate(usize::try_from(limit).unwrap_or(0).saturating_add(2));
    let stories = stories_of(tx, call, &tasks).await?;
    let mut found: Vec<(OpenPosition, ConcernBody)> = Vec::new();
    for task in tasks {
        for concern in concerns_of(&stories, call, rules, &task, ConcernState::Open) {
            let key = concern.as_ref().map_or_else(|| task.key.clone(), |concern| concern.key.clone());
            let (due_on, id) = place(&task);
            let position = (due_on, id, key);
            if after.as_ref().is_none_or(|after| position > *after) {
                found.push((position, body(call, ConcernState::Open, &task, concern)));
            }
        }
    }
    Ok(page(found, limit, |(position, _)| position.clone(), |(_, body)| body))
}

async fn assessed_concerns(
    tx: &mut ReadTx,
    call: &RequestContext,
    rules: &RuleSet,
    paging: &PageQuery,
) -> Result<Page<ConcernBody>, Problem> {
    let limit = paging.limit()?;
    let rows = safety::assessed(tx, call.clinic(), paging.after()?, limit + 1).await?;
    let tasks = page(rows, limit, latest_first, |row| row);
    let stories = stories_of(tx, call, &tasks.items).await?;
    let mut items = Vec::with_capacity(tasks.items.len());
    for task in tasks.items {
        for concern in concerns_of(&stories, call, rules, &task, ConcernState::Assessed) {
            items.push(body(call, ConcernState::Assessed, &task, concern));
        }
    }
    Ok(Page { items, next: tasks.next })
}

/// The stories of the patients of some Tasks, in a few statements however many they are.
async fn stories_of(
    tx: &mut ReadTx,
    call: &RequestContext,
    tasks: &[SafetyTask],
) -> Result<HashMap<PatientId, Story>, Problem> {
    let ids: BTreeSet<PatientId> = tasks.iter().map(|task| task.patient_id).collect();
    let patients = patient::find_each(tx, call.clinic(), &ids.into_iter().collect::<Vec<_>>()).await?;
    let stories = story::of_each(tx, call.clinic(), &patients).await?;
    Ok(patients.iter().map(|patient| patient.id).zip(stories).collect())
}

/// What the story says about the causes of a Task; one `None` where no answer stands any more.
fn concerns_of(
    stories: &HashMap<PatientId, Story>,
    call: &RequestContext,
    rules: &RuleSet,
    task: &SafetyTask,
    state: ConcernState,
) -> Vec<Option<Concern>> {
    let keys = task.intent.desired.reason_keys();
    let is_of = |concern: &Concern| concern.key == task.key || keys.contains(&concern.key);
    let story = stories.get(&task.patient_id).into_iter();
    let all = story.flat_map(|story| concerns(story, rules, call.today()));
    let found: Vec<Option<Concern>> = all.filter(|c| c.state == state && is_of(c)).map(Some).collect();
    if found.is_empty() { vec![None] } else { found }
}

fn body(call: &RequestContext, state: ConcernState, task: &SafetyTask, concern: Option<Concern>) -> ConcernBody {
    let display_name = task.display_name.clone().unwrap_or_else(|| task.reference.clone());
    let desired = &task.intent.desired;
    let of_task = |task: &SafetyTask| {
        (task.key.clone(), desired.rule, desired.priority, desired.since, desired.due_on, desired.reason.clone())
    };
    let of_concern = |c: &Concern| {
        let rule = if c.high { Rule::SafetyItem9High } else { Rule::SafetyItem9 };
        (c.key.clone(), rule, c.priority, c.answered_on, Some(c.due_on), c.reason.clone())
    };
    let (key, rule, priority, answered_on, due_on, reason) = concern.as_ref().map_or_else(|| of_task(task), of_concern);
    ConcernBody {
        patient: PatientName { id: task.patient_id, display_name, reference: task.reference.clone() },
        key,
        state,
        rule,
        priority,
        answered_on,
        answered_at: concern.as_ref().map(|concern| concern.answered_at),
        item9: concern.as_ref().map(|concern| concern.item9),
        implied: concern.as_ref().is_some_and(|concern| concern.implied),
        changed: concern.as_ref().is_some_and(|concern| concern.only_changed),
        due_on,
        overdue: state == ConcernState::Open && due_on.is_some_and(|due| due < call.today()),
        reason,
        owner: task.intent.owner_display.clone(),
        to_assessment: concern.as_ref().and_then(|concern| to_assessment(concern, &only_a_day(call.zone()))),
        closed_in_chart_on: concern.as_ref().and_then(|concern| concern.closed_in_chart_on),
        assessed_at: concern.as_ref().and_then(|concern| concern.assessed_at),
        escalation: concern.map(|concern| concern.escalation).unwrap_or_default(),
        delivery: task.id,
        delivery_state: task.state,
    }
}

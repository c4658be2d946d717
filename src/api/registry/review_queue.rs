//! `GET review-queue?on=`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::episodes::PatientName;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, query_date, words};
use crate::domain::attention::{LAST_IN_QUEUE, QueueEntry};
use crate::domain::chart_plan::plan_without_outlook;
use crate::domain::standing::Standing;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::standing::{self, AttentionKey, StandingFilter, StandingRow};
use crate::store::{patient, rule_set, story};

/// How many patients are loaded at once.
const SOME: i64 = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_queue))
}

/// For which date, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QueueQuery {
    /// A local date; today in the clinic if omitted. Other dates are computed over the whole clinic.
    on: Option<NaiveDate>,
    /// Only of this care manager.
    care_manager: Option<RequiredText>,
    /// Only of this consultant.
    psychiatric_consultant: Option<RequiredText>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// One row of the review queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueRow {
    /// The episode.
    pub(super) episode: EpisodeId,
    /// The patient.
    pub(super) patient: PatientName,
    /// The care manager.
    pub(super) care_manager: Option<String>,
    /// The psychiatric consultant.
    pub(super) psychiatric_consultant: Option<String>,
    /// Place in the queue, and why.
    #[serde(flatten)]
    pub(super) waiting: QueueEntry,
    /// The date it holds for.
    pub(super) as_of: NaiveDate,
    #[serde(skip)]
    pub(super) key: AttentionKey,
}

impl QueueRow {
    /// `None` where nothing puts it into the queue.
    fn of(
        standing: &Standing,
        patient: PatientName,
        care_manager: Option<String>,
        psychiatric_consultant: Option<String>,
    ) -> Option<Self> {
        let waiting = QueueEntry::of(standing)?;
        let score = -waiting.latest_score.map_or(-1, i32::from);
        let key = (waiting.rank, waiting.waiting_since, score, standing.episode);
        let episode = standing.episode;
        Some(Self { episode, patient, care_manager, psychiatric_consultant, waiting, as_of: standing.as_of, key })
    }
}

/// The weekly review's queue, most pressing first, each row with its reasons.
///
/// Open safety; worsening or relapse; flagged by hand; nonresponse without a review in 60 days; inadequate response;
/// new without an initial review; unmeasured or red on contact; plateau; review overdue; ready for relapse prevention or
/// graduation. Within one place: longest waiting, highest latest score, id.
#[utoipa::path(get, path = "/review-queue", tag = "caseload", params(QueueQuery),
    responses((status = 200, description = "In order", body = Page<QueueRow>), ReadErrors))]
async fn read_queue(
    call: RequestContext,
    StrictQuery(query): StrictQuery<QueueQuery>,
) -> Result<Json<Page<QueueRow>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after: Option<AttentionKey> = paging.after()?;
    let on = query_date(query.on, "on")?.filter(|on| *on != call.today());
    let filter = StandingFilter {
        care_manager: words(query.care_manager),
        psychiatric_consultant: words(query.psychiatric_consultant),
        ..StandingFilter::default()
    };
    let rows = match on {
        None => stored(&call, &filter, after, limit + 1).await?,
        Some(on) => {
            let mut rows = computed(&call, &filter, on).await?;
            rows.retain(|row| after.is_none_or(|after| row.key > after));
            rows
        }
    };
    Ok(Json(page(rows, limit, |row| row.key, |row| row)))
}

pub(super) async fn stored(
    call: &RequestContext,
    filter: &StandingFilter,
    after: Option<AttentionKey>,
    limit: i64,
) -> Result<Vec<QueueRow>, Problem> {
    let mut tx = call.app.db.read().await?;
    let rows = standing::by_attention(&mut tx, call.clinic(), filter, Some(LAST_IN_QUEUE), after, limit).await?;
    rows.into_iter().map(of_row).collect()
}

fn of_row(row: StandingRow) -> Result<QueueRow, Problem> {
    let unreadable = || Problem::internal("a stored standing cannot be read; replan the clinic");
    let standing: Standing = serde_json::from_str(row.body.0.get()).map_err(|_| unreadable())?;
    let key = row.attention_key();
    let name = PatientName { id: row.patient_id, display_name: row.display_name, reference: row.reference };
    let waiting = QueueRow::of(&standing, name, row.care_manager, row.psychiatric_consultant).ok_or_else(unreadable)?;
    // The row's own key: the page goes on where the database says.
    Ok(QueueRow { key, ..waiting })
}

pub(super) async fn computed(
    call: &RequestContext,
    filter: &StandingFilter,
    on: NaiveDate,
) -> Result<Vec<QueueRow>, Problem> {
    let mut waiting = Vec::new();
    let mut after = None;
    let mut tx = call.app.db.read().await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    loop {
        let patients = patient::page(&mut tx, call.clinic(), after, SOME).await?;
        let Some(last) = patients.last() else { break };
        after = Some(last.id);
        let stories = story::of_page(&mut tx, call.clinic(), &patients).await?;
        for (patient, story) in patients.iter().zip(stories).filter(|(_, story)| !story.episodes.is_empty()) {
            let plan = plan_without_outlook(&story, &rules, on);
            waiting.extend(plan.standings.iter().filter_map(|standing| {
                let episode = story.episodes.iter().find(|e| e.id == standing.episode)?;
                let is_of = |wanted: &Option<String>, of: &Option<String>| wanted.is_none() || wanted == of;
                let wanted = is_of(&filter.care_manager, &episode.care_manager)
                    && is_of(&filter.psychiatric_consultant, &episode.psychiatric_consultant);
                let consultant = episode.psychiatric_consultant.clone();
                wanted.then(|| {
                    QueueRow::of(standing, PatientName::of(patient), episode.care_manager.clone(), consultant)
                })?
            }));
        }
        tokio::task::yield_now().await;
    }
    waiting.sort_by_key(|row| row.key);
    Ok(waiting)
}

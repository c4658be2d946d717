//! `GET episodes/{id}/timeline`

use axum::Json;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery};
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::event_log::{self, EpisodeLog};
use crate::store::{episode, rule_set};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_timeline))
}

/// Page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// An instant: only what had been recorded by then is shown.
    known_at: Option<DateTime<Utc>>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// An event of the timeline.
#[derive(Debug, Serialize, ToSchema)]
struct TimelineEvent {
    /// Its id: an entry of the care team can be taken back by it.
    id: Uuid,
    /// `enrolment`, `contact`, `measurement`, …
    kind: String,
    /// The local date it happened.
    happened_on: NaiveDate,
    /// The instant; local midnight where only the date is known.
    happened_at: DateTime<Utc>,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Author.
    recorded_by: String,
    /// The version of the thresholds in force when it was recorded: `changes` was concluded under it.
    rule_set: u32,
    /// The episode; `null` for what concerns the patient.
    episode: Option<EpisodeId>,
    /// Content of the entry.
    body: Value,
    /// Changes: findings that opened and closed, statuses, Tasks and Flags.
    changes: Value,
}

/// Timeline of an episode: its entries, and the patient's measurements, assessments and changes from the look-back
/// before enrollment up to its end.
#[utoipa::path(get, path = "/episodes/{id}/timeline", tag = "episodes",
    params(("id" = String, Path, description = "The episode"), TimelineQuery),
    responses((status = 200, description = "In order of (when it happened, when it was recorded)", body = Page<TimelineEvent>), ReadErrors))]
async fn read_timeline(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
    StrictQuery(query): StrictQuery<TimelineQuery>,
) -> Result<Json<Page<TimelineEvent>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after = paging.after()?;
    let mut tx = call.app.db.read().await?;
    let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("episode"))?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    let begun = stored.created_at.with_timezone(&call.zone()).date_naive();
    let begun = stored.episode.enrolled_on.map_or(begun, |enrolled| enrolled.min(begun));
    let chapter = EpisodeLog {
        patient: stored.patient_id,
        episode: id,
        from: begun.checked_sub_days(Days::new(rules.baseline.look_back_days.into())).unwrap_or(begun),
        to: stored.discharged_on.unwrap_or_else(|| call.today() + Days::new(366)),
        known_at: query.known_at,
    };
    let rows = event_log::chapter(&mut tx, call.clinic(), &chapter, after, limit + 1).await?;
    let activations = rule_set::activations(&mut tx, call.clinic()).await?;
    let in_force = |at: DateTime<Utc>| {
        let last = activations.iter().rev().find(|activation| activation.activated_at <= at);
        last.and_then(|activation| u32::try_from(activation.version).ok()).unwrap_or(1)
    };
    let key = |f: &event_log::EventRow| (f.happened_at, f.recorded_at, f.id);
    Ok(Json(page(rows, limit, key, |f| TimelineEvent {
        id: f.id,
        kind: f.kind,
        happened_on: f.happened_on,
        happened_at: f.happened_at,
        recorded_at: f.recorded_at,
        recorded_by: f.recorded_by,
        rule_set: in_force(f.recorded_at),
        episode: f.episode_id,
        body: f.body.0,
        changes: f.changes.0,
    })))
}

//! `POST metrics/{month}/close`, `POST metrics/{month}/restate`, `GET metrics/{month}/versions`

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::gather::Subjects;
use super::month_of;
use crate::api::App;
use crate::api::page::Page;
use crate::api::registry::responses::{ReadErrors, WriteErrors, created};
use crate::api::request::{READERS, RequestContext, RequiredText};
use crate::domain::metrics::{Difference, Metric, Month, MonthFigures, differences};
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{RestatementResult, close, restate};
use crate::store::closed_month::{self, ClosedMonth};
use crate::store::event_log;

/// Most patients whose late events are looked up.
const PATIENTS: usize = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(close_month))
        .routes(routes!(restate_month))
        .routes(routes!(list_versions))
        .routes(routes!(read_metrics_version))
}

/// A report of a month.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedBody {
    /// `YYYY-MM`.
    month: String,
    /// 1 is the closing, then each restatement.
    version: i32,
    /// When: what was recorded later is late.
    closed_at: DateTime<Utc>,
    /// Author; `cocm-registry` if nobody had closed it by its day.
    closed_by: String,
    /// Why it was restated.
    reason: Option<String>,
    /// The version of the thresholds it was computed under.
    rule_set: i32,
    /// SHA-256 of the figures as they are kept.
    digest: String,
}

impl ClosedBody {
    pub(super) fn of(closed: &ClosedMonth, month: Month) -> Self {
        Self {
            month: month.to_string(),
            version: closed.version,
            closed_at: closed.closed_at,
            closed_by: closed.closed_by.clone(),
            reason: closed.reason.clone(),
            rule_set: closed.rule_set,
            digest: closed.digest.clone(),
        }
    }
}

/// A report of a month, with its figures.
#[derive(Debug, Serialize, ToSchema)]
struct VersionBody {
    /// The stored report.
    #[serde(flatten)]
    closed: ClosedBody,
    /// Figures of the report.
    figures: MonthFigures,
}

/// Figures that would differ if counted now, under the thresholds of the report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Restatement {
    /// Each metric that would.
    metrics: Vec<Difference>,
    /// Later events of the patients who entered or left a figure.
    because: Vec<LateEvent>,
    /// There is more than is listed.
    truncated: bool,
}

/// A fact recorded after the month was closed.
#[derive(Debug, Serialize, ToSchema)]
struct LateEvent {
    /// Its id in the timeline.
    id: Uuid,
    /// The patient.
    patient: PatientId,
    /// The episode; `null` for what concerns the patient.
    episode: Option<EpisodeId>,
    /// `contact`, `measurement`, `retraction`, …
    kind: String,
    /// When it happened.
    happened_on: NaiveDate,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Author.
    recorded_by: String,
}

/// The figures of a report.
pub(super) fn figures_of(closed: &ClosedMonth) -> Result<MonthFigures, Problem> {
    serde_json::from_str(&closed.body).map_err(|_| Problem::internal("the figures of a closed month cannot be read"))
}

/// Figures that would differ if counted now; `None` if none would.
pub(super) async fn restatement(
    call: &RequestContext,
    closed: &ClosedMonth,
    month: Month,
    reported: &[Metric],
    now: &[Metric],
    subjects: &Subjects,
) -> Result<Option<Restatement>, Problem> {
    let metrics = differences(reported, now);
    if metrics.is_empty() {
        return Ok(None);
    }
    let patients: BTreeSet<PatientId> =
        metrics.iter().flat_map(Difference::ids).filter_map(|id| subjects.patient(id)).collect();
    let truncated = patients.len() > PATIENTS;
    let mut because = Vec::new();
    let mut tx = call.app.db.read().await?;
    for patient in patients.into_iter().take(PATIENTS) {
        let late = event_log::recorded_after(&mut tx, call.clinic(), patient, closed.closed_at).await?;
        // Events after the month do not affect it, unless they take something back.
        let matters = |f: &event_log::EventRow| {
            f.happened_on <= month.last
                || matches!(f.kind.as_str(), "patient" | "taken_back" | "amendment" | "transfer" | "coverage")
        };
        because.extend(late.into_iter().filter(matters).map(|f| LateEvent {
            id: f.id,
            patient,
            episode: f.episode_id,
            kind: f.kind,
            happened_on: f.happened_on,
            recorded_at: f.recorded_at,
            recorded_by: f.recorded_by,
        }));
    }
    Ok(Some(Restatement { metrics, because, truncated }))
}

/// A month that is over.
fn past(call: &RequestContext, month: &str) -> Result<Month, Problem> {
    let month = month_of(call, Some(month), "month")?;
    if month.last >= call.today() {
        return Err(Problem::conflict(format!("{month} is not over")).at("month"));
    }
    Ok(month)
}

/// Closes a month: its metrics are kept as they are, and change from now on only by a restatement.
#[utoipa::path(post, path = "/metrics/{month}/close", tag = "metrics",
    params(("month" = String, Path, description = "`YYYY-MM`, a month that is over")),
    responses((status = 201, description = "Closed", body = ClosedBody), WriteErrors))]
async fn close_month(call: RequestContext, Path(month): Path<String>) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::Admin])?;
    let month = past(&call, &month)?;
    let (db, now) = (&call.app.db, call.app.clock.now());
    let closed = close(db, call.clinic(), &call.caller.subject, month, now).await?;
    let closed = closed.ok_or_else(|| conflict(&format!("{month} is closed already"), "restate"))?;
    Ok(created(Some(format!("/api/v1/metrics/{month}/versions/1")), None, ClosedBody::of(&closed, month)))
}

fn conflict(detail: &str, allowed: &str) -> Problem {
    let mut problem = Problem::conflict(detail);
    problem.allowed = vec![allowed.to_owned()];
    problem
}

/// Why a month is restated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRestatement {
    /// Reason.
    reason: RequiredText,
}

/// Restates a closed month from everything known now, under the thresholds it was closed under. Earlier reports stay
/// readable.
#[utoipa::path(post, path = "/metrics/{month}/restate", tag = "metrics", request_body = NewRestatement,
    params(("month" = String, Path, description = "`YYYY-MM`, a closed month")),
    responses((status = 201, description = "Restated", body = ClosedBody), WriteErrors))]
async fn restate_month(
    call: RequestContext,
    Path(month): Path<String>,
    JsonBody(new): JsonBody<NewRestatement>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::Admin])?;
    let month = past(&call, &month)?;
    let (db, now) = (&call.app.db, call.app.clock.now());
    match restate(db, call.clinic(), &call.caller.subject, month, &new.reason.0, now).await? {
        RestatementResult::As(closed) => {
            let at = format!("/api/v1/metrics/{month}/versions/{}", closed.version);
            Ok(created(Some(at), None, ClosedBody::of(&closed, month)))
        }
        RestatementResult::NotClosed => Err(conflict(&format!("{month} is not closed"), "close")),
        RestatementResult::Same => Err(Problem::conflict(format!("{month} would be reported as it was"))),
        RestatementResult::Meanwhile => Err(Problem::conflict(format!("{month} was restated meanwhile; look again"))),
    }
}

/// Every report of a month, oldest first; empty while it is open.
#[utoipa::path(get, path = "/metrics/{month}/versions", tag = "metrics",
    params(("month" = String, Path, description = "`YYYY-MM`")),
    responses((status = 200, description = "All on one page", body = Page<ClosedBody>), ReadErrors))]
async fn list_versions(call: RequestContext, Path(month): Path<String>) -> Result<Json<Page<ClosedBody>>, Problem> {
    call.caller.require(READERS)?;
    let month = month_of(&call, Some(&month), "month")?;
    let mut tx = call.app.db.read().await?;
    let versions = closed_month::versions(&mut tx, call.clinic(), month.first).await?;
    let items = versions.iter().map(|closed| ClosedBody::of(closed, month)).collect();
    Ok(Json(Page { items, next: None }))
}

/// One report of a month, with its figures.
#[utoipa::path(get, path = "/metrics/{month}/versions/{version}", tag = "metrics",
    params(("month" = String, Path, description = "`YYYY-MM`"), ("version" = i32, Path, description = "The report")),
    responses((status = 200, description = "As it was reported", body = VersionBody), ReadErrors))]
async fn read_metrics_version(
    call: RequestContext,
    Path((month, version)): Path<(String, String)>,
) -> Result<Json<VersionBody>, Problem> {
    call.caller.require(READERS)?;
    let month = month_of(&call, Some(&month), "month")?;
    let mut tx = call.app.db.read().await?;
    let versions = closed_month::versions(&mut tx, call.clinic(), month.first).await?;
    let found = versions.into_iter().find(|closed| closed.version.to_string() == version);
    let closed = found.ok_or_else(|| Problem::not_found("report"))?;
    Ok(Json(VersionBody { closed: ClosedBody::of(&closed, month), figures: figures_of(&closed)? }))
}

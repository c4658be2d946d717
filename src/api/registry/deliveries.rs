//! `GET deliveries`, `GET deliveries/{id}`, `POST deliveries/{id}/retry`

use axum::Json;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery};
use crate::domain::chart_plan::Rung;
use crate::domain::read_back::Drift;
use crate::domain::task::{ChartResource, Code, Posture, Priority};
use crate::fhir::write::WriteForm;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::outbox::{self, Delivery, DeliveryAttempt, DeliveryFilter, DeliveryState};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_deliveries)).routes(routes!(read_delivery)).routes(routes!(retry_delivery))
}

/// Filter for deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only this state.
    state: Option<DeliveryState>,
    /// About this patient.
    patient: Option<PatientId>,
    /// Where the chart differs in this way from what was written there.
    drift: Option<Drift>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// Delivery of a Task or Flag to the chart.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryBody {
    /// Id in this registry.
    id: Uuid,
    /// The patient.
    patient: PatientId,
    /// The episode; `null` for what is independent of enrollment.
    episode: Option<EpisodeId>,
    /// Names the cause, within the patient.
    key: String,
    /// `Task` or `Flag`.
    resource: ChartResource,
    /// Kind of change.
    code: Code,
    /// Priority.
    priority: Priority,
    /// Posture that the chart should show.
    posture: Posture,
    /// Delivery state, as complete as its rung allows.
    state: DeliveryState,
    /// Rung of the ladder that it took, or is tried on; `null` before the first attempt.
    rung: Option<Rung>,
    /// Its id in the chart.
    chart_id: Option<String>,
    /// The resource in the chart, such as `Communication/123`.
    chart_resource: Option<String>,
    /// How many follow-ups to it the chart has, where what is written can never be changed.
    follow_ups: i32,
    /// Its status in the chart, as it was seen or written there last; `deleted` where it is gone.
    chart_status: Option<String>,
    /// When it was read back from the chart last.
    chart_seen_at: Option<DateTime<Utc>>,
    /// How the chart differs from what was written there. Only `ours_lost` is written again, by itself; everything else
    /// is a person's doing and is only shown.
    drift: Option<Drift>,
    /// Why it should be there.
    reason: String,
    /// Why it ended, for everything but `open`.
    ended_because: Option<String>,
    /// Since when the cause holds.
    since: NaiveDate,
    /// When it should be done.
    due_on: Option<NaiveDate>,
    /// Attempts since what should be written last changed.
    attempts: i32,
    /// An answer was lost: the chart may have executed it all the same.
    outcome_unknown: bool,
    /// Last error.
    last_error: Option<String>,
    /// When it is tried next, while pending.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was first planned.
    created_at: DateTime<Utc>,
    /// When it changed last.
    updated_at: DateTime<Utc>,
}

impl From<Delivery> for DeliveryBody {
    fn from(d: Delivery) -> Self {
        let rung = d.rung();
        let intent = d.intent.0;
        let desired = intent.desired;
        let form = rung.and_then(|rung| WriteForm::of(rung, desired.resource));
        let chart_resource = form.zip(d.chart_id.as_ref()).map(|(form, id)| format!("{}/{id}", form.as_str()));
        Self {
            id: d.id,
            patient: d.patient_id,
            episode: desired.episode,
            key: d.key,
            resource: desired.resource,
            code: desired.code,
            priority: desired.priority,
            posture: d.posture,
            state: d.state,
            rung,
            chart_id: d.chart_id,
            chart_resource,
            follow_ups: d.follow_ups,
            chart_status: d.chart_status,
            chart_seen_at: d.chart_seen_at,
            drift: d.drift.and_then(|drift| drift.parse().ok()),
            reason: desired.reason,
            ended_because: intent.ended_because,
            since: desired.since,
            due_on: desired.due_on,
            attempts: d.attempts,
            outcome_unknown: d.outcome_unknown,
            last_error: d.last_error,
            next_attempt_at: (d.state == DeliveryState::Pending).then_some(d.next_attempt_at),
            created_at: d.created_at,
            updated_at: d.updated_at,
        }
    }
}

/// A delivery with everything that was tried.
#[derive(Debug, Serialize, ToSchema)]
struct WholeDelivery {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// Every attempt, in order.
    attempts_made: Vec<AttemptBody>,
}

/// One attempt to write into the chart.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptBody {
    /// Instant.
    at: DateTime<Utc>,
    /// Revision of the planned content.
    revision: i64,
    /// Outcome of the attempt.
    outcome: String,
    /// The status that the chart answered with.
    http_status: Option<i16>,
    /// More about it, without patient data.
    detail: Option<String>,
    /// How long it took.
    milliseconds: i32,
}

impl From<DeliveryAttempt> for AttemptBody {
    fn from(a: DeliveryAttempt) -> Self {
        Self {
            at: a.at,
            revision: a.revision,
            outcome: a.outcome,
            http_status: a.http_status,
            detail: a.detail,
            milliseconds: a.milliseconds,
        }
    }
}

/// Deliveries to the chart and their state.
#[utoipa::path(get, path = "/deliveries", tag = "operations", params(DeliveriesQuery),
    responses((status = 200, description = "In order of id", body = Page<DeliveryBody>), ReadErrors))]
async fn list_deliveries(
    call: RequestContext,
    StrictQuery(query): StrictQuery<DeliveriesQuery>,
) -> Result<Json<Page<DeliveryBody>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, after) = (paging.limit()?, paging.after()?);
    let mut tx = call.app.db.read().await?;
    let which = DeliveryFilter { state: query.state, patient: query.patient, drift: query.drift };
    let rows = outbox::page(&mut tx, call.clinic(), which, after, limit + 1).await?;
    Ok(Json(page(rows, limit, |d| d.id, DeliveryBody::from)))
}

/// One delivery, with each attempt.
#[utoipa::path(get, path = "/deliveries/{id}", tag = "operations", params(("id" = String, Path, description = "The delivery")),
    responses((status = 200, description = "With its attempts", body = WholeDelivery), ReadErrors))]
async fn read_delivery(call: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<Json<WholeDelivery>, Problem> {
    call.caller.require(READERS)?;
    let mut tx = call.app.db.read().await?;
    let delivery = outbox::by_id(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("delivery"))?;
    let attempts = outbox::attempts(&mut tx, call.clinic(), id).await?;
    let attempts_made = attempts.into_iter().map(AttemptBody::from).collect();
    Ok(Json(WholeDelivery { delivery: DeliveryBody::from(delivery), attempts_made }))
}

/// Sends a parked or waiting delivery again, now.
#[utoipa::path(post, path = "/deliveries/{id}/retry", tag = "operations", params(("id" = String, Path, description = "The delivery")),
    responses((status = 200, description = "It is pending, and due now", body = DeliveryBody), WriteErrors))]
async fn retry_delivery(call: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<Json<DeliveryBody>, Problem> {
    call.caller.require(&[Role::Admin, Role::CareManager])?;
    let now = call.app.clock.now();
    let mut tx = call.app.db.begin("delivery_retry").await?;
    let delivery = outbox::by_id(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("delivery"))?;
    if !outbox::retry(&mut tx, call.clinic(), id, now).await? {
        return Err(Problem::conflict(format!(
            "the delivery is {}: there is nothing to send",
            delivery.state.as_str()
        )));
    }
    outbox::wake(&mut tx, call.clinic(), delivery.patient_id, now).await?;
    let delivery = outbox::by_id(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("delivery"))?;
    tx.commit().await?;
    call.app.outbox.notify_one();
    Ok(Json(DeliveryBody::from(delivery)))
}

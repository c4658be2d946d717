//! `GET webhook-deliveries`, `GET webhook-deliveries/{id}`, `POST webhook-deliveries/{id}/retry`

use axum::Json;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, RequestContext, StrictQuery};
use crate::identity::Role;
use crate::journal::events::EventPosition;
use crate::problem::Problem;
use crate::store::webhook::{self, WebhookAttempt, WebhookDelivery};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_webhook_deliveries))
        .routes(routes!(read_webhook_delivery))
        .routes(routes!(retry_webhook_delivery))
}

/// How a webhook's delivery stands.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum WebhookState {
    /// Waits for its next attempt.
    Pending,
    /// Taken by the receiver.
    Delivered,
    /// Refused for good, or not taken at the end of the schedule: a person has to look.
    Parked,
}

impl WebhookState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Parked => "parked",
        }
    }
}

/// Filter for deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WebhookDeliveriesQuery {
    /// Only this webhook, by its configured name.
    webhook: Option<String>,
    /// Only this state.
    state: Option<WebhookState>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// An event for a webhook.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookDeliveryBody {
    /// Our id, and the `webhook-id` it is sent with.
    id: Uuid,
    /// The webhook.
    webhook: String,
    /// The id of the event in the stream of events.
    event: String,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// `pending`, `delivered` or `parked`.
    state: String,
    /// Attempts that count towards the schedule.
    attempts: i32,
    /// When it is tried next, while pending.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Last error.
    last_error: Option<String>,
    /// When it was first to be sent.
    created_at: DateTime<Utc>,
    /// When it changed last.
    updated_at: DateTime<Utc>,
}

impl From<&WebhookDelivery> for WebhookDeliveryBody {
    fn from(d: &WebhookDelivery) -> Self {
        Self {
            id: d.id,
            webhook: d.webhook.clone(),
            event: EventPosition { seq: d.seq, part: d.part }.to_string(),
            kind: d.kind.clone(),
            state: d.state.clone(),
            attempts: d.attempts,
            next_attempt_at: (d.state == "pending").then_some(d.next_attempt_at),
            last_error: d.last_error.clone(),
            created_at: d.created_at,
            updated_at: d.updated_at,
        }
    }
}

/// A delivery with what is sent and everything that was tried.
#[derive(Debug, Serialize, ToSchema)]
struct WholeWebhookDelivery {
    #[serde(flatten)]
    delivery: WebhookDeliveryBody,
    /// Body that is sent.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
    /// Why nothing is sent to this webhook any more, if so.
    webhook_disabled: Option<String>,
    /// Every attempt, in order.
    attempts_made: Vec<WebhookAttemptBody>,
}

/// One attempt to tell a webhook.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookAttemptBody {
    /// Instant.
    at: DateTime<Utc>,
    /// Outcome: `delivered`, `refused`, `outcome_unknown` or `not_sent`.
    outcome: String,
    /// The status of the answer.
    http_status: Option<i16>,
    /// More about it.
    detail: Option<String>,
    /// How long it took.
    milliseconds: i32,
}

impl From<WebhookAttempt> for WebhookAttemptBody {
    fn from(a: WebhookAttempt) -> Self {
        Self {
            at: a.at,
            outcome: a.outcome,
            http_status: a.http_status,
            detail: a.detail,
            milliseconds: a.milliseconds,
        }
    }
}

/// Deliveries to the configured webhooks.
#[utoipa::path(get, path = "/webhook-deliveries", tag = "operations", params(WebhookDeliveriesQuery),
    responses((status = 200, description = "In order of id", body = Page<WebhookDeliveryBody>), ReadErrors))]
async fn list_webhook_deliveries(
    call: RequestContext,
    StrictQuery(query): StrictQuery<WebhookDeliveriesQuery>,
) -> Result<Json<Page<WebhookDeliveryBody>>, Problem> {
    call.caller.require(&[Role::Admin])?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, after) = (paging.limit()?, paging.after()?);
    let narrowed = (query.webhook.as_deref(), query.state.map(WebhookState::as_str));
    let mut tx = call.app.db.read().await?;
    let rows = webhook::page(&mut tx, call.clinic(), narrowed, after, limit + 1).await?;
    Ok(Json(page(rows, limit, |d| d.id, |d| WebhookDeliveryBody::from(&d))))
}

/// One delivery, with what is sent and each attempt.
#[utoipa::path(get, path = "/webhook-deliveries/{id}", tag = "operations",
    params(("id" = String, Path, description = "The delivery")),
    responses((status = 200, description = "With its attempts", body = WholeWebhookDelivery), ReadErrors))]
async fn read_webhook_delivery(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
) -> Result<Json<WholeWebhookDelivery>, Problem> {
    call.caller.require(&[Role::Admin])?;
    let mut tx = call.app.db.read().await?;
    let found = webhook::find(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("delivery"))?;
    let attempts = webhook::attempts(&mut tx, call.clinic(), id).await?;
    let cursor = webhook::cursor(&mut tx, call.clinic(), &found.webhook).await?;
    Ok(Json(WholeWebhookDelivery {
        delivery: WebhookDeliveryBody::from(&found),
        body: RawValue::from_string(found.body).map_err(|_| Problem::internal("a stored event cannot be read"))?,
        webhook_disabled: cursor.and_then(|cursor| cursor.disabled),
        attempts_made: attempts.into_iter().map(WebhookAttemptBody::from).collect(),
    }))
}

/// Sends a delivery again, now, whatever became of it; a webhook that was stopped by a 410 goes on.
#[utoipa::path(post, path = "/webhook-deliveries/{id}/retry", tag = "operations",
    params(("id" = String, Path, description = "The delivery")),
    responses((status = 200, description = "It is pending, and due now", body = WebhookDeliveryBody), WriteErrors))]
async fn retry_webhook_delivery(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
) -> Result<Json<WebhookDeliveryBody>, Problem> {
    call.caller.require(&[Role::Admin])?;
    let mut tx = call.app.db.begin("webhook_retry").await?;
    let again = webhook::retry(&mut tx, call.clinic(), id, call.app.clock.now()).await?;
    let found = webhook::find(&mut tx, call.clinic(), id).await?.filter(|_| again);
    tx.commit().await?;
    let found = found.ok_or_else(|| Problem::not_found("delivery"))?;
    Ok(Json(WebhookDeliveryBody::from(&found)))
}

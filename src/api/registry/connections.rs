//! `GET connections` and `POST connections/{name}/sync`

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::page::Page;
use crate::api::request::{READERS, RequestContext};
use crate::fhir::notification::Notification;
use crate::identity::Role;
use crate::intake::connection::Connection;
use crate::problem::Problem;
use crate::store::connection::subscription::{self, SubscriptionRecord};
use crate::store::connection::{self, Watermark, hint};

/// How many resources that cannot be had are named.
const NAMED: i64 = 50;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_connections)).routes(routes!(sync_connection))
}

/// One EHR that we are connected to.
#[derive(Debug, Serialize, ToSchema)]
struct ConnectionView {
    /// Name.
    name: String,
    /// Scheme, host and port of its base.
    origin: String,
    /// How often it is swept, in seconds; 0 is never.
    period_s: u64,
    /// When the next sweep is due.
    due_at: Option<DateTime<Utc>>,
    /// Whether a replica is working on it now.
    busy: bool,
    /// `none`, `fixed`, `held` (a valid token is cached) or `wanted` (a token is requested when needed).
    token: &'static str,
    /// Progress of each resource type.
    types: Vec<SweepStatus>,
    /// Resources that are said to have changed and have not been fetched yet.
    waiting: i64,
    /// Since when the oldest of them waits, or of those that cannot be had.
    waiting_since: Option<DateTime<Utc>>,
    /// How many resources cannot be had or read.
    in_vain: i64,
    /// A sample of them.
    unreadable: Vec<UnreadableResource>,
    /// The Subscriptions that have sent us something, and those that we made.
    subscriptions: Vec<SubscriptionView>,
}

/// Progress of fetching one resource type.
#[derive(Debug, Serialize, ToSchema)]
struct SweepStatus {
    /// The FHIR type; `Patient/_history` is the look for what was deleted.
    r#type: String,
    /// Every change before this time has been fetched (the server's clock).
    watermark: Option<DateTime<Utc>>,
    /// The end of the last complete sweep.
    swept_at: Option<DateTime<Utc>>,
    /// Seconds since then.
    lag_s: Option<i64>,
    /// Search strategy: `last_updated`, `last_updated_unsorted`, `everything`, `by_patient`; `history` for deletions.
    way: String,
    /// How many resources came in the last sweep.
    seen: i64,
    /// How many of them changed something.
    taken: i64,
    /// When it last failed, if it did since the last success.
    failed_at: Option<DateTime<Utc>>,
    /// Why, with the EHR's own words.
    last_error: Option<String>,
    /// What the EHR answered to a better search, while a poorer one has to do. Each sweep tries the better one again.
    refusal: Option<String>,
}

/// A resource that cannot be had or read.
#[derive(Debug, Serialize, ToSchema)]
struct UnreadableResource {
    /// `QuestionnaireResponse/123`.
    resource: String,
    /// Reason.
    reason: String,
    /// First occurrence.
    since: DateTime<Utc>,
    /// When it is asked for again.
    next_attempt_at: DateTime<Utc>,
}

/// A Subscription in the EHR.
#[derive(Debug, Serialize, ToSchema)]
struct SubscriptionView {
    /// Id of the Subscription at the server.
    subscription: String,
    /// Whether we made it.
    ours: bool,
    /// Purpose of our Subscription: a type, or a topic's canonical; `topics` if there is no topic to subscribe to.
    purpose: Option<String>,
    /// Its state, as it says; of ours also `refused` and `unanswered`: there is none, and `last_error` says why.
    status: String,
    /// The number of its last event.
    last_event: Option<i64>,
    /// When it last said something.
    heard_at: Option<DateTime<Utc>>,
    /// When it ends, unless it is renewed; of one that is refused, when it is asked for again.
    expires_at: Option<DateTime<Utc>>,
    /// Last error.
    last_error: Option<String>,
}

impl SweepStatus {
    fn at(mark: Watermark, now: DateTime<Utc>) -> Self {
        Self {
            lag_s: mark.swept_at.map(|at| (now - at).num_seconds()),
            r#type: mark.kind,
            watermark: mark.watermark,
            swept_at: mark.swept_at,
            way: mark.way,
            seen: mark.seen,
            taken: mark.taken,
            failed_at: mark.failed_at,
            last_error: mark.last_error,
            refusal: mark.refusal,
        }
    }
}

impl From<SubscriptionRecord> for SubscriptionView {
    fn from(one: SubscriptionRecord) -> Self {
        Self {
            subscription: one.subscription,
            ours: one.purpose.is_some(),
            purpose: one.purpose,
            status: one.status,
            last_event: one.last_event,
            heard_at: one.heard_at,
            expires_at: one.expires_at,
            last_error: one.last_error,
        }
    }
}

/// The EHRs that this clinic is connected to: how far they are fetched, what waits, what is wrong.
#[utoipa::path(get, path = "/connections", tag = "operations",
    responses((status = 200, description = "In the order of the configuration", body = Page<ConnectionView>), ReadErrors))]
async fn list_connections(call: RequestContext) -> Result<Json<Page<ConnectionView>>, Problem> {
    call.caller.require(READERS)?;
    let mut items = Vec::new();
    for connection in call.app.connections.iter().filter(|connection| connection.clinic == call.clinic()) {
        items.push(view(&call, connection).await?);
    }
    Ok(Json(Page { items, next: None }))
}

async fn view(call: &RequestContext, connection: &Connection) -> Result<ConnectionView, Problem> {
    let (of, now) = (connection.of(), call.app.clock.now());
    let mut tx = call.app.db.read().await?;
    let row = connection::due(&mut tx, of).await?;
    let (waiting, in_vain, waiting_since) = hint::waiting(&mut tx, of).await?;
    let unreadable = hint::failures(&mut tx, of, NAMED).await?.into_iter().map(|hint| UnreadableResource {
        resource: format!("{}/{}", hint.kind, hint.resource_id),
        reason: hint.last_error.unwrap_or_default(),
        since: hint.heard_at,
        next_attempt_at: hint.next_attempt_at,
    });
    Ok(ConnectionView {
        name: connection.name().to_owned(),
        origin: connection.ehr.http().base().origin().ascii_serialization(),
        period_s: connection.settings.poll.period.as_secs(),
        due_at: row.map(|(due, _)| due),
        busy: row.and_then(|(_, until)| until).is_some_and(|until| until > now),
        token: connection.ehr.http().credentials().state(),
        types: connection::watermarks(&mut tx, of).await?.into_iter().map(|mark| SweepStatus::at(mark, now)).collect(),
        waiting,
        waiting_since,
        in_vain,
        unreadable: unreadable.collect(),
        subscriptions: subscription::all(&mut tx, of).await?.into_iter().map(SubscriptionView::from).collect(),
    })
}

/// Sweeps an EHR as soon as possible.
#[utoipa::path(post, path = "/connections/{name}/sync", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`")),
    responses((status = 202, description = "It will be done"), WriteErrors))]
async fn sync_connection(call: RequestContext, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    call.caller.require(&[Role::Admin, Role::CareManager])?;
    let theirs =
        |connection: &&std::sync::Arc<Connection>| connection.clinic == call.clinic() && connection.name() == name;
    let connection = call.app.connections.iter().find(theirs).ok_or_else(|| Problem::not_found("connection"))?;
    let look = Notification { look_again: true, ..Notification::default() };
    call.app.intake.hear(connection, &look).await?;
    Ok(StatusCode::ACCEPTED)
}

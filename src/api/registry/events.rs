//! `GET events`

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::identity::bearer;
use crate::journal::events::{self, EventFilter, EventPosition, JournalEvent};
use crate::journal::{Listener, SealedHeads, TooMany};
use crate::limits::{CLINIC_STREAMS, PERSON_STREAMS};
use crate::listener::ShutdownSignal;
use crate::problem::{Category, Problem};
use crate::store::journal;

/// Interval of keep-alive messages, so that no proxy closes the stream, and of token checks.
const BEAT: Duration = Duration::from_secs(15);
/// How long a client should wait before it comes back.
const RETRY: Duration = Duration::from_secs(3);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

/// Filter for events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only these, with commas between; `safety.*` for all that begin so.
    types: Option<String>,
    /// Start after the event with this id; 0 for all events. `Last-Event-ID` takes precedence.
    after: Option<String>,
}

/// Live events of the clinic: server-sent events with ids and codes, no names and no scores.
///
/// `event` is the type, `data` a JSON object `{"id", "type", "at", "patient", "episode", "subject", "changes"}`. Types:
/// `patient.recorded`, `measurement.recorded`, `measurement.retracted`, `episode.enrolled`, `episode.referred`,
/// `episode.amended`, `episode.discharged`, one `….recorded` for each kind of entry of the care team (`contact.recorded`,
/// `case_review.recorded`, …), one `task.…_in_chart` or `flag.…_in_chart` for each status that a person sets in the chart
/// (`task.completed_in_chart`, `task.deleted_in_chart`, …), `standing.changed`, `safety.opened`, `safety.closed`,
/// `plan.changed`, `delivery.written`, `delivery.parked`, `delivery.closed_in_chart`, `delivery.lost_in_chart`, `quarantine.added`, `resource.created`, `resource.updated`,
/// `resource.deleted`, `rule_set.proposed`, `rule_set.activated`, `staffing.attested`, `api_key.created`, `api_key.revoked`.
///
/// A client that reconnects with `Last-Event-ID` misses nothing and receives nothing twice. An id that is not of this
/// stream is answered with a `reset` event: read what you need again, then continue from there. Without an id the
/// stream starts now. It ends when the token expires or the service stops.
#[utoipa::path(get, path = "/events", tag = "operations",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen")),
    responses((status = 200, description = "Goes on for ever", content_type = "text/event-stream", body = String),
        (status = 429, description = "Too many streams of this person or clinic are open"), ReadErrors))]
async fn stream_events(
    call: RequestContext,
    headers: HeaderMap,
    stopping: Option<Extension<ShutdownSignal>>,
    session: Option<Extension<StreamAdmission>>,
    StrictQuery(query): StrictQuery<EventsQuery>,
) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    let names = query.types.as_deref().map(|types| types.split(','));
    let wanted =
        names.map_or(Ok(EventFilter::default()), EventFilter::new).map_err(|e| Problem::malformed(e).at("types"))?;
    let asked = query.after.as_deref().map(str::parse::<EventPosition>).transpose();
    let asked = asked.map_err(|e| Problem::malformed(e).at("after"))?;
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().parse::<EventPosition>().ok());
    let place = call.app.journal.listen(call.clinic(), &call.caller.subject).map_err(|full| {
        let detail = match full {
            TooMany::OfThePerson => format!("you have {PERSON_STREAMS} event streams open already"),
            TooMany::OfTheClinic => format!("{CLINIC_STREAMS} event streams of this clinic are open already"),
        };
        Problem::new(Category::RateLimited, detail)
    })?;

    let heads = call.app.journal.heads();
    let mut tx = call.app.db.read().await?;
    let head = journal::head(&mut tx, call.clinic()).await?.map_or(0, |head| head.seq);
    drop(tx);
    let mut ready = VecDeque::from([Event::default().retry(RETRY).comment("welcome")]);
    let at = match last.unwrap_or(asked.or(Some(EventPosition::whole(head)))) {
        Some(mark) if mark.seq <= head => mark,
        _ => {
            ready.push_back(reset(head));
            EventPosition::whole(head)
        }
    };
    let mut beat = interval_at(tokio::time::Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = stopping.map(|Extension(stopping)| stopping);
    let clinic = call.clinic().to_owned();
    let admission = match session {
        Some(Extension(session)) => session,
        None => token_admission(&call.app, bearer(&headers)?),
    };
    let stream = Stream { app: call.app, clinic, admission, at, wanted, heads, stopping, ready, beat, _place: place };
    let events = unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    // nginx buffers answers unless this header forbids it.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events)).into_response())
}

/// Whether whoever opened a stream may still listen; asked at every beat. Who is signed in to the pages has no token:
/// they bring one of their own along.
#[derive(Clone)]
pub struct StreamAdmission(Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>);

impl StreamAdmission {
    /// Asks this each time.
    pub fn new(call: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    async fn holds(&self) -> bool {
        (self.0)().await
    }
}

fn token_admission(app: &App, token: &str) -> StreamAdmission {
    let (verifier, token) = (Arc::clone(&app.verifier), token.to_owned());
    StreamAdmission::new(move || {
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        Box::pin(async move { verifier.verify(&token).await.is_ok() })
    })
}

fn reset(head: i64) -> Event {
    Event::default().event("reset").id(head.to_string()).data(format!("{{\"id\":\"{head}\"}}"))
}

fn event(told: &JournalEvent) -> Event {
    let data = serde_json::to_string(told).unwrap_or_default();
    Event::default().event(&told.kind).id(told.id.to_string()).data(data)
}

/// One listener. Nothing is kept for them but how far they are: a slow one costs nothing.
struct Stream {
    app: App,
    clinic: String,
    admission: StreamAdmission,
    at: EventPosition,
    wanted: EventFilter,
    heads: watch::Receiver<SealedHeads>,
    stopping: Option<ShutdownSignal>,
    ready: VecDeque<Event>,
    beat: Interval,
    _place: Listener,
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.stopping.as_ref().is_some_and(ShutdownSignal::has_begun) {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let head = self.heads.borrow_and_update().get(&self.clinic).copied().unwrap_or(0);
            if self.at.is_before(head) {
                // A client that is cut off here reconnects with its last id.
                self.read(head).await.ok()?;
                continue;
            }
            let stopping = self.stopping.as_mut();
            let stopped = async move {
                match stopping {
                    Some(stopping) => stopping.begun().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopped => return None,
                changed = self.heads.changed() => changed.ok()?,
                _ = self.beat.tick() => {
                    if !self.admission.holds().await {
                        return None;
                    }
                    return Some(Event::default().comment(""));
                }
            }
        }
    }

    async fn read(&mut self, head: i64) -> Result<(), Problem> {
        let mut tx = self.app.db.read().await?;
        let (told, reached) = events::after(&mut tx, &self.clinic, self.at, head, &self.wanted).await?;
        self.ready.extend(told.iter().map(event));
        self.at = reached;
        Ok(())
    }
}

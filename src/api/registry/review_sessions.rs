//! `POST review-sessions`, `GET review-sessions`, `GET review-sessions/{id}`, `POST review-sessions/{id}/close`

use axum::Json;
use axum::response::Response;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::episodes::PatientName;
use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, RequiredText, StrictQuery, parse_id, plausible, words};
use crate::domain::attention::QueueEntry;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{DeferredItem, close_session, fold_item, open_session};
use crate::store::review_session::{self, AgendaItem, Review, ReviewSession};
use crate::store::rule_set;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_sessions, open))
        .routes(routes!(read_session))
        .routes(routes!(close))
        .routes(routes!(change_agenda))
}

/// Roles that may hold or prepare a session.
const HOLDERS: &[Role] = &[Role::PsychiatricConsultant, Role::CareManager];

/// A session of a consultant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSession {
    /// The local date; at most a day ahead.
    held_on: NaiveDate,
    /// The psychiatric consultant, as episodes name them.
    consultant: RequiredText,
    /// Only patients of this care manager; everybody's without it.
    care_manager: Option<RequiredText>,
    /// How long it is planned for; the rules' minutes without it. At 8 minutes a patient it says how many fit.
    planned_minutes: Option<u16>,
    /// How many patients are on the agenda, whatever fits the planned minutes.
    size: Option<u16>,
    /// Free text about the session; about patients write in their reviews.
    note: Option<RequiredText>,
}

/// Body for closing a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SessionClosing {
    /// Deferred items. Items that were neither reviewed nor deferred count as not reached.
    #[serde(default)]
    deferred: Vec<NewDeferral>,
}

/// A patient who is put off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDeferral {
    /// The episode, as the agenda has it.
    episode: String,
    /// Reason.
    reason: RequiredText,
}

/// A weekly review session.
#[derive(Debug, Serialize, ToSchema)]
struct SessionBody {
    /// Id in this registry.
    id: Uuid,
    /// Date in the clinic's time zone.
    held_on: NaiveDate,
    /// The psychiatric consultant.
    consultant: String,
    /// Care manager whose patients it covers; `null` for all patients.
    care_manager: Option<String>,
    /// Note.
    note: Option<String>,
    /// When it was opened, and its agenda drawn.
    opened_at: DateTime<Utc>,
    /// Person who opened it.
    opened_by: String,
    /// When it was closed; `null` while it is open.
    closed_at: Option<DateTime<Utc>>,
    /// Person who closed it.
    closed_by: Option<String>,
}

impl From<ReviewSession> for SessionBody {
    fn from(s: ReviewSession) -> Self {
        Self {
            id: s.id,
            held_on: s.held_on,
            consultant: s.consultant,
            care_manager: s.care_manager,
            note: s.note,
            opened_at: s.opened_at,
            opened_by: s.opened_by,
            closed_at: s.closed_at,
            closed_by: s.closed_by,
        }
    }
}

/// State of an agenda item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ItemState {
    /// The session is open, and it was not reviewed yet.
    Waiting,
    /// A case review of this session stands.
    Reviewed,
    /// Put off, with a reason.
    Deferred,
    /// Folded below the agenda: beyond its size, or there only because a review is overdue.
    Folded,
    /// The session was closed before.
    NotReached,
}

/// An item of the agenda, as the queue had it when the session was opened.
#[derive(Debug, Serialize, ToSchema)]
struct ItemBody {
    /// 1 is discussed first.
    position: i32,
    /// The episode.
    episode: EpisodeId,
    /// The patient.
    patient: PatientName,
    /// State of the item.
    state: ItemState,
    /// The case review that answers it; the latest of several.
    review: Option<Uuid>,
    /// Why it was put off.
    deferred_because: Option<String>,
    /// Its place in the queue, and why.
    #[serde(flatten)]
    waiting: QueueEntry,
}

/// A patient who was reviewed and not on the agenda.
#[derive(Debug, Serialize, ToSchema)]
struct UnplannedReview {
    /// The episode.
    episode: EpisodeId,
    /// The patient.
    patient: PatientName,
    /// The case review.
    review: Uuid,
}

/// A session with its agenda.
#[derive(Debug, Serialize, ToSchema)]
struct WholeSession {
    #[serde(flatten)]
    session: SessionBody,
    /// The queue as it was when the session was opened, with the state of each item.
    agenda: Vec<ItemBody>,
    /// Reviewed in this session without being on its agenda.
    added: Vec<UnplannedReview>,
}

fn name(id: PatientId, display_name: Option<String>, reference: String) -> PatientName {
    PatientName { id, display_name: display_name.unwrap_or_else(|| reference.clone()), reference }
}

impl ItemBody {
    fn of(item: AgendaItem, reviews: &[Review], closed: bool) -> Self {
        let review = reviews.iter().rev().find(|review| review.episode_id == item.episode_id).map(|r| r.review_id);
        let state = match (review, &item.deferred_because) {
            (Some(_), _) => ItemState::Reviewed,
            (None, Some(_)) => ItemState::Deferred,
            (None, None) if item.body.0.folded => ItemState::Folded,
            (None, None) if closed => ItemState::NotReached,
            (None, None) => ItemState::Waiting,
        };
        Self {
            position: item.position,
            episode: item.episode_id,
            patient: name(item.patient_id, item.display_name, item.reference),
            state,
            review,
            deferred_because: item.deferred_because,
            waiting: item.body.0,
        }
    }
}

async fn whole(call: &RequestContext, id: Uuid) -> Result<WholeSession, Problem> {
    let mut tx = call.app.db.read().await?;
    let found = review_session::find(&mut tx, call.clinic(), id).await?;
    let session = found.ok_or_else(|| Problem::not_found("review session"))?;
    let agenda = review_session::agenda(&mut tx, call.clinic(), id).await?;
    let reviews = review_session::reviews(&mut tx, call.clinic(), id).await?;
    drop(tx);
    let planned: Vec<EpisodeId> = agenda.iter().map(|item| item.episode_id).collect();
    let closed = session.closed_at.is_some();
    let agenda = agenda.into_iter().map(|item| ItemBody::of(item, &reviews, closed)).collect();
    let added =
        reviews.into_iter().filter(|review| !planned.contains(&review.episode_id)).map(|review| UnplannedReview {
            episode: review.episode_id,
            patient: name(review.patient_id, review.display_name, review.reference),
            review: review.review_id,
        });
    Ok(WholeSession { added: added.collect(), session: session.into(), agenda })
}

/// Opens a review session. Its agenda is the review queue at this moment and stays as it was: the patients of its
/// consultant and those without one, in R15's order, each with its reasons.
///
/// A case review says which session it was part of. Fidelity counts reviews, not sessions: a meeting proves nothing.
#[utoipa::path(post, path = "/review-sessions", tag = "review", request_body = NewSession,
    responses((status = 201, description = "Opened, with its agenda", body = WholeSession), WriteErrors))]
async fn open(call: RequestContext, JsonBody(new): JsonBody<NewSession>) -> Result<Response, Problem> {
    call.caller.require(HOLDERS)?;
    if !plausible(new.held_on) || new.held_on > call.today() + Days::new(1) {
        return Err(Problem::unprocessable("a date from 1900 to tomorrow").at("held_on"));
    }
    let session = ReviewSession {
        id: call.id(0),
        held_on: new.held_on,
        consultant: new.consultant.0,
        care_manager: words(new.care_manager),
        note: words(new.note),
        opened_at: call.app.clock.now(),
        opened_by: call.caller.subject.clone(),
        closed_at: None,
        closed_by: None,
    };
    let rules = rule_set::active(&mut call.app.db.read().await?, call.clinic()).await?.review_sessions;
    let minutes = new.planned_minutes.unwrap_or(rules.planned_minutes);
    if !(1..=480).contains(&minutes) {
        return Err(Problem::unprocessable("1 to 480 minutes").at("planned_minutes"));
    }
    let size = usize::from(new.size.unwrap_or_else(|| rules.size(minutes)));
    open_session(&call.app.db, call.clinic(), &session, size).await?;
    let location = format!("/api/v1/review-sessions/{}", session.id);
    Ok(created(Some(location), None, whole(&call, session.id).await?))
}

/// Filter and page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SessionsQuery {
    /// Only of this consultant.
    consultant: Option<RequiredText>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// The clinic's review sessions, the latest first.
#[utoipa::path(get, path = "/review-sessions", tag = "review", params(SessionsQuery),
    responses((status = 200, description = "Latest first", body = Page<SessionBody>), ReadErrors))]
async fn list_sessions(
    call: RequestContext,
    StrictQuery(query): StrictQuery<SessionsQuery>,
) -> Result<Json<Page<SessionBody>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, after) = (paging.limit()?, paging.after()?);
    let consultant = words(query.consultant);
    let mut tx = call.app.db.read().await?;
    let rows = review_session::page(&mut tx, call.clinic(), consultant.as_deref(), after, limit + 1).await?;
    Ok(Json(page(rows, limit, |s| (s.held_on, s.id), SessionBody::from)))
}

/// Reads a session with its agenda and the state of each item.
#[utoipa::path(get, path = "/review-sessions/{id}", tag = "review",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "With its agenda", body = WholeSession), ReadErrors))]
async fn read_session(call: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<Json<WholeSession>, Problem> {
    call.caller.require(READERS)?;
    Ok(Json(whole(&call, id).await?))
}

/// Who is taken onto the agenda, or off it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgendaChange {
    /// The episode, as the agenda has it.
    episode: String,
    /// Folded below the agenda, or not.
    folded: bool,
}

/// Takes somebody onto the agenda of an open session by hand, or off it.
#[utoipa::path(post, path = "/review-sessions/{id}/agenda", tag = "review",
    params(("id" = String, Path, description = "The session")), request_body = AgendaChange,
    responses((status = 200, description = "The session as it is now", body = WholeSession), WriteErrors))]
async fn change_agenda(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(change): JsonBody<AgendaChange>,
) -> Result<Json<WholeSession>, Problem> {
    call.caller.require(HOLDERS)?;
    let absent = |_| Problem::unprocessable("not on the agenda of this session").at("episode");
    let episode = parse_id(&change.episode).map_err(absent)?;
    fold_item(&call.app.db, call.clinic(), id, episode, change.folded).await?;
    Ok(Json(whole(&call, id).await?))
}

/// Closes a session: it takes no more reviews.
#[utoipa::path(post, path = "/review-sessions/{id}/close", tag = "review",
    params(("id" = String, Path, description = "The session")), request_body = SessionClosing,
    responses((status = 200, description = "Closed", body = WholeSession), WriteErrors))]
async fn close(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(closing): JsonBody<SessionClosing>,
) -> Result<Json<WholeSession>, Problem> {
    call.caller.require(HOLDERS)?;
    let mut deferred = Vec::with_capacity(closing.deferred.len());
    for (n, one) in closing.deferred.into_iter().enumerate() {
        let absent =
            |_| Problem::unprocessable("not on the agenda of this session").at(format!("deferred[{n}].episode"));
        deferred.push(DeferredItem { episode: parse_id(&one.episode).map_err(absent)?, reason: one.reason.0 });
    }
    let (db, now) = (&call.app.db, call.app.clock.now());
    close_session(db, call.clinic(), &call.caller.subject, id, &deferred, now).await?;
    Ok(Json(whole(&call, id).await?))
}

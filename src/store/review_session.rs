//! Weekly review sessions: their agenda as it was, and the case reviews that were part of them.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, event_log, failed};
use crate::domain::attention::QueueEntry;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ReviewSession {
    pub id: Uuid,
    pub held_on: NaiveDate,
    pub consultant: String,
    pub care_manager: Option<String>,
    pub note: Option<String>,
    pub opened_at: DateTime<Utc>,
    pub opened_by: String,
    pub closed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
}

/// Adds a session. `false` if it is there already.
pub async fn insert(tx: &mut WriteTx, clinic: &str, s: &ReviewSession) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO review_session (clinic_id, id, held_on, consultant, care_manager, note, opened_at, opened_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        clinic,
        s.id,
        s.held_on,
        &s.consultant,
        &s.care_manager,
        &s.note,
        s.opened_at,
        &s.opened_by
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Adds an item to the agenda of a session.
pub async fn put_item(
    tx: &mut WriteTx,
    clinic: &str,
    session: Uuid,
    position: i32,
    episode: EpisodeId,
    waiting: &QueueEntry,
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO review_session_item (clinic_id, session_id, position, episode_id, body) VALUES ($1, $2, $3, $4, $5)",
        clinic,
        session,
        position,
        episode,
        Json(waiting)
    )
    .map(|_| ())
    .map_err(failed)
}

/// Writes what an item of an agenda says anew.
pub async fn rewrite_item(
    tx: &mut WriteTx,
    clinic: &str,
    session: Uuid,
    episode: EpisodeId,
    entry: &QueueEntry,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE review_session_item SET body = $4 WHERE clinic_id = $1 AND session_id = $2 AND episode_id = $3",
        clinic,
        session,
        episode,
        Json(entry)
    )
    .map(|_| ())
    .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<ReviewSession>, Problem> {
    fetch_optional!(
        tx,
        ReviewSession,
        "SELECT id, held_on, consultant, care_manager, note, opened_at, opened_by, closed_at, closed_by
         FROM review_session WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .map_err(failed)
}

/// A page of a clinic's sessions, the latest first; of one consultant, where one is named.
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    consultant: Option<&str>,
    after: Option<(NaiveDate, Uuid)>,
    limit: i64,
) -> Result<Vec<ReviewSession>, Problem> {
    let (held_on, id) = after.unzip();
    fetch_all!(
        tx,
        ReviewSession,
        "SELECT id, held_on, consultant, care_manager, note, opened_at, opened_by, closed_at, closed_by
         FROM review_session WHERE clinic_id = $1 AND ($2 IS NULL OR consultant = $2)
           AND ($3 IS NULL OR held_on < $3 OR (held_on = $3 AND id < $4))
         ORDER BY held_on DESC, id DESC LIMIT $5",
        clinic,
        consultant,
        held_on,
        id,
        limit
    )
    .map_err(failed)
}

/// An item of an agenda, with whose episode it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AgendaItem {
    pub position: i32,
    pub episode_id: EpisodeId,
    pub patient_id: PatientId,
    pub reference: String,
    pub display_name: Option<String>,
    pub body: Json<QueueEntry>,
    pub deferred_because: Option<String>,
}

/// The agenda of a session, in order.
pub async fn agenda(tx: &mut ReadTx, clinic: &str, session: Uuid) -> Result<Vec<AgendaItem>, Problem> {
    fetch_all!(
        tx,
        AgendaItem,
        "SELECT i.position, i.episode_id, p.id AS patient_id, p.reference, p.display_name, i.body, i.deferred_because
         FROM review_session_item i
           JOIN episode e ON e.clinic_id = i.clinic_id AND e.id = i.episode_id
           JOIN patient p ON p.clinic_id = e.clinic_id AND p.id = e.patient_id
         WHERE i.clinic_id = $1 AND i.session_id = $2 ORDER BY i.position",
        clinic,
        session
    )
    .inspect(|rows| note(rows.iter().map(|row| row.patient_id)))
    .map_err(failed)
}

/// A case review that was entered as part of a session.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Review {
    pub review_id: Uuid,
    pub episode_id: EpisodeId,
    pub patient_id: PatientId,
    pub reference: String,
    pub display_name: Option<String>,
}

/// The case reviews of a session that stand, in order of entry: none that was taken back.
pub async fn reviews(tx: &mut ReadTx, clinic: &str, session: Uuid) -> Result<Vec<Review>, Problem> {
    let mut standing = Vec::new();
    for review in entered(tx, clinic, session).await? {
        if !event_log::taken_back(tx, clinic, review.patient_id).await?.contains(&review.review_id) {
            standing.push(review);
        }
    }
    Ok(standing)
}

async fn entered(tx: &mut ReadTx, clinic: &str, session: Uuid) -> Result<Vec<Review>, Problem> {
    fetch_all!(
        tx,
        Review,
        "SELECT r.review_id, r.episode_id, p.id AS patient_id, p.reference, p.display_name
         FROM review_session_review r
           JOIN episode e ON e.clinic_id = r.clinic_id AND e.id = r.episode_id
           JOIN patient p ON p.clinic_id = e.clinic_id AND p.id = e.patient_id
         WHERE r.clinic_id = $1 AND r.session_id = $2 ORDER BY r.review_id",
        clinic,
        session
    )
    .inspect(|rows| note(rows.iter().map(|row| row.patient_id)))
    .map_err(failed)
}

/// A case review that is part of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionReview {
    pub session: Uuid,
    pub review: Uuid,
    pub episode: EpisodeId,
}

static JOIN: LazyLock<Texts> = LazyLock::new(|| {
    Texts::values("INSERT INTO review_session_review (clinic_id, session_id, review_id, episode_id)", 3, "")
});

/// Lets case reviews be part of sessions.
pub async fn join_all(tx: &mut WriteTx, clinic: &str, joined: &[SessionReview]) -> Result<(), Problem> {
    execute_rows!(tx, JOIN, clinic, joined, |j| j.session, j.review, j.episode);
    Ok(())
}

/// Says why an item of the agenda was put off. `false` if the episode is not on it.
pub async fn defer(
    tx: &mut WriteTx,
    clinic: &str,
    session: Uuid,
    episode: EpisodeId,
    because: &str,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE review_session_item SET deferred_because = $4 WHERE clinic_id = $1 AND session_id = $2 AND episode_id = $3",
        clinic,
        session,
        episode,
        because
    )
    .map(|n| n > 0)
    .map_err(failed)
}

/// Closes a session. `false` if there is none of that id that is open.
pub async fn close(tx: &mut WriteTx, clinic: &str, id: Uuid, by: &str, now: DateTime<Utc>) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE review_session SET closed_at = $3, closed_by = $4 WHERE clinic_id = $1 AND id = $2 AND closed_at IS NULL",
        clinic,
        id,
        now,
        by
    )
    .map(|n| n == 1)
    .map_err(failed)
}

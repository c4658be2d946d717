//! Weekly review sessions: opened with the queue as it stands, and closed. Nobody's story changes by them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::journal_lines::of_clinic;
use crate::domain::attention::{LAST_IN_QUEUE, QueueEntry, agenda};
use crate::domain::standing::Standing;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::review_session::ReviewSession;
use crate::store::standing::{self, AttentionKey, StandingFilter};
use crate::store::{Db, ReadTx, review_session};

/// How many rows of the queue are read at once.
const SOME: i64 = 500;

/// An item of the agenda that is put off, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredItem {
    pub episode: EpisodeId,
    pub reason: String,
}

/// Takes somebody onto the agenda of an open session by hand, or off it.
///
/// # Errors
/// `NotFound`; `Conflict` when the session is closed; `Unprocessable` for an episode that the queue did not have.
pub async fn fold_item(db: &Db, clinic: &str, id: Uuid, episode: EpisodeId, folded: bool) -> Result<(), Problem> {
    let mut tx = db.begin("review_session_fold").await?;
    let found = review_session::find(&mut tx, clinic, id).await?;
    let session = found.ok_or_else(|| Problem::not_found("review session"))?;
    if session.closed_at.is_some() {
        return Err(Problem::conflict("the review session is closed"));
    }
    let items = review_session::agenda(&mut tx, clinic, id).await?;
    let Some(item) = items.into_iter().find(|item| item.episode_id == episode) else {
        return Err(Problem::unprocessable("not on the agenda of this session").at("episode"));
    };
    let entry = QueueEntry { folded, ..item.body.0 };
    review_session::rewrite_item(&mut tx, clinic, id, episode, &entry).await?;
    tx.commit().await
}

/// Opens a session with the review queue as its agenda, `size` of it unfolded: the patients of its care manager where it names one, of its
/// consultant and of none. The same id again changes nothing.
///
/// # Errors
/// When the database does not answer: nothing was stored.
pub async fn open_session(db: &Db, clinic: &str, session: &ReviewSession, size: usize) -> Result<(), Problem> {
    let mut tx = db.begin("review_session_open").await?;
    if review_session::insert(&mut tx, clinic, session).await? {
        let mut position = 0;
        for (episode, waiting) in agenda(queue(&mut tx, clinic, session).await?, size) {
            position += 1;
            review_session::put_item(&mut tx, clinic, session.id, position, episode, &waiting).await?;
        }
        let subject = format!("review-session/{}", session.id);
        of_clinic(&mut tx, clinic, &session.opened_by, session.opened_at, "review_session.opened", subject).await?;
    }
    tx.commit().await
}

async fn queue(
    tx: &mut ReadTx,
    clinic: &str,
    session: &ReviewSession,
) -> Result<Vec<(EpisodeId, QueueEntry)>, Problem> {
    let filter = StandingFilter { care_manager: session.care_manager.clone(), ..StandingFilter::default() };
    let (mut agenda, mut after): (_, Option<AttentionKey>) = (Vec::new(), None);
    loop {
        let rows = standing::by_attention(tx, clinic, &filter, Some(LAST_IN_QUEUE), after, SOME).await?;
        let Some(last) = rows.last() else { return Ok(agenda) };
        after = Some(last.attention_key());
        for row in rows {
            if row.psychiatric_consultant.as_ref().is_some_and(|of| *of != session.consultant) {
                continue;
            }
            let unreadable = |_| Problem::internal("a stored standing cannot be read; replan the clinic");
            let standing: Standing = serde_json::from_str(row.body.0.get()).map_err(unreadable)?;
            agenda.extend(QueueEntry::of(&standing).map(|waiting| (row.episode_id, waiting)));
        }
    }
}

/// Closes a session: what was neither reviewed nor put off was not reached.
///
/// # Errors
/// `NotFound`; `Conflict` when it is closed; `Unprocessable` for an episode that is not on the agenda, or that was
/// reviewed. Nothing was stored then.
pub async fn close_session(
    db: &Db,
    clinic: &str,
    by: &str,
    id: Uuid,
    deferred: &[DeferredItem],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let mut tx = db.begin("review_session_close").await?;
    review_session::find(&mut tx, clinic, id).await?.ok_or_else(|| Problem::not_found("review session"))?;
    if !review_session::close(&mut tx, clinic, id, by, now).await? {
        return Err(Problem::conflict("the review session is closed"));
    }
    let reviewed = review_session::reviews(&mut tx, clinic, id).await?;
    for (n, one) in deferred.iter().enumerate() {
        let at = || format!("deferred[{n}].episode");
        if reviewed.iter().any(|review| review.episode_id == one.episode) {
            return Err(Problem::unprocessable("was reviewed in this session").at(at()));
        }
        if !review_session::defer(&mut tx, clinic, id, one.episode, &one.reason).await? {
            return Err(Problem::unprocessable("not on the agenda of this session").at(at()));
        }
    }
    of_clinic(&mut tx, clinic, by, now, "review_session.closed", format!("review-session/{id}")).await?;
    tx.commit().await
}

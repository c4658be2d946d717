//! Answers to requests that carried an `Idempotency-Key`.

use chrono::{DateTime, Utc};

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// The status of a key whose request was committed, and whose answer was not stored yet.
pub const COMMITTED: i16 = 0;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Answered {
    /// Digest of the request, so that a key is not used for another one.
    pub request: String,
    /// The HTTP status.
    pub status: i16,
    /// The body.
    pub body: String,
}

/// What was answered under a key.
pub async fn find(tx: &mut ReadTx, clinic: &str, key: &str) -> Result<Option<Answered>, Problem> {
    fetch_optional!(
        tx,
        Answered,
        "SELECT request, status, body FROM idempotency WHERE clinic_id = $1 AND key = $2",
        clinic,
        key
    )
    .map_err(failed)
}

/// Remembers an answer. `false` if the key is taken.
pub async fn insert(
    tx: &mut WriteTx,
    clinic: &str,
    key: &str,
    answer: &Answered,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO idempotency (clinic_id, key, request, status, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        clinic,
        key,
        &answer.request,
        answer.status,
        &answer.body,
        now
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Takes a key for something that may happen only once and has no answer to remember. `false` if it is taken.
pub async fn take(tx: &mut ReadTx, clinic: &str, key: &str, now: DateTime<Utc>) -> Result<bool, Problem> {
    let nothing = Answered { request: String::new(), status: COMMITTED, body: String::new() };
    insert(tx, clinic, key, &nothing, now).await
}

/// Stores the answer of a key, unless it has one already. `false` if it has.
pub async fn finish(
    tx: &mut WriteTx,
    clinic: &str,
    key: &str,
    answer: &Answered,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO idempotency (clinic_id, key, request, status, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (clinic_id, key) DO UPDATE SET status = $4, body = $5
           WHERE idempotency.status = 0 AND idempotency.request = $3",
        clinic,
        key,
        &answer.request,
        answer.status,
        &answer.body,
        now
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Forgets what was answered before an instant.
pub async fn forget(tx: &mut WriteTx, before: DateTime<Utc>) -> Result<u64, Problem> {
    execute!(tx, "DELETE FROM idempotency WHERE created_at < $1", before).map_err(failed)
}

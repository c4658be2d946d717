//! Answers to requests that carried an `Idempotency-Key`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// The status of a key whose request was committed, and whose answer was not stored yet.
pub const COMMITTED: i16 = 0;

/// The stored answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredAnswer {
    /// Digest of the request, so that a key is not used for another one.
    pub request: String,
    pub status: i16,
    pub body: String,
}

/// The answer stored under a key.
pub async fn find(tx: &mut ReadTx, clinic: &str, key: &str) -> Result<Option<StoredAnswer>, Problem> {
    fetch_optional!(
        tx,
        StoredAnswer,
        "SELECT request, status, body FROM idempotency WHERE clinic_id = $1 AND key = $2",
        clinic,
        key
    )
    .map_err(failed)
}

static EACH: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list("SELECT key, request, status, body FROM idempotency WHERE clinic_id = $1 AND key IN", 2, "")
});

/// What was answered under each of these keys, where anything was.
pub async fn find_each(tx: &mut ReadTx, clinic: &str, keys: &[String]) -> Result<Vec<(String, StoredAnswer)>, Problem> {
    let rows = fetch_listed!(tx, (String, String, i16, String), EACH, keys, clinic);
    Ok(rows.into_iter().map(|(key, request, status, body)| (key, StoredAnswer { request, status, body })).collect())
}

static INSERT: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO idempotency (clinic_id, key, request, status, body, created_at)";
    Texts::values(head, 5, "ON CONFLICT DO NOTHING")
});

/// Remembers answers under their keys. `false` if one of the keys is taken: then not all of them are remembered.
pub async fn insert_all(
    tx: &mut WriteTx,
    clinic: &str,
    answers: &[(&str, &StoredAnswer)],
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let stored = execute_rows!(tx, INSERT, clinic, answers, |a| a.0, &a.1.request, a.1.status, &a.1.body, now);
    Ok(usize::try_from(stored).is_ok_and(|stored| stored == answers.len()))
}

/// Remembers an answer. `false` if the key is taken.
pub async fn insert(
    tx: &mut WriteTx,
    clinic: &str,
    key: &str,
    answer: &StoredAnswer,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    insert_all(tx, clinic, &[(key, answer)], now).await
}

/// Takes a key for something that may happen only once and has no answer to remember. `false` if it is taken.
pub async fn take(tx: &mut WriteTx, clinic: &str, key: &str, now: DateTime<Utc>) -> Result<bool, Problem> {
    let nothing = StoredAnswer { request: String::new(), status: COMMITTED, body: String::new() };
    insert(tx, clinic, key, &nothing, now).await
}

/// Stores the answer of a key, unless it has one already. `false` if it has.
pub async fn finish(
    tx: &mut WriteTx,
    clinic: &str,
    key: &str,
    answer: &StoredAnswer,
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

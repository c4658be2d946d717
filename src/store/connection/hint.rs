//! Resources that an EHR reported as changed and that are not fetched yet, or could not be read.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::ConnectionKey;
use crate::problem::Problem;
use crate::store::{ReadTx, WriteTx, failed};

/// A resource to fetch.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct FetchHint {
    #[sqlx(rename = "type")]
    pub kind: String,
    pub resource_id: String,
    pub heard_at: DateTime<Utc>,
    pub wanted: i64,
    pub attempts: i32,
    pub next_attempt_at: DateTime<Utc>,
    pub last_error: Option<String>,
}

/// Rows of one statement; `SQLite` binds up to 32,766 values.
const ROWS: usize = 500;

/// These resources (type and id, each once) are said to have changed.
pub async fn hear(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    changed: &[(&str, &str)],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    for rows in changed.chunks(ROWS) {
        on!(tx, |conn| {
            let mut insert = QueryBuilder::new(
                "INSERT INTO connection_hint
                   (clinic_id, connection, type, resource_id, heard_at, wanted, attempts, next_attempt_at) ",
            );
            insert.push_values(rows, |mut row, (kind, id)| {
                row.push_bind(of.clinic).push_bind(of.connection).push_bind(*kind).push_bind(*id);
                row.push_bind(now).push("1").push("0").push_bind(now);
            });
            insert.push(
                " ON CONFLICT (clinic_id, connection, type, resource_id) DO UPDATE SET
                   wanted = connection_hint.wanted + 1, attempts = 0, next_attempt_at = excluded.next_attempt_at",
            );
            // Of any number of rows: not worth a place among the prepared statements.
            insert.build().persistent(false).execute(conn).await.map(|_| ())
        })
        .map_err(failed)?;
    }
    Ok(())
}

/// A resource was fetched and cannot be read, for this reason: it is tried again at `next`.
pub async fn keep_unread(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    kind: &str,
    id: &str,
    why: &str,
    (now, next): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection_hint
           (clinic_id, connection, type, resource_id, heard_at, wanted, attempts, next_attempt_at, last_error)
         VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $7)
         ON CONFLICT (clinic_id, connection, type, resource_id) DO UPDATE SET
           attempts = connection_hint.attempts + 1, next_attempt_at = $6, last_error = $7",
        of.clinic,
        of.connection,
        kind,
        id,
        now,
        next,
        why
    )
    .map(|_| ())
    .map_err(failed)
}

/// Hints due now, longest waiting first.
pub async fn due(
    tx: &mut ReadTx,
    of: ConnectionKey<'_>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<FetchHint>, Problem> {
    fetch_all!(
        tx,
        FetchHint,
        "SELECT type, resource_id, heard_at, wanted, attempts, next_attempt_at, last_error FROM connection_hint
         WHERE clinic_id = $1 AND connection = $2 AND next_attempt_at <= $3 ORDER BY next_attempt_at LIMIT $4",
        of.clinic,
        of.connection,
        now,
        limit
    )
    .map_err(failed)
}

/// Removes a hint after its resource was recorded, unless it was reported again meanwhile.
pub async fn settle(tx: &mut WriteTx, of: ConnectionKey<'_>, hint: &FetchHint) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM connection_hint
         WHERE clinic_id = $1 AND connection = $2 AND type = $3 AND resource_id = $4 AND wanted = $5",
        of.clinic,
        of.connection,
        &hint.kind,
        &hint.resource_id,
        hint.wanted
    )
    .map(|_| ())
    .map_err(failed)
}

/// A resource that could not be read was read: nothing waits for it.
pub async fn was_read(tx: &mut WriteTx, of: ConnectionKey<'_>, kind: &str, id: &str) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM connection_hint
         WHERE clinic_id = $1 AND connection = $2 AND type = $3 AND resource_id = $4 AND last_error IS NOT NULL",
        of.clinic,
        of.connection,
        kind,
        id
    )
    .map(|_| ())
    .map_err(failed)
}

/// Postpones a hint whose resource could not be fetched.
pub async fn postpone(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    hint: &FetchHint,
    why: &str,
    next: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE connection_hint SET attempts = attempts + 1, next_attempt_at = $6, last_error = $7
         WHERE clinic_id = $1 AND connection = $2 AND type = $3 AND resource_id = $4 AND wanted = $5",
        of.clinic,
        of.connection,
        &hint.kind,
        &hint.resource_id,
        hint.wanted,
        next,
        why
    )
    .map(|_| ())
    .map_err(failed)
}

/// How many wait to be fetched for the first time, how many were tried in vain, and since when the oldest waits.
pub async fn waiting(tx: &mut ReadTx, of: ConnectionKey<'_>) -> Result<(i64, i64, Option<DateTime<Utc>>), Problem> {
    fetch_optional!(
        tx,
        (i64, i64, Option<DateTime<Utc>>),
        "SELECT COUNT(*) - COUNT(last_error), COUNT(last_error), MIN(heard_at) FROM connection_hint
         WHERE clinic_id = $1 AND connection = $2",
        of.clinic,
        of.connection
    )
    .map(Option::unwrap_or_default)
    .map_err(failed)
}

/// When the next is due.
pub async fn next_due(tx: &mut ReadTx, of: ConnectionKey<'_>) -> Result<Option<DateTime<Utc>>, Problem> {
    fetch_optional!(
        tx,
        (Option<DateTime<Utc>>,),
        "SELECT MIN(next_attempt_at) FROM connection_hint WHERE clinic_id = $1 AND connection = $2",
        of.clinic,
        of.connection
    )
    .map(|row| row.and_then(|(at,)| at))
    .map_err(failed)
}

/// Hints that failed, oldest first.
pub async fn failures(tx: &mut ReadTx, of: ConnectionKey<'_>, limit: i64) -> Result<Vec<FetchHint>, Problem> {
    fetch_all!(
        tx,
        FetchHint,
        "SELECT type, resource_id, heard_at, wanted, attempts, next_attempt_at, last_error FROM connection_hint
         WHERE clinic_id = $1 AND connection = $2 AND last_error IS NOT NULL ORDER BY heard_at LIMIT $3",
        of.clinic,
        of.connection,
        limit
    )
    .map_err(failed)
}

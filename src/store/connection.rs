//! The EHRs we are connected to: who fetches now, and how far each type has been fetched.

pub mod export;
pub mod hint;
pub mod subscription;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// A connection that is ours for a while.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ConnectionClaim {
    /// Counts the calls to look again.
    pub wanted: i64,
    pub lease_token: Option<Uuid>,
}

/// One connection of a clinic, by its name: what every function here is about.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionKey<'a> {
    pub clinic: &'a str,
    pub connection: &'a str,
}

/// Registers a connection; due at once if it is new.
pub async fn register(tx: &mut WriteTx, of: ConnectionKey<'_>, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection (clinic_id, name, due_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        of.clinic,
        of.connection,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Marks the connection due now, because something changed there.
pub async fn look_again(tx: &mut WriteTx, of: ConnectionKey<'_>, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection (clinic_id, name, due_at, wanted) VALUES ($1, $2, $3, 1)
         ON CONFLICT (clinic_id, name) DO UPDATE SET wanted = connection.wanted + 1,
           due_at = CASE WHEN connection.due_at < $3 THEN connection.due_at ELSE $3 END",
        of.clinic,
        of.connection,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Claims a free connection.
pub async fn claim(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    token: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<ConnectionClaim>, Problem> {
    returning_optional!(
        tx,
        ConnectionClaim,
        "UPDATE connection SET lease_token = $3, lease_until = $5
         WHERE clinic_id = $1 AND name = $2 AND (lease_until IS NULL OR lease_until <= $4)
         RETURNING wanted, lease_token",
        of.clinic,
        of.connection,
        token,
        now,
        until
    )
    .map_err(failed)
}

/// Prolongs a lease. `false` when it was lost.
pub async fn prolong(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    token: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE connection SET lease_until = $4 WHERE clinic_id = $1 AND name = $2 AND lease_token = $3",
        of.clinic,
        of.connection,
        token,
        until
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Gives a connection back, due again at `due`, or at `soon` where somebody asked meanwhile.
pub async fn give_back(
    tx: &mut WriteTx,
    of: ConnectionKey<'_>,
    claimed: &ConnectionClaim,
    soon: DateTime<Utc>,
    due: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE connection SET lease_token = NULL, lease_until = NULL,
           due_at = CASE WHEN wanted = $4 THEN $6 ELSE $5 END
         WHERE clinic_id = $1 AND name = $2 AND lease_token = $3",
        of.clinic,
        of.connection,
        claimed.lease_token,
        claimed.wanted,
        soon,
        due
    )
    .map(|_| ())
    .map_err(failed)
}

/// When a connection is due, and until when somebody holds it.
pub async fn due(
    tx: &mut ReadTx,
    of: ConnectionKey<'_>,
) -> Result<Option<(DateTime<Utc>, Option<DateTime<Utc>>)>, Problem> {
    fetch_optional!(
        tx,
        (DateTime<Utc>, Option<DateTime<Utc>>),
        "SELECT due_at, lease_until FROM connection WHERE clinic_id = $1 AND name = $2",
        of.clinic,
        of.connection
    )
    .map_err(failed)
}

/// Progress of fetching one resource type.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Watermark {
    #[sqlx(rename = "type")]
    pub kind: String,
    pub watermark: Option<DateTime<Utc>>,
    pub way: String,
    pub way_since: DateTime<Utc>,
    pub swept_at: Option<DateTime<Utc>>,
    pub taken: i64,
    pub seen: i64,
    pub failed_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub refusal: Option<String>,
}

impl Watermark {
    /// Of a type that was never swept.
    pub fn new(kind: impl Into<String>, watermark: Option<DateTime<Utc>>, way: &str, now: DateTime<Utc>) -> Self {
        Self {
            kind: kind.into(),
            watermark,
            way: way.to_owned(),
            way_since: now,
            swept_at: None,
            taken: 0,
            seen: 0,
            failed_at: None,
            last_error: None,
            refusal: None,
        }
    }
}

/// Types that could not be fetched when it was last tried, or only in a poorer way: the connection's name, the type, and
/// the end of the last complete sweep. Of every clinic, at most so many.
pub async fn failing_sweeps(
    tx: &mut ReadTx,
    limit: i64,
) -> Result<Vec<(String, String, Option<DateTime<Utc>>)>, Problem> {
    fetch_all!(
        tx,
        (String, String, Option<DateTime<Utc>>),
        "SELECT connection, type, swept_at FROM connection_watermark
         WHERE refusal IS NOT NULL OR (failed_at IS NOT NULL AND (swept_at IS NULL OR swept_at < failed_at))
         ORDER BY clinic_id, connection, type LIMIT $1",
        limit
    )
    .map_err(failed)
}

/// Progress of every resource type that was ever fetched.
pub async fn watermarks(tx: &mut ReadTx, of: ConnectionKey<'_>) -> Result<Vec<Watermark>, Problem> {
    fetch_all!(
        tx,
        Watermark,
        "SELECT type, watermark, way, way_since, swept_at, taken, seen, failed_at, last_error, refusal
         FROM connection_watermark
         WHERE clinic_id = $1 AND connection = $2 ORDER BY type",
        of.clinic,
        of.connection
    )
    .map_err(failed)
}

/// Writes how far a type has been fetched. A watermark never moves back.
pub async fn put_watermark(tx: &mut WriteTx, of: ConnectionKey<'_>, mark: &Watermark) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection_watermark
           (clinic_id, connection, type, watermark, way, way_since, swept_at, taken, seen, failed_at, last_error, refusal)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (clinic_id, connection, type) DO UPDATE SET
           watermark = CASE WHEN connection_watermark.watermark > $4 THEN connection_watermark.watermark
             ELSE COALESCE($4, connection_watermark.watermark) END,
           way = $5, way_since = $6, swept_at = $7, taken = $8, seen = $9, failed_at = $10, last_error = $11,
           refusal = $12",
        of.clinic,
        of.connection,
        &mark.kind,
        mark.watermark,
        &mark.way,
        mark.way_since,
        mark.swept_at,
        mark.taken,
        mark.seen,
        mark.failed_at,
        &mark.last_error,
        &mark.refusal
    )
    .map(|_| ())
    .map_err(failed)
}

/// Patients in somebody's care, as the chart names them, after an id, in order of id.
pub async fn followed(
    tx: &mut ReadTx,
    clinic: &str,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<(Uuid, String)>, Problem> {
    fetch_all!(
        tx,
        (Uuid, String),
        "SELECT id, reference FROM patient
         WHERE clinic_id = $1 AND id > $2 AND has_care AND merged_into IS NULL AND reference LIKE 'Patient/%'
         ORDER BY id LIMIT $3",
        clinic,
        after.unwrap_or_default(),
        limit
    )
    .map_err(failed)
}

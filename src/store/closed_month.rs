//! Months whose metrics were reported. Rows are added, never changed.

use chrono::{DateTime, NaiveDate, Utc};

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// One version of a closed month.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ClosedMonth {
    pub month: NaiveDate,
    pub version: i32,
    pub rule_set: i32,
    pub body: String,
    pub digest: String,
    pub reason: Option<String>,
    pub closed_at: DateTime<Utc>,
    pub closed_by: String,
}

/// Adds a version. `false` if there is one of that number.
pub async fn insert(tx: &mut WriteTx, clinic: &str, closed: &ClosedMonth) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO closed_month (clinic_id, month, version, rule_set, body, digest, reason, closed_at, closed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        clinic,
        closed.month,
        closed.version,
        closed.rule_set,
        &closed.body,
        &closed.digest,
        &closed.reason,
        closed.closed_at,
        &closed.closed_by
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Every version of a month, oldest first.
pub async fn versions(tx: &mut ReadTx, clinic: &str, month: NaiveDate) -> Result<Vec<ClosedMonth>, Problem> {
    fetch_all!(
        tx,
        ClosedMonth,
        "SELECT month, version, rule_set, body, digest, reason, closed_at, closed_by
         FROM closed_month WHERE clinic_id = $1 AND month = $2 ORDER BY version",
        clinic,
        month
    )
    .map_err(failed)
}

/// The last version of a month; `None` while it is open.
pub async fn latest(tx: &mut ReadTx, clinic: &str, month: NaiveDate) -> Result<Option<ClosedMonth>, Problem> {
    fetch_optional!(
        tx,
        ClosedMonth,
        "SELECT month, version, rule_set, body, digest, reason, closed_at, closed_by
         FROM closed_month WHERE clinic_id = $1 AND month = $2 ORDER BY version DESC LIMIT 1",
        clinic,
        month
    )
    .map_err(failed)
}

/// Whether a month is closed.
pub async fn is_closed(tx: &mut ReadTx, clinic: &str, month: NaiveDate) -> Result<bool, Problem> {
    fetch_optional!(
        tx,
        (i32,),
        "SELECT version FROM closed_month WHERE clinic_id = $1 AND month = $2 AND version = 1",
        clinic,
        month
    )
    .map(|row| row.is_some())
    .map_err(failed)
}

//! Last known state of our resources in the chart.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Delivery, DeliveryState, wake};
use crate::domain::read_back::Drift;
use crate::domain::task::ChartResource;
use crate::problem::Problem;
use crate::store::connection::ConnectionKey;
use crate::store::{ReadTx, WriteTx, failed};

/// The delivery behind a resource of the chart; `None` where that is not ours.
pub async fn by_chart_id(
    tx: &mut ReadTx,
    clinic: &str,
    resource: ChartResource,
    chart_id: &str,
) -> Result<Option<Delivery>, Problem> {
    fetch_optional!(
        tx,
        Delivery,
        concat!("SELECT ", columns!(),
            " FROM delivery
         WHERE clinic_id = $1 AND chart_id = $2 AND resource = $3 AND COALESCE(rung, 'task-and-flag') = 'task-and-flag'"),
        clinic,
        chart_id,
        resource.as_str()
    )
    .map_err(failed)
}

/// Locks a delivery against concurrent settling, and records that it was read back.
pub async fn look(tx: &mut WriteTx, clinic: &str, id: Uuid, now: DateTime<Utc>) -> Result<Option<Delivery>, Problem> {
    returning_optional!(
        tx,
        Delivery,
        concat!(
            "UPDATE delivery SET chart_seen_at = $3 WHERE clinic_id = $1 AND id = $2
         RETURNING ",
            columns!()
        ),
        clinic,
        id,
        now
    )
    .map_err(failed)
}

/// Result of reading a resource back from the chart.
#[derive(Clone, Debug)]
pub struct ChartNote {
    /// Its status there.
    pub status: Option<String>,
    /// The version that stands there.
    pub version: Option<String>,
    /// When that version was made, by the server's clock.
    pub updated_at: Option<DateTime<Utc>>,
    pub drift: Option<Drift>,
    /// How the delivery stands now.
    pub state: DeliveryState,
    /// Write it again, even if it was settled.
    pub heal: bool,
}

impl Delivery {
    /// As it is once a result of reading back is recorded.
    #[must_use]
    pub fn noted(self, noted: &ChartNote) -> Self {
        Self {
            chart_status: noted.status.clone().or(self.chart_status),
            chart_version: noted.version.clone(),
            chart_updated_at: noted.updated_at.or(self.chart_updated_at),
            drift: noted.drift.map(|drift| drift.as_str().to_owned()),
            state: noted.state,
            settled_revision: if noted.heal { 0 } else { self.settled_revision },
            attempts: if noted.heal { 0 } else { self.attempts },
            heals: self.heals + i32::from(noted.heal),
            ..self
        }
    }
}

/// Records the result of reading back; a pending write wakes the lane.
pub async fn record(
    tx: &mut WriteTx,
    clinic: &str,
    d: &Delivery,
    n: &ChartNote,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE delivery SET chart_status = COALESCE($3, chart_status), chart_version = $4,
           chart_updated_at = COALESCE($5, chart_updated_at), drift = $6, state = $7,
           settled_revision = CASE WHEN $8 THEN 0 ELSE settled_revision END,
           attempts = CASE WHEN $8 THEN 0 ELSE attempts END, heals = CASE WHEN $8 THEN heals + 1 ELSE heals END,
           next_attempt_at = CASE WHEN $8 THEN $9 ELSE next_attempt_at END,
           updated_at = CASE WHEN state <> $7 THEN $9 ELSE updated_at END
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        d.id,
        &n.status,
        &n.version,
        n.updated_at,
        n.drift.map(Drift::as_str),
        n.state.as_str(),
        n.heal,
        now
    )
    .map_err(failed)?;
    if n.state == DeliveryState::Pending && (n.heal || d.state != DeliveryState::Pending) {
        wake(tx, clinic, d.patient_id, now).await?;
    }
    Ok(())
}

/// One of our resources in the chart, to test whether the server can search for them.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Example {
    /// Its id in the chart.
    pub chart_id: String,
    /// When the first of all was planned.
    pub since: DateTime<Utc>,
}

/// The oldest that stands open, else the oldest; `None` while nothing of ours is in the chart.
pub async fn example(tx: &mut ReadTx, clinic: &str, resource: ChartResource) -> Result<Option<Example>, Problem> {
    fetch_optional!(
        tx,
        Example,
        "SELECT chart_id, MIN(created_at) OVER () AS since FROM delivery
         WHERE clinic_id = $1 AND chart_id IS NOT NULL AND resource = $2 AND COALESCE(rung, 'task-and-flag') = 'task-and-flag'
         ORDER BY CASE WHEN posture = 'open' AND state = 'settled' THEN 0 ELSE 1 END, created_at, id LIMIT 1",
        clinic,
        resource.as_str()
    )
    .map_err(failed)
}

/// Items that are open in the chart, or that we closed lately, and that were not read back since: longest ago first.
/// Deleted items are included, because a restored chart may have them again. Items that could not be read wait as
/// hints.
pub async fn unseen(
    tx: &mut ReadTx,
    of: ConnectionKey<'_>,
    since: DateTime<Utc>,
    closed_since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Delivery>, Problem> {
    fetch_all!(
        tx,
        Delivery,
        concat!(
            "SELECT ",
            columns!(),
            " FROM delivery
         WHERE clinic_id = $1 AND chart_id IS NOT NULL AND COALESCE(rung, 'task-and-flag') = 'task-and-flag'
           AND (state IN ('settled', 'parked') OR drift = 'deleted') AND (posture = 'open' OR updated_at > $3)
           AND COALESCE(chart_seen_at, updated_at) <= $2
           AND NOT EXISTS (SELECT 1 FROM connection_hint h WHERE h.clinic_id = delivery.clinic_id AND h.connection = $5
             AND h.type = delivery.resource AND h.resource_id = delivery.chart_id)
         ORDER BY COALESCE(chart_seen_at, updated_at), id LIMIT $4"
        ),
        of.clinic,
        since,
        closed_since,
        limit,
        of.connection
    )
    .map_err(failed)
}

//! Every attempt to write into the chart.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::problem::Problem;
use crate::store::{ReadTx, WriteTx, failed};

/// One attempt to write into the chart.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DeliveryAttempt {
    pub delivery_id: Uuid,
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub revision: i64,
    pub outcome: String,
    pub http_status: Option<i16>,
    pub detail: Option<String>,
    pub milliseconds: i32,
}

pub async fn attempted(tx: &mut WriteTx, clinic: &str, a: &DeliveryAttempt) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO delivery_attempt (clinic_id, delivery_id, id, at, revision, outcome, http_status, detail, milliseconds)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        clinic,
        a.delivery_id,
        a.id,
        a.at,
        a.revision,
        &a.outcome,
        a.http_status,
        &a.detail,
        a.milliseconds
    )
    .map(|_| ())
    .map_err(failed)
}

/// The attempts of a delivery, in order.
pub async fn attempts(tx: &mut ReadTx, clinic: &str, delivery: Uuid) -> Result<Vec<DeliveryAttempt>, Problem> {
    fetch_all!(
        tx,
        DeliveryAttempt,
        "SELECT delivery_id, id, at, revision, outcome, http_status, detail, milliseconds FROM delivery_attempt
         WHERE clinic_id = $1 AND delivery_id = $2 ORDER BY at, id",
        clinic,
        delivery
    )
    .map_err(failed)
}

//! Safety answers, read from the ledger of the chart: ready-made, whoever is enrolled.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::outbox::DeliveryState;
use super::{ReadTx, failed};
use crate::domain::chart_plan::WriteIntent;
use crate::id::PatientId;
use crate::problem::Problem;

/// A Task for an answer that somebody has to assess, or has assessed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SafetyTask {
    pub patient_id: PatientId,
    pub reference: String,
    pub display_name: Option<String>,
    pub id: Uuid,
    pub key: String,
    pub intent: Json<WriteIntent>,
    #[sqlx(try_from = "String")]
    pub state: DeliveryState,
    pub rung: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// The safety Tasks of a clinic that stand open, oldest first; at most `limit`.
pub async fn open(tx: &mut ReadTx, clinic: &str, limit: i64) -> Result<Vec<SafetyTask>, Problem> {
    fetch_all!(
        tx,
        SafetyTask,
        "SELECT d.patient_id, p.reference, p.display_name, d.id, d.key, d.intent, d.state, d.rung, d.created_at
         FROM delivery d JOIN patient p ON p.clinic_id = d.clinic_id AND p.id = d.patient_id
         WHERE d.clinic_id = $1 AND d.code = 'safety-assessment' AND d.posture = 'open'
         ORDER BY d.created_at, d.id LIMIT $2",
        clinic,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|o| o.patient_id)))
    .map_err(failed)
}

/// How many safety Tasks of a clinic stand open.
pub async fn count_open(tx: &mut ReadTx, clinic: &str) -> Result<i64, Problem> {
    let counted = fetch_optional!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM delivery WHERE clinic_id = $1 AND code = 'safety-assessment' AND posture = 'open'",
        clinic
    );
    counted.map(|found| found.map_or(0, |(count,)| count)).map_err(failed)
}

/// The safety Tasks of a clinic that ended with an assessment, latest first.
pub async fn assessed(
    tx: &mut ReadTx,
    clinic: &str,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<SafetyTask>, Problem> {
    let (created_at, id) = before.unzip();
    fetch_all!(
        tx,
        SafetyTask,
        "SELECT d.patient_id, p.reference, p.display_name, d.id, d.key, d.intent, d.state, d.rung, d.created_at
         FROM delivery d JOIN patient p ON p.clinic_id = d.clinic_id AND p.id = d.patient_id
         WHERE d.clinic_id = $1 AND d.code = 'safety-assessment' AND d.posture = 'fulfilled'
           AND ($2 IS NULL OR d.created_at < $2 OR (d.created_at = $2 AND d.id < $3))
         ORDER BY d.created_at DESC, d.id DESC LIMIT $4",
        clinic,
        created_at,
        id,
        limit
    )
    .map_err(failed)
}

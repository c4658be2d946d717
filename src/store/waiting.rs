//! What waits in a clinic for somebody or something, and since when.

use chrono::{DateTime, Utc};

use super::{ReadTx, failed};
use crate::domain::waiting::WaitingKind;
use crate::problem::Problem;

/// How much of it waits, and since when the oldest.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingWork {
    #[sqlx(try_from = "String")]
    pub kind: WaitingKind,
    pub count: i64,
    pub since: Option<DateTime<Utc>>,
}

/// What waits in a clinic; kinds of which nothing waits are there with 0.
pub async fn of_clinic(tx: &mut ReadTx, clinic: &str) -> Result<Vec<WaitingWork>, Problem> {
    fetch_all!(
        tx,
        WaitingWork,
        "SELECT 'safety_answers' AS kind, COUNT(*) AS count, MIN(created_at) AS since
         FROM delivery WHERE clinic_id = $1 AND code = 'safety-assessment' AND posture = 'open'
         UNION ALL
         SELECT 'deliveries', COUNT(*), MIN(updated_at) FROM delivery WHERE clinic_id = $1 AND state = 'pending'
         UNION ALL
         SELECT 'refused_deliveries', COUNT(*), MIN(updated_at) FROM delivery WHERE clinic_id = $1 AND state = 'parked'
         UNION ALL
         SELECT 'quarantine', COUNT(*), MIN(received_at) FROM quarantine WHERE clinic_id = $1
         UNION ALL
         SELECT 'sweeps', COUNT(*), MIN(swept_at) FROM connection_watermark
         WHERE clinic_id = $1 AND failed_at IS NOT NULL AND (swept_at IS NULL OR swept_at < failed_at)",
        clinic
    )
    .map_err(failed)
}

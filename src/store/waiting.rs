//! What waits in the clinics for somebody or something, and since when.

use chrono::{DateTime, Utc};

use super::{ReadTx, failed};
use crate::domain::waiting::WaitingKind;
use crate::problem::Problem;

/// How much of it waits in a clinic, and since when the oldest.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct WaitingWork {
    pub clinic_id: String,
    #[sqlx(try_from = "String")]
    pub kind: WaitingKind,
    pub count: i64,
    pub since: Option<DateTime<Utc>>,
}

/// What waits in all clinics. A clinic or a kind without anything waiting is left out, so thousands of idle clinics cost
/// nothing.
pub async fn of_each_clinic(tx: &mut ReadTx) -> Result<Vec<WaitingWork>, Problem> {
    fetch_all!(
        tx,
        WaitingWork,
        "SELECT clinic_id, 'safety_answers' AS kind, COUNT(*) AS count, MIN(created_at) AS since
         FROM delivery WHERE code = 'safety-assessment' AND posture = 'open' GROUP BY clinic_id
         UNION ALL
         SELECT clinic_id, CASE state WHEN 'pending' THEN 'deliveries' ELSE 'refused_deliveries' END, COUNT(*), MIN(updated_at)
         FROM delivery WHERE state <> 'settled' AND state IN ('pending', 'parked') GROUP BY clinic_id, state
         UNION ALL
         SELECT clinic_id, 'quarantine', COUNT(*), MIN(received_at) FROM quarantine GROUP BY clinic_id
         UNION ALL
         SELECT clinic_id, 'sweeps', COUNT(*), MIN(swept_at) FROM connection_watermark
         WHERE failed_at IS NOT NULL AND (swept_at IS NULL OR swept_at < failed_at) GROUP BY clinic_id"
    )
    .map_err(failed)
}

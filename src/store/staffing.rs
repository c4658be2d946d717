//! Attested full-time equivalents of care managers.

use chrono::{DateTime, NaiveDate, Utc};

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// Staffing attested for a month, by its first day.
pub async fn find(tx: &mut ReadTx, clinic: &str, month: NaiveDate) -> Result<Option<f64>, Problem> {
    fetch_optional!(
        tx,
        (f64,),
        "SELECT care_manager_fte FROM staffing WHERE clinic_id = $1 AND month = $2",
        clinic,
        month
    )
    .map(|row| row.map(|(fte,)| fte))
    .map_err(failed)
}

/// Attests a month, or corrects what was attested.
pub async fn put(
    tx: &mut WriteTx,
    clinic: &str,
    month: NaiveDate,
    fte: f64,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO staffing (clinic_id, month, care_manager_fte, recorded_at, recorded_by) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (clinic_id, month) DO UPDATE SET care_manager_fte = $3, recorded_at = $4, recorded_by = $5",
        clinic,
        month,
        fte,
        now,
        by
    )
    .map(|_| ())
    .map_err(failed)
}

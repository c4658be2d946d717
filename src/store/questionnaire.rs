//! The Questionnaires that a clinic's EHR was asked for.

use chrono::{DateTime, Utc};

use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// Every canonical that was asked for, with the Questionnaire where the EHR has it.
pub async fn all(tx: &mut ReadTx, clinic: &str) -> Result<Vec<(String, Option<String>)>, Problem> {
    fetch_all!(
        tx,
        (String, Option<String>),
        "SELECT canonical, body FROM questionnaire WHERE clinic_id = $1 ORDER BY canonical",
        clinic
    )
    .map_err(failed)
}

/// Stores what came of a question.
pub async fn put(
    tx: &mut WriteTx,
    clinic: &str,
    canonical: &str,
    body: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO questionnaire (clinic_id, canonical, body, asked_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (clinic_id, canonical) DO UPDATE SET body = excluded.body, asked_at = excluded.asked_at",
        clinic,
        canonical,
        body,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

//! What a person said of a resource that does not say itself whose it is or when it was taken.

use chrono::{DateTime, NaiveDate, Utc};

use super::access_trace::note;
use super::{Tx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// The patient and the date that a person gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Completion {
    pub patient_id: Option<PatientId>,
    pub taken_at: Option<DateTime<Utc>>,
    /// The date in the clinic's time zone.
    pub taken_on: Option<NaiveDate>,
}

/// Stores what was said; what is left out stays as it was said before.
pub async fn put(
    tx: &mut Tx,
    clinic: &str,
    (kind, id): (&str, &str),
    said: Completion,
    (by, now): (&str, DateTime<Utc>),
) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO completion (clinic_id, type, resource_id, patient_id, taken_at, taken_on, completed_at, completed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (clinic_id, type, resource_id) DO UPDATE SET
           patient_id = COALESCE(excluded.patient_id, completion.patient_id),
           taken_at = COALESCE(excluded.taken_at, completion.taken_at),
           taken_on = COALESCE(excluded.taken_on, completion.taken_on),
           completed_at = excluded.completed_at, completed_by = excluded.completed_by",
        clinic,
        kind,
        id,
        said.patient_id,
        said.taken_at,
        said.taken_on,
        now,
        by
    )
    .map(|_| ())
    .map_err(failed)
}

pub async fn find(tx: &mut Tx, clinic: &str, (kind, id): (&str, &str)) -> Result<Option<Completion>, Problem> {
    fetch_optional!(
        tx,
        Completion,
        "SELECT patient_id, taken_at, taken_on FROM completion WHERE clinic_id = $1 AND type = $2 AND resource_id = $3",
        clinic,
        kind,
        id
    )
    .inspect(|row| note(row.as_ref().and_then(|said| said.patient_id)))
    .map_err(failed)
}

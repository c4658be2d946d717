//! Resources that were accepted and cannot be used yet.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::access_trace::note;
use super::{Tx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// A resource in quarantine, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct QuarantineRecord {
    pub id: Uuid,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub resource_id: String,
    pub patient_id: Option<PatientId>,
    pub code: String,
    pub detail: String,
    pub received_at: DateTime<Utc>,
}

/// Keeps something back; what was said about the same resource before is replaced.
pub async fn put(tx: &mut Tx, clinic: &str, kept: &QuarantineRecord) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO quarantine (clinic_id, id, type, resource_id, patient_id, code, detail, received_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (clinic_id, id) DO UPDATE SET patient_id = $5, code = $6, detail = $7, received_at = $8",
        clinic,
        kept.id,
        &kept.kind,
        &kept.resource_id,
        kept.patient_id,
        &kept.code,
        &kept.detail,
        kept.received_at
    )
    .map(|_| ())
    .map_err(failed)
}

/// Lets something go.
pub async fn release(tx: &mut Tx, clinic: &str, id: Uuid) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM quarantine WHERE clinic_id = $1 AND id = $2", clinic, id).map(|_| ()).map_err(failed)
}

/// Lets go what only waited for its patient.
pub async fn release_patient(tx: &mut Tx, clinic: &str, patient: PatientId, code: &str) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM quarantine WHERE clinic_id = $1 AND patient_id = $2 AND code = $3", clinic, patient, code)
        .map(|_| ())
        .map_err(failed)
}

pub async fn find(tx: &mut Tx, clinic: &str, id: Uuid) -> Result<Option<QuarantineRecord>, Problem> {
    fetch_optional!(
        tx,
        QuarantineRecord,
        "SELECT id, type, resource_id, patient_id, code, detail, received_at FROM quarantine WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().and_then(|k| k.patient_id)))
    .map_err(failed)
}

/// How many forms of a clinic could not be read. What only waits for its patient was read.
pub async fn count_unreadable(tx: &mut Tx, clinic: &str) -> Result<i64, Problem> {
    let counted = fetch_optional!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM quarantine WHERE clinic_id = $1 AND code <> 'patient_not_seen'",
        clinic
    );
    counted.map(|found| found.map_or(0, |(count,)| count)).map_err(failed)
}

/// Resources that wait for the same reason: the same form or code.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct QuarantineGroup {
    #[sqlx(rename = "type")]
    pub kind: String,
    pub code: String,
    pub detail: String,
    pub count: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// The groups of a clinic, the largest first.
pub async fn groups(tx: &mut Tx, clinic: &str, limit: i64) -> Result<Vec<QuarantineGroup>, Problem> {
    fetch_all!(
        tx,
        QuarantineGroup,
        "SELECT type, code, detail, COUNT(*) AS count, MIN(received_at) AS first_at, MAX(received_at) AS last_at
         FROM quarantine WHERE clinic_id = $1 GROUP BY type, code, detail ORDER BY COUNT(*) DESC, code, detail LIMIT $2",
        clinic,
        limit
    )
    .map_err(failed)
}

/// The ids of a group after an id, in order of id.
pub async fn of_group(
    tx: &mut Tx,
    clinic: &str,
    (code, detail): (&str, &str),
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, Problem> {
    let rows: Result<Vec<(Uuid,)>, _> = fetch_all!(
        tx,
        (Uuid,),
        "SELECT id FROM quarantine WHERE clinic_id = $1 AND code = $2 AND detail = $3 AND id > $4 ORDER BY id LIMIT $5",
        clinic,
        code,
        detail,
        after,
        limit
    );
    rows.map(|rows| rows.into_iter().map(|(id,)| id).collect()).map_err(failed)
}

/// A page after an id, in order of id.
pub async fn page(
    tx: &mut Tx,
    clinic: &str,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<QuarantineRecord>, Problem> {
    fetch_all!(
        tx,
        QuarantineRecord,
        "SELECT id, type, resource_id, patient_id, code, detail, received_at FROM quarantine
         WHERE clinic_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        clinic,
        after.unwrap_or_default(),
        limit
    )
    .inspect(|rows| note(rows.iter().filter_map(|k| k.patient_id)))
    .map_err(failed)
}

//! What arrived in good faith and cannot be used yet.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::shown::note;
use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// Something kept back, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are explained in the migration")]
pub struct Kept {
    pub id: Uuid,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub resource_id: String,
    pub patient_id: Option<Uuid>,
    pub code: String,
    pub detail: String,
    pub received_at: DateTime<Utc>,
}

/// Keeps something back; what was said about the same resource before is replaced.
pub async fn put(tx: &mut WriteTx, clinic: &str, kept: &Kept) -> Result<(), Problem> {
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
pub async fn release(tx: &mut WriteTx, clinic: &str, id: Uuid) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM quarantine WHERE clinic_id = $1 AND id = $2", clinic, id).map(|_| ()).map_err(failed)
}

/// Lets go what only waited for its patient.
pub async fn release_patient(tx: &mut WriteTx, clinic: &str, patient: Uuid, code: &str) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM quarantine WHERE clinic_id = $1 AND patient_id = $2 AND code = $3", clinic, patient, code)
        .map(|_| ())
        .map_err(failed)
}

/// Reads one.
pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<Kept>, Problem> {
    fetch_optional!(
        tx,
        Kept,
        "SELECT id, type, resource_id, patient_id, code, detail, received_at FROM quarantine WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .inspect(|row| note(row.as_ref().and_then(|k| k.patient_id)))
    .map_err(failed)
}

/// A page after an id, in order of id.
pub async fn page(tx: &mut ReadTx, clinic: &str, after: Option<Uuid>, limit: i64) -> Result<Vec<Kept>, Problem> {
    fetch_all!(
        tx,
        Kept,
        "SELECT id, type, resource_id, patient_id, code, detail, received_at FROM quarantine
         WHERE clinic_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        clinic,
        after.unwrap_or_default(),
        limit
    )
    .inspect(|rows| note(rows.iter().filter_map(|k| k.patient_id)))
    .map_err(failed)
}

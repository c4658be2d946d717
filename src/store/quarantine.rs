//! Resources that were accepted and cannot be used yet.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
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

static PUT: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO quarantine (clinic_id, id, type, resource_id, patient_id, code, detail, received_at)";
    let tail = "ON CONFLICT (clinic_id, id) DO UPDATE SET patient_id = excluded.patient_id, code = excluded.code,
        detail = excluded.detail, received_at = excluded.received_at";
    Texts::values(head, 7, tail)
});

/// Keeps things back; what was said about the same resources before is replaced.
pub async fn put_all(tx: &mut WriteTx, clinic: &str, kept: &[&QuarantineRecord]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        PUT,
        clinic,
        kept,
        |k| k.id,
        &k.kind,
        &k.resource_id,
        k.patient_id,
        &k.code,
        &k.detail,
        k.received_at
    );
    Ok(())
}

/// Keeps something back; what was said about the same resource before is replaced.
pub async fn put(tx: &mut WriteTx, clinic: &str, kept: &QuarantineRecord) -> Result<(), Problem> {
    put_all(tx, clinic, &[kept]).await
}

static RELEASE: LazyLock<Texts> =
    LazyLock::new(|| Texts::list("DELETE FROM quarantine WHERE clinic_id = $1 AND id IN", 2, ""));

pub async fn release_all(tx: &mut WriteTx, clinic: &str, ids: &[Uuid]) -> Result<(), Problem> {
    execute_listed!(tx, RELEASE, clinic, ids);
    Ok(())
}

/// Lets something go.
pub async fn release(tx: &mut WriteTx, clinic: &str, id: Uuid) -> Result<(), Problem> {
    release_all(tx, clinic, &[id]).await
}

/// Lets go what only waited for its patient.
pub async fn release_patient(tx: &mut WriteTx, clinic: &str, patient: PatientId, code: &str) -> Result<(), Problem> {
    execute!(tx, "DELETE FROM quarantine WHERE clinic_id = $1 AND patient_id = $2 AND code = $3", clinic, patient, code)
        .map(|_| ())
        .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<QuarantineRecord>, Problem> {
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

/// A page after an id, in order of id.
pub async fn page(
    tx: &mut ReadTx,
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

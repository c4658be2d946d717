//! Resources that were accepted and cannot be used yet.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::access_trace::note;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// The reason of a form whose patient has not arrived yet.
pub const PATIENT_NOT_SEEN: &str = "patient_not_seen";

/// The reason of a form whose patient is on another server.
pub const PATIENT_ELSEWHERE: &str = "patient_elsewhere";

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

impl QuarantineRecord {
    /// Whether it was read, and only its patient is missing.
    pub fn waits_for_patient(&self) -> bool {
        [PATIENT_NOT_SEEN, PATIENT_ELSEWHERE].contains(&self.code.as_str())
    }
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

static RELEASE_PATIENTS: LazyLock<Texts> = LazyLock::new(|| {
    let head = format!(
        "DELETE FROM quarantine WHERE clinic_id = $1 AND code IN ('{PATIENT_NOT_SEEN}', '{PATIENT_ELSEWHERE}') AND patient_id IN"
    );
    Texts::list(&head, 2, "")
});

/// Lets go what only waited for these patients.
pub async fn release_patients(tx: &mut WriteTx, clinic: &str, patients: &[PatientId]) -> Result<(), Problem> {
    execute_listed!(tx, RELEASE_PATIENTS, clinic, patients);
    Ok(())
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

/// How many forms of a clinic could not be read. What only waits for its patient was read.
pub async fn count_unreadable(tx: &mut ReadTx, clinic: &str) -> Result<i64, Problem> {
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
pub async fn groups(tx: &mut ReadTx, clinic: &str, limit: i64) -> Result<Vec<QuarantineGroup>, Problem> {
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
    tx: &mut ReadTx,
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

//! FHIR resources as they came.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{BEGINNING, Tx, failed};
use crate::problem::Problem;

/// A stored resource.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are explained in the migration")]
pub struct Resource {
    #[sqlx(rename = "type")]
    pub kind: String,
    pub id: String,
    pub version: i64,
    pub source_version: Option<String>,
    pub source_updated: Option<DateTime<Utc>>,
    pub patient_id: Option<Uuid>,
    pub deleted: bool,
    pub updated_at: DateTime<Utc>,
    pub body: String,
}

/// Reads one.
pub async fn find(tx: &mut Tx, clinic: &str, kind: &str, id: &str) -> Result<Option<Resource>, Problem> {
    fetch_optional!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND type = $2 AND id = $3",
        clinic,
        kind,
        id
    )
    .map_err(failed)
}

/// Stores a new one. `false` if there is one of that type and id already.
pub async fn insert(tx: &mut Tx, clinic: &str, r: &Resource) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO resource (clinic_id, type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        clinic,
        &r.kind,
        &r.id,
        r.version,
        &r.source_version,
        r.source_updated,
        r.patient_id,
        r.deleted,
        r.updated_at,
        &r.body
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Replaces one.
pub async fn update(tx: &mut Tx, clinic: &str, r: &Resource) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE resource SET version = $4, source_version = $5, source_updated = $6, patient_id = $7, deleted = $8,
           updated_at = $9, body = $10
         WHERE clinic_id = $1 AND type = $2 AND id = $3",
        clinic,
        &r.kind,
        &r.id,
        r.version,
        &r.source_version,
        r.source_updated,
        r.patient_id,
        r.deleted,
        r.updated_at,
        &r.body
    )
    .map(|_| ())
    .map_err(failed)
}

/// Lets a resource be found by a business identifier.
pub async fn add_identifier(tx: &mut Tx, clinic: &str, kind: &str, token: &str, id: &str) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO resource_identifier (clinic_id, type, token, id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        clinic,
        kind,
        token,
        id
    )
    .map(|_| ())
    .map_err(failed)
}

/// Forgets a business identifier of a resource: its new version does not carry it any more.
pub async fn drop_identifier(tx: &mut Tx, clinic: &str, kind: &str, token: &str, id: &str) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM resource_identifier WHERE clinic_id = $1 AND type = $2 AND token = $3 AND id = $4",
        clinic,
        kind,
        token,
        id
    )
    .map(|_| ())
    .map_err(failed)
}

/// Resources that carry a business identifier, not deleted, oldest id first. `token` is `system|value`.
pub async fn by_identifier(tx: &mut Tx, clinic: &str, kind: &str, token: &str) -> Result<Vec<Resource>, Problem> {
    fetch_all!(
        tx,
        Resource,
        "SELECT r.type, r.id, r.version, r.source_version, r.source_updated, r.patient_id, r.deleted, r.updated_at, r.body
         FROM resource_identifier i JOIN resource r ON r.clinic_id = i.clinic_id AND r.type = i.type AND r.id = i.id
         WHERE i.clinic_id = $1 AND i.type = $2 AND i.token = $3 AND NOT r.deleted ORDER BY r.id LIMIT 1000",
        clinic,
        kind,
        token
    )
    .map_err(failed)
}

/// What a search may ask for; everything given must hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Of this patient.
    pub patient: Option<Uuid>,
    /// Changed at or after.
    pub since: Option<DateTime<Utc>>,
    /// Changed before.
    pub until: Option<DateTime<Utc>>,
    /// Goes on after this (instant, id).
    pub after: Option<(DateTime<Utc>, String)>,
    /// At most so many.
    pub limit: i64,
}

/// Resources of a type, not deleted, in order of (change, id).
pub async fn search(tx: &mut Tx, clinic: &str, kind: &str, search: &Search) -> Result<Vec<Resource>, Problem> {
    let since = search.since.unwrap_or(BEGINNING);
    let (after_at, after_id) = search.after.clone().unwrap_or((BEGINNING, String::new()));
    fetch_all!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND type = $2 AND NOT deleted
           AND ($3 IS NULL OR patient_id = $3) AND updated_at >= $4 AND ($5 IS NULL OR updated_at < $5)
           AND (updated_at, id) > ($6, $7)
         ORDER BY updated_at, id LIMIT $8",
        clinic,
        kind,
        search.patient,
        since,
        search.until,
        after_at,
        &after_id,
        search.limit
    )
    .map_err(failed)
}

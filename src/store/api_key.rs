//! Keys for programs that have no tokens of an issuer.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, ReadTx, WriteTx, failed};
use crate::clock::Clock;
use crate::identity::{ApiKey, ApiKeys, Caller, KeyHolder, Role};
use crate::problem::Problem;

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKeyRecord {
    pub id: Uuid,
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub scopes: Option<String>,
    pub digest: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

pub async fn insert(tx: &mut WriteTx, clinic: &str, key: &ApiKeyRecord) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO api_key (clinic_id, id, name, role, scopes, digest, created_at, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        clinic,
        key.id,
        &key.name,
        key.role.as_str(),
        &key.scopes,
        &key.digest,
        key.created_at,
        &key.created_by,
        key.expires_at
    )
    .map(|_| ())
    .map_err(failed)
}

/// The newest of a clinic's keys.
pub async fn list(tx: &mut ReadTx, clinic: &str, limit: i64) -> Result<Vec<ApiKeyRecord>, Problem> {
    fetch_all!(
        tx,
        ApiKeyRecord,
        "SELECT id, name, role, scopes, digest, created_at, created_by, expires_at, revoked_at FROM api_key
         WHERE clinic_id = $1 ORDER BY created_at DESC, id LIMIT $2",
        clinic,
        limit
    )
    .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<ApiKeyRecord>, Problem> {
    fetch_optional!(
        tx,
        ApiKeyRecord,
        "SELECT id, name, role, scopes, digest, created_at, created_by, expires_at, revoked_at FROM api_key
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .map_err(failed)
}

/// Revokes a key; `false` where there is none, or none any more.
pub async fn revoke(tx: &mut WriteTx, clinic: &str, id: Uuid, now: DateTime<Utc>) -> Result<bool, Problem> {
    execute!(
        tx,
        "UPDATE api_key SET revoked_at = $3 WHERE clinic_id = $1 AND id = $2 AND revoked_at IS NULL",
        clinic,
        id,
        now
    )
    .map(|count| count == 1)
    .map_err(failed)
}

/// The keys in the database, for whoever verifies callers.
pub struct StoredApiKeys {
    pub db: Db,
    pub clock: Clock,
}

impl ApiKeys for StoredApiKeys {
    fn holder<'a>(&'a self, key: &'a ApiKey) -> KeyHolder<'a> {
        Box::pin(async move {
            let mut tx = self.db.read().await?;
            let found = find(&mut tx, key.clinic.as_str(), key.id).await?;
            let now = self.clock.now();
            let is_good =
                |found: &ApiKeyRecord| key.is_of(&found.digest) && found.revoked_at.is_none() && now < found.expires_at;
            Ok(found.filter(is_good).map(|found| Caller {
                clinic: key.clinic.clone(),
                subject: format!("api-key:{}", found.name),
                role: found.role,
                scopes: found.scopes,
            }))
        })
    }
}

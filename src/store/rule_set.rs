//! Versions of the clinical thresholds.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::{ReadTx, WriteTx, failed};
use crate::domain::rules::RuleSet;
use crate::problem::Problem;

/// A stored version.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RuleSetRecord {
    pub version: i32,
    pub body: Json<RuleSet>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub activated_at: Option<DateTime<Utc>>,
}

/// The version in force: the one activated last, or the built-in default.
pub async fn active(tx: &mut ReadTx, clinic: &str) -> Result<RuleSet, Problem> {
    let row: Option<(Json<RuleSet>,)> = fetch_optional!(
        tx,
        (Json<RuleSet>,),
        "SELECT body FROM rule_set WHERE clinic_id = $1 AND activated_at IS NOT NULL ORDER BY activated_at DESC, version DESC LIMIT 1",
        clinic
    )
    .map_err(failed)?;
    Ok(row.map(|(body,)| body.0).unwrap_or_default())
}

/// Every version, newest first.
pub async fn all(tx: &mut ReadTx, clinic: &str) -> Result<Vec<RuleSetRecord>, Problem> {
    fetch_all!(
        tx,
        RuleSetRecord,
        "SELECT version, body, created_at, created_by, activated_at FROM rule_set WHERE clinic_id = $1 ORDER BY version DESC",
        clinic
    )
    .map_err(failed)
}

/// Reads one version.
pub async fn find(tx: &mut ReadTx, clinic: &str, version: i32) -> Result<Option<RuleSetRecord>, Problem> {
    fetch_optional!(
        tx,
        RuleSetRecord,
        "SELECT version, body, created_at, created_by, activated_at FROM rule_set WHERE clinic_id = $1 AND version = $2",
        clinic,
        version
    )
    .map_err(failed)
}

/// Adds a version. `false` if that version exists.
pub async fn insert(
    tx: &mut WriteTx,
    clinic: &str,
    rules: &RuleSet,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    execute!(
        tx,
        "INSERT INTO rule_set (clinic_id, version, body, created_at, created_by) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        clinic,
        i32::try_from(rules.version).unwrap_or(i32::MAX),
        Json(rules),
        now,
        by
    )
    .map(|n| n == 1)
    .map_err(failed)
}

/// Puts a version in force. `false` if there is none of that number.
pub async fn activate(
    tx: &mut WriteTx,
    clinic: &str,
    version: i32,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, Problem> {
    let found = execute!(
        tx,
        "UPDATE rule_set SET activated_at = $3 WHERE clinic_id = $1 AND version = $2",
        clinic,
        version,
        now
    )
    .map_err(failed)?;
    if found == 1 {
        execute!(
            tx,
            "INSERT INTO rule_activation (clinic_id, activated_at, version, activated_by) VALUES ($1, $2, $3, $4)",
            clinic,
            now,
            version,
            by
        )
        .map_err(failed)?;
    }
    Ok(found == 1)
}

/// A version was put in force.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RuleSetActivation {
    pub activated_at: DateTime<Utc>,
    pub version: i32,
    pub activated_by: Option<String>,
}

/// Activations of rule sets, oldest first. Before the first one the built-in rule set was in force.
pub async fn activations(tx: &mut ReadTx, clinic: &str) -> Result<Vec<RuleSetActivation>, Problem> {
    fetch_all!(
        tx,
        RuleSetActivation,
        "SELECT activated_at, version, activated_by FROM rule_activation WHERE clinic_id = $1 ORDER BY activated_at",
        clinic
    )
    .map_err(failed)
}

/// The version that was in force at an instant.
pub async fn active_at(tx: &mut ReadTx, clinic: &str, at: DateTime<Utc>) -> Result<RuleSet, Problem> {
    let row: Option<(Json<RuleSet>,)> = fetch_optional!(
        tx,
        (Json<RuleSet>,),
        "SELECT r.body FROM rule_activation a JOIN rule_set r ON r.clinic_id = a.clinic_id AND r.version = a.version
         WHERE a.clinic_id = $1 AND a.activated_at <= $2 ORDER BY a.activated_at DESC LIMIT 1",
        clinic,
        at
    )
    .map_err(failed)?;
    Ok(row.map(|(body,)| body.0).unwrap_or_default())
}

/// The thresholds of a version; 1 is the built-in one.
pub async fn rules(tx: &mut ReadTx, clinic: &str, version: i32) -> Result<Option<RuleSet>, Problem> {
    let stored = find(tx, clinic, version).await?;
    Ok(stored.map(|stored| stored.body.0).or_else(|| (version == 1).then(RuleSet::default)))
}

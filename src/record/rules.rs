//! The thresholds of a clinic: proposed, put in force.

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::rules::RuleSet;
use crate::problem::Problem;
use crate::store::{Db, patient, rule_set};

/// Stores a version that is not in force yet. `false` if there is one of that number.
///
/// # Errors
/// When the database does not answer.
pub async fn propose(db: &Db, clinic: &str, by: &str, rules: &RuleSet, now: DateTime<Utc>) -> Result<bool, Problem> {
    let mut tx = db.begin().await?;
    let stored = rule_set::insert(&mut tx, clinic, rules, by, now).await?;
    tx.commit().await?;
    Ok(stored)
}

/// Puts a version in force and marks everybody of the clinic to be planned anew, in one transaction: if the process
/// ends in the middle of that, the sweep goes on with it. `false` if there is no such version.
///
/// # Errors
/// When the database does not answer: nothing was done.
pub async fn activate(
    db: &Db,
    clinic: &str,
    version: i32,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> Result<bool, Problem> {
    let mut tx = db.begin().await?;
    if !rule_set::activate(&mut tx, clinic, version, now).await? {
        return Ok(false);
    }
    patient::all_due(&mut tx, clinic, today).await?;
    tx.commit().await?;
    Ok(true)
}

/// Attests the care managers of a month, by its first day.
///
/// # Errors
/// When the database does not answer: nothing was stored.
pub async fn attest(
    db: &Db,
    clinic: &str,
    by: &str,
    month: NaiveDate,
    fte: f64,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let mut tx = db.begin().await?;
    crate::store::staffing::put(&mut tx, clinic, month, fte, by, now).await?;
    tx.commit().await
}

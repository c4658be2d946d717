//! The thresholds of a clinic: proposed, put in force.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::journal_lines::of_clinic;
use crate::domain::rules::RuleSet;
use crate::problem::Problem;
use crate::store::{Db, patient, rule_set};

/// Stores a version that is not in force yet. `false` if there is one of that number.
///
/// # Errors
/// When the database does not answer.
pub async fn propose(db: &Db, clinic: &str, by: &str, rules: &RuleSet, now: DateTime<Utc>) -> Result<bool, Problem> {
    let mut tx = db.begin("rule_set_propose").await?;
    let stored = rule_set::insert(&mut tx, clinic, rules, by, now).await?;
    if stored {
        of_clinic(&mut tx, clinic, by, now, "rule_set.proposed", format!("rule-set/{}", rules.version)).await?;
    }
    tx.commit().await?;
    Ok(stored)
}

/// Puts a version in force and marks everybody of the clinic to be planned anew, in one transaction: if the process
/// ends in the middle of that, the sweep goes on with it. `None` if there is no such version; else when it was put in force.
///
/// # Errors
/// When the database does not answer: nothing was done.
pub async fn activate(
    db: &Db,
    clinic: &str,
    by: &str,
    version: i32,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let mut tx = db.begin("rule_set_activate").await?;
    // The latest activation is in force: it must not lie before another one, whatever the clock did.
    let last = rule_set::all(&mut tx, clinic).await?.into_iter().filter_map(|stored| stored.activated_at).max();
    let now = last.map_or(now, |last| now.max(last + TimeDelta::microseconds(1)));
    if !rule_set::activate(&mut tx, clinic, version, by, now).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    patient::all_due(&mut tx, clinic, today).await?;
    of_clinic(&mut tx, clinic, by, now, "rule_set.activated", format!("rule-set/{version}")).await?;
    tx.commit().await?;
    Ok(Some(now))
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
    let mut tx = db.begin("staffing_attest").await?;
    crate::store::staffing::put(&mut tx, clinic, month, fte, by, now).await?;
    of_clinic(&mut tx, clinic, by, now, "staffing.attested", format!("staffing/{}", month.format("%Y-%m"))).await?;
    tx.commit().await
}

//! Closing a month: its metrics are kept as they were reported, and change only by a restatement with a reason.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::journal_lines::of_clinic;
use crate::domain::metrics::{Month, MonthFigures, MonthTallies};
use crate::domain::rules::RuleSet;
use crate::hex;
use crate::problem::Problem;
use crate::store::closed_month::{self, ClosedMonth};
use crate::store::{Db, ReadTx, rule_set, staffing, story};

/// Every figure of a month, from everything known now.
///
/// # Errors
/// When the database does not answer.
pub async fn figures(tx: &mut ReadTx, clinic: &str, month: Month, rules: &RuleSet) -> Result<MonthFigures, Problem> {
    let fte = staffing::find(tx, clinic, month.first).await?;
    let mut tallies = MonthTallies::new(rules, month, fte);
    let mut everybody = story::everybody(clinic);
    while let Some((_, stories)) = everybody.next(tx).await? {
        tallies.count(&stories);
    }
    Ok(tallies.figures())
}

fn sealed(month: Month, version: i32, figures: &MonthFigures, rules: &RuleSet) -> Result<ClosedMonth, Problem> {
    let body = serde_json::to_string(figures).map_err(|_| Problem::internal("figures cannot be written"))?;
    let digest = hex::encode(&Sha256::digest(&body));
    Ok(ClosedMonth {
        month: month.first,
        version,
        rule_set: i32::try_from(rules.version).unwrap_or(i32::MAX),
        body,
        digest,
        reason: None,
        closed_at: DateTime::default(),
        closed_by: String::new(),
    })
}

/// Closes a month under the rules in force. `None` if it is closed already. What is recorded after `now` is late.
///
/// # Errors
/// When the database does not answer: nothing was stored.
pub async fn close(
    db: &Db,
    clinic: &str,
    by: &str,
    month: Month,
    now: DateTime<Utc>,
) -> Result<Option<ClosedMonth>, Problem> {
    let mut tx = db.read().await?;
    if closed_month::is_closed(&mut tx, clinic, month.first).await? {
        return Ok(None);
    }
    let rules = rule_set::active(&mut tx, clinic).await?;
    let figures = figures(&mut tx, clinic, month, &rules).await?;
    drop(tx);
    let closed = ClosedMonth { closed_at: now, closed_by: by.to_owned(), ..sealed(month, 1, &figures, &rules)? };
    store(db, clinic, closed).await
}

/// Result of a restatement.
pub enum RestatementResult {
    As(ClosedMonth),
    /// The month is open.
    NotClosed,
    /// It would say the same.
    Same,
    /// Somebody else restated it at the same time.
    Meanwhile,
}

/// Reports a closed month anew, from everything known now, under the rules it was closed under.
///
/// # Errors
/// When the database does not answer: nothing was stored.
pub async fn restate(
    db: &Db,
    clinic: &str,
    by: &str,
    month: Month,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<RestatementResult, Problem> {
    let mut tx = db.read().await?;
    let Some(last) = closed_month::latest(&mut tx, clinic, month.first).await? else {
        return Ok(RestatementResult::NotClosed);
    };
    let rules = rule_set::rules(&mut tx, clinic, last.rule_set).await?;
    let rules = rules.ok_or_else(|| Problem::internal("the rules that the month was closed under are gone"))?;
    let figures = figures(&mut tx, clinic, month, &rules).await?;
    drop(tx);
    let sealed = sealed(month, last.version + 1, &figures, &rules)?;
    if sealed.digest == last.digest {
        return Ok(RestatementResult::Same);
    }
    let closed = ClosedMonth { reason: Some(reason.to_owned()), closed_at: now, closed_by: by.to_owned(), ..sealed };
    Ok(store(db, clinic, closed).await?.map_or(RestatementResult::Meanwhile, RestatementResult::As))
}

async fn store(db: &Db, clinic: &str, closed: ClosedMonth) -> Result<Option<ClosedMonth>, Problem> {
    let mut tx = db.begin("month_close").await?;
    let stored = closed_month::insert(&mut tx, clinic, &closed).await?;
    if stored {
        let event = if closed.version == 1 { "month.closed" } else { "month.restated" };
        let subject = format!("closed-month/{}/{}", closed.month.format("%Y-%m"), closed.version);
        of_clinic(&mut tx, clinic, &closed.closed_by, closed.closed_at, event, subject).await?;
    }
    tx.commit().await?;
    Ok(stored.then_some(closed))
}

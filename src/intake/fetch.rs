//! Hints: resources that are said to have changed, fetched one by one.

use chrono::TimeDelta;

use super::Intake;
use super::connection::Connection;
use super::readback::LookResult;
use crate::ehr::Failure;
use crate::ehr::retry::{RetryDecision, decide};
use crate::fhir::arrival::ResourceType;
use crate::fhir::searchset::outside;
use crate::fhir::topic::Topic;
use crate::problem::{Category, Problem};
use crate::store::connection::hint::{self, FetchHint};

/// How many are fetched before the lease is looked at.
pub(super) const SOME: i64 = 50;
/// When a resource that the server will not give is asked for again.
const REFUSED: TimeDelta = TimeDelta::hours(1);

impl Intake {
    /// Fetches what is due, at most [`SOME`]; answers how many there were.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub(super) async fn fetch_due(&self, connection: &Connection) -> Result<usize, Problem> {
        let mut tx = self.db.read().await?;
        let due = hint::due(&mut tx, connection.of(), self.clock.now(), SOME).await?;
        drop(tx);
        for hint in &due {
            self.fetch(connection, hint).await?;
        }
        Ok(due.len())
    }

    async fn fetch(&self, connection: &Connection, hint: &FetchHint) -> Result<(), Problem> {
        if let Some(Topic::Ours(resource)) = Topic::of(&hint.kind) {
            return match self.look_at(connection, resource, &hint.resource_id).await? {
                LookResult::Done => self.settle(connection, hint).await,
                LookResult::Unread(why) => self.postpone(connection, hint, &why, UNREADABLE).await,
                LookResult::Failed(failure) => self.fetch_later(connection, hint, &failure).await,
            };
        }
        let outcome = connection.ehr.read_text(&hint.kind, &hint.resource_id).await;
        match outcome {
            Ok(page) => {
                let found = outside(&page.text).filter(|found| found.kind == hint.kind);
                let Some(found) = found else {
                    return self.postpone(connection, hint, "what came is not that resource", UNREADABLE).await;
                };
                let tally = self.take_found(connection, &[&found]).await?;
                if tally.unread > 0 {
                    // The hint stays, with the reason.
                    return Ok(());
                }
            }
            Err(failure) if failure.is_absent() => self.gone(connection, hint).await?,
            Err(failure) => return self.fetch_later(connection, hint, &failure).await,
        }
        self.settle(connection, hint).await
    }

    async fn settle(&self, connection: &Connection, hint: &FetchHint) -> Result<(), Problem> {
        let mut tx = self.db.begin("hint_settle").await?;
        hint::settle(&mut tx, connection.of(), hint).await?;
        tx.commit().await
    }

    async fn fetch_later(&self, connection: &Connection, hint: &FetchHint, failure: &Failure) -> Result<(), Problem> {
        let attempts = u32::try_from(hint.attempts).unwrap_or(0) + 1;
        let now = self.clock.now();
        let wait = match decide(failure, attempts, 0.5, now) {
            RetryDecision::RetryAt { at, .. } => at - now,
            RetryDecision::Park(_) => REFUSED,
        };
        self.postpone(connection, hint, &failure.in_full(), wait).await
    }

    async fn gone(&self, connection: &Connection, hint: &FetchHint) -> Result<(), Problem> {
        let Some(kind) = ResourceType::of(&hint.kind) else { return Ok(()) };
        let (clinic, by) = (&connection.clinic, connection.author());
        match self.delete(clinic, &by, kind, hint.resource_id.clone(), None).await {
            // The resource was never known here.
            Err(problem) if problem.category == Category::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn postpone(
        &self,
        connection: &Connection,
        hint: &FetchHint,
        why: &str,
        wait: TimeDelta,
    ) -> Result<(), Problem> {
        let mut tx = self.db.begin("hint_postpone").await?;
        hint::postpone(&mut tx, connection.of(), hint, why, self.clock.now() + wait).await?;
        tx.commit().await
    }
}

use super::sweep::UNREAD as UNREADABLE;

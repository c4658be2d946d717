//! Where what was written can never be changed, a short follow-up says that it is no longer called for, and another one
//! that it is again: each once.

use serde_json::Value;

use super::make::CreateResult;
use super::{ChartWrite, id};
use crate::domain::task::Posture;
use crate::ehr::delivery::{DeliveryEffect, DeliveryResult};
use crate::ehr::failure::Failure;
use crate::fhir::write::note;

impl ChartWrite<'_> {
    /// Says in the chart what has changed since it was told last. `may_be_there` tells that the next follow-up may have
    /// been written without our knowing. `as_wanted` is the effect where there is nothing to say.
    pub(super) async fn follow_up(
        &self,
        first: &str,
        as_wanted: DeliveryEffect,
        may_be_there: bool,
    ) -> Result<DeliveryResult, Failure> {
        let done = |follow_ups, effect, recheck| DeliveryResult {
            chart_id: Some(first.to_owned()),
            version: None,
            chart_status: None,
            effect,
            recheck,
            follow_ups,
        };
        let mut told = self.ledger.follow_ups;
        let mut tells_open = self.ledger.last_written.map_or(!note::is_ending(told), |was| was == Posture::Open);
        let (mut effect, mut looked_for) = (as_wanted, None);
        if may_be_there {
            let expected = next(told, tells_open);
            looked_for = Some(expected);
            let found = self.look_for(expected).await?;
            if !found.is_empty() {
                (told, tells_open, effect) = (expected, !tells_open, seen(&found));
            }
        }
        if tells_open == (self.planned.intent.desired.posture == Posture::Open) {
            return Ok(done(told, effect, self.ledger.outcome_unknown));
        }
        let number = next(told, tells_open);
        let body = self.planned.follow_up(first, number, self.ehr.clock().now());
        // Task and Flag are always changed in place.
        let Some(body) = body else { return Ok(done(told, effect, false)) };
        let identifier = self.planned.follow_up_identifier(number);
        Ok(match self.make(&body, &identifier, looked_for == Some(number)).await? {
            CreateResult::New(_) => done(number, DeliveryEffect::FollowedUp, self.ledger.outcome_unknown),
            CreateResult::There(_) => done(number, DeliveryEffect::AlreadyThere, false),
            CreateResult::Found(found) => done(number, seen(&found), false),
        })
    }

    /// Again after a moment where an answer was lost: the index may lag.
    async fn look_for(&self, number: u32) -> Result<Vec<Value>, Failure> {
        let identifier = self.planned.follow_up_identifier(number);
        let found = self.search_for(&identifier).await?;
        if !found.is_empty() || !self.ledger.outcome_unknown {
            return Ok(found);
        }
        tokio::time::sleep(self.ehr.config().search_lag).await;
        self.search_for(&identifier).await
    }

    /// The later look: for a second one of the last follow-up, and for a next one that surfaced late.
    pub(super) async fn follow_up_later(&self, first: &str) -> Result<Option<DeliveryResult>, Failure> {
        let told = self.ledger.follow_ups;
        let found = if told == 0 { Vec::new() } else { self.look_for(told).await? };
        let mut done = self.follow_up(first, DeliveryEffect::Unchanged, true).await?;
        if found.len() > 1 {
            done.effect = seen(&found);
        }
        Ok((done.effect != DeliveryEffect::Unchanged).then_some(done))
    }
}

/// The odd ones end: whatever came before, what is said next has the number that says it.
fn next(told: u32, tells_open: bool) -> u32 {
    if note::is_ending(told + 1) == tells_open { told + 1 } else { told + 2 }
}

/// Found where it was expected; of several all but the first are for an operator to know.
fn seen(found: &[Value]) -> DeliveryEffect {
    match found {
        [] | [_] => DeliveryEffect::AlreadyThere,
        [_, others @ ..] => {
            let duplicates = others.iter().map(|one| id(one).to_owned()).collect();
            DeliveryEffect::Reconciled { duplicates, closed: false }
        }
    }
}

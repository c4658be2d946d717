//! Records the result of an attempt in the ledger, the list of attempts and the journal. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::RECHECK;
use crate::domain::chart_plan::Rung;
use crate::domain::read_back::Drift;
use crate::domain::task::Posture;
use crate::ehr::retry::{RetryDecision, decide};
use crate::ehr::{DeliveryEffect, DeliveryResult, Failure, Ledger, ManualChange};
use crate::store::journal;
use crate::store::outbox::{Delivery, DeliveryAttempt, DeliveryState, Settlement};

/// Known state of a delivery before an attempt.
pub(super) fn ledger(delivery: &Delivery) -> Ledger {
    Ledger {
        chart_id: delivery.chart_id.clone(),
        last_written: delivery.settled_posture.as_deref().and_then(|p| p.parse().ok()),
        outcome_unknown: delivery.outcome_unknown,
        unanswered: delivery.unanswered.split(',').filter_map(|p| p.parse::<Posture>().ok()).collect(),
        attempts: u32::try_from(delivery.attempts).unwrap_or(0),
        follow_ups: u32::try_from(delivery.follow_ups).unwrap_or(0),
    }
}

/// A figure between 0 and 1 that differs from delivery to delivery and from attempt to attempt.
fn jitter(delivery: &Delivery) -> f64 {
    let mut hasher = DefaultHasher::new();
    (delivery.id, delivery.revision, delivery.attempts).hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

pub(super) fn settlement(
    delivery: &Delivery,
    before: &Ledger,
    after: &Ledger,
    result: &Result<DeliveryResult, Failure>,
    rung: Option<Rung>,
    now: DateTime<Utc>,
) -> Settlement {
    let mut settlement = Settlement {
        revision: delivery.revision,
        // As complete as this rung allows.
        written: result.is_ok(),
        state: DeliveryState::Settled,
        posture: after.last_written,
        chart_id: after.chart_id.clone(),
        rung: None,
        follow_ups: i32::try_from(after.follow_ups).unwrap_or(i32::MAX),
        attempts: i32::try_from(after.attempts).unwrap_or(i32::MAX),
        outcome_unknown: after.outcome_unknown,
        unanswered: after.unanswered.clone(),
        next_attempt_at: now,
        error: None,
        chart_status: None,
        version: None,
        drift: None,
    };
    match result {
        Ok(done) => {
            settlement.rung = rung;
            settlement.chart_status.clone_from(&done.chart_status);
            match &done.effect {
                DeliveryEffect::LeftAlone(ManualChange::ClosedInChart) => {
                    settlement.drift = Some(Drift::ClosedByPerson);
                }
                DeliveryEffect::LeftAlone(ManualChange::DeletedInChart) => settlement.drift = Some(Drift::Deleted),
                _ => settlement.version.clone_from(&done.version),
            }
            settlement.state = match &done.effect {
                DeliveryEffect::LeftAlone(ManualChange::ClosedInChart | ManualChange::DeletedInChart) => {
                    DeliveryState::ClosedInChart
                }
                _ if done.recheck => DeliveryState::Pending,
                _ => DeliveryState::Settled,
            };
            if done.recheck {
                settlement.next_attempt_at = now + RECHECK;
            }
            if let DeliveryEffect::Reconciled { duplicates, closed } = &done.effect {
                let told = if *closed { "and closed" } else { "where nothing can be changed" };
                let (id, count) = (delivery.id, duplicates.len());
                tracing::error!(delivery = %id, duplicates = count, closed, "doubles were found in the chart");
                settlement.error = Some(format!("{count} doubles were found in the chart {told}"));
            }
        }
        Err(failure) => {
            settlement.error = Some(failure.in_full());
            match decide(failure, after.attempts, jitter(delivery), now) {
                RetryDecision::RetryAt { at, counts_attempt } => {
                    settlement.state = DeliveryState::Pending;
                    settlement.next_attempt_at = at;
                    if !counts_attempt {
                        settlement.attempts = i32::try_from(before.attempts).unwrap_or(i32::MAX);
                    }
                }
                RetryDecision::Park(parked) => {
                    settlement.state = DeliveryState::Parked;
                    settlement.error = Some(format!("{} ({parked:?})", failure.in_full()));
                }
            }
        }
    }
    settlement
}

/// Journal entry for a finished attempt.
pub(super) fn line(
    clinic: &str,
    delivery: &Delivery,
    settlement: &Settlement,
    now: DateTime<Utc>,
    id: uuid::Uuid,
) -> Option<journal::JournalEntry> {
    let in_chart = settlement.written && settlement.rung.is_none_or(Rung::is_written);
    let event = match settlement.state {
        DeliveryState::Parked => "delivery.parked",
        DeliveryState::ClosedInChart => "delivery.closed_in_chart",
        DeliveryState::Settled | DeliveryState::Pending if in_chart => "delivery.written",
        DeliveryState::Settled | DeliveryState::Pending => return None,
    };
    let mut line = journal::JournalEntry::new(id, clinic, now, "cocm-registry", None).event(event);
    line.patient = Some(delivery.patient_id);
    line.episode = delivery.intent.0.desired.episode;
    line.subject = Some(format!("delivery/{}", delivery.id));
    Some(line)
}

pub(super) fn attempt(
    delivery: &Delivery,
    result: &Result<DeliveryResult, Failure>,
    took: Duration,
    at: DateTime<Utc>,
    id: uuid::Uuid,
) -> DeliveryAttempt {
    let (outcome, http_status, detail) = match result {
        Ok(done) => {
            let outcome = match &done.effect {
                DeliveryEffect::Created => "created",
                DeliveryEffect::Updated => "updated",
                DeliveryEffect::FollowedUp => "followed_up",
                DeliveryEffect::NotWritten => "not_written",
                DeliveryEffect::Unchanged => "unchanged",
                DeliveryEffect::AlreadyThere => "already_there",
                DeliveryEffect::LeftAlone(ManualChange::ClosedInChart) => "closed_in_chart",
                DeliveryEffect::LeftAlone(ManualChange::DeletedInChart) => "deleted_in_chart",
                DeliveryEffect::LeftAlone(ManualChange::InProgressNoted) => "noted",
                DeliveryEffect::Reconciled { .. } => "reconciled",
            };
            (outcome, None, None)
        }
        Err(failure) => {
            let outcome = match failure {
                Failure::NotSent { .. } => "not_sent",
                Failure::Unanswered { .. } => "unanswered",
                Failure::OutcomeUnknown { .. } => "outcome_unknown",
                Failure::Refused { .. } => "refused",
                Failure::NotAllowed { .. } => "not_allowed",
            };
            (outcome, failure.status(), Some(failure.in_full()))
        }
    };
    DeliveryAttempt {
        delivery_id: delivery.id,
        id,
        at,
        revision: delivery.revision,
        outcome: outcome.to_owned(),
        http_status: http_status.and_then(|s| i16::try_from(s).ok()),
        detail,
        milliseconds: i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
    }
}

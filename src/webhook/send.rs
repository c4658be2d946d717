//! One attempt: send, judge the answer, record it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

use super::sign::signature;
use super::{ConfiguredWebhook, Webhooks};
use crate::ehr::Failure;
use crate::ehr::failure::RetryAfter;
use crate::ehr::retry::{RetryDecision, decide};
use crate::problem::Problem;
use crate::store::webhook::{self, WebhookAttempt, WebhookDelivery};

/// This status means: never send to this URL again.
const GONE: u16 = 410;

impl Webhooks {
    /// Makes one attempt and records the result.
    pub(super) async fn attempt(&self, hook: &ConfiguredWebhook, mut delivery: WebhookDelivery) -> Result<(), Problem> {
        let started = Instant::now();
        let result = call(hook, &delivery, self.clock.now()).await;
        let now = self.clock.now();
        delivery.attempts += 1;
        let outcome = judge(&mut delivery, &result, now);
        metrics::counter!("cocm_webhook_attempts", "outcome" => outcome).increment(1);
        let status = result.as_ref().map_or_else(Failure::status, |status| Some(*status));
        let attempt = WebhookAttempt {
            delivery_id: delivery.id,
            id: self.clock.id(),
            at: now,
            outcome: outcome.to_owned(),
            http_status: status.and_then(|status| i16::try_from(status).ok()),
            detail: result.as_ref().err().map(ToString::to_string),
            milliseconds: i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX),
        };
        let mut tx = self.db.begin("webhook_attempt").await?;
        webhook::attempted(&mut tx, &hook.clinic, &attempt).await?;
        webhook::settle(&mut tx, &hook.clinic, &delivery, now).await?;
        if status == Some(GONE) {
            webhook::disable(&mut tx, &hook.clinic, &hook.name, Some("the receiver answered 410 Gone"), now).await?;
            tracing::error!(webhook = hook.name, "the receiver answered 410: nothing is sent to it any more");
        } else if delivery.state == "parked" {
            tracing::error!(webhook = hook.name, delivery = %delivery.id, "a webhook's delivery is parked: a person has to look");
        }
        tx.commit().await
    }
}

/// State of the delivery after an attempt, and the name of the outcome.
fn judge(delivery: &mut WebhookDelivery, result: &Result<u16, Failure>, now: DateTime<Utc>) -> &'static str {
    let Err(failure) = result else {
        "delivered".clone_into(&mut delivery.state);
        delivery.last_error = None;
        return "delivered";
    };
    delivery.last_error = Some(failure.to_string());
    match decide(failure, u32::try_from(delivery.attempts).unwrap_or(u32::MAX), jitter(delivery), now) {
        RetryDecision::RetryAt { at, counts_attempt } => {
            delivery.next_attempt_at = at;
            if !counts_attempt {
                delivery.attempts -= 1;
            }
        }
        RetryDecision::Park(why) => {
            "parked".clone_into(&mut delivery.state);
            delivery.last_error = Some(format!("{failure} ({})", why.as_str()));
        }
    }
    match failure {
        Failure::NotSent { .. } | Failure::NotAllowed { .. } => "not_sent",
        Failure::Unanswered { .. } | Failure::OutcomeUnknown { .. } => "outcome_unknown",
        Failure::Refused { .. } => "refused",
    }
}

/// A figure between 0 and 1 that differs from delivery to delivery and from attempt to attempt.
fn jitter(delivery: &WebhookDelivery) -> f64 {
    let mut hasher = DefaultHasher::new();
    (delivery.id, delivery.attempts).hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

async fn call(hook: &ConfiguredWebhook, delivery: &WebhookDelivery, now: DateTime<Utc>) -> Result<u16, Failure> {
    let (id, timestamp) = (delivery.id.to_string(), now.timestamp());
    let request = hook
        .client
        .post(hook.url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature(&hook.keys, &id, timestamp, &delivery.body))
        .body(delivery.body.clone());
    let response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            Failure::NotSent { cause: "no connection" }
        } else {
            let cause = if error.is_timeout() { "no answer in time" } else { "the connection broke" };
            Failure::OutcomeUnknown { cause, status: None, retry_after: None }
        }
    })?;
    // The body of the answer is ignored: it may hold anything.
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(RetryAfter::parse);
    match status.as_u16() {
        code if status.is_success() => Ok(code),
        code @ 500.. => Err(Failure::OutcomeUnknown { cause: "the server failed", status: Some(code), retry_after }),
        code => Err(Failure::refused(code, retry_after)),
    }
}

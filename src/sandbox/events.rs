//! Tells somebody of changes as athenahealth does: ids only, as a `SubscriptionStatus` in an R4 Bundle, signed, some
//! twice, in any order; who does not acknowledge within two seconds is told once more and then never again.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Sandbox, SharedState, lock};
use crate::ehr::http::client;
use crate::problem::Problem;

/// How long an acknowledgement may take.
pub const BUDGET: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
const TRIES: usize = 2;

/// Where and how to notify.
#[derive(Clone, Debug)]
pub struct Events {
    pub url: String,
    /// The key of the HMAC-SHA256, in hexadecimal in `X-Signature`.
    pub secret: String,
    /// Resource types to notify about.
    pub kinds: &'static [&'static str],
    /// How likely an event is sent twice.
    pub twice: f64,
    /// How likely it is lost.
    pub lost: f64,
}

/// One event that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventReceipt {
    pub number: usize,
    /// The status of the acknowledgement; `None` where none came in time.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
}

impl Sandbox {
    /// Tells of what changes from now on, until what is returned is dropped or the sandbox ends.
    ///
    /// # Errors
    /// Where there can be no HTTP client.
    pub fn tell(&self, events: Events) -> Result<EventStream, Problem> {
        lock(&self.state).chart.changed = Some(Vec::new());
        let http = client(BUDGET, false)?;
        Ok(EventStream(tokio::spawn(telling(self.state.clone(), events, http))))
    }

    /// Receipts in the order of the answers.
    pub fn told(&self) -> Vec<EventReceipt> {
        lock(&self.state).told.clone()
    }
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct EventStream(pub(super) JoinHandle<()>);

impl Drop for EventStream {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn telling(state: SharedState, events: Events, http: reqwest::Client) {
    let mut number = 0;
    loop {
        tokio::time::sleep(PAUSE).await;
        let mut queue: Vec<(usize, String)> = Vec::new();
        {
            let mut state = lock(&state);
            let changed = state.chart.changed.replace(Vec::new()).unwrap_or_default();
            for name in changed {
                if !events.kinds.iter().any(|kind| name.split('/').next() == Some(kind)) {
                    continue;
                }
                number += 1;
                let times = 1 + usize::from(state.dice.happens(events.twice));
                if !state.dice.happens(events.lost) {
                    queue.extend(std::iter::repeat_n((number, name), times));
                }
            }
            // Backwards is as little in order as any other way.
            queue.reverse();
        }
        for (number, name) in queue {
            for _ in 0..TRIES {
                let told = tell(&http, &events, number, &name).await;
                lock(&state).told.push(told);
                if told.status.is_some_and(|status| status < 300) {
                    break;
                }
            }
        }
    }
}

async fn tell(http: &reqwest::Client, events: &Events, number: usize, name: &str) -> EventReceipt {
    let body = notification(number, name).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, events.secret.as_bytes());
    let signed = hmac::sign(&key, body.as_bytes());
    let signature = signed.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let begun = Instant::now();
    let request = http.post(&events.url).header("content-type", "application/fhir+json");
    let answer = request.header("x-signature", signature).body(body).send().await;
    EventReceipt { number, status: answer.ok().map(|answer| answer.status().as_u16()), took: begun.elapsed() }
}

fn notification(number: usize, name: &str) -> Value {
    json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": {
        "resourceType": "SubscriptionStatus", "type": "event-notification", "status": "active",
        "subscription": {"reference": "Subscription/sandbox"}, "eventsSinceSubscriptionStart": number.to_string(),
        "notificationEvent": [{"eventNumber": number.to_string(), "focus": {"reference": name}}],
    }}]})
}

//! Outgoing webhooks: the events of the journal, signed as the Standard Webhooks specification says.
//!
//! At least once, and in order for each webhook: what cannot be delivered now holds back what comes after it, and is tried on the
//! published schedule ([`crate::ehr::retry`]); what is refused for good, or still not taken at the end of the schedule, is
//! parked for a person, and the next one goes out. The same event has the same `webhook-id` at every attempt.
//! 410 Gone stops a webhook until somebody sends one of its deliveries again. No redirect is followed: what is sent goes to
//! the configured address and nowhere else. Several replicas take turns, by a lease.

mod send;
pub mod sign;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Config;
use crate::http_client::client;
use crate::journal::SealedHeads;
use crate::journal::events::{EventFilter, EventPosition, JournalEvent, after};
use crate::problem::Problem;
use crate::store::lease::{LEASE, holding};
use crate::store::webhook::{self, WebhookDelivery};
use crate::store::{Db, WriteTx, journal};
use sign::SigningSecret;

/// How often to look for work that another replica or a person left behind.
const IDLE: Duration = Duration::from_secs(5);

/// One configured webhook.
struct ConfiguredWebhook {
    clinic: String,
    name: String,
    url: Url,
    keys: Vec<SigningSecret>,
    wanted: EventFilter,
    client: Client,
}

/// Sends webhook deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    db: Db,
    clock: Clock,
    hooks: Arc<Vec<ConfiguredWebhook>>,
    me: Uuid,
}

/// The next action after a step.
enum NextStep {
    /// The next step, at once.
    Step,
    /// Wait for this long, or until something happens.
    Rest(Duration),
}

impl Webhooks {
    /// The configured webhooks.
    ///
    /// # Errors
    /// What is wrong with one of them, for the operator.
    pub fn new(db: &Db, clock: &Clock, config: &Config) -> Result<Self, Problem> {
        let hooks = config.webhooks.iter().map(|hook| {
            let wrong = |why: String| Problem::internal(format!("webhook {}: {why}", hook.name));
            let url: Url = hook.url.parse().map_err(|_| wrong("url: not an address".to_owned()))?;
            let uses_proxy = !matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            Ok(ConfiguredWebhook {
                clinic: hook.clinic.as_str().to_owned(),
                name: hook.name.clone(),
                keys: hook.secrets.iter().map(SigningSecret::read).collect::<Result<_, _>>().map_err(wrong)?,
                wanted: EventFilter::new(hook.types.iter().map(String::as_str)).map_err(wrong)?,
                client: client(hook.timeout, uses_proxy)?,
                url,
            })
        });
        let hooks = hooks.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Self { db: db.clone(), clock: clock.clone(), hooks: Arc::new(hooks), me: clock.id() })
    }

    /// Sends until stopped. An attempt in flight is finished.
    pub async fn run(self, heads: watch::Receiver<SealedHeads>, stop: watch::Receiver<bool>) {
        let all = (0..self.hooks.len()).map(|i| self.clone().run_one(i, heads.clone(), stop.clone()));
        futures_util::future::join_all(all).await;
    }

    async fn run_one(self, i: usize, mut heads: watch::Receiver<SealedHeads>, mut stop: watch::Receiver<bool>) {
        let hook = &self.hooks[i];
        while !*stop.borrow() {
            heads.mark_unchanged();
            let rest = match self.step(hook).await {
                Ok(NextStep::Step) => continue,
                Ok(NextStep::Rest(rest)) => rest,
                Err(problem) => {
                    tracing::warn!(webhook = hook.name, %problem, "a webhook cannot be told now");
                    IDLE
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = heads.changed() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let give_back = async {
            let mut tx = self.db.begin("webhook_lease").await?;
            webhook::give_back(&mut tx, &hook.clinic, &hook.name, self.me).await?;
            tx.commit().await
        };
        // Its lease runs out by itself.
        let _ = give_back.await;
    }

    /// Sends what is due now, to all; for tests.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn send_due(&self) -> Result<(), Problem> {
        for hook in self.hooks.iter() {
            while matches!(self.step(hook).await?, NextStep::Step) {}
        }
        Ok(())
    }

    /// Does one thing: an attempt, or a look at the next event.
    async fn step(&self, hook: &ConfiguredWebhook) -> Result<NextStep, Problem> {
        let mut tx = self.db.read().await?;
        let head = journal::head(&mut tx, &hook.clinic).await?.map_or(0, |head| head.seq);
        let known = webhook::cursor(&mut tx, &hook.clinic, &hook.name).await?;
        let Some(cursor) = known else {
            drop(tx);
            // Start with events from now on.
            let mut tx = self.db.begin("webhook_deliver").await?;
            webhook::begin(&mut tx, &hook.clinic, &hook.name, head, self.clock.now()).await?;
            tx.commit().await?;
            return Ok(NextStep::Rest(IDLE));
        };
        let pending = webhook::pending(&mut tx, &hook.clinic, &hook.name).await?;
        drop(tx);
        let now = self.clock.now();
        let mark = EventPosition { seq: cursor.seq, part: cursor.part };
        match &pending {
            _ if cursor.disabled.is_some() => return Ok(NextStep::Rest(IDLE)),
            Some(waiting) if waiting.next_attempt_at > now => {
                let wait = (waiting.next_attempt_at - now).to_std().unwrap_or(IDLE);
                return Ok(NextStep::Rest(wait.min(IDLE)));
            }
            None if !mark.is_before(head) => return Ok(NextStep::Rest(IDLE)),
            _ => {}
        }
        let mut tx = self.db.begin("webhook_deliver").await?;
        let claimed = webhook::claim(&mut tx, &hook.clinic, &hook.name, self.me, now, now + LEASE).await?;
        let Some(cursor) = claimed.filter(|cursor| cursor.disabled.is_none()) else {
            tx.commit().await?;
            return Ok(NextStep::Rest(IDLE));
        };
        // Another replica may just have sent it.
        let delivery = match webhook::pending(&mut tx, &hook.clinic, &hook.name).await? {
            Some(waiting) if waiting.next_attempt_at > now => None,
            Some(waiting) => Some(waiting),
            None => self.advance(&mut tx, hook, EventPosition { seq: cursor.seq, part: cursor.part }, head).await?,
        };
        tx.commit().await?;
        if let Some(delivery) = delivery {
            holding(Box::pin(self.attempt(hook, delivery)), || self.prolong(hook)).await?;
        }
        Ok(NextStep::Step)
    }

    async fn prolong(&self, hook: &ConfiguredWebhook) {
        let prolong = async {
            let (mut tx, now) = (self.db.begin("webhook_prolong").await?, self.clock.now());
            webhook::claim(&mut tx, &hook.clinic, &hook.name, self.me, now, now + LEASE).await?;
            tx.commit().await
        };
        if let Err(problem) = prolong.await {
            tracing::warn!(webhook = hook.name, %problem, "the lease of a webhook could not be prolonged now");
        }
    }

    /// Turns the next event into a delivery; `None` when no event in the window is wanted.
    async fn advance(
        &self,
        tx: &mut WriteTx,
        hook: &ConfiguredWebhook,
        mark: EventPosition,
        head: i64,
    ) -> Result<Option<WebhookDelivery>, Problem> {
        if !mark.is_before(head) {
            return Ok(None);
        }
        let now = self.clock.now();
        let (told, reached) = after(tx, &hook.clinic, mark, head, &hook.wanted).await?;
        let mark = told.first().map_or(reached, |event| event.id);
        webhook::advance_cursor(tx, &hook.clinic, &hook.name, (mark.seq, mark.part), now).await?;
        let Some(event) = told.first() else { return Ok(None) };
        let name = format!("cocm-registry webhook/{}/{}/{}", hook.clinic, hook.name, event.id);
        let delivery = WebhookDelivery {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            webhook: hook.name.clone(),
            seq: event.id.seq,
            part: event.id.part,
            kind: event.kind.clone(),
            body: body(event),
            state: "pending".to_owned(),
            attempts: 0,
            next_attempt_at: now,
            last_error: None,
            created_at: now,
            updated_at: now,
        };
        webhook::add(tx, &hook.clinic, &delivery).await?;
        Ok(Some(delivery))
    }
}

/// `{"type", "timestamp", "data"}`, as the specification recommends.
fn body(event: &JournalEvent) -> String {
    json!({"type": event.kind, "timestamp": event.at, "data": event}).to_string()
}

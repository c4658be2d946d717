//! Subscriptions that we make in an EHR, one for each topic or for each type, and renew before they end.

mod desired_subscription;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Intake;
use super::connection::Connection;
use crate::config::SubscriptionPayload;
use crate::ehr::Failure;
use crate::ehr::retry::{RetryDecision, decide};
use crate::problem::Problem;
use crate::store::connection::subscription::{self, SubscriptionRecord};
use desired_subscription::DesiredSubscription;

/// How long a Subscription is asked for.
const LASTS: TimeDelta = TimeDelta::days(30);
/// How long before its end it is renewed.
const MARGIN: TimeDelta = TimeDelta::days(7);
/// When a server that refused one is asked again.
const REFUSED: TimeDelta = TimeDelta::days(1);
/// A Subscription that was silent for this long is checked: the server may have deleted it or switched it off.
const SILENT: TimeDelta = TimeDelta::hours(1);

/// Why there is no Subscription now: its state in the table, when it is tried again, and the reason.
struct MissingSubscription {
    status: &'static str,
    again: DateTime<Utc>,
    why: String,
}

impl MissingSubscription {
    fn after(failure: &Failure, now: DateTime<Utc>) -> Self {
        let why = failure.in_full();
        match decide(failure, 1, 0.5, now) {
            RetryDecision::Park(_) => Self { status: "refused", again: now + REFUSED, why },
            // With the next sweep.
            RetryDecision::RetryAt { .. } => Self { status: "unanswered", again: now, why },
        }
    }
}

/// A live Subscription: its id at the server, state and end.
struct LiveSubscription {
    name: String,
    status: String,
    end: DateTime<Utc>,
}

impl Intake {
    /// Makes and renews what is configured: topics where the server has them, criteria where it has none or refuses. A
    /// server that refuses both costs nothing but the notifications: the sweep goes on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn subscribe(&self, connection: &Connection) -> Result<(), Problem> {
        let Some(push) = connection.settings.notify.subscribe else { return Ok(()) };
        let mut purposes = Vec::new();
        if push == SubscriptionPayload::Topics {
            let is_refused = match topics(connection).await {
                Ok(topics) => self.keep_all(connection, topics, &mut purposes).await?,
                Err(why) => self.go_without(connection, why, &mut purposes).await?,
            };
            if !is_refused {
                return self.tidy(connection, &purposes).await;
            }
        }
        let read_back = connection.reads_back().iter().map(|resource| resource.as_str());
        let kinds = connection.settings.poll.types.iter().map(String::as_str).chain(read_back);
        let criteria = kinds.map(|kind| DesiredSubscription::criteria(connection, push, kind)).collect();
        self.keep_all(connection, criteria, &mut purposes).await?;
        self.tidy(connection, &purposes).await
    }

    /// Sees to it that these stand; answers whether one is refused.
    async fn keep_all(
        &self,
        connection: &Connection,
        all: Vec<DesiredSubscription>,
        purposes: &mut Vec<String>,
    ) -> Result<bool, Problem> {
        let mut is_refused = false;
        for wanted in all {
            is_refused |= self.keep(connection, &wanted).await?;
            purposes.push(wanted.purpose);
        }
        Ok(is_refused)
    }

    async fn keep(&self, connection: &Connection, wanted: &DesiredSubscription) -> Result<bool, Problem> {
        let now = self.clock.now();
        let ours = self.known(connection, &wanted.purpose).await?;
        let (without, standing) = match ours {
            Some(one) if is_placeholder(&one) => (Some(one), None),
            one => (None, one),
        };
        if let Some(refused) = &without
            && refused.expires_at.is_some_and(|again| again > now)
        {
            return Ok(refused.status == "refused");
        }
        let outcome = match &standing {
            Some(one) if !is_ill(&one.status) && one.expires_at.is_some_and(|end| end - now > MARGIN) => {
                if one.heard_at.is_some_and(|heard| now - heard < SILENT) {
                    return Ok(false);
                }
                match look(connection, one).await {
                    SubscriptionCheck::Works(status) => return self.works(connection, one, status).await,
                    SubscriptionCheck::Ill => renew(connection, &one.subscription, wanted, now).await,
                    SubscriptionCheck::Gone => make(connection, wanted, now).await,
                }
            }
            Some(one) => renew(connection, &one.subscription, wanted, now).await,
            None => make(connection, wanted, now).await,
        };
        let outcome = outcome.map_err(|failure| MissingSubscription::after(&failure, now));
        self.write_down(connection, &wanted.purpose, without.or(standing), outcome).await
    }

    /// Writes down what a look has shown, where it is news. It is not refused.
    async fn works(&self, connection: &Connection, one: &SubscriptionRecord, status: String) -> Result<bool, Problem> {
        if one.status != status {
            let mut tx = self.db.begin("subscription_works").await?;
            subscription::put(&mut tx, connection.of(), &SubscriptionRecord { status, ..one.clone() }).await?;
            tx.commit().await?;
        }
        Ok(false)
    }

    /// Writes down that there is no topic to subscribe to; answers whether that is the server's last word.
    async fn go_without(
        &self,
        connection: &Connection,
        why: MissingSubscription,
        purposes: &mut Vec<String>,
    ) -> Result<bool, Problem> {
        const TOPICS: &str = "topics";
        purposes.push(TOPICS.to_owned());
        let before = self.known(connection, TOPICS).await?;
        self.write_down(connection, TOPICS, before, Err(why)).await
    }

    async fn known(&self, connection: &Connection, purpose: &str) -> Result<Option<SubscriptionRecord>, Problem> {
        let mut tx = self.db.read().await?;
        let all = subscription::all(&mut tx, connection.of()).await?;
        Ok(all.into_iter().find(|one| one.purpose.as_deref() == Some(purpose)))
    }

    /// Writes down how a purpose stands now; answers whether it is refused.
    async fn write_down(
        &self,
        connection: &Connection,
        purpose: &str,
        before: Option<SubscriptionRecord>,
        outcome: Result<LiveSubscription, MissingSubscription>,
    ) -> Result<bool, Problem> {
        let (of, mut tx) = (connection.of(), self.db.begin("subscription_store").await?);
        let is_refused = outcome.as_ref().is_err_and(|without| without.status == "refused");
        let mut row = match outcome {
            Ok(LiveSubscription { name, status, end }) => {
                // The handshake may arrive before the answer to the create.
                let heard = subscription::find(&mut tx, of, &name).await?;
                let row = heard.unwrap_or_else(|| SubscriptionRecord::new(name));
                // A handshake says more of it than the answer to what we sent.
                let is_told = row.status.is_empty() || is_ill(&row.status) || is_ill(&status);
                let status = if is_told { status } else { row.status };
                SubscriptionRecord { status, expires_at: Some(end), last_error: None, ..row }
            }
            Err(without) => {
                if before.as_ref().and_then(|before| before.last_error.as_ref()) != Some(&without.why) {
                    let name = connection.name();
                    let status = without.status;
                    tracing::warn!(connection = name, purpose, status, "no Subscription; the sweep goes on");
                }
                let stands = before.clone().filter(|one| !is_placeholder(one) && !is_refused);
                match stands {
                    // Renewal failed, but the Subscription may still work.
                    Some(one) => SubscriptionRecord { last_error: Some(without.why), ..one },
                    None => SubscriptionRecord {
                        status: without.status.to_owned(),
                        expires_at: Some(without.again),
                        last_error: Some(without.why),
                        ..SubscriptionRecord::new(format!("Subscription for {purpose}"))
                    },
                }
            }
        };
        row.purpose = Some(purpose.to_owned());
        if let Some(old) = before.filter(|old| old.subscription != row.subscription) {
            subscription::forget(&mut tx, of, &old.subscription).await?;
        }
        subscription::put(&mut tx, of, &row).await?;
        tx.commit().await?;
        Ok(is_refused)
    }

    /// Forgets what we made and do not want any more, when it has ended.
    async fn tidy(&self, connection: &Connection, wanted: &[String]) -> Result<(), Problem> {
        let (of, now) = (connection.of(), self.clock.now());
        let mut tx = self.db.read().await?;
        let all = subscription::all(&mut tx, of).await?;
        drop(tx);
        let has_ended = |one: &&SubscriptionRecord| one.expires_at.is_some_and(|end| end <= now);
        let is_ours = |one: &&SubscriptionRecord| one.purpose.as_ref().is_some_and(|purpose| !wanted.contains(purpose));
        for one in all.iter().filter(has_ended).filter(is_ours) {
            let mut tx = self.db.begin("subscription_tidy").await?;
            subscription::forget(&mut tx, of, &one.subscription).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// The topics to subscribe to: as configured, else as the server names them.
async fn topics(connection: &Connection) -> Result<Vec<DesiredSubscription>, MissingSubscription> {
    let now = connection.ehr.clock().now();
    let configured = &connection.settings.notify.topics;
    if !configured.is_empty() {
        return Ok(configured
            .iter()
            .map(|(topic, filters)| DesiredSubscription::topic(connection, topic, filters))
            .collect());
    }
    let offers = connection.ehr.offers().await.map_err(|failure| MissingSubscription::after(&failure, now))?;
    let why = match offers.topics.as_deref() {
        None => "the CapabilityStatement says nothing of topics, and notify.topics names none",
        Some([]) => "the CapabilityStatement names no topic; name them in notify.topics",
        Some(topics) => {
            return Ok(topics.iter().map(|topic| DesiredSubscription::topic(connection, topic, &[])).collect());
        }
    };
    Err(MissingSubscription { status: "refused", again: now + REFUSED, why: why.to_owned() })
}

/// A row that only says why there is none.
fn is_placeholder(one: &SubscriptionRecord) -> bool {
    matches!(one.status.as_str(), "refused" | "unanswered")
}

fn is_ill(status: &str) -> bool {
    matches!(status, "error" | "off" | "entered-in-error")
}

/// Result of checking a Subscription.
enum SubscriptionCheck {
    Works(String),
    Ill,
    Gone,
}

async fn look(connection: &Connection, one: &SubscriptionRecord) -> SubscriptionCheck {
    match connection.ehr.read("Subscription", id_of(&one.subscription)).await {
        Ok(found) => {
            let status = status(found.body.as_ref());
            if is_ill(&status) { SubscriptionCheck::Ill } else { SubscriptionCheck::Works(status) }
        }
        Err(failure) if failure.is_absent() => SubscriptionCheck::Gone,
        // Whoever may not look, or has no answer now, has no reason to make another one.
        Err(_) => SubscriptionCheck::Works(one.status.clone()),
    }
}

/// Creates a Subscription, or takes over one that exists because an earlier answer was lost.
async fn make(
    connection: &Connection,
    wanted: &DesiredSubscription,
    now: DateTime<Utc>,
) -> Result<LiveSubscription, Failure> {
    match find(connection, wanted).await {
        Some(same) => renew(connection, &same, wanted, now).await,
        None => create(connection, wanted, now).await,
    }
}

async fn find(connection: &Connection, wanted: &DesiredSubscription) -> Option<String> {
    let by_address = connection.ehr.search("Subscription", &[("url", &connection.endpoint)]).await;
    let found = match by_address {
        // Not by this parameter: whoever may subscribe sees few.
        Err(Failure::Refused { .. }) => connection.ehr.search("Subscription", &[]).await,
        answer => answer,
    };
    let body = found.ok()?.body?;
    let same = body["entry"].as_array()?.iter().map(|entry| &entry["resource"]).find(|one| wanted.is(one))?;
    Some(format!("Subscription/{}", same["id"].as_str()?))
}

async fn create(
    connection: &Connection,
    wanted: &DesiredSubscription,
    now: DateTime<Utc>,
) -> Result<LiveSubscription, Failure> {
    let end = now + LASTS;
    let made = connection.ehr.create(&wanted.until(end), None).await?;
    let cause = "no id came back";
    let id = made.id().ok_or(Failure::OutcomeUnknown { cause, status: Some(made.status), retry_after: None })?;
    Ok(LiveSubscription { name: format!("Subscription/{id}"), status: status(made.body.as_ref()), end })
}

async fn renew(
    connection: &Connection,
    name: &str,
    wanted: &DesiredSubscription,
    now: DateTime<Utc>,
) -> Result<LiveSubscription, Failure> {
    let (id, end) = (id_of(name), now + LASTS);
    let mut body = wanted.until(end);
    body["id"] = json!(id);
    match connection.ehr.update("Subscription", id, &body, None).await {
        Ok(answer) => Ok(LiveSubscription { name: name.to_owned(), status: status(answer.body.as_ref()), end }),
        Err(Failure::Refused { status: 404 | 405 | 410, .. }) => create(connection, wanted, now).await,
        Err(failure) => Err(failure),
    }
}

fn id_of(name: &str) -> &str {
    name.trim_start_matches("Subscription/")
}

fn status(body: Option<&Value>) -> String {
    body.and_then(|body| body["status"].as_str()).unwrap_or("requested").to_owned()
}

//! Subscriptions that we make in an EHR, one for each type, and renew before they end.

use chrono::{SecondsFormat, TimeDelta};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Intake;
use super::connection::Connection;
use crate::config::Push;
use crate::ehr::Failure;
use crate::fhir::topic::Topic;
use crate::problem::Problem;
use crate::store::connection::subscription::{self, Subscription};

/// How long a Subscription is asked for.
const LASTS: TimeDelta = TimeDelta::days(30);
/// How long before its end it is renewed.
const MARGIN: TimeDelta = TimeDelta::days(7);
/// When a server that refused one is asked again.
const REFUSED: TimeDelta = TimeDelta::days(1);

impl Intake {
    /// Makes and renews what is configured. A server that refuses costs nothing but the notifications: the sweep goes
    /// on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn subscribe(&self, connection: &Connection) -> Result<(), Problem> {
        let Some(push) = connection.settings.notify.subscribe else { return Ok(()) };
        let (of, now) = (connection.of(), self.clock.now());
        let mut tx = self.db.read().await?;
        let known = subscription::all(&mut tx, of).await?;
        drop(tx);
        let read_back = connection.reads_back().iter().map(|resource| resource.as_str().to_owned());
        for kind in &connection.settings.poll.types.iter().cloned().chain(read_back).collect::<Vec<_>>() {
            let ours = known.iter().find(|one| one.purpose.as_ref() == Some(kind));
            let is_ill = |one: &Subscription| matches!(one.status.as_str(), "error" | "off");
            let is_good = |one: &Subscription| one.expires_at.is_some_and(|end| end - now > MARGIN) && !is_ill(one);
            let waits = |one: &Subscription| one.status == "refused" && one.expires_at.is_some_and(|again| again > now);
            if ours.is_some_and(|one| is_good(one) || waits(one)) {
                continue;
            }
            let body = wanted(connection, push, kind, now + LASTS);
            let outcome = match ours.filter(|one| one.status != "refused") {
                Some(one) => renew(connection, &one.subscription, body).await,
                None => make(connection, body).await,
            };
            let mut tx = self.db.begin().await?;
            if let Some(old) = ours {
                subscription::forget(&mut tx, of, &old.subscription).await?;
            }
            let row = self.row(kind, ours, outcome, connection);
            subscription::put(&mut tx, of, &row).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn row(
        &self,
        kind: &str,
        before: Option<&Subscription>,
        outcome: Result<(String, String), Failure>,
        connection: &Connection,
    ) -> Subscription {
        let now = self.clock.now();
        let (subscription, status, expires_at, last_error) = match outcome {
            Ok((name, status)) => (name, status, Some(now + LASTS), None),
            Err(failure) => {
                tracing::warn!(connection = connection.name(), kind, %failure, "no Subscription; the sweep goes on alone");
                (
                    format!("Subscription for {kind}"),
                    "refused".to_owned(),
                    Some(now + REFUSED),
                    Some(failure.to_string()),
                )
            }
        };
        let before = before.filter(|before| before.subscription == subscription);
        Subscription {
            purpose: Some(kind.to_owned()),
            last_event: before.and_then(|before| before.last_event),
            missed_from: before.and_then(|before| before.missed_from),
            heard_at: before.and_then(|before| before.heard_at),
            subscription,
            status,
            expires_at,
            last_error,
        }
    }
}

fn wanted(connection: &Connection, push: Push, kind: &str, end: chrono::DateTime<chrono::Utc>) -> Value {
    let written_by_us = || {
        let is_ours = matches!(Topic::of(kind), Some(Topic::Ours(_)));
        is_ours.then(|| format!("identifier={}|", connection.ehr.config().identifier_system))
    };
    let criteria = format!("{kind}?{}", connection.search(kind).or_else(written_by_us).unwrap_or_default());
    let secret = connection.settings.notify.token.as_ref().map(|token| token.expose_secret().to_owned());
    let mut channel = json!({
        "type": "rest-hook", "endpoint": connection.endpoint,
        "header": [format!("Authorization: Bearer {}", secret.unwrap_or_default())],
    });
    if push == Push::RestHook {
        channel["payload"] = json!("application/fhir+json");
    }
    json!({
        "resourceType": "Subscription", "status": "requested", "criteria": criteria, "channel": channel,
        "reason": "Collaborative Care registry", "end": end.to_rfc3339_opts(SecondsFormat::Secs, true),
    })
}

/// Its name and its state. One that is there already, because an answer was lost, is taken over.
async fn make(connection: &Connection, body: Value) -> Result<(String, String), Failure> {
    if let Ok(found) = connection.ehr.search("Subscription", &[("url", &connection.endpoint)]).await
        && let Some(same) = same(found.body.as_ref(), &body)
    {
        return renew(connection, &same, body).await;
    }
    let made = connection.ehr.create(&body, None).await?;
    let id = made.id().ok_or(Failure::Unanswered {
        cause: "no id came back",
        status: Some(made.status),
        retry_after: None,
    })?;
    Ok((format!("Subscription/{id}"), status(made.body.as_ref())))
}

async fn renew(connection: &Connection, name: &str, mut body: Value) -> Result<(String, String), Failure> {
    let id = name.trim_start_matches("Subscription/").to_owned();
    body["id"] = json!(id);
    match connection.ehr.update("Subscription", &id, &body, None).await {
        Ok(answer) => Ok((name.to_owned(), status(answer.body.as_ref()))),
        Err(Failure::Refused { status: 404 | 405 | 410, .. }) => {
            if let Some(fields) = body.as_object_mut() {
                fields.remove("id");
            }
            let made = connection.ehr.create(&body, None).await?;
            Ok((format!("Subscription/{}", made.id().unwrap_or_default()), status(made.body.as_ref())))
        }
        Err(failure) => Err(failure),
    }
}

fn same(found: Option<&Value>, wanted: &Value) -> Option<String> {
    let entries = found?["entry"].as_array()?.iter().map(|entry| &entry["resource"]);
    let is_same = |one: &&Value| {
        one["criteria"] == wanted["criteria"] && one["channel"]["endpoint"] == wanted["channel"]["endpoint"]
    };
    let same = entries.into_iter().find(is_same)?;
    Some(format!("Subscription/{}", same["id"].as_str()?))
}

fn status(body: Option<&Value>) -> String {
    body.and_then(|body| body["status"].as_str()).unwrap_or("requested").to_owned()
}

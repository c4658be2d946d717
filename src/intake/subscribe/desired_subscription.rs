//! Our Subscriptions: R4 criteria for a type, or a topic (Subscriptions R5 Backport 1.1 on R4).

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::config::SubscriptionPayload;
use crate::fhir::topic::Topic;
use crate::intake::connection::Connection;

/// How often the server says that a topic's channel works, in seconds: what was lost last shows then.
const HEARTBEAT: u32 = 900;

/// One Subscription that we want.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredSubscription {
    /// Purpose: a type, or a topic's canonical. Our table finds it by this.
    pub purpose: String,
    /// The resource, without its end.
    body: Value,
}

impl DesiredSubscription {
    /// One for a type, by criteria.
    pub fn criteria(connection: &Connection, push: SubscriptionPayload, kind: &str) -> Self {
        let written_by_us = || {
            let is_ours = matches!(Topic::of(kind), Some(Topic::Ours(_)));
            is_ours.then(|| format!("identifier={}|", connection.ehr.config().identifier_system))
        };
        let criteria = format!("{kind}?{}", connection.search(kind).or_else(written_by_us).unwrap_or_default());
        let mut body = body(connection, &criteria);
        if push != SubscriptionPayload::RestHookEmpty {
            body["channel"]["payload"] = json!("application/fhir+json");
        }
        Self { purpose: kind.to_owned(), body }
    }

    /// One for a topic: we are told ids and fetch the rest.
    pub fn topic(connection: &Connection, canonical: &str, filters: &[String]) -> Self {
        let mut body = body(connection, canonical);
        body["meta"] = json!({ "profile": [backport("subscription")] });
        if !filters.is_empty() {
            let filter = |filter: &String| json!({ "url": backport("filter-criteria"), "valueString": filter });
            body["_criteria"] = json!({ "extension": filters.iter().map(filter).collect::<Vec<_>>() });
        }
        let channel = &mut body["channel"];
        channel["extension"] = json!([{ "url": backport("heartbeat-period"), "valueUnsignedInt": HEARTBEAT }]);
        channel["payload"] = json!("application/fhir+json");
        channel["_payload"] = json!({ "extension": [{ "url": backport("payload-content"), "valueCode": "id-only" }] });
        Self { purpose: canonical.to_owned(), body }
    }

    /// The resource, until then.
    pub fn until(&self, end: DateTime<Utc>) -> Value {
        let mut body = self.body.clone();
        body["end"] = json!(end.to_rfc3339_opts(SecondsFormat::Secs, true));
        body
    }

    /// Whether a Subscription that the server has is this one: the same is asked for, and sent to us.
    pub fn is(&self, found: &Value) -> bool {
        found["criteria"] == self.body["criteria"]
            && found["channel"]["endpoint"] == self.body["channel"]["endpoint"]
            && !matches!(found["status"].as_str(), Some("off" | "entered-in-error"))
    }
}

fn backport(name: &str) -> String {
    format!("http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-{name}")
}

fn body(connection: &Connection, criteria: &str) -> Value {
    let secret = connection.settings.notify.token.as_ref().map(|token| token.expose_secret().to_owned());
    json!({
        "resourceType": "Subscription", "status": "requested", "criteria": criteria,
        "reason": "Collaborative Care registry",
        "channel": {
            "type": "rest-hook", "endpoint": connection.endpoint,
            "header": [format!("Authorization: Bearer {}", secret.unwrap_or_default())],
        },
    })
}

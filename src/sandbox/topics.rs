//! Tells those who subscribed to a topic (Subscriptions R5 Backport 1.1 on R4): a handshake, then each event with its
//! number and the id that it is about. What is lost on the way is had by `$events`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::events::EventStream;
use super::exchange::SandboxReply;
use super::profile::Profile;
use super::search::{SandboxQuery, pairs};
use super::{Sandbox, SandboxState, SharedState, lock};
use crate::ehr::http::client;
use crate::problem::Problem;

const BUDGET: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription";
const FILTER: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria";

/// Events of each Subscription, by its id, the first event first.
pub(super) type TopicEvents = BTreeMap<String, Vec<String>>;

/// A notification to send.
struct OutgoingNotification {
    id: String,
    to: Value,
    kind: &'static str,
    body: Value,
}

impl Sandbox {
    /// Tells subscribers of what changes from now on, until what is returned is dropped. A notification is as likely lost
    /// as `lost` says.
    ///
    /// # Errors
    /// Where there can be no HTTP client.
    pub fn tell_subscribers(&self, lost: f64) -> Result<EventStream, Problem> {
        lock(&self.state).chart.changed = Some(Vec::new());
        let (http, state) = (client(BUDGET, false)?, self.state.clone());
        let task: JoinHandle<()> = tokio::spawn(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                let due = lock(&state).due(lost);
                for one in due {
                    tell(&state, &http, one).await;
                }
            }
        });
        Ok(EventStream(task))
    }
}

async fn tell(state: &SharedState, http: &reqwest::Client, one: OutgoingNotification) {
    let mut request = http.post(one.to["endpoint"].as_str().unwrap_or_default());
    for header in one.to["header"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Some((name, value)) = header.split_once(':') {
            request = request.header(name.trim(), value.trim());
        }
    }
    let answer = request.header("content-type", "application/fhir+json").body(one.body.to_string()).send().await;
    let is_heard = answer.is_ok_and(|answer| answer.status().is_success());
    let status = if is_heard { "active" } else { "error" };
    if one.kind == "handshake" || !is_heard {
        lock(state).set_status(&one.id, status);
    }
}

impl SandboxState {
    /// Notifications due now.
    fn due(&mut self, lost: f64) -> Vec<OutgoingNotification> {
        let changed = self.chart.changed.replace(Vec::new()).unwrap_or_default();
        let all: Vec<Value> = self.chart.all("Subscription").into_iter().cloned().collect();
        let mut due = Vec::new();
        for one in all {
            let Some(kinds) = kinds(&self.profile, &one) else { continue };
            let id = one["id"].as_str().unwrap_or_default();
            let notification =
                |kind, body| OutgoingNotification { id: id.to_owned(), to: one["channel"].clone(), kind, body };
            match one["status"].as_str() {
                Some("requested") => {
                    due.push(notification("handshake", self.bundle("history", &one, "handshake", &[])));
                }
                Some("active") => {
                    let news: Vec<&String> = changed.iter().filter(|name| self.concerns(&one, kinds, name)).collect();
                    for name in news {
                        let events = self.topical.entry(id.to_owned()).or_default();
                        events.push(name.clone());
                        let number = events.len();
                        if !self.dice.happens(lost) {
                            let body = self.bundle("history", &one, "event-notification", &[number]);
                            due.push(notification("event-notification", body));
                        }
                    }
                }
                _ => {}
            }
        }
        due
    }

    /// Whether a change is one that a Subscription asks for.
    fn concerns(&self, subscription: &Value, kinds: &[&str], name: &str) -> bool {
        let Some((kind, id)) = name.split_once('/') else { return false };
        let Some(resource) = self.chart.get(kind, id) else { return false };
        let filters = subscription["_criteria"]["extension"].as_array().into_iter().flatten();
        let mut filters = filters.filter(|one| one["url"] == FILTER).filter_map(|one| one["valueString"].as_str());
        kinds.contains(&kind)
            && filters.all(|filter| match filter.split_once('?') {
                Some((of, query)) if of == kind => SandboxQuery::read(query).is_ok_and(|query| query.matches(resource)),
                _ => true,
            })
    }

    fn set_status(&mut self, id: &str, status: &str) {
        if let Some(mut one) = self.chart.get("Subscription", id).cloned() {
            one["status"] = json!(status);
            self.chart.put(one);
        }
    }

    /// A Bundle with a Subscription's status and these events, by number.
    fn bundle(&self, bundle: &str, subscription: &Value, kind: &str, numbers: &[usize]) -> Value {
        let id = subscription["id"].as_str().unwrap_or_default();
        let events = self.topical.get(id).map_or(&[][..], Vec::as_slice);
        let mut parameters = vec![
            json!({"name": "subscription", "valueReference": {"reference": format!("Subscription/{id}")}}),
            json!({"name": "topic", "valueCanonical": subscription["criteria"]}),
            json!({"name": "status", "valueCode": subscription["status"]}),
            json!({"name": "type", "valueCode": kind}),
            json!({"name": "events-since-subscription-start", "valueString": events.len().to_string()}),
        ];
        let of_number = numbers.iter().filter_map(|number| Some((number, events.get(number.checked_sub(1)?)?)));
        parameters.extend(of_number.map(|(number, focus)| {
            json!({"name": "notification-event", "part": [
                {"name": "event-number", "valueString": number.to_string()},
                {"name": "focus", "valueReference": {"reference": focus}}]})
        }));
        let request = json!({"method": "GET", "url": format!("Subscription/{id}/$status")});
        json!({"resourceType": "Bundle", "type": bundle, "entry": [{
            "resource": {"resourceType": "Parameters", "parameter": parameters},
            "request": request, "response": {"status": "200"},
        }]})
    }

    /// `$status`: how far a Subscription's events have come.
    pub(super) fn subscription_status(&self, id: &str) -> SandboxReply {
        self.asked(id, "searchset", "query-status", |_| Vec::new())
    }

    /// `$events`: those of a stretch of numbers.
    pub(super) fn subscription_events(&self, id: &str, query: &str) -> SandboxReply {
        let asked = pairs(query);
        let bound = |name: &str| asked.iter().find(|(key, _)| key == name).and_then(|(_, number)| number.parse().ok());
        let (from, to) = (bound("eventsSinceNumber").unwrap_or(1), bound("eventsUntilNumber").unwrap_or(usize::MAX));
        self.asked(id, "history", "query-event", |count| (from..=to.min(count)).collect())
    }

    fn asked(&self, id: &str, bundle: &str, kind: &str, numbers: impl Fn(usize) -> Vec<usize>) -> SandboxReply {
        match self.chart.get("Subscription", id).filter(|one| kinds(&self.profile, one).is_some()) {
            Some(one) => {
                let count = self.topical.get(id).map_or(0, Vec::len);
                SandboxReply::with(200, self.bundle(bundle, one, kind, &numbers(count)))
            }
            None => SandboxReply::refusal(404, "not-found", "no Subscription to a topic"),
        }
    }
}

/// The types that a Subscription's topic is about; `None` where it is none of this server's topics.
fn kinds(profile: &Profile, subscription: &Value) -> Option<&'static [&'static str]> {
    let topic = |(canonical, _): &&(&str, _)| subscription["criteria"] == *canonical;
    profile.topics.iter().find(topic).map(|(_, kinds)| *kinds)
}

/// Why a server does not take a Subscription.
pub(super) fn refused(profile: &Profile, subscription: &Value) -> Option<SandboxReply> {
    let profiles = subscription["meta"]["profile"].as_array();
    let by_topic = profiles.into_iter().flatten().any(|one| one == BACKPORT);
    let why = match by_topic {
        true if kinds(profile, subscription).is_none() => "no such topic here",
        false if !profile.criteria => "Subscriptions are to topics here",
        _ => return None,
    };
    Some(SandboxReply::refusal(422, "not-supported", why))
}

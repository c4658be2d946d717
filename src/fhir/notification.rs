//! Change notifications of EHRs in all their forms. Only the names of the changed resources are used: the resources
//! themselves are fetched.
//!
//! - R4 rest-hook: the resource, or nothing at all ("look again").
//! - Subscriptions Backport: a Bundle whose head is `Parameters`, or in the wild `SubscriptionStatus`, with event
//!   numbers; the rest names resources or carries them.
//! - Any webhook: `{"changed": ["Patient/1"]}`, `{"resource": "Patient/1"}`, `{"type": "Patient", "id": "1"}`, or a list.

use serde_json::Value;

use super::arrival::is_logical_id;
use super::topic::Topic;
use crate::problem::Problem;

/// A resource that has changed: its type, as far as it concerns us, and its id.
pub type ChangedResource = (Topic, String);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The resources that have changed, each once.
    pub changed: Vec<ChangedResource>,
    /// Something has changed, but the notification does not say what, or not in a form that we understand.
    pub look_again: bool,
    /// Status of a Subscription.
    pub status: Option<Status>,
}

/// Status of a Subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The Subscription: `Subscription/12`.
    pub subscription: Option<String>,
    /// `handshake`, `heartbeat`, `event-notification`, …
    pub kind: String,
    /// How many events there were since it began.
    pub events_so_far: Option<i64>,
    /// The numbers of the events in this notification.
    pub numbers: Vec<i64>,
    /// Its state, such as `active` or `error`.
    pub status: Option<String>,
}

impl Notification {
    /// Reads a body. `bases` are the addresses under which the server's own resources are.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn read(raw: &str, bases: &[&str]) -> Result<Self, Problem> {
        let raw = raw.trim_start_matches('\u{feff}').trim();
        let mut said = Self::default();
        if raw.is_empty() {
            said.look_again = true;
            return Ok(said);
        }
        let body: Value = serde_json::from_str(raw)
            .map_err(|e| Problem::malformed(format!("not JSON: line {}, column {}", e.line(), e.column())))?;
        said.hear(&body, bases);
        if said.changed.is_empty() && said.status.is_none() && !said.look_again {
            // A type that is not stored here, or an unknown form: a check costs little.
            said.look_again = body["resourceType"].as_str().is_none_or(|kind| kind == "Bundle");
        }
        Ok(said)
    }

    fn hear(&mut self, body: &Value, bases: &[&str]) {
        match body {
            Value::Array(all) => all.iter().for_each(|one| self.hear(one, bases)),
            Value::String(reference) => self.names(reference, bases),
            _ => match body["resourceType"].as_str() {
                Some("Bundle") => {
                    for entry in body["entry"].as_array().into_iter().flatten() {
                        self.entry(entry, bases);
                    }
                }
                Some("Parameters") => self.parameters(body, bases),
                Some("SubscriptionStatus") => self.subscription_status(body, bases),
                Some(kind) => self.add(kind, body["id"].as_str()),
                None => self.plain(body, bases),
            },
        }
    }

    fn plain(&mut self, body: &Value, bases: &[&str]) {
        match (&body["changed"], &body["resource"], body["type"].as_str(), body["id"].as_str()) {
            (Value::Array(all), ..) => all.iter().for_each(|one| self.hear(one, bases)),
            (_, Value::String(reference), ..) => self.names(reference, bases),
            (_, _, Some(kind), Some(id)) => self.add(kind, Some(id)),
            _ => self.look_again = true,
        }
    }

    fn entry(&mut self, entry: &Value, bases: &[&str]) {
        if entry["resource"].is_object() {
            return self.hear(&entry["resource"], bases);
        }
        // Without the resource, and after its deletion.
        let named = [&entry["fullUrl"], &entry["request"]["url"]].into_iter().filter_map(Value::as_str);
        if let Some(reference) = named.into_iter().find(|reference| !reference.starts_with("urn:")) {
            self.names(reference, bases);
        }
    }

    fn parameters(&mut self, body: &Value, bases: &[&str]) {
        let mut status = Status::default();
        for parameter in list(&body["parameter"]) {
            match parameter["name"].as_str() {
                Some("subscription") => status.subscription = subscription(&value(parameter)["reference"]),
                Some("type") => text(value(parameter)).clone_into(&mut status.kind),
                Some("status") => status.status = value(parameter).as_str().map(str::to_owned),
                Some("events-since-subscription-start") => status.events_so_far = number(value(parameter)),
                Some("notification-event") => {
                    for part in list(&parameter["part"]) {
                        match part["name"].as_str() {
                            Some("event-number") => status.numbers.extend(number(value(part))),
                            Some("focus") => self.names(text(&value(part)["reference"]), bases),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        self.status = Some(status);
    }

    fn subscription_status(&mut self, body: &Value, bases: &[&str]) {
        let mut status = Status {
            subscription: subscription(&body["subscription"]["reference"]),
            kind: text(&body["type"]).to_owned(),
            events_so_far: number(&body["eventsSinceSubscriptionStart"]),
            numbers: Vec::new(),
            status: body["status"].as_str().map(str::to_owned),
        };
        for event in list(&body["notificationEvent"]) {
            status.numbers.extend(number(&event["eventNumber"]));
            let focus = &event["focus"];
            self.names(focus.as_str().unwrap_or_else(|| text(&focus["reference"])), bases);
        }
        self.status = Some(status);
    }

    /// A reference: relative, or absolute on the server itself.
    fn names(&mut self, reference: &str, bases: &[&str]) {
        if reference.is_empty() {
            return;
        }
        let path = if reference.contains("://") {
            let under = |base: &&str| reference.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/');
            match bases.iter().find_map(under) {
                Some(path) => path,
                // The server is unknown: check ours for changes.
                None => return self.look_again = true,
            }
        } else {
            reference.trim_start_matches('/')
        };
        let path = path.split_once("/_history").map_or(path, |(path, _)| path);
        match path.split_once('/') {
            Some((kind, id)) => self.add(kind, Some(id)),
            None => self.look_again = true,
        }
    }

    fn add(&mut self, kind: &str, id: Option<&str>) {
        let Some(kind) = Topic::of(kind) else { return };
        match id.filter(|id| is_logical_id(id)) {
            Some(id) if self.changed.iter().any(|(known, one)| *known == kind && one == id) => {}
            Some(id) => self.changed.push((kind, id.to_owned())),
            None => self.look_again = true,
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `valueString`, `valueReference`, …: a parameter has one.
fn value(parameter: &Value) -> &Value {
    let members = parameter.as_object().into_iter().flatten();
    members.into_iter().find(|(name, _)| name.starts_with("value")).map_or(&Value::Null, |(_, value)| value)
}

/// R5's integer64 is a string in JSON, and some servers write a number.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| *number >= 0)
}

/// `Subscription/12`, whatever stands before it.
fn subscription(reference: &Value) -> Option<String> {
    let id = reference.as_str()?.rsplit('/').next().filter(|id| is_logical_id(id))?;
    Some(format!("Subscription/{id}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const BASES: [&str; 2] = ["https://ehr.example/fhir/", "http://inside/fhir"];

    fn read(body: &Value) -> Notification {
        Notification::read(&body.to_string(), &BASES).unwrap()
    }

    fn one(id: &str) -> Vec<ChangedResource> {
        vec![(Topic::of("QuestionnaireResponse").unwrap(), id.to_owned())]
    }

    #[rstest]
    #[case(json!({"resourceType": "QuestionnaireResponse", "id": "7", "status": "completed"}))]
    #[case(json!({"changed": ["QuestionnaireResponse/7", "QuestionnaireResponse/7/_history/3", "Encounter/9"]}))]
    #[case(json!({"resource": "https://ehr.example/fhir/QuestionnaireResponse/7"}))]
    #[case(json!([{"type": "QuestionnaireResponse", "id": "7"}, "http://inside/fhir/QuestionnaireResponse/7"]))]
    #[case(json!({"resourceType": "Bundle", "type": "history", "entry": [
        {"fullUrl": "https://ehr.example/fhir/QuestionnaireResponse/7", "request": {"method": "PUT", "url": "x"}}]}))]
    #[case(json!({"resourceType": "Bundle", "type": "history", "entry": [
        {"fullUrl": "urn:uuid:1", "request": {"method": "DELETE", "url": "QuestionnaireResponse/7"}}]}))]
    fn what_has_changed_is_understood(#[case] body: Value) {
        assert_eq!(read(&body), Notification { changed: one("7"), ..Notification::default() });
    }

    #[rstest]
    #[case("")]
    #[case(" \n")]
    #[case("{}")]
    #[case("[]")]
    #[case(r#"{"event":"something"}"#)]
    #[case(r#"{"resource":"https://elsewhere.example/fhir/Patient/1"}"#)]
    #[case(r#"{"resourceType":"Patient"}"#)]
    #[case(r#"{"resourceType":"Patient","id":"a/../b"}"#)]
    #[case(r#"{"resourceType":"Bundle","type":"history"}"#)]
    fn where_it_is_not_said_what_we_look_again(#[case] body: &str) {
        let said = Notification::read(body, &BASES).unwrap();
        assert!(said.look_again && said.changed.is_empty(), "{said:?}");
    }

    #[test]
    fn what_we_wrote_ourselves_is_looked_for_too() {
        let said = read(&json!({"changed": ["Task/9", "Flag/9"]}));
        let named: Vec<_> = said.changed.iter().map(|(topic, id)| format!("{}/{id}", topic.name())).collect();
        assert_eq!(named, ["Task/9", "Flag/9"]);
    }

    #[test]
    fn what_is_not_kept_here_is_not_looked_for() {
        assert_eq!(read(&json!({"resourceType": "Encounter", "id": "1"})), Notification::default());
        assert!(Notification::read("<xml/>", &BASES).is_err());
    }

    #[test]
    fn a_backport_notification_is_read_with_either_head() {
        let status = Status {
            subscription: Some("Subscription/s1".into()),
            kind: "event-notification".into(),
            events_so_far: Some(12),
            numbers: vec![11, 12],
            status: Some("active".into()),
        };
        let parameters = json!({"resourceType": "Parameters", "parameter": [
            {"name": "subscription", "valueReference": {"reference": "https://ehr.example/fhir/Subscription/s1"}},
            {"name": "topic", "valueCanonical": "http://example.org/topic"},
            {"name": "status", "valueCode": "active"}, {"name": "type", "valueCode": "event-notification"},
            {"name": "events-since-subscription-start", "valueString": "12"},
            {"name": "notification-event", "part": [{"name": "event-number", "valueString": "11"},
                {"name": "focus", "valueReference": {"reference": "QuestionnaireResponse/7"}}]},
            {"name": "notification-event", "part": [{"name": "event-number", "valueString": "12"}]}]});
        let own = json!({"resourceType": "SubscriptionStatus", "status": "active", "type": "event-notification",
            "subscription": {"reference": "Subscription/s1"}, "eventsSinceSubscriptionStart": 12,
            "notificationEvent": [{"eventNumber": "11", "focus": {"reference": "QuestionnaireResponse/7"}},
                {"eventNumber": 12}]});
        for head in [parameters, own] {
            let bundle = json!({"resourceType": "Bundle", "type": "history", "entry": [{"resource": head}]});
            let said = read(&bundle);
            assert_eq!((said.changed, said.status.as_ref()), (one("7"), Some(&status)), "{bundle}");
        }
    }
}

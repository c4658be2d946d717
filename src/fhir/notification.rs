//! Change notifications of EHRs in all their forms. Only the names of the changed resources are used: the resources
//! themselves are fetched.
//!
//! - R4 rest-hook: the resource, or nothing at all ("look again").
//! - Subscriptions Backport: a Bundle whose head is `Parameters`, or in the wild `SubscriptionStatus`, with event
//!   numbers; the rest names resources or carries them.
//! - Brokers put their own envelope around: `CloudEvents`, Azure Event Grid, Google Pub/Sub.
//! - Any webhook: `{"changed": ["Patient/1"]}`, `{"resource": "Patient/1"}`, `{"type": "Patient", "id": "1"}`, or a list.

mod envelope;

use std::collections::HashSet;

use super::json::JsonNode;
use super::logical_id::is_logical_id;
use super::topic::Topic;
use crate::limits::{JsonBudget, NOTIFICATION_NAMES};
use crate::problem::Problem;
use envelope::BrokerEnvelope;

/// A resource that has changed: its type, as far as it concerns us, and its id.
pub type ChangedResource = (Topic, String);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The resources that have changed, each once; no more than [`NOTIFICATION_NAMES`].
    pub changed: Vec<ChangedResource>,
    /// Something has changed, but the notification does not say what, or not in a form that we understand.
    pub look_again: bool,
    /// What Azure Event Grid wants to have repeated before it sends anything.
    pub validation: Option<String>,
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
    /// Where it is not JSON, or beyond [`JsonBudget::NOTIFICATION`].
    pub fn read(raw: &str, bases: &[&str]) -> Result<Self, Problem> {
        let raw = raw.trim_start_matches('\u{feff}').trim();
        if raw.is_empty() {
            return Ok(Self { look_again: true, ..Self::default() });
        }
        let body = JsonNode::read_within(raw, JsonBudget::NOTIFICATION)?;
        let mut reader = NotificationReader { bases, named: HashSet::new(), notification: Self::default() };
        reader.message(&body);
        let mut read = reader.notification;
        if read.changed.is_empty() && read.status.is_none() && !read.look_again {
            // Of a type that is not kept here, or in a shape that nobody has shown us: to look costs little.
            let is_clear = read.validation.is_some() || BrokerEnvelope::of(&body).is_some();
            read.look_again = !is_clear && body.text("resourceType").is_none_or(|kind| kind == "Bundle");
        }
        Ok(read)
    }
}

/// Collects what a body says.
struct NotificationReader<'a> {
    bases: &'a [&'a str],
    named: HashSet<ChangedResource>,
    notification: Notification,
}

impl NotificationReader<'_> {
    fn message(&mut self, body: &JsonNode<'_>) {
        match body {
            JsonNode::List(all) => all.iter().for_each(|one| self.message(one)),
            JsonNode::Text(reference) => self.reference(reference),
            _ => match body.text("resourceType") {
                Some("Bundle") => body.list("entry").iter().for_each(|entry| self.entry(entry)),
                Some("Parameters") => self.parameters(body),
                Some("SubscriptionStatus") => self.subscription_status(body),
                Some(kind) => self.resource(kind, body.text("id")),
                None => self.plain(body),
            },
        }
    }

    fn plain(&mut self, body: &JsonNode<'_>) {
        match BrokerEnvelope::of(body) {
            None => self.unwrapped(body),
            Some(BrokerEnvelope::Resource { kind, id }) => self.resource(kind, Some(id)),
            Some(BrokerEnvelope::Reference(reference)) => self.reference(&reference),
            Some(BrokerEnvelope::Document(document)) => self.message(document),
            Some(BrokerEnvelope::Encoded(text)) => match JsonNode::read_within(&text, JsonBudget::NOTIFICATION) {
                Ok(document) => self.message(&document),
                Err(_) => self.notification.look_again = true,
            },
            Some(BrokerEnvelope::Validation(code)) => self.notification.validation = Some(code),
            Some(BrokerEnvelope::Unclear) => self.notification.look_again = true,
        }
    }

    fn unwrapped(&mut self, body: &JsonNode<'_>) {
        match (body.get("changed"), body.get("resource"), body.text("type"), body.text("id")) {
            (Some(JsonNode::List(all)), ..) => all.iter().for_each(|one| self.message(one)),
            (_, Some(JsonNode::Text(reference)), ..) => self.reference(reference),
            (_, _, Some(kind), Some(id)) => self.resource(kind, Some(id)),
            _ => self.notification.look_again = true,
        }
    }

    fn entry(&mut self, entry: &JsonNode<'_>) {
        if let Some(resource @ JsonNode::Object(_)) = entry.get("resource") {
            return self.message(resource);
        }
        // Without the resource, and after its deletion.
        let named = [entry.text("fullUrl"), entry.get("request").and_then(|request| request.text("url"))];
        if let Some(reference) = named.into_iter().flatten().find(|reference| !reference.starts_with("urn:")) {
            self.reference(reference);
        }
    }

    fn parameters(&mut self, body: &JsonNode<'_>) {
        let mut status = Status::default();
        for parameter in body.list("parameter") {
            match parameter.text("name") {
                Some("subscription") => status.subscription = value(parameter).and_then(subscription),
                Some("type") => {
                    value(parameter).and_then(JsonNode::as_text).unwrap_or_default().clone_into(&mut status.kind);
                }
                Some("status") => status.status = value(parameter).and_then(JsonNode::as_text).map(str::to_owned),
                Some("events-since-subscription-start") => status.events_so_far = value(parameter).and_then(number),
                Some("notification-event") => {
                    for part in parameter.list("part") {
                        match (part.text("name"), value(part)) {
                            (Some("event-number"), Some(value)) => status.numbers.extend(number(value)),
                            (Some("focus"), Some(value)) => self.reference(value.text("reference").unwrap_or_default()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        self.notification.status = Some(status);
    }

    fn subscription_status(&mut self, body: &JsonNode<'_>) {
        let mut status = Status {
            subscription: body.get("subscription").and_then(subscription),
            kind: body.text("type").unwrap_or_default().to_owned(),
            events_so_far: body.get("eventsSinceSubscriptionStart").and_then(number),
            numbers: Vec::new(),
            status: body.text("status").map(str::to_owned),
        };
        for event in body.list("notificationEvent") {
            status.numbers.extend(event.get("eventNumber").and_then(number));
            let focus = event.get("focus").and_then(|focus| focus.as_text().or_else(|| focus.text("reference")));
            self.reference(focus.unwrap_or_default());
        }
        self.notification.status = Some(status);
    }

    /// A reference: relative, or absolute on the server itself.
    fn reference(&mut self, reference: &str) {
        if reference.is_empty() {
            return;
        }
        let path = if reference.contains("://") {
            let under = |base: &&str| reference.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/');
            match self.bases.iter().find_map(under) {
                Some(path) => path,
                // Of which server that speaks, nobody can say: ours is asked what is new.
                None => return self.notification.look_again = true,
            }
        } else {
            reference.trim_start_matches('/')
        };
        let path = path.split_once("/_history").map_or(path, |(path, _)| path);
        // Google names its resources with everything above them: projects/…/fhirStores/…/fhir/Patient/1.
        let segments: Vec<&str> = path.split('/').collect();
        match segments.windows(2).rev().find(|pair| Topic::of(pair[0]).is_some()) {
            Some(pair) => self.resource(pair[0], Some(pair[1])),
            None => self.notification.look_again |= segments.len() < 2,
        }
    }

    fn resource(&mut self, kind: &str, id: Option<&str>) {
        let Some(kind) = Topic::of(kind) else { return };
        let Some(id) = id.filter(|id| is_logical_id(id)) else {
            return self.notification.look_again = true;
        };
        let changed = (kind, id.to_owned());
        if self.named.len() < NOTIFICATION_NAMES {
            if self.named.insert(changed.clone()) {
                self.notification.changed.push(changed);
            }
        } else if !self.named.contains(&changed) {
            self.notification.look_again = true;
        }
    }
}

/// `valueString`, `valueReference`, …: a parameter has one.
fn value<'a, 'b>(parameter: &'a JsonNode<'b>) -> Option<&'a JsonNode<'b>> {
    parameter.members().iter().find(|(name, _)| name.starts_with("value")).map(|(_, value)| value)
}

/// R5's integer64 is a string in JSON, and some servers write a number.
#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2⁵³")]
fn number(value: &JsonNode<'_>) -> Option<i64> {
    match value {
        JsonNode::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        value => value.as_text()?.parse().ok(),
    }
    .filter(|number| *number >= 0)
}

/// `Subscription/12`, whatever stands before it.
fn subscription(reference: &JsonNode<'_>) -> Option<String> {
    let id = reference.text("reference")?.rsplit('/').next().filter(|id| is_logical_id(id))?;
    Some(format!("Subscription/{id}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

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

    #[rstest]
    #[case::cloud_event(json!({"specversion": "1.0", "id": "e-1", "type": "Microsoft.HealthcareApis.FhirResourceUpdated",
        "source": "/subscriptions/s", "subject": "acct.fhir.azurehealthcareapis.com/QuestionnaireResponse/7",
        "data": {"resourceType": "QuestionnaireResponse", "resourceFhirAccount": "acct", "resourceFhirId": "7",
            "resourceVersionId": 3}}))]
    #[case::event_grid(json!([{"id": "e-1", "topic": "/subscriptions/s", "eventType": "Microsoft.HealthcareApis.FhirResourceDeleted",
        "subject": "acct.fhir.azurehealthcareapis.com/QuestionnaireResponse/7", "dataVersion": "3", "metadataVersion": "1",
        "data": {"resourceType": "QuestionnaireResponse", "resourceFhirAccount": "acct", "resourceFhirId": "7"}}]))]
    #[case::only_the_subject(json!({"specversion": "1.0", "id": "1", "type": "x", "subject": "QuestionnaireResponse/7"}))]
    #[case::with_the_resource(json!({"specversion": "1.0", "id": "1", "type": "x",
        "data": {"resourceType": "QuestionnaireResponse", "id": "7"}}))]
    #[case::base64(json!({"specversion": "1.0", "id": "1", "type": "x",
        "data_base64": "eyJyZXNvdXJjZVR5cGUiOiJRdWVzdGlvbm5haXJlUmVzcG9uc2UiLCJpZCI6IjcifQ=="}))]
    #[case::pub_sub_name(json!({"subscription": "projects/p/subscriptions/s", "message": {"messageId": "1",
        "attributes": {"action": "UpdateResource", "resourceType": "QuestionnaireResponse", "payloadType": "NameOnly"},
        "data": "cHJvamVjdHMvcC9sb2NhdGlvbnMvbC9kYXRhc2V0cy9kL2ZoaXJTdG9yZXMvZi9maGlyL1F1ZXN0aW9ubmFpcmVSZXNwb25zZS83"}}))]
    #[case::pub_sub_resource(json!({"message": {"attributes": {"payloadType": "FullResource"},
        "data": "eyJyZXNvdXJjZVR5cGUiOiJRdWVzdGlvbm5haXJlUmVzcG9uc2UiLCJpZCI6IjcifQ=="}}))]
    fn what_brokers_send_is_understood(#[case] body: Value) {
        assert_eq!(read(&body), Notification { changed: one("7"), ..Notification::default() });
    }

    #[test]
    fn the_validation_of_event_grid_is_kept_to_be_repeated() {
        let body = json!([{"id": "1", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "data": {"validationCode": "512d38b6", "validationUrl": "https://elsewhere.example/"}}]);
        let expected = Notification { validation: Some("512d38b6".into()), ..Notification::default() };
        assert_eq!(read(&body), expected);
    }

    #[test]
    fn an_event_about_what_is_not_kept_is_let_go_and_one_that_says_nothing_leads_to_a_look() {
        let event = |data: Value| json!({"specversion": "1.0", "id": "1", "type": "x", "data": data});
        let foreign = event(json!({"resourceType": "Encounter", "resourceFhirId": "1"}));
        assert_eq!(read(&foreign), Notification::default());
        for unclear in [event(Value::Null), event(json!({"a": 1})), json!({"message": {"data": "%%%"}})] {
            assert!(read(&unclear).look_again, "{unclear}");
        }
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

    #[test]
    fn each_resource_is_named_once_and_beyond_a_bound_we_look_again() {
        let ids = |count: usize| (0..count).map(|n| format!("Patient/{n}")).collect::<Vec<_>>();
        let most = read(&json!({"changed": [ids(NOTIFICATION_NAMES), ids(NOTIFICATION_NAMES)]}));
        assert_eq!((most.changed.len(), most.look_again), (NOTIFICATION_NAMES, false));
        let beyond = read(&json!({"changed": ids(80_000)}));
        assert_eq!((beyond.changed.len(), beyond.look_again), (NOTIFICATION_NAMES, true));
    }

    #[test]
    fn a_number_may_be_written_as_a_string() {
        for (body, expected) in [("7", Some(7)), (r#""7""#, Some(7)), ("-1", None), ("1.5", None), (r#""x""#, None)] {
            assert_eq!(number(&JsonNode::read(body).unwrap()), expected, "{body}");
        }
    }
}

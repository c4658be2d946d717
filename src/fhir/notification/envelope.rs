//! The envelopes of message brokers: `CloudEvents` 1.0, Azure Event Grid's own events, Google Pub/Sub's push messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::JsonNode;
use crate::limits::JsonBudget;

/// What an envelope holds.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerEnvelope<'a> {
    /// A resource's type and id, each by itself (Azure's FHIR service).
    Resource { kind: &'a str, id: &'a str },
    /// A resource by its address or name.
    Reference(String),
    /// A resource, a notification, or whatever else a webhook may carry.
    Document(&'a JsonNode<'a>),
    /// The same as a text of its own.
    Encoded(String),
    /// The code of Event Grid's validation.
    Validation(String),
    /// Nothing that says what has changed.
    Unclear,
}

impl<'a> BrokerEnvelope<'a> {
    /// Opens an envelope; `None` where it is none.
    pub fn of(body: &'a JsonNode<'a>) -> Option<Self> {
        if let Some(message @ JsonNode::Object(_)) = body.get("message") {
            return Some(message.text("data").map_or(Self::Unclear, Self::of_base64));
        }
        let is_event = body.text("specversion").is_some() || body.text("eventType").is_some();
        is_event.then(|| Self::of_event(body))
    }

    fn of_event(event: &'a JsonNode<'a>) -> Self {
        let data = event.get("data");
        let text = |name: &str| data.and_then(|data| data.text(name));
        if event.text("eventType") == Some("Microsoft.EventGrid.SubscriptionValidationEvent") {
            return text("validationCode").map_or(Self::Unclear, |code| Self::Validation(code.to_owned()));
        }
        if let (Some(kind), Some(id)) = (text("resourceType"), text("resourceFhirId")) {
            return Self::Resource { kind, id };
        }
        let names_a_resource = text("resourceType").is_some() || text("resource").is_some();
        let lists_changes = data.is_some_and(|data| matches!(data.get("changed"), Some(JsonNode::List(_))));
        if let Some(data) = data.filter(|_| names_a_resource || lists_changes) {
            return Self::Document(data);
        }
        if let Some(encoded) = event.text("data_base64") {
            return Self::of_base64(encoded);
        }
        match event.text("subject").filter(|subject| subject.contains('/')) {
            Some(subject) => Self::Reference(subject.to_owned()),
            None => Self::Unclear,
        }
    }

    fn of_base64(encoded: &str) -> Self {
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = decoded else { return Self::Unclear };
        // An envelope within an envelope has to be a document of its own, or this would have no end.
        let is_document = match JsonNode::read_within(&text, JsonBudget::NOTIFICATION) {
            Ok(document @ (JsonNode::Object(_) | JsonNode::List(_))) => BrokerEnvelope::of(&document).is_none(),
            Err(_) if text.contains('/') => return Self::Reference(text.trim().to_owned()),
            Ok(_) | Err(_) => false,
        };
        if is_document { Self::Encoded(text) } else { Self::Unclear }
    }
}

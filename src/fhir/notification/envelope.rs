//! The envelopes of message brokers: CloudEvents 1.0, Azure Event Grid's own events, Google Pub/Sub's push messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What an envelope holds.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerEnvelope {
    /// A resource's type and id, each by itself (Azure's FHIR service).
    Resource { kind: String, id: String },
    /// A resource by its address or name.
    Reference(String),
    /// A resource, a notification, or whatever else a webhook may carry.
    Document(Value),
    /// The code of Event Grid's validation.
    Validation(String),
    /// Nothing that says what has changed.
    Unclear,
}

impl BrokerEnvelope {
    /// Opens an envelope; `None` where it is none.
    pub fn of(body: &Value) -> Option<Self> {
        if body["message"].is_object() {
            return Some(Self::of_pub_sub(&body["message"]));
        }
        let is_event = body["specversion"].is_string() || body["eventType"].is_string();
        is_event.then(|| Self::of_event(body))
    }

    fn of_event(event: &Value) -> Self {
        let data = &event["data"];
        if event["eventType"] == "Microsoft.EventGrid.SubscriptionValidationEvent" {
            return data["validationCode"].as_str().map_or(Self::Unclear, |code| Self::Validation(code.to_owned()));
        }
        if let (Some(kind), Some(id)) = (data["resourceType"].as_str(), data["resourceFhirId"].as_str()) {
            return Self::Resource { kind: kind.to_owned(), id: id.to_owned() };
        }
        let names_a_resource =
            data["resourceType"].is_string() || data["changed"].is_array() || data["resource"].is_string();
        if names_a_resource {
            return Self::Document(data.clone());
        }
        if let Some(encoded) = event["data_base64"].as_str() {
            return Self::of_base64(encoded);
        }
        match event["subject"].as_str().filter(|subject| subject.contains('/')) {
            Some(subject) => Self::Reference(subject.to_owned()),
            None => Self::Unclear,
        }
    }

    fn of_pub_sub(message: &Value) -> Self {
        message["data"].as_str().map_or(Self::Unclear, Self::of_base64)
    }

    fn of_base64(encoded: &str) -> Self {
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = decoded else { return Self::Unclear };
        match serde_json::from_str(&text) {
            // An envelope within an envelope has to be a document of its own, or this would have no end.
            Ok(document @ (Value::Object(_) | Value::Array(_))) if Self::of(&document).is_none() => {
                Self::Document(document)
            }
            Ok(_) => Self::Unclear,
            Err(_) if text.contains('/') => Self::Reference(text.trim().to_owned()),
            Err(_) => Self::Unclear,
        }
    }
}

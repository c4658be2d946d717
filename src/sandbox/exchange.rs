//! A call to the sandbox and its reply.

use axum::http::Method;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(super) struct SandboxCall {
    pub method: Method,
    /// Without a leading slash.
    pub path: String,
    pub query: String,
    pub if_match: Option<String>,
    pub if_none_exist: Option<String>,
    pub body: Option<Value>,
}

/// A reply.
#[derive(Clone, Debug)]
pub(super) struct SandboxReply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl SandboxReply {
    pub(super) fn with(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    /// An OperationOutcome.
    pub fn refusal(status: u16, code: &str, text: &str) -> Self {
        let issue = json!({"severity": "error", "code": code, "diagnostics": text});
        Self::with(status, json!({"resourceType": "OperationOutcome", "issue": [issue]}))
    }

    pub(super) fn resource(status: u16, resource: Value, base: &str) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, id) = (text(&resource["resourceType"]), text(&resource["id"]));
        let version = text(&resource["meta"]["versionId"]);
        let mut headers = vec![("etag", format!("W/\"{version}\""))];
        let updated = chrono::DateTime::parse_from_rfc3339(&text(&resource["meta"]["lastUpdated"]));
        if let Ok(at) = updated {
            headers.push(("last-modified", httpdate::fmt_http_date(at.to_utc().into())));
        }
        if status == 201 {
            headers.push(("location", format!("{base}/{kind}/{id}/_history/{version}")));
        }
        Self { status, headers, body: Some(resource) }
    }
}

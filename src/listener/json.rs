//! A JSON body as a handler's argument, with errors that name the field and never its value.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::error::Category as Fault;

use super::{BodyLimit, DEEPEST, check_depth, read_body};
use crate::problem::{Category, Problem};

/// A JSON body: `application/json` or `application/…+json`, within the limits.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        json_within(request, |limit| limit.body).await.map(Self)
    }
}

/// Reads a JSON body within the limit that is chosen: for a handler that takes in more than most.
pub async fn json_within<T: DeserializeOwned>(request: Request, choose: fn(BodyLimit) -> usize) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(Problem::new(Category::UnsupportedMediaType, "Content-Type must be application/json"));
    }
    let limit = parts.extensions.get::<BodyLimit>().copied().unwrap_or_default();
    parse(&read_body(&parts.headers, body, choose(limit)).await?)
}

/// Reads JSON that nests no deeper than [`DEEPEST`]: 400 if it is not JSON, 422 if it is not what is asked for.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    check_depth(bytes, DEEPEST)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = explain(error.inner());
        if problem.category == Category::Unprocessable && is_plain(&path) { problem.at(path) } else { problem }
    })?;
    json.end().map_err(|error| explain(&error))?;
    Ok(value)
}

fn explain(error: &serde_json::Error) -> Problem {
    match error.classify() {
        Fault::Data => Problem::unprocessable(scrubbed(&error.to_string())),
        _ => Problem::malformed(format!("not JSON, at line {} column {}", error.line(), error.column())),
    }
}

/// serde quotes the value it met, which may be a patient's. What it expected is ours, and comes last.
fn scrubbed(message: &str) -> String {
    const KINDS: [(&str, &str); 4] = [
        ("unknown field", "no such field"),
        ("unknown variant", "no such value"),
        ("invalid type", "of the wrong type"),
        ("invalid length", "of the wrong length"),
    ];
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match (KINDS.iter().find(|(kind, _)| message.starts_with(kind)), expected) {
        // Both messages name one of our own fields.
        _ if message.starts_with("missing field") || message.starts_with("duplicate field") => message.to_owned(),
        (Some((_, said)), Some(expected)) => format!("{said}; expected {expected}"),
        (Some((_, said)), None) => (*said).to_owned(),
        (None, Some(expected)) if message.starts_with("invalid value") => {
            format!("not acceptable; expected {expected}")
        }
        (None, _) => "not acceptable".to_owned(),
    }
}

/// A path of plain names. Keys are the caller's words, and could be anything.
fn is_plain(path: &str) -> bool {
    path != "." && path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.[]".contains(&b))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.strip_prefix("application/") {
        Some("json") => true,
        Some(subtype) => subtype.ends_with("+json"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::parse;
    use crate::problem::Category;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Contact {
        minutes: u8,
        kind: Kind,
        on: Option<chrono::NaiveDate>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Treatment,
        Outreach,
    }

    #[rstest]
    #[case(r#"{"minutes": "Maria Canary", "kind": "outreach"}"#, "of the wrong type; expected u8", Some("minutes"))]
    #[case(r#"{"minutes": 70000, "kind": "outreach"}"#, "not acceptable; expected u8", Some("minutes"))]
    #[case(
        r#"{"minutes": 1, "kind": "Maria Canary, expected x"}"#,
        "no such value; expected `treatment` or `outreach`",
        Some("kind")
    )]
    #[case(r#"{"minutes": 1}"#, "missing field `kind`", None)]
    #[case(r#"{"minutes": 1, "kind": "outreach", "on": "Canary"}"#, "not acceptable", Some("on"))]
    #[case(r#"{"minutes": 1, "minutes": 2}"#, "duplicate field `minutes`", None)]
    #[case(r#"{"minuts": 1}"#, "no such field; expected one of `minutes`, `kind`, `on`", Some("minuts"))]
    #[case(r#"{"Maria Canary": 1}"#, "no such field; expected one of `minutes`, `kind`, `on`", None)]
    fn a_wrong_field_is_named_and_its_value_is_not(#[case] json: &str, #[case] detail: &str, #[case] at: Option<&str>) {
        let problem = parse::<Contact>(json.as_bytes()).unwrap_err();
        assert_eq!(problem.category, Category::Unprocessable);
        assert_eq!((problem.detail.as_str(), problem.expression.as_deref()), (detail, at));
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for text in ["", "{", "Maria Canary", "{\"minutes\": 1, \"kind\": \"outreach\"} Canary", "\u{feff}{}"] {
            let problem = parse::<Contact>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.category, Category::Malformed, "{text}");
            assert!(!problem.detail.contains("Canary"), "{}", problem.detail);
        }
    }
}

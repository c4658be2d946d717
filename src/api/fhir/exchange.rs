//! Request and response handling of the FHIR API: limits on the way in, an OperationOutcome for every failure.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::timeout_at;

use super::call::is_json;
use crate::fhir::{operation_outcome, query};
use crate::listener::Deadline;
use crate::problem::{Category, Problem};
use crate::telemetry::panic_text;

/// How long before the listener, which speaks problem+json, a late request is given up here.
const EARLIER: Duration = Duration::from_millis(10);
/// The media type of everything that is answered here.
pub const MEDIA_TYPE: &str = "application/fhir+json";

/// The layer: every failure becomes an OperationOutcome, also a deadline and a panic.
pub async fn door(request: Request, next: Next) -> Response {
    let response = match acceptable(request.uri().query(), request.headers()) {
        Ok(()) => guarded(request, next).await,
        Err(problem) => problem.into_response(),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        in_our_words(response)
    } else {
        response
    }
}

async fn guarded(request: Request, next: Next) -> Response {
    let deadline = request.extensions().get::<Deadline>().copied();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answered = match deadline {
        Some(Deadline(at)) => timeout_at(at - EARLIER, answer).await,
        None => Ok(answer.await),
    };
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            tracing::error!(message = panic_text(&*panic), "a handler panicked");
            Problem::internal("something is broken here; it has been logged").into_response()
        }
        Err(_) => Problem::new(Category::Unavailable, "the request took too long and was given up").into_response(),
    }
}

/// JSON is the only form that is written here.
fn acceptable(query: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Err(Problem::new(Category::NotAcceptable, "only application/fhir+json is written here"));
    let asked = query.into_iter().flat_map(query::pairs).find(|(name, _)| name == "_format");
    if let Some((_, format)) = asked {
        // An unencoded `+` reads as a space.
        return if is_json(&format.replace(' ', "+")) { Ok(()) } else { refused() };
    }
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() {
        return Ok(());
    }
    let is_wide = |kind: &str| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.is_empty() || essence == "*/*" || essence.eq_ignore_ascii_case("application/*")
    };
    if accepted.flat_map(|value| value.split(',')).any(|kind| is_wide(kind) || is_json(kind)) {
        Ok(())
    } else {
        refused()
    }
}

/// A failure as an OperationOutcome, with its headers.
pub fn in_our_words(response: Response) -> Response {
    let problem = response.extensions().get::<Problem>().cloned().unwrap_or_else(|| plain(response.status()));
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(operation_outcome::of(&problem).to_string()))
}

/// A problem for a request that the framework refused before our code ran.
fn plain(status: StatusCode) -> Problem {
    let category = match status {
        StatusCode::NOT_FOUND => Category::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Category::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Category::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Category::UnsupportedMediaType,
        status if status.is_server_error() => Category::Internal,
        _ => Category::Malformed,
    };
    Problem::new(category, status.canonical_reason().unwrap_or("refused"))
}

//! Protection around every handler: a deadline, a catch for panics, answers for unknown paths, a log line.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tokio::time::{Instant, timeout_at};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::BodyLimit;
use crate::clock::Clock;
use crate::config::Limits;
use crate::problem::{Category, Problem};
use crate::telemetry::{log_requests, panic_text};

/// When a request is given up, as an extension: for a door that wants to answer a late one in its own words.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// Puts the protections around a complete router. Routes added afterwards stand outside of them.
pub fn protect(router: Router, limits: &Limits, clock: &Clock) -> Router {
    let limit = limits.request_timeout;
    let no_store = SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_sniff = SetResponseHeaderLayer::overriding(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    router
        .fallback(no_such_address)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(move |request, next| within(limit, request, next)))
        .layer(Extension(BodyLimit { body: limits.body_bytes, bundle: limits.bundle_bytes }))
        .layer(no_store)
        .layer(no_sniff)
        .layer(from_fn_with_state(clock.clone(), log_requests))
}

async fn no_such_address() -> Problem {
    Problem::not_found("address")
}

async fn no_such_method() -> Problem {
    Problem::new(Category::MethodNotAllowed, "this address does not answer to that method; see `Allow`")
}

/// A deadline to the beginning of the answer, the arrival of the request's body included.
async fn within(limit: Duration, mut request: Request, next: Next) -> Response {
    let deadline = Instant::now() + limit;
    request.extensions_mut().insert(Deadline(deadline));
    timeout_at(deadline, next.run(request)).await.unwrap_or_else(|_| {
        Problem::new(Category::Unavailable, "the request took too long and was given up").into_response()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(payload: Box<dyn Any + Send>) -> Response {
    tracing::error!(message = panic_text(&*payload), "a handler panicked");
    Problem::internal("something is broken here; it has been logged").into_response()
}

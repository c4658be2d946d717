//! One log line and two metrics per request.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tracing::{Instrument, Span};

use crate::clock::Clock;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Travels with a request, so that the code that learns the clinic can add it to the log.
#[derive(Clone, Debug)]
pub struct RequestLog(Arc<RequestScope>);

#[derive(Debug)]
struct RequestScope {
    span: Span,
    clinic: OnceLock<String>,
}

impl RequestLog {
    /// The clinic the caller acts for: on this request's line and on every line logged within it from now on.
    pub fn clinic(&self, clinic: &str) {
        if self.0.clinic.set(clinic.to_owned()).is_ok() {
            self.0.span.record("clinic", clinic);
        }
    }
}

/// The layer: `router.layer(from_fn_with_state(clock, log_requests))`.
pub async fn log_requests(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request).unwrap_or_else(|| clock.id().simple().to_string());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".into(), |m| m.as_str().to_owned());
    let span = tracing::info_span!("request", request_id = %id, method, route, clinic = tracing::field::Empty);
    let log = RequestLog(Arc::new(RequestScope { span: span.clone(), clinic: OnceLock::new() }));
    request.extensions_mut().insert(log);
    let mut line = RequestRecord { method, route, started: Instant::now(), span: span.clone(), status: None };
    let mut response = next.run(request).instrument(span).await;
    line.status = Some(response.status().as_u16());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Written when dropped, so that a request whose caller went away is counted too (as 499).
struct RequestRecord {
    method: &'static str,
    route: String,
    started: Instant,
    span: Span,
    status: Option<u16>,
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let (status, taken) = (self.status.unwrap_or(499), self.started.elapsed());
        let millis = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        self.span.in_scope(|| tracing::info!(status, duration_ms = millis, "answered"));
        let route = std::mem::take(&mut self.route);
        counter!(REQUESTS, "method" => self.method, "route" => route.clone(), "status" => status.to_string())
            .increment(1);
        histogram!(DURATION, "method" => self.method, "route" => route).record(taken.as_secs_f64());
    }
}

/// The caller's own id, if it cannot be anything but an id.
fn request_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    ((16..=64).contains(&id.len()) && id.bytes().all(hex)).then(|| id.to_owned())
}

/// A method is a caller's free text unless it is one of these.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 7] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
    ];
    KNOWN.iter().find(|(known, _)| known == method).map_or("OTHER", |(_, name)| name)
}

pub(super) fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by method, matched route and status");
    describe_histogram!(DURATION, Unit::Seconds, "From the end of the headers to the beginning of the answer");
}

//! The sandbox's sockets. An own accept loop, because only so a connection can be broken in the middle of a call.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::exchange::{SandboxCall, SandboxReply};
use super::interaction::perform;
use super::misbehavior::CallFate;
use super::{SharedState, lock, page};

const BODY_MAX: usize = 32 * 1024 * 1024;
const DRAIN: Duration = Duration::from_secs(2);
/// Longer than anybody waits; the connection is closed when the server stops.
const FOR_EVER: Duration = Duration::from_hours(24);

/// An error of the service makes hyper close the connection without an answer.
#[derive(Debug)]
struct DroppedConnection;

impl fmt::Display for DroppedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for DroppedConnection {}

/// Accepts connections until it is stopped. Aborting it closes them all.
pub(super) async fn serve(listener: TcpListener, state: SharedState, base: String, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of sockets: others will close theirs.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                stream
            }
            Some(_) = connections.join_next() => continue,
            _ = stop.changed() => break,
        };
        // Waiting to fill a packet would only slow the tests.
        let _ = stream.set_nodelay(true);
        let (state, base) = (state.clone(), base.clone());
        let service = service_fn(move |request| answer(state.clone(), base.clone(), request));
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // The client or a misbehavior ended the connection.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

async fn answer(
    state: SharedState,
    base: String,
    request: Request<Incoming>,
) -> Result<Response<Body>, DroppedConnection> {
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str().to_owned();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let steers = parts.uri.path() == "/$misbehave";
    let bytes = to_bytes(Body::new(body), BODY_MAX).await.map_err(|_| DroppedConnection)?;

    let fate = {
        let mut state = lock(&state);
        let how = state.misbehavior.clone();
        let fate = if steers { CallFate::Answered } else { how.fate(&mut state.dice, parts.method != Method::GET) };
        state.chart.search_lag = Duration::from_millis(how.search_lag_ms);
        match fate {
            CallFate::RequestDropped => {
                state.record(&method, &path, "request dropped");
                return Err(DroppedConnection);
            }
            CallFate::Throttled => {
                state.record(&method, &path, "429");
                let mut reply = SandboxReply::refusal(429, "throttled", "too many");
                reply.headers.push(("retry-after", how.retry_after));
                return Ok(response(reply));
            }
            CallFate::Unavailable => {
                state.record(&method, &path, "503");
                return Ok(html(503, "<html><h1>Service Unavailable</h1></html>".to_owned()));
            }
            CallFate::Hung => state.record(&method, &path, "hung"),
            CallFate::Answered | CallFate::ResponseDropped => {}
        }
        fate
    };
    if fate == CallFate::Hung {
        tokio::time::sleep(FOR_EVER).await;
        return Err(DroppedConnection);
    }
    if parts.method == Method::GET && parts.uri.path() == "/" {
        return Ok(html(200, page::page(&lock(&state))));
    }
    let wanted = lock(&state).misbehavior.wants_token.clone();
    let sent = header(&parts.headers, "authorization").unwrap_or_default();
    let is_open = wanted.is_empty() || parts.uri.path() == "/metadata" || parts.uri.path().starts_with("/.well-known");
    if !is_open && !wanted.iter().any(|token| sent.strip_prefix("Bearer ") == Some(token)) {
        lock(&state).record(&method, &path, "401");
        return Ok(response(SandboxReply::refusal(401, "login", "no valid token")));
    }
    let body = if bytes.is_empty() { Ok(None) } else { serde_json::from_slice(&bytes).map(Some) };
    let mut state = lock(&state);
    let reply = match body {
        Ok(body) => {
            let call = SandboxCall {
                method: parts.method,
                path: parts.uri.path().trim_start_matches('/').to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                if_match: header(&parts.headers, "if-match"),
                if_none_exist: header(&parts.headers, "if-none-exist"),
                body,
            };
            perform(&mut state, &call, &base)
        }
        Err(_) => SandboxReply::refusal(400, "structure", "not JSON"),
    };
    if fate == CallFate::ResponseDropped {
        state.record(&method, &path, "response dropped");
        return Err(DroppedConnection);
    }
    state.record(&method, &path, reply.status.to_string());
    Ok(response(reply))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn response(reply: SandboxReply) -> Response<Body> {
    let mut response = Response::builder().status(reply.status).header("content-type", "application/fhir+json");
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = reply.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    response.body(body).unwrap_or_else(|_| html(500, "a header that is none".to_owned()))
}

fn html(status: u16, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    let html = axum::http::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert("content-type", html);
    response
}

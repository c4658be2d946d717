//! `Idempotency-Key` on the registry's POSTs: the same key and the same request give the same answer.
//!
//! What holds:
//!
//! - A request that changes a story is executed once, whatever happens: its key is committed in the transaction of its
//!   facts ([`crate::record::IdempotencyKey`]). If the process ends before the answer is stored, or two of the same arrive at
//!   once, here or at another replica, the later one finds what was recorded and answers from that.
//! - The other POSTs (retry, replay, rule sets) are harmless to repeat; their answer is remembered once it is made.
//! - Remembered are 2xx, and the 4xx that say something about the request itself. Not 401, 403, 408, 413, 415, 429:
//!   another attempt may fare better.
//! - A key belongs to the clinic, the subject and the role that used it, and is kept for two days.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, OpenApi, Required, Type};

use super::App;
use crate::identity::Caller;
use crate::listener::{BodyLimit, read_body};
use crate::problem::Problem;
use crate::record::IdempotencyKey;
use crate::store::idempotency::{self, COMMITTED, StoredAnswer};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The paths it holds for.
const PATH_PREFIX: &str = "/api/v1/";

const MAX_KEY_LENGTH: usize = 255;

/// Where the answer holds a secret, which is kept nowhere.
const SHOWN_ONCE: &str = "/api/v1/api-keys";

/// The headers that belong to an answer.
const STORED_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, ETAG];

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct HttpAnswer {
    headers: Vec<(String, String)>,
    body: String,
}

/// Answers a repeated request with what was answered before.
pub async fn answer_once(State(app): State<App>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST
        && request.uri().path().starts_with(PATH_PREFIX)
        && request.uri().path() != SHOWN_ONCE
        && request.headers().contains_key(&KEY);
    if !applies {
        return next.run(request).await;
    }
    handle(&app, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn handle(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    let key = read_key(&parts.headers)?;
    let limit = parts.extensions.get::<BodyLimit>().copied().unwrap_or_default();
    let bytes = read_body(&parts.headers, body, limit.body).await?;
    let once = IdempotencyKey {
        key: digest(&[caller.subject.as_bytes(), caller.role.as_str().as_bytes(), key.as_bytes()]),
        request: request_digest(&parts, &bytes),
    };
    let clinic = caller.clinic.as_str();
    let before = look_up(app, clinic, &once).await?;
    let repeated = before.is_some();
    if let Some(answered) = before.filter(|a| a.status != COMMITTED) {
        return replay(&answered);
    }
    // The body was decompressed here.
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    parts.extensions.insert(once.clone());
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !is_final(response.status()) {
        // Another replica may have answered it in the meantime.
        let found = look_up(app, clinic, &once).await.ok().flatten().filter(|a| a.status != COMMITTED);
        return found.map_or(Ok(response), |answered| replay(&answered));
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::internal("an answer could not be made"))?;
    let answered = StoredAnswer {
        request: once.request.clone(),
        status: i16::try_from(parts.status.as_u16()).unwrap_or(COMMITTED),
        body: encode_answer(&parts.headers, &body),
    };
    // What changed a story is committed with its key: if this cannot be stored, a repetition makes the same answer again.
    if let Err(problem) = store(app, clinic, &once, &answered).await {
        tracing::warn!(%problem, "an answer could not be remembered");
    }
    let mut response = Response::from_parts(parts, Body::from(body));
    if repeated {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Refuses duplicates: a proxy might pick the other one.
fn read_key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(&KEY).iter();
    match (values.next().and_then(|v| v.to_str().ok()), values.next()) {
        (Some(key), None) if (1..=MAX_KEY_LENGTH).contains(&key.trim().len()) => Ok(key.trim().to_owned()),
        _ => {
            Err(Problem::malformed(format!("one key of 1 to {MAX_KEY_LENGTH} visible characters"))
                .at("Idempotency-Key"))
        }
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn request_digest(parts: &Parts, body: &Bytes) -> String {
    let if_match = parts.headers.get(axum::http::header::IF_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    digest(&[parts.method.as_str().as_bytes(), target.as_bytes(), if_match, body])
}

async fn look_up(app: &App, clinic: &str, once: &IdempotencyKey) -> Result<Option<StoredAnswer>, Problem> {
    let mut tx = app.db.read().await?;
    let found = idempotency::find(&mut tx, clinic, &once.key).await?;
    match found {
        Some(found) if found.request != once.request => {
            Err(Problem::unprocessable("this key was used for another request").at("Idempotency-Key"))
        }
        found => Ok(found),
    }
}

async fn store(app: &App, clinic: &str, once: &IdempotencyKey, answered: &StoredAnswer) -> Result<(), Problem> {
    let mut tx = app.db.begin("idempotency").await?;
    idempotency::finish(&mut tx, clinic, &once.key, answered, app.clock.now()).await?;
    tx.commit().await
}

fn is_final(status: StatusCode) -> bool {
    status.is_success() || (status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 413 | 415 | 429))
}

fn encode_answer(headers: &HeaderMap, body: &[u8]) -> String {
    let headers = STORED_HEADERS
        .iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    let remembered = HttpAnswer { headers, body: String::from_utf8_lossy(body).into_owned() };
    serde_json::to_string(&remembered).unwrap_or_default()
}

fn replay(answered: &StoredAnswer) -> Result<Response, Problem> {
    let unreadable = || Problem::internal("a remembered answer cannot be read");
    let remembered: HttpAnswer = serde_json::from_str(&answered.body).map_err(|_| unreadable())?;
    let status = u16::try_from(answered.status).ok().and_then(|s| StatusCode::from_u16(s).ok());
    let mut response = (status.ok_or_else(unreadable)?, remembered.body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    for (name, value) in remembered.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Writes the header into the description of every POST it holds for.
pub fn document(document: &mut OpenApi) {
    let description = "The same key and the same request give the same answer again (`Idempotency-Replayed: true`), \
        for two days. The same key for another request is refused: 422.";
    for (path, item) in &mut document.paths.paths {
        let Some(operation) = item.post.as_mut().filter(|_| path.starts_with(PATH_PREFIX)) else { continue };
        let parameter: Parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(MAX_KEY_LENGTH)).build()))
            .build();
        operation.parameters.get_or_insert_with(Vec::new).push(parameter.into());
    }
}

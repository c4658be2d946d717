//! Common answers: errors, and a resource just created.

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::api::problem::ProblemBody;
use crate::fhir::query;

/// Errors of a read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub enum ReadErrors {
    /// A parameter cannot be read; `expression` names it.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// No token, or one that is not accepted; `detail` says why.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// The role may not do this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Absent, or another clinic's.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The database cannot answer now; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// Errors of a write.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub enum WriteErrors {
    /// Not JSON, or a header cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemBody),
    /// No token, or one that is not accepted; `detail` says why.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// The role may not do this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Absent, or another clinic's.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The present state does not allow it; `allowed` says what it would.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// `If-Match` does not hold.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(ProblemBody),
    /// A field is missing, unknown, or breaks a rule; `expression` names it.
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(ProblemBody),
    /// The database cannot answer now: nothing was stored.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// An .xlsx file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only described")]
pub struct Workbook(Vec<u8>);

pub fn etag(revision: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(query::etag(revision)) {
        headers.insert(ETAG, value);
    }
    headers
}

/// 201 with where it is, if it has an address of its own.
pub fn created(location: Option<String>, revision: Option<i64>, body: impl Serialize) -> Response {
    let mut headers = revision.map(etag).unwrap_or_default();
    if let Some(location) = location.and_then(|l| HeaderValue::try_from(l).ok()) {
        headers.insert(LOCATION, location);
    }
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

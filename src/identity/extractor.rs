//! A [`Caller`] as a handler's argument.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::{Caller, TokenError, Verifier};
use crate::problem::Problem;
use crate::telemetry::RequestLog;

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Asked for before in this request, by a layer.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let verifier = Arc::<Verifier>::from_ref(state);
        let caller = verifier.verify(bearer(&parts.headers)?).await?;
        if let Some(log) = parts.extensions.get::<RequestLog>() {
            log.clinic(caller.clinic.as_str());
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// The token of a request. Two headers are none: a proxy and we might each choose a different one.
pub fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(TokenError::Missing) };
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or(TokenError::Missing)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(TokenError::Missing);
    }
    Ok(token)
}

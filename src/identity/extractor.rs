//! A [`Caller`] as a handler's argument.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::client_certificate::PeerAddress;
use super::{ApiKey, Caller, TokenError, Verifier};
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
        let peer = parts.extensions.get::<PeerAddress>().copied();
        let has_token = parts.headers.contains_key(AUTHORIZATION) || parts.headers.contains_key("x-api-key");
        let known = if has_token { None } else { verifier.certificate_holder(peer, &parts.headers) };
        let caller = match known {
            Some(caller) => caller?,
            None => verifier.verify(presented(&parts.headers)?).await?,
        };
        if let Some(log) = parts.extensions.get::<RequestLog>() {
            log.clinic(caller.clinic.as_str());
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// What a request presents: a token or an API key as its bearer's, or an API key in a header of its own.
fn presented(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut keys = headers.get_all("x-api-key").iter();
    match (headers.contains_key(AUTHORIZATION), keys.next(), keys.next()) {
        (false, Some(key), None) => key.to_str().ok().filter(|key| ApiKey::is_one(key)).ok_or(TokenError::ApiKey),
        _ => bearer(headers),
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

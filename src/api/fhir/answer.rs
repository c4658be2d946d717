//! Answers about one resource: status, headers, and as much of a body as the caller wants.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::call::FhirCall;
use super::exchange::MEDIA_TYPE;
use crate::fhir::arrival::{Arrival, ResourceType, with_id};
use crate::fhir::{operation_outcome, query};
use crate::intake::bundle::EntryAction;
use crate::problem::Problem;
use crate::record::{CommandEffect, Recorded};
use crate::store::resource::{self, Resource};

/// An answer of 200 with a body.
pub fn json(body: &Value) -> Response {
    with_body(StatusCode::OK, body.to_string())
}

/// An answer with a body of FHIR.
pub fn with_body(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    // Ids and numbers are always good header values; an odd Host may not be, and then there is no Location.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Names the version of what is answered.
pub fn versioned(response: &mut Response, version: i64, at: DateTime<Utc>) {
    set(response, ETAG, &query::etag(version));
    set(response, LAST_MODIFIED, &httpdate::fmt_http_date(at.into()));
}

/// A resource as it is stored.
pub fn stored(found: Resource) -> Response {
    let (version, at) = (found.version, found.updated_at);
    let mut response = with_body(StatusCode::OK, found.body);
    versioned(&mut response, version, at);
    response
}

/// The parts of the request that the answer needs.
pub struct SentResource {
    raw: Option<String>,
    has_id: bool,
}

impl SentResource {
    /// Keeps what the answer will need.
    pub fn keep(call: &FhirCall, arrival: &Arrival) -> Self {
        let is_wanted = wants_resource(call, arrival.kind);
        Self { raw: is_wanted.then(|| arrival.raw.clone()), has_id: arrival.id.is_some() }
    }
}

/// Where nothing was new the answer holds what is stored: only for who may read it.
fn wants_resource(call: &FhirCall, kind: ResourceType) -> bool {
    !call.prefers("return", "minimal")
        && !call.prefers("return", "OperationOutcome")
        && call.may(kind, EntryAction::Read).is_ok()
}

/// The answer to a create or an update. What was recorded is what was sent, so that nothing has to be read again.
pub async fn recorded(
    call: &FhirCall,
    kind: ResourceType,
    recorded: &Recorded,
    sent: SentResource,
) -> Result<Response, Problem> {
    let status = if recorded.effect == CommandEffect::Created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = if call.prefers("return", "minimal") {
        empty(status)
    } else if !wants_resource(call, kind) {
        with_body(status, operation_outcome::informational(&[told(recorded)]).to_string())
    } else {
        with_body(status, representation(call, kind, recorded, sent).await?)
    };
    let place = format!("{}/{}/{}/_history/{}", call.base, kind.name(), recorded.id, recorded.version);
    set(&mut response, LOCATION, &place);
    versioned(&mut response, recorded.version, recorded.at);
    Ok(response)
}

async fn representation(
    call: &FhirCall,
    kind: ResourceType,
    recorded: &Recorded,
    sent: SentResource,
) -> Result<String, Problem> {
    if let (CommandEffect::Created | CommandEffect::Updated, Some(raw)) = (recorded.effect, sent.raw) {
        return Ok(if sent.has_id { raw } else { with_id(&raw, &recorded.id) });
    }
    let mut tx = call.app.db.read().await?;
    let found = resource::find(&mut tx, call.clinic(), kind.name(), &recorded.id).await?;
    Ok(match found.filter(|found| !found.deleted) {
        Some(found) => found.body,
        None => operation_outcome::informational(&["deleted after this version".to_owned()]).to_string(),
    })
}

/// Outcome of a resource, in a sentence.
pub fn told(recorded: &Recorded) -> String {
    let effect = match recorded.effect {
        CommandEffect::Created => "created",
        CommandEffect::Updated => "updated",
        CommandEffect::Unchanged => "nothing new: known already, or older than what is known",
        CommandEffect::Deleted => "deleted",
    };
    match &recorded.quarantined {
        None => effect.to_owned(),
        Some(code) => format!("{effect}; kept in quarantine: {code}"),
    }
}

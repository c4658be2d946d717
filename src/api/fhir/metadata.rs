//! The CapabilityStatement of the FHIR API.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::answer::json;
use super::call::base;
use crate::api::App;
use crate::fhir::capability::statement;

/// The CapabilityStatement. No token is needed.
#[utoipa::path(get, path = "/metadata", tag = "fhir",
    responses((status = 200, description = "A CapabilityStatement", content_type = "application/fhir+json", body = Value)))]
pub async fn metadata(State(app): State<App>, headers: HeaderMap) -> Response {
    json(&statement(&base(&app, &headers), app.clock.now()))
}

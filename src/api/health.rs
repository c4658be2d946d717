//! Whether the service lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::ehr::auth::KeyRing;
use crate::fhir::smart;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(jwks))
        .routes(routes!(smart_configuration))
}

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "Alive")))]
async fn livez() -> &'static str {
    "alive\n"
}

/// The database answers too: requests can be served.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "Ready"), (status = 503, description = "The database does not answer")))]
async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    app.db.ping().await?;
    Ok("ready\n")
}

/// Our public keys.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "operations", responses((status = 200, description = "A JWK set")))]
async fn jwks(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let mut keys = app.jwks["keys"].as_array().cloned().unwrap_or_default();
    let folders = app.config.key_folders();
    let now = app.clock.now();
    let published = tokio::task::spawn_blocking(move || {
        let rings = folders.into_iter().map(KeyRing::at);
        rings.map(|ring| ring.published(now)).collect::<Result<Vec<_>, _>>()
    });
    let published = published.await.map_err(|_| Problem::internal("the signing keys were not read"))?;
    let published = published.map_err(|e| {
        tracing::error!(error = %e, "the signing keys cannot be read");
        Problem::internal("the signing keys cannot be read; the log says why")
    })?;
    keys.extend(published.into_iter().flatten());
    // Not for long: a new key signs an hour after it was made.
    Ok(([(CACHE_CONTROL, "public, max-age=600")], Json(json!({ "keys": keys }))))
}

/// How a program gets in: the token issuers are the organization's own.
#[utoipa::path(get, path = "/fhir/.well-known/smart-configuration", tag = "fhir",
    responses((status = 200, description = "As SMART App Launch has it", body = Value)))]
async fn smart_configuration(State(app): State<App>) -> Json<Value> {
    Json(smart::configuration(&app.config))
}

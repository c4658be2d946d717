//! Whether the service lives, and whether it can work.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::ehr::auth::KeyRing;
use crate::fhir::smart;
use crate::problem::Problem;
use crate::store::connection;

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

/// How many troubled sweeps are named.
const MAX_LISTED_SWEEPS: i64 = 20;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReadinessQuery {
    /// `reading`: 200 also while the database can only be read, as on a full disk. For a load balancer that is to keep the
    /// lists reachable then.
    #[serde(rename = "for")]
    purpose: Option<String>,
}

/// The database answers too, and can be written to: requests can be served. An EHR that cannot be fetched from is named on
/// a further line.
#[utoipa::path(get, path = "/readyz", tag = "operations", params(ReadinessQuery),
    responses((status = 200, description = "Ready"),
        (status = 503, description = "The database does not answer, or cannot be written to")))]
async fn readyz(State(app): State<App>, Query(query): Query<ReadinessQuery>) -> Result<String, Problem> {
    app.db.ping().await?;
    if query.purpose.as_deref() != Some("reading") {
        app.readiness.check_writable(&app.db).await?;
    }
    let mut answer = "ready\n".to_owned();
    let mut tx = app.db.read().await?;
    for (connection, kind, swept_at) in connection::failing_sweeps(&mut tx, MAX_LISTED_SWEEPS).await? {
        if app.connections.iter().any(|one| one.name() == connection) {
            let since =
                swept_at.map_or_else(|| "it was never complete".to_owned(), |at| format!("last complete {at:?}"));
            let line = format!("ehr {connection}: the sweep of {kind} is refused or fails; {since}\n");
            answer.push_str(&line);
        }
    }
    Ok(answer)
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

//! Whether the service lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::problem::Problem;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(jwks))
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
async fn jwks(State(app): State<App>) -> Json<Value> {
    Json(if app.jwks.is_null() { json!({"keys": []}) } else { (*app.jwks).clone() })
}

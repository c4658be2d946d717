//! Cards in somebody else's chart: a CDS service (CDS Hooks 2.0, hook `patient-view`).

mod call;
mod card;
mod discovery;
mod feedback;
mod patient_view;
mod text;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use crate::config::Config;

/// The one service: where a patient in Collaborative Care stands.
const SERVICE: &str = "cocm-standing";

/// The routes. Browsers of other origins get no answer (CORS).
pub fn routes(origins: &[HeaderValue]) -> OpenApiRouter<App> {
    let cors = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE]);
    OpenApiRouter::new()
        .routes(routes!(discovery::services))
        .routes(routes!(patient_view::cards))
        .routes(routes!(feedback::hear))
        .layer(cors)
}

/// The origins that may ask, of all connections.
pub fn origins(config: &Config) -> Vec<HeaderValue> {
    let named = config.cds_clients().flat_map(|(_, hooks)| &hooks.origins);
    named.filter_map(|origin| HeaderValue::from_str(origin).ok()).collect()
}

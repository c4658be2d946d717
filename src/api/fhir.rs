//! The FHIR door, `/fhir`: what the EHR sends, and what it may read back.

mod answer;
mod bundle;
mod call;
mod create;
mod delete;
mod exchange;
mod metadata;
mod read;
mod scope;
mod search;
mod update;

pub use exchange::in_our_words;

use axum::http::Uri;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{App, closed, no_such_method};
use crate::fhir::arrival::ResourceType;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(closed(routes!(bundle::bundle)))
        .routes(closed(routes!(metadata::metadata)))
        .routes(closed(routes!(search::search, create::create, update::update_one_with)))
        .routes(closed(routes!(search::search_by_form)))
        .routes(closed(routes!(read::read, update::update, delete::delete)))
        .routes(closed(routes!(read::read_version)))
        // As clients write them that do not know better: a Bundle at its type, addresses with a slash behind them.
        .route("/Bundle", also(post(bundle::bundle)))
        .route("/Bundle/", also(post(bundle::bundle)))
        .route("/metadata/", also(get(metadata::metadata)))
        .route("/{type}/", also(get(search::search).post(create::create).put(update::update_one_with)))
        .route("/{type}/{id}/", also(get(read::read).put(update::update).delete(delete::delete)))
        .fallback(unknown)
        .layer(from_fn(exchange::door))
}

/// The base with a slash behind it, as some clients write it.
pub fn base() -> MethodRouter<App> {
    post(bundle::bundle).fallback(no_such_method).layer(from_fn(exchange::door))
}

fn also(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.fallback(no_such_method)
}

async fn unknown(address: Uri) -> Problem {
    match address.path().trim_start_matches('/').split('/').next().and_then(ResourceType::of) {
        Some(_) => call::unknown_interaction(),
        None => call::unknown_type(),
    }
}

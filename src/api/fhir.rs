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

use axum::http::Uri;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, post};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::App;
use crate::fhir::arrival::ResourceType;
use crate::problem::{Category, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(closed(routes!(bundle::bundle)))
        .routes(closed(routes!(metadata::metadata)))
        .routes(closed(routes!(search::search, create::create, update::update_one_with)))
        .routes(closed(routes!(search::search_by_form)))
        .routes(closed(routes!(read::read, update::update, delete::delete)))
        .routes(closed(routes!(read::read_version)))
        .fallback(unknown)
        .layer(from_fn(exchange::door))
}

/// The base with a slash behind it, as some clients write it.
pub fn base() -> MethodRouter<App> {
    post(bundle::bundle).fallback(no_such_method).layer(from_fn(exchange::door))
}

/// A wrong method is answered inside of the door, in its own words.
fn closed((schemas, paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    (schemas, paths, methods.fallback(no_such_method))
}

async fn no_such_method() -> Problem {
    Problem::new(Category::MethodNotAllowed, "this address does not answer to that method; see `Allow`")
}

async fn unknown(address: Uri) -> Problem {
    match address.path().trim_start_matches('/').split('/').next().and_then(ResourceType::of) {
        Some(_) => call::unknown_interaction(),
        None => call::unknown_type(),
    }
}

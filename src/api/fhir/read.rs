//! `GET Type/id`

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::IF_NONE_MATCH;
use axum::response::Response;

use super::answer::{empty, stored, versioned};
use super::call::{FhirCall, ResourceInPath, text, unknown_type};
use crate::fhir::arrival::ResourceType;
use crate::fhir::query;
use crate::intake::bundle::EntryAction;
use crate::problem::{Category, Problem};
use crate::store::resource::{self, Resource};

/// Gives a resource back as it came, with its id.
#[utoipa::path(get, path = "/{type}/{id}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, description = "The resource", content_type = "application/fhir+json", body = Value),
        (status = 304, description = "Not changed"), (status = 404, description = "Not known: an OperationOutcome"),
        (status = 410, description = "Deleted: an OperationOutcome")))]
pub async fn read(call: FhirCall, ResourceInPath(kind, id): ResourceInPath) -> Result<Response, Problem> {
    let found = one(&call, kind, &id).await?;
    match text(&call.headers, IF_NONE_MATCH) {
        Some(tags) if query::names_version(tags, found.version) => {
            let mut response = empty(StatusCode::NOT_MODIFIED);
            versioned(&mut response, found.version, found.updated_at);
            Ok(response)
        }
        _ => Ok(stored(found)),
    }
}

/// Gives the current version back, under the address that `Location` named. Earlier ones are not kept.
#[utoipa::path(get, path = "/{type}/{id}/_history/{version}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("id" = String, Path), ("version" = String, Path)),
    responses((status = 200, description = "The resource", content_type = "application/fhir+json", body = Value),
        (status = 404, description = "Not the current version: an OperationOutcome")))]
pub async fn read_version(
    call: FhirCall,
    Path((name, id, version)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let kind = ResourceType::of(&name).ok_or_else(unknown_type)?;
    let found = one(&call, kind, &id).await?;
    if version != found.version.to_string() {
        return Err(Problem::new(Category::NotFound, "only the current version is kept"));
    }
    Ok(stored(found))
}

/// One resource that is there and may be read.
pub async fn one(call: &FhirCall, kind: ResourceType, id: &str) -> Result<Resource, Problem> {
    call.may(kind, EntryAction::Read)?;
    let mut tx = call.app.db.read().await?;
    let found = resource::find(&mut tx, call.clinic(), kind.name(), id).await?;
    let found = found.ok_or_else(|| Problem::not_found(kind.name()))?;
    if found.deleted { Err(Problem::new(Category::Gone, "deleted")) } else { Ok(found) }
}

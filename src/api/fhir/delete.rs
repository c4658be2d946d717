//! `DELETE Type/id`

use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{empty, versioned};
use super::call::{FhirCall, ResourceInPath};
use crate::intake::bundle::EntryAction;
use crate::problem::Problem;

/// Takes in that a resource was deleted: what it said does not count any more. Deleting it again is no failure.
#[utoipa::path(delete, path = "/{type}/{id}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "Gone"), (status = 404, description = "Never known: an OperationOutcome")))]
pub async fn delete(call: FhirCall, ResourceInPath(kind, id): ResourceInPath) -> Result<Response, Problem> {
    call.may(kind, EntryAction::Delete)?;
    let if_match = call.if_match()?;
    let done = call.app.intake.delete(call.clinic(), &call.caller.subject, kind, id, if_match).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    versioned(&mut response, done.version, done.at);
    Ok(response)
}

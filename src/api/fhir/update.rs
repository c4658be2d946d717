//! `PUT Type/id` and `PUT Type?identifier=`

use axum::extract::RawQuery;
use axum::http::header::IF_MATCH;
use axum::response::Response;

use super::answer::{SentResource, recorded};
use super::call::{FhirCall, ResourceInPath, ResourceText, TypeInPath, text};
use crate::fhir::arrival::{Arrival, ResourceType};
use crate::fhir::query;
use crate::intake::bundle::{EntryAction, addressed};
use crate::problem::Problem;
use crate::record::Condition;

/// Takes a resource in under an id, whether it is known or new.
#[utoipa::path(put, path = "/{type}/{id}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "`W/\"version\"`: 412 if it is at another one. The body's own `meta.versionId` is no condition")),
    request_body(content = Value, content_type = "application/fhir+json"),
    responses((status = 201, description = "Created"), (status = 200, description = "Updated, or nothing new"),
        (status = "4XX", description = "An OperationOutcome")))]
pub async fn update(
    call: FhirCall,
    ResourceInPath(kind, id): ResourceInPath,
    ResourceText(raw): ResourceText,
) -> Result<Response, Problem> {
    call.may(kind, EntryAction::Update)?;
    let arrival = addressed(call.app.intake.read(call.clinic(), &raw)?, kind, Some(id))?;
    let condition = match text(&call.headers, IF_MATCH) {
        // HAPI's rest-hook names the version that it sends, the chart's own: `meta` decides then which one counts.
        Some(tag) if arrival.version_id.as_deref() == Some(query::tagged(tag)) => Condition::None,
        Some(tag) => Condition::Version(query::version(tag)?),
        None => Condition::None,
    };
    take(&call, kind, arrival, condition).await
}

/// Takes a resource in where one identifier says: replaces the one that carries it, or creates one.
#[utoipa::path(put, path = "/{type}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("identifier" = String, Query, description = "`system|value`")),
    request_body(content = Value, content_type = "application/fhir+json"),
    responses((status = 201, description = "Created"), (status = 200, description = "Updated, or nothing new"),
        (status = 412, description = "Several carry it: an OperationOutcome"),
        (status = "4XX", description = "An OperationOutcome")))]
pub async fn update_one_with(
    call: FhirCall,
    TypeInPath(kind): TypeInPath,
    RawQuery(asked): RawQuery,
    ResourceText(raw): ResourceText,
) -> Result<Response, Problem> {
    call.may(kind, EntryAction::Update)?;
    if call.if_match()?.is_some() {
        return Err(Problem::malformed("If-Match needs the address of one resource"));
    }
    let asked: Vec<String> = query::pairs(&asked.unwrap_or_default())
        .into_iter()
        .filter(|(name, _)| name != "_format" && name != "_pretty")
        .map(|(name, value)| format!("{}={}", query::encoded(&name), query::encoded(&value)))
        .collect();
    let condition = Condition::TheOneWith(query::condition(&asked.join("&"))?);
    let arrival = addressed(call.app.intake.read(call.clinic(), &raw)?, kind, None)?;
    take(&call, kind, arrival, condition).await
}

async fn take(
    call: &FhirCall,
    kind: ResourceType,
    arrival: Arrival,
    condition: Condition,
) -> Result<Response, Problem> {
    let sent = SentResource::keep(call, &arrival);
    let done = call.app.intake.take(call.clinic(), &call.caller.subject, arrival, condition).await?;
    recorded(call, kind, &done, sent).await
}

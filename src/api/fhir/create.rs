//! `POST Type`

use axum::response::Response;

use super::answer::{SentResource, recorded};
use super::call::{FhirCall, ResourceText, TypeInPath, text};
use crate::fhir::query;
use crate::intake::bundle::{EntryAction, addressed};
use crate::problem::Problem;
use crate::record::Condition;

/// Takes a resource in. An id that it carries is kept; see the CapabilityStatement.
#[utoipa::path(post, path = "/{type}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path, description = "Patient, QuestionnaireResponse or Observation"),
        ("If-None-Exist" = Option<String>, Header, description = "`identifier=system|value`"),
        ("Prefer" = Option<String>, Header, description = "`return=minimal`, `representation` or `OperationOutcome`")),
    request_body(content = Value, content_type = "application/fhir+json"),
    responses((status = 201, description = "Created"), (status = 200, description = "Updated, or nothing new"),
        (status = "4XX", description = "An OperationOutcome")))]
pub async fn create(
    call: FhirCall,
    TypeInPath(kind): TypeInPath,
    ResourceText(raw): ResourceText,
) -> Result<Response, Problem> {
    call.may(kind, EntryAction::Create)?;
    let condition = match text(&call.headers, "if-none-exist") {
        Some(condition) => Condition::NoneWith(query::condition(condition)?),
        None => Condition::None,
    };
    let arrival = addressed(call.app.intake.read(call.clinic(), &raw)?, kind, None)?;
    if arrival.id.is_some() {
        // The id is kept, so what is there under it already is replaced.
        call.may(kind, EntryAction::Update)?;
    }
    let sent = SentResource::keep(&call, &arrival);
    let done = call.app.intake.take(call.clinic(), &call.caller.subject, arrival, condition).await?;
    recorded(&call, kind, &done, sent).await
}

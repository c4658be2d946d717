//! `GET Type?…` and `POST Type/_search`

mod cursor;
mod criteria;
mod dates;
mod find;
mod page;

use axum::extract::{RawQuery, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use self::criteria::Criteria;
use super::answer::with_body;
use super::call::{FhirCall, TypeInPath, text};
use crate::fhir::arrival::ResourceType;
use crate::fhir::query;
use crate::intake::bundle::EntryAction;
use crate::listener::{BodyLimit, read_body};
use crate::problem::{Category, Problem};

/// Searches; see the CapabilityStatement for the parameters.
#[utoipa::path(get, path = "/{type}", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path), ("identifier" = Option<String>, Query), ("_id" = Option<String>, Query),
        ("_lastUpdated" = Option<String>, Query), ("patient" = Option<String>, Query),
        ("questionnaire" = Option<String>, Query), ("_count" = Option<u16>, Query, maximum = 1000),
        ("_sort" = Option<String>, Query), ("_summary" = Option<String>, Query)),
    responses((status = 200, description = "A searchset", content_type = "application/fhir+json", body = Value),
        (status = "4XX", description = "An OperationOutcome")))]
pub async fn search(
    call: FhirCall,
    TypeInPath(kind): TypeInPath,
    RawQuery(asked): RawQuery,
) -> Result<Response, Problem> {
    let found = answer(&call, kind, query::pairs(&asked.unwrap_or_default())).await?;
    Ok(with_body(axum::http::StatusCode::OK, found))
}

/// The same with the parameters in a form, which keeps them out of logs.
#[utoipa::path(post, path = "/{type}/_search", tag = "fhir", security(("bearer" = [])),
    params(("type" = String, Path)),
    request_body(content = Value, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A searchset", content_type = "application/fhir+json", body = Value),
        (status = "4XX", description = "An OperationOutcome")))]
pub async fn search_by_form(
    call: FhirCall,
    TypeInPath(kind): TypeInPath,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let essence = text(&parts.headers, CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let detail = "Content-Type must be application/x-www-form-urlencoded";
        return Err(Problem::new(Category::UnsupportedMediaType, detail));
    }
    let limit = parts.extensions.get::<BodyLimit>().copied().unwrap_or_default();
    let form = read_body(&parts.headers, body, limit.body).await?;
    let form = std::str::from_utf8(&form).map_err(|_| Problem::malformed("the form is not UTF-8"))?;
    let mut asked = query::pairs(parts.uri.query().unwrap_or_default());
    asked.extend(query::pairs(form));
    let found = answer(&call, kind, asked).await?;
    Ok(with_body(axum::http::StatusCode::OK, found))
}

/// The searchset that a query asks for, as JSON.
pub async fn answer(call: &FhirCall, kind: ResourceType, asked: Vec<(String, String)>) -> Result<String, Problem> {
    call.may(kind, EntryAction::Search)?;
    let zone = call.app.zones.of(call.clinic());
    let criteria = Criteria::read(kind, asked, zone)?;
    if !criteria.ignored.is_empty() && call.prefers("handling", "strict") {
        return Err(Problem::malformed(format!("not supported in a search here: {}", criteria.ignored.join(", "))));
    }
    let mut tx = call.app.db.read().await?;
    let found = find::find(&mut tx, call.clinic(), &criteria, zone).await?;
    Ok(page::searchset(&call.base, &criteria, found))
}

//! A [`Problem`] as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Category, Problem};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

const TYPE_BASE: &str = "https://cocm-registry.dev/problems/";

/// A failure (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Stable type of the failure, for programs.
    #[serde(rename = "type")]
    #[schema(example = "https://cocm-registry.dev/problems/unprocessable")]
    pub kind: String,
    /// The kind, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, for people. Never patient data.
    pub detail: String,
    /// Where in the request: a `FHIRPath` for resources, a field path for JSON bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// For a conflict of state: what would be allowed now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        Self {
            kind: format!("{TYPE_BASE}{}", problem.category.slug()),
            title: title(problem.category).into(),
            status: problem.category.status(),
            detail: problem.detail,
            expression: problem.expression,
            allowed: problem.allowed,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let category = self.category;
        let status = StatusCode::from_u16(category.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(problem = category.slug(), detail = self.detail, "answered with a fault");
        }
        let mut response = (status, Json(ProblemBody::from(self.clone()))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match category {
            Category::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Category::Unavailable | Category::RateLimited => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        // The FHIR door says the same as an OperationOutcome.
        response.extensions_mut().insert(self);
        response
    }
}

/// What happened, in a few words.
pub(super) fn title(category: Category) -> &'static str {
    match category {
        Category::Malformed => "The request cannot be read",
        Category::Unauthenticated => "A valid token is needed",
        Category::Forbidden => "Not allowed",
        Category::NotFound => "Not found",
        Category::Unsupported => "Not kept here",
        Category::MethodNotAllowed => "This method is not allowed here",
        Category::NotAcceptable => "Not written in this form here",
        Category::TooSlow => "The body came too slowly",
        Category::Conflict => "The present state does not allow it",
        Category::Gone => "Deleted",
        Category::PreconditionFailed => "A precondition does not hold",
        Category::TooLarge => "Too large",
        Category::UnsupportedMediaType => "This content type is not read here",
        Category::Unprocessable => "A rule is violated",
        Category::RateLimited => "Too many requests",
        Category::Unavailable => "Not available at the moment",
        Category::Internal => "A fault of ours",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ProblemBody;
    use crate::problem::Problem;

    #[test]
    fn a_problem_names_its_kind_and_place() {
        let body = ProblemBody::from(Problem::unprocessable("must not be negative").at("minutes"));
        let expected = json!({
            "type": "https://cocm-registry.dev/problems/unprocessable", "title": "A rule is violated", "status": 422,
            "detail": "must not be negative", "expression": "minutes",
        });
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
    }
}

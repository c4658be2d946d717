//! `GET /problems/{name}`: the meaning of a problem's `type`, for whoever looks it up.

use axum::extract::Path;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::problem::{ProblemBody, title};
use crate::problem::{Category, Problem};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(problem_type))
}

/// The meaning of a problem's `type`, and what to do about it. Public.
#[utoipa::path(get, path = "/problems/{name}", tag = "operations", security(()),
    params(("name" = String, Path, description = "The last part of the `type`: `unprocessable`, …")),
    responses((status = 200, description = "A page", content_type = "text/html", body = String),
        (status = 404, description = "No problem has this type", content_type = "application/problem+json",
            body = ProblemBody)))]
async fn problem_type(Path(name): Path<String>) -> Result<impl IntoResponse, Problem> {
    let category = Category::ALL.into_iter().find(|category| category.slug() == name);
    let category = category.ok_or_else(|| Problem::not_found("type of problem"))?;
    Ok(([(CONTENT_SECURITY_POLICY, "default-src 'none'")], Html(page(category))))
}

fn page(category: Category) -> String {
    let (title, name, status) = (title(category), category.slug(), category.status());
    let (code, remedy) = (category.issue_code(), remedy(category));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} ({name})</title></head>\n\
         <body>\n<h1>{title}</h1>\n<p>{remedy}</p>\n\
         <p>Type <code>{name}</code>, HTTP status {status}; in an OperationOutcome the code <code>{code}</code>.</p>\n\
         </body>\n</html>\n"
    )
}

/// What the caller can do about it.
fn remedy(category: Category) -> &'static str {
    match category {
        Category::Malformed => "Mend the request: the detail says what cannot be read, the expression where.",
        Category::Unauthenticated => {
            "Send one Authorization: Bearer header with a token of a configured issuer that has not expired."
        }
        Category::Forbidden => {
            "The token is good, but its role or its scopes do not allow this. Ask whoever configures the issuer."
        }
        Category::NotFound => {
            "Check the id and the address. What belongs to another clinic is answered in the same way."
        }
        Category::Unsupported => {
            "Only Patient, QuestionnaireResponse and Observation are kept. Send the others elsewhere."
        }
        Category::MethodNotAllowed => "The address exists. The Allow header lists its methods.",
        Category::NotAcceptable => "Ask in the Accept header for a media type that the OpenAPI document lists.",
        Category::TooSlow => "Send the request again, and its body without pauses: 8 KiB a second at least.",
        Category::Conflict => {
            "Read the present state and decide anew. Where something else is allowed, the answer lists it."
        }
        Category::Gone => "It was deleted. Asking again does not help.",
        Category::PreconditionFailed => {
            "Somebody changed it after you read it, or the condition matches several. Read it again, then send your change \
             with the new ETag."
        }
        Category::TooLarge => "Send less at once. The limits are in the description of the OpenAPI document.",
        Category::UnsupportedMediaType => {
            "Send Content-Type: application/json to the API, and application/fhir+json to /fhir."
        }
        Category::Unprocessable => {
            "The request can be read and breaks a rule: the detail says which, the expression where. Sent again unchanged, \
             it is refused again."
        }
        Category::RateLimited => {
            "Wait as long as the Retry-After header says, and send fewer requests at the same time."
        }
        Category::Unavailable => {
            "The database or another server cannot answer now. Send the same request again after Retry-After, to the API \
             with the same Idempotency-Key. What was stored all the same counts once."
        }
        Category::Internal => {
            "A fault of this service. Tell its operator the x-request-id of the answer; the log names the cause beside it."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_problem_has_a_page_of_its_own() {
        for (place, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!(category as usize, place);
            let same = Category::ALL.into_iter().filter(|other| other.slug() == category.slug()).count();
            assert_eq!(same, 1, "{}", category.slug());
            let (page, words) = (page(category), [title(category), remedy(category)]);
            assert!(words.iter().all(|text| page.contains(text) && !text.contains(['<', '>', '&'])), "{page}");
        }
        assert_eq!(Category::ALL.len(), Category::Internal as usize + 1);
    }
}

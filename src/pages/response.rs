//! A rendered page, or a problem as a page.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::api_client::ApiRefusal;
use super::assets;
use crate::problem::{Category, Problem};

pub fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => ProblemPage(Problem::internal(format!("a page could not be rendered: {error}"))).into_response(),
    }
}

/// A problem, as a page.
#[derive(Debug)]
pub struct ProblemPage(pub Problem);

impl From<Problem> for ProblemPage {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ApiRefusal> for ProblemPage {
    fn from(refused: ApiRefusal) -> Self {
        let category = match refused.status {
            400 => Category::Malformed,
            403 => Category::Forbidden,
            404 => Category::NotFound,
            409 => Category::Conflict,
            412 => Category::PreconditionFailed,
            422 => Category::Unprocessable,
            503 => Category::Unavailable,
            _ => Category::Internal,
        };
        Self(Problem::new(category, refused.detail))
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    style: String,
    icon: String,
    title: &'a str,
    detail: &'a str,
}

impl IntoResponse for ProblemPage {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.category.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(problem = self.0.category.slug(), detail = self.0.detail, "answered with a fault");
        }
        let (title, detail) = match self.0.category {
            Category::NotFound => ("Page not found", "There is nothing at this address that you may see."),
            Category::Forbidden => ("Not for your role", self.0.detail.as_str()),
            Category::Unavailable => {
                ("Not now", "The database cannot answer at the moment. Nothing was stored; try again.")
            }
            Category::Internal => ("Something is broken here", "It has been logged. Nothing was stored."),
            _ => ("This did not work", self.0.detail.as_str()),
        };
        let page = TroublePage { style: assets::style(), icon: assets::icon(), title, detail };
        let text = page.render().unwrap_or_else(|_| title.to_owned());
        (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
    }
}

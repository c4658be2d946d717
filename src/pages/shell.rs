//! What stands around every page: who one is, where one can go, and who is waiting for a safety assessment.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::api_client::ApiRefusal;
use super::assets;
use super::safety::SafetyStrip;
use super::session::{IDLE, Visitor};
use crate::identity::Role;
use crate::problem::Problem;

/// Which part of the pages one is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NavSection {
    Caseload,
    Candidates,
    Review,
    Safety,
    Programme,
    Operations,
}

/// What stands around a page.
pub struct Shell {
    pub title: String,
    pub part: NavSection,
    pub clinic: String,
    pub name: String,
    pub csrf: String,
    pub style: String,
    pub script: String,
    pub icon: String,
    /// Unassessed safety answers.
    pub safety: SafetyStrip,
    /// May see connections and deliveries.
    pub operates: bool,
    /// May try other thresholds.
    pub tries_rules: bool,
    /// What was just done.
    pub done: Option<Confirmation>,
    pub idle_seconds: i64,
}

/// What was just done, and how to undo it.
pub struct Confirmation {
    pub words: String,
    /// Where an undo is sent.
    pub undo: Option<String>,
}

impl Shell {
    /// Around a page of this title.
    pub async fn around(visitor: &Visitor, title: impl Into<String>, part: NavSection) -> Result<Self, Problem> {
        Ok(Self {
            title: title.into(),
            part,
            clinic: visitor.clinic_name(),
            name: visitor.session.name.clone(),
            csrf: visitor.session.csrf.clone(),
            style: assets::style(),
            script: assets::script(),
            icon: assets::icon(),
            safety: SafetyStrip::read(visitor).await?,
            operates: visitor.is(&[Role::Admin, Role::CareManager]),
            tries_rules: visitor.is(READERS_OF_RULES),
            done: None,
            idle_seconds: IDLE.num_seconds(),
        })
    }

    pub fn is(&self, part: NavSection) -> bool {
        self.part == part
    }
}

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
            Category::NotFound => ("Not here", "There is nothing at this address that you may see."),
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

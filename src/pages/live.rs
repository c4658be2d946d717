//! `GET /events` for pages: the API's events on the visitor's cookie. They name what changed, never whom it concerns in
//! words; the page then reads itself anew.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use super::Pages;
use super::response::ProblemPage;
use crate::problem::{Category, Problem};

/// The stream. Listening is not doing: a session that only listens ends in its time.
pub async fn stream(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    match pages.visitor(&headers, false).await {
        Ok(Some(visitor)) => {
            let last = headers.get("last-event-id").map(|id| ("last-event-id", id.clone()));
            visitor.pages.door.hand_on(&visitor.caller, "events", last.as_slice()).await
        }
        // 401 tells the browser not to come back.
        Ok(None) => Problem::new(Category::Unauthenticated, "sign in first").into_response(),
        Err(problem) => ProblemPage(problem).into_response(),
    }
}

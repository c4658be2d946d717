//! Read access of the pages: a journal entry, as for the API's answers, written before the page goes out.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::Pages;
use crate::api::access_log::ids;
use crate::store::access_trace::watched;
use crate::store::journal::{self, JournalEntry};

/// The layer. What is entered has its lines from the API, which it goes through.
pub async fn watch(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned()).unwrap_or_default();
    // Without a sign-in nothing is shown; the handler answers.
    let Ok(Some(visitor)) = pages.visitor(request.headers(), false).await else { return next.run(request).await };
    let (method, ids) = (request.method().clone(), ids(&route, request.uri().path()));
    let (response, shown) = watched(next.run(request)).await;
    let status = response.status();
    let refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    if refused || (method == Method::GET && !shown.is_empty()) {
        let (at, caller) = (visitor.now(), &visitor.caller);
        let app = &visitor.pages.app;
        let mut line =
            JournalEntry::new(app.clock.id(), caller.clinic.as_str(), at, &caller.subject, Some(caller.role));
        line.request = Some(journal::AccessRequest { method: method.to_string(), route, ids, status: status.as_u16() });
        app.journal.write(line.naming(shown)).await;
    }
    response
}

//! Read access: a journal entry for each answer with patient data, written before the answer goes out.
//!
//! Reads are recorded (also by POST: a search, a simulation, a Bundle that reads), and so is every refused or missing
//! resource, whatever the method: somebody may be guessing ids. The recorder journals *changes* in their own
//! transaction. An entry holds the route's template and the ids of the path, never the query.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt, stream};

use super::App;
use crate::identity::{Caller, acting_as};
use crate::store::access_trace::watched;
use crate::store::journal::{self, JournalEntry};

pub async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned());
    let Some(route) = route.filter(|route| concerns(route)) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    // The handler answers callers without a valid token.
    let Ok(caller) = Caller::from_request_parts(&mut parts, &app).await else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let method = parts.method.clone();
    let ids = ids(&route, parts.uri.path());
    let answering = next.run(Request::from_parts(parts, body));
    let (response, shown) = acting_as(caller.role, watched(answering)).await;
    let status = response.status();
    // A stream tells about everybody, from now on.
    let everybody = route.ends_with("/events") && status.is_success();
    let request = journal::AccessRequest { method: method.to_string(), route, ids, status: status.as_u16() };
    let showed = reads(&method, &request.route) && (everybody || !shown.is_empty());
    if showed || is_refusal(status) {
        let mut line = entry(&app, &caller);
        line.everybody = everybody;
        line.request = Some(request.clone());
        app.journal.write(line.naming(shown)).await;
    }
    // A body without a length is read while it is sent: a long list, page by page.
    if !reads(&method, &request.route) || everybody || response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| told_while_sent(app, caller, request, body))
}

fn entry(app: &App, caller: &Caller) -> JournalEntry {
    JournalEntry::new(app.clock.id(), caller.clinic.as_str(), app.clock.now(), &caller.subject, Some(caller.role))
}

/// A body that is read while it is sent, with a line for each part that shows somebody, before the part goes out.
fn told_while_sent(app: App, caller: Caller, request: journal::AccessRequest, body: Body) -> Body {
    let parts =
        stream::unfold((body.into_data_stream(), app, caller, request), async |(mut parts, app, caller, request)| {
            let (part, shown) = acting_as(caller.role, watched(parts.next())).await;
            if !shown.is_empty() {
                let line = JournalEntry { request: Some(request.clone()), ..entry(&app, &caller) };
                app.journal.write(line.naming(shown)).await;
            }
            part.map(|part| (part, (parts, app, caller, request)))
        });
    Body::from_stream(parts)
}

fn concerns(route: &str) -> bool {
    route.starts_with("/api/v1/") || (route.starts_with("/fhir") && route != "/fhir/metadata")
}

fn reads(method: &Method, route: &str) -> bool {
    let by_post = ["/_search", "/simulate", "/fhir", "/fhir/"];
    matches!(*method, Method::GET | Method::HEAD)
        || (*method == Method::POST && by_post.iter().any(|end| route.ends_with(end)))
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Path segments at the parameters of the template. Text that cannot be an id is left out.
pub fn ids(route: &str, path: &str) -> Vec<String> {
    let is_id = |s: &&str| {
        (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let parts = route.split('/').zip(path.split('/')).filter(|(template, _)| template.starts_with('{'));
    parts.map(|(_, said)| Some(said).filter(is_id).unwrap_or("…").to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_an_address_are_told_and_nothing_else() {
        let route = "/api/v1/patients/{id}/safety-assessments/{entry}";
        assert_eq!(ids(route, "/api/v1/patients/0195-a/safety-assessments/7"), ["0195-a", "7"]);
        assert_eq!(ids(route, "/api/v1/patients/Jane%20Canary/safety-assessments/7"), ["…", "7"]);
    }

    #[test]
    fn a_bundle_may_read_and_a_form_does_not() {
        assert!(reads(&Method::POST, "/fhir") && reads(&Method::POST, "/fhir/{type}/_search"));
        assert!(!reads(&Method::POST, "/fhir/{type}") && !reads(&Method::PUT, "/fhir/{type}/{id}"));
    }
}

//! The layer that lets requests in, or says in the door's own words why not now.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::fhir;
use crate::config::Limits;
use crate::listener::Admission;

/// Puts it around complete routes, once: what asks the API within the process is let in already.
pub fn admit_all(router: Router, limits: &Limits) -> Router {
    router.layer(from_fn_with_state(Admission::new(limits), admit))
}

async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    match admission.admit(&request) {
        Ok(place) => {
            let response = next.run(request).await;
            drop(place);
            response
        }
        Err(problem) if request.uri().path().starts_with("/fhir") => fhir::in_our_words(problem.into_response()),
        Err(problem) => problem.into_response(),
    }
}

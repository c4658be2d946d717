//! The pages a care team opens every morning: rendered here, served by the same program, readable without scripts.
//!
//! They are the JSON API's first client. What they show is read by the functions that the API's handlers use; whatever
//! they change goes through the API itself, in process (`door`), so that roles, checks and idempotency are said once.

mod assets;
mod audit;
mod candidates;
mod caseload;
mod score_graph;
mod api_client;
mod form;
mod hand_over;
mod identity;
mod import;
mod item_texts;
mod live;
mod date_texts;
mod month;
mod my_patients;
mod operations;
mod patient;
mod program;
mod review;
mod safety;
mod same_persons;
mod pending_sign_in;
mod session;
mod safety_strip;
mod response;
mod roles;
mod shell;
mod sign_in;
mod staff;
mod sparkline;
mod access_log;
mod upload;
mod words;

use std::iter;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};

use crate::api::App;
use api_client::ApiClient;
use sign_in::provider::IdentityProvider;

/// Shared state of the pages. Cheap to clone.
#[derive(Clone)]
struct Pages {
    app: App,
    door: ApiClient,
    /// Configured ways to sign in.
    ways: Arc<Vec<IdentityProvider>>,
}

impl FromRef<Pages> for App {
    fn from_ref(pages: &Pages) -> Self {
        pages.app.clone()
    }
}

/// Only our own files and our own addresses; `frame-ancestors` is added to it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'";

/// Every page. `api` are the routes of the JSON API, which take what is entered here.
pub fn router(app: App, api: Router) -> Router {
    let ways = sign_in::provider::ways(&app.config);
    let pages = Pages { app, door: ApiClient::to(api), ways };
    Router::new()
        .route("/", get(shell::first_page))
        .route("/sign-in", get(sign_in::choose))
        .route("/sign-in/with/{way}", get(sign_in::oidc::leave))
        .route("/sign-in/back", get(sign_in::oidc::returned))
        .route("/launch", get(sign_in::oidc::launched))
        .route("/sign-in/development", post(sign_in::in_development))
        .route("/sign-out", post(sign_in::out))
        .route("/session", get(session::keep))
        .route("/events", get(live::stream))
        .route("/caseload", get(caseload::show))
        .route("/caseload.csv", get(caseload::csv))
        .route("/caseload.xlsx", get(caseload::xlsx))
        .route("/candidates", get(candidates::show))
        .route("/patients/{id}", get(patient::show))
        .route("/patients/{id}/care-plan", get(patient::care_plan::show).post(patient::care_plan::write))
        .route("/patients/{id}/care-plan/document", get(patient::documents::care_plan))
        .route("/patients/{id}/handover", get(patient::documents::handover))
        .route("/patients/{id}/score", get(patient::score::show).post(patient::score::save))
        .route("/patients/{id}/{form}", get(patient::reopen).post(patient::enter))
        .route("/safety", get(safety::show))
        .route("/same-persons", get(same_persons::show))
        .route("/same-persons/{id}", post(same_persons::decide))
        .route("/hand-over", get(hand_over::show).post(hand_over::take))
        .route("/import", get(import::show).post(import::take))
        .route("/audit", get(audit::show))
        .route("/my-patients", get(my_patients::show))
        .route("/month", get(month::show))
        .route("/month.csv", get(month::csv))
        .route("/month.xlsx", get(month::xlsx))
        .route("/programme", get(program::show))
        .route("/programme/behind", get(program::behind))
        .route("/operations", get(operations::show))
        .route("/operations/connections/{name}/sync", post(operations::connections::sync))
        .route("/operations/deliveries/{id}/retry", post(operations::retry))
        .route("/operations/quarantine/{id}", get(operations::quarantine::show))
        .route("/operations/quarantine/{id}/replay", post(operations::replay))
        .route("/operations/rules", get(operations::rules::show).post(operations::rules::propose))
        .route("/operations/rules/{version}/activate", post(operations::rules::activate))
        .route("/review", get(review::sessions).post(review::begin))
        .route("/review/{session}", get(review::agenda))
        .route("/review/{session}/summary", get(review::summary))
        .route("/review/{session}/close", post(review::close))
        .route("/review/{session}/{episode}", get(review::case).post(review::save))
        .route_layer(from_fn_with_state(pages.clone(), access_log::watch))
        .layer(from_fn_with_state(pages.clone(), guarded))
        .route("/assets/{name}", get(assets::serve))
        .with_state(pages)
}

/// Security headers of every page.
async fn guarded(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let ancestors = pages.frame_ancestors(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A document of the API has a policy of its own, with its styles within.
    let policy = headers.get(CONTENT_SECURITY_POLICY).and_then(|own| own.to_str().ok()).unwrap_or(POLICY);
    // Signing out is a form that leads on to the provider.
    let form_action = iter::once("'self'".to_owned())
        .chain(pages.ways.iter().filter_map(sign_in::provider::IdentityProvider::origin))
        .collect::<Vec<_>>()
        .join(" ");
    let policy = policy.replacen("form-action 'self'", &format!("form-action {form_action}"), 1);
    let policy = format!("{policy}; frame-ancestors {}", ancestors.as_deref().unwrap_or("'none'"));
    // A policy that is no valid header value falls back to one that allows nothing.
    let strict = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap_or(strict));
    // `no-referrer` would make browsers send `Origin: null` with our own forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}

//! The public interfaces: the registry's JSON API and the FHIR API. One endpoint, one file: its types, errors,
//! documentation and handler.

pub mod problem;
mod problem_page;
pub mod page;
mod export;
pub mod cds_hooks;
pub mod readiness;
pub mod admit;
pub mod health;
pub mod fhir;
pub mod registry;
mod idempotency;
pub mod request;
pub mod access_log;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::HeaderValue;
use axum::middleware::from_fn_with_state;
use tokio::sync::Notify;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use self::readiness::Readiness;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::{CdsClients, Verifier};
use crate::intake::Intake;
use crate::intake::connection::Connections;
use crate::journal::Journal;
use crate::limits;
use crate::problem::{Category, Problem};
use crate::record::{Recorder, Zones};
use crate::store::Db;
use crate::upkeep::Upkeep;

/// Shared state of the handlers. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The registry's database, for reading: only [`Recorder`] writes.
    pub db: Db,
    pub recorder: Recorder,
    /// Audit journal of changes and reads.
    pub journal: Journal,
    /// Reads what arrives over FHIR, and hands it to the hallway.
    pub intake: Intake,
    /// The service's clock.
    pub clock: Clock,
    /// Configuration.
    pub config: Arc<Config>,
    pub verifier: Arc<Verifier>,
    /// The EHRs that ask for cards.
    pub cds_clients: Arc<CdsClients>,
    /// The time zone of each clinic.
    pub zones: Arc<Zones>,
    /// Notified when there is something to deliver.
    pub outbox: Arc<Notify>,
    /// The EHRs that we fetch from.
    pub connections: Connections,
    /// Whether the database can be written to.
    pub readiness: Readiness,
    /// Our public keys (`/.well-known/jwks.json`).
    pub jwks: Arc<serde_json::Value>,
}

impl App {
    /// The upkeep of this application.
    pub fn upkeep(&self) -> Upkeep {
        Upkeep {
            db: self.db.clone(),
            recorder: self.recorder.clone(),
            clock: self.clock.clone(),
            zones: self.zones.clone(),
            config: self.config.clone(),
        }
    }
}

impl FromRef<App> for Arc<Verifier> {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}

/// The head of the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "cocm-registry",
        description = "The Collaborative Care registry between an EHR and a care team. JSON is snake_case; dates are \
            `YYYY-MM-DD` in the clinic's time zone, instants RFC 3339 in UTC, ids opaque strings. Errors are \
            problem+json with a stable `type`. Lists answer `{\"items\": […], \"next\": cursor or null}`. \
            This service is not a crisis service."
    ),
    components(schemas(
        registry::MetricsGrouping,
        registry::RecommendationStateFilter,
        registry::ReportKind,
        registry::Sort,
        registry::WebhookState
    )),
    servers((url = "/", description = "This service")),
    modifiers(&BearerToken),
    security(("bearer" = []))
)]
struct Head;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

fn routes(origins: &[HeaderValue]) -> (Router<App>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Head::openapi())
        .merge(health::routes())
        .merge(problem_page::routes())
        .nest("/api/v1", registry::routes())
        .nest("/fhir", fhir::routes())
        .route("/fhir/", fhir::base())
        .merge(cds_hooks::routes(origins))
        .split_for_parts()
}

/// Documents once what holds for many endpoints.
fn complete(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let description = document.info.description.get_or_insert_default();
    description.push(' ');
    description.push_str(&limits::in_words());
    idempotency::document(&mut document);
    document
}

/// A wrong method is answered by the routes themselves, so that their layers see it: a preflight of CORS is one.
fn closed((schemas, paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    (schemas, paths, methods.fallback(no_such_method))
}

async fn no_such_method() -> Problem {
    Problem::new(Category::MethodNotAllowed, "this address does not answer to that method; see `Allow`")
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    complete(routes(&[]).1)
}

/// Every route, with its state.
pub fn router(app: App) -> Router {
    let (router, document) = routes(&cds_hooks::origins(&app.config));
    let once = from_fn_with_state(app.clone(), idempotency::remember);
    router
        .layer(once)
        .layer(from_fn_with_state(app.clone(), access_log::watch))
        .merge(utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", complete(document)))
        .with_state(app)
}

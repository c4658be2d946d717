//! `connections/{name}/notifications`: an EHR says that something has changed.

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::WriteErrors;
use crate::api::App;
use crate::fhir::arrival::is_logical_id;
use crate::fhir::notification::Notification;
use crate::fhir::topic::Topic;
use crate::identity::{Caller, Role, TokenError};
use crate::intake::connection::Connection;
use crate::intake::signature;
use crate::listener::{BodyLimit, DEEPEST, check_depth, read_body};
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(heard, heard_by_put)).routes(routes!(heard_of_type)).routes(routes!(
        heard_of_one,
        heard_of_one_by_put,
        heard_of_deleted
    ))
}

/// Receives a change notification, stores it and answers; the changed resources are fetched afterwards.
///
/// Taken in: nothing at all ("look again"), the resource (R4 rest-hook), a notification of the Subscriptions Backport
/// IG, `{"changed": ["Patient/1"]}`. Only ids are taken from it: what counts is what the EHR's FHIR server then says.
/// Whoever calls needs a token for the role ehr, or what is configured under `notify`: its bearer secret, or an
/// HMAC-SHA256 over the body.
#[utoipa::path(post, path = "/connections/{name}/notifications", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`")),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard(State(app): State<App>, Path(name): Path<String>, request: Request) -> Result<(), Problem> {
    hear(&app, &name, request, None).await
}

/// The same by PUT.
#[utoipa::path(put, path = "/connections/{name}/notifications", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`")),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_by_put(State(app): State<App>, Path(name): Path<String>, request: Request) -> Result<(), Problem> {
    hear(&app, &name, request, None).await
}

/// The same of a resource whose type is in the address.
#[utoipa::path(post, path = "/connections/{name}/notifications/{type}", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`"), ("type" = String, Path)),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_of_type(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    request: Request,
) -> Result<(), Problem> {
    hear(&app, &path.0, request, None).await
}

/// The same of the resource in the address.
#[utoipa::path(post, path = "/connections/{name}/notifications/{type}/{id}", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`"), ("type" = String, Path), ("id" = String, Path)),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_of_one(
    State(app): State<App>,
    Path(path): Path<(String, String, String)>,
    request: Request,
) -> Result<(), Problem> {
    hear(&app, &path.0, request, Some((path.1, path.2))).await
}

/// The same of the resource in the address, by PUT.
#[utoipa::path(put, path = "/connections/{name}/notifications/{type}/{id}", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`"), ("type" = String, Path), ("id" = String, Path)),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_of_one_by_put(
    State(app): State<App>,
    Path(path): Path<(String, String, String)>,
    request: Request,
) -> Result<(), Problem> {
    hear(&app, &path.0, request, Some((path.1, path.2))).await
}

/// The resource in the address was deleted: whether it was, its server is asked.
#[utoipa::path(delete, path = "/connections/{name}/notifications/{type}/{id}", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`"), ("type" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_of_deleted(
    State(app): State<App>,
    Path(path): Path<(String, String, String)>,
    request: Request,
) -> Result<(), Problem> {
    hear(&app, &path.0, request, Some((path.1, path.2))).await
}

async fn hear(app: &App, name: &str, request: Request, address: Option<(String, String)>) -> Result<(), Problem> {
    let (mut parts, body) = request.into_parts();
    let connection = app.connections.named(name);
    let limit = parts.extensions.get::<BodyLimit>().copied().unwrap_or_default();
    let secret = connection.and_then(|connection| secret(connection, &parts.headers));
    let is_signed =
        connection.is_some_and(|connection| signature::is_there(&connection.settings.notify, &parts.headers));
    if secret != Some(true) && !is_signed {
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        caller.require(&[Role::Ehr])?;
        // Another clinic's connection looks like none.
        let is_theirs = connection.is_some_and(|connection| connection.clinic == caller.clinic.as_str());
        if !is_theirs {
            return Err(Problem::not_found("connection"));
        }
    }
    let connection = connection.ok_or_else(|| Problem::not_found("connection"))?;
    let bytes = read_body(&parts.headers, body, if is_signed { limit.body } else { limit.bundle }).await?;
    if secret != Some(true) && is_signed {
        let holds = signature::holds(&connection.settings.notify, &parts.headers, &bytes, app.clock.now());
        holds.map_err(|why| Problem::new(crate::problem::Category::Unauthenticated, why))?;
    }
    check_depth(&bytes, DEEPEST)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::malformed("the body is not UTF-8"))?;
    let said = match address.map(|(kind, id)| (Topic::of(&kind), id)) {
        Some((Some(kind), id)) if is_logical_id(&id) => {
            Notification { changed: vec![(kind, id)], ..Notification::default() }
        }
        Some((Some(_), _)) => return Err(Problem::malformed("not a logical id")),
        // A type that does not concern us.
        Some((None, _)) => return Ok(()),
        None => connection.understand(text)?,
    };
    app.intake.hear(connection, &said).await
}

/// Whether the bearer token is the connection's secret; `None` where there is none of either.
fn secret(connection: &Connection, headers: &HeaderMap) -> Option<bool> {
    let secret = connection.settings.notify.token.as_ref()?;
    let sent = headers.get(AUTHORIZATION)?.to_str().map_err(|_| TokenError::Malformed).ok()?;
    let (scheme, token) = sent.split_once(' ')?;
    Some(scheme.eq_ignore_ascii_case("bearer") && signature::is_same(secret, token.trim()))
}

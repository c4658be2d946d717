//! `connections/{name}/notifications`: an EHR says that something has changed.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::WriteErrors;
use crate::api::App;
use crate::fhir::logical_id::is_logical_id;
use crate::fhir::notification::Notification;
use crate::fhir::topic::Topic;
use crate::identity::{Caller, Role, TokenError};
use crate::intake::connection::Connection;
use crate::intake::signature;
use crate::listener::{BodyLimit, read_body};
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(heard, heard_by_put, agree)).routes(routes!(heard_of_type)).routes(routes!(
        heard_of_one,
        heard_of_one_by_put,
        heard_of_deleted
    ))
}

/// Receives a change notification, stores it and answers; the changed resources are fetched afterwards.
///
/// Taken in: nothing at all ("look again"), the resource (R4 rest-hook), a notification of the Subscriptions Backport
/// IG, `{"changed": ["Patient/1"]}`; `CloudEvents`, Azure Event Grid's events (its validation is answered) and Google
/// Pub/Sub's messages about any of these. Only ids are taken from it: what counts is what the EHR's FHIR server then says.
/// Whoever calls needs a token for the role ehr, or what is configured under `notify`: its bearer secret, or an
/// HMAC-SHA256 over the body.
#[utoipa::path(post, path = "/connections/{name}/notifications", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`")),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard(State(app): State<App>, Path(name): Path<String>, request: Request) -> Result<Response, Problem> {
    hear(&app, &name, request, None).await
}

/// `CloudEvents`' handshake: whoever wants to deliver events here asks first whether it may.
#[utoipa::path(options, path = "/connections/{name}/notifications", tag = "operations", security(()),
    params(("name" = String, Path, description = "The `[[ehr]]`"),
        ("WebHook-Request-Origin" = String, Header, description = "Who asks")),
    responses((status = 200, description = "It may; `WebHook-Allowed-Origin` names it. Each delivery needs its token all the same")))]
async fn agree(headers: HeaderMap) -> Response {
    let mut response = ().into_response();
    if let Some(origin) = headers.get("webhook-request-origin") {
        response.headers_mut().insert("webhook-allowed-origin", origin.clone());
        response.headers_mut().insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    }
    response
}

/// The same by PUT.
#[utoipa::path(put, path = "/connections/{name}/notifications", tag = "operations",
    params(("name" = String, Path, description = "The `[[ehr]]`")),
    request_body(content = Option<Value>, content_type = "application/fhir+json"),
    responses((status = 200, description = "Written down"), WriteErrors))]
async fn heard_by_put(State(app): State<App>, Path(name): Path<String>, request: Request) -> Result<Response, Problem> {
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
) -> Result<Response, Problem> {
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
) -> Result<Response, Problem> {
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
) -> Result<Response, Problem> {
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
) -> Result<Response, Problem> {
    hear(&app, &path.0, request, Some((path.1, path.2))).await
}

async fn hear(app: &App, name: &str, request: Request, address: Option<(String, String)>) -> Result<Response, Problem> {
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
    let address = address.or_else(|| deleted_in_medplum(&parts.headers));
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::malformed("the body is not UTF-8"))?;
    let said = match address.map(|(kind, id)| (Topic::of(&kind), id)) {
        Some((Some(kind), id)) if is_logical_id(&id) => {
            Notification { changed: vec![(kind, id)], ..Notification::default() }
        }
        Some((Some(_), _)) => return Err(Problem::malformed("not a logical id")),
        // Of a type that does not concern us.
        Some((None, _)) => return Ok(().into_response()),
        None => connection.understand(&structured(&parts.headers, text))?,
    };
    app.intake.hear(connection, &said).await?;
    Ok(match said.validation {
        Some(code) => Json(json!({ "validationResponse": code })).into_response(),
        None => ().into_response(),
    })
}

/// A `CloudEvent` in binary mode (its attributes are headers, its data the body) as one in structured mode.
fn structured<'a>(headers: &HeaderMap, text: &'a str) -> Cow<'a, str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(version) = header("ce-specversion") else { return Cow::Borrowed(text) };
    let data = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    json!({ "specversion": version, "type": header("ce-type"), "subject": header("ce-subject"), "data": data })
        .to_string()
        .into()
}

/// What was deleted in Medplum stands in a header, and the body is empty.
fn deleted_in_medplum(headers: &HeaderMap) -> Option<(String, String)> {
    let (kind, id) = headers.get("x-medplum-deleted-resource")?.to_str().ok()?.trim().split_once('/')?;
    Some((kind.to_owned(), id.to_owned()))
}

/// Whether the bearer token is the connection's secret; `None` where there is none of either.
fn secret(connection: &Connection, headers: &HeaderMap) -> Option<bool> {
    let secret = connection.settings.notify.token.as_ref()?;
    let sent = headers.get(AUTHORIZATION)?.to_str().map_err(|_| TokenError::Malformed).ok()?;
    let (scheme, token) = sent.split_once(' ')?;
    Some(scheme.eq_ignore_ascii_case("bearer") && signature::is_same(secret, token.trim()))
}

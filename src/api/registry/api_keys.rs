//! `POST api-keys`, `GET api-keys`, `DELETE api-keys/{id}`: keys for programs that have no tokens of an issuer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::Page;
use crate::api::request::{IdInPath, RequestContext};
use crate::identity::{ApiKey, Role};
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::store::api_key::{self, ApiKeyRecord};
use crate::store::journal::{self, JournalEntry};

/// How many keys are listed, the newest first.
const LISTED: i64 = 500;
/// A key is good for so many days unless somebody says otherwise, and for no more than this.
const DAYS: u16 = 90;
const DAYS_MAX: u16 = 366;
const NAME_MAX: usize = 100;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_api_keys, create_api_key)).routes(routes!(revoke_api_key))
}

/// What a program with a key is.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ApiKeyRole {
    /// Uses the FHIR door and notifies.
    #[default]
    Ehr,
    /// Sees operations. People enter care, so no key has a role that may.
    Admin,
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewApiKey {
    /// Whose it is: the journal names it.
    name: String,
    #[serde(default)]
    role: ApiKeyRole,
    /// FHIR scopes that limit it (`system/QuestionnaireResponse.cu`); without them it may what its role may.
    scopes: Option<String>,
    /// Good for so many days, 1 to 366; 90 without it.
    days: Option<u16>,
}

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyView {
    id: Uuid,
    name: String,
    role: Role,
    scopes: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: DateTime<Utc>,
    /// It is worth nothing since then.
    revoked_at: Option<DateTime<Utc>>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
struct ApiKeyReceipt {
    id: Uuid,
    /// The key. It is shown this once: only a digest is kept.
    key: String,
    expires_at: DateTime<Utc>,
}

impl From<ApiKeyRecord> for ApiKeyView {
    fn from(key: ApiKeyRecord) -> Self {
        let ApiKeyRecord { id, name, role, scopes, created_at, created_by, expires_at, revoked_at, .. } = key;
        Self { id, name, role, scopes, created_at, created_by, expires_at, revoked_at }
    }
}

/// Makes a key. It is sent as `Authorization: Bearer` or as `X-API-Key`.
#[utoipa::path(post, path = "/api-keys", tag = "operations", request_body = NewApiKey,
    responses((status = 201, description = "Made; the key is shown this once", body = ApiKeyReceipt), WriteErrors))]
async fn create_api_key(call: RequestContext, JsonBody(new): JsonBody<NewApiKey>) -> Result<Response, Problem> {
    call.caller.require(&[Role::Admin])?;
    let name = new.name.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        return Err(Problem::unprocessable("1 to 100 letters, digits, spaces, -, _ and .").at("name"));
    }
    let days = new.days.unwrap_or(DAYS);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::unprocessable("must be 1 to 366").at("days"));
    }
    let scopes = new.scopes.as_deref().map(str::trim);
    if scopes.is_some_and(|scopes| !scopes.split_whitespace().any(|scope| scope.contains('/'))) {
        return Err(Problem::unprocessable("must name FHIR scopes, such as system/*.cruds").at("scopes"));
    }
    let now = call.app.clock.now();
    let key = ApiKey::new(call.caller.clinic.clone(), call.app.clock.id())?;
    let record = ApiKeyRecord {
        id: key.id,
        name: name.to_owned(),
        role: match new.role {
            ApiKeyRole::Ehr => Role::Ehr,
            ApiKeyRole::Admin => Role::Admin,
        },
        scopes: scopes.map(str::to_owned),
        digest: key.digest(),
        created_at: now,
        created_by: call.caller.subject.clone(),
        expires_at: now + TimeDelta::days(i64::from(days)),
        revoked_at: None,
    };
    let mut tx = call.app.db.begin("api_key").await?;
    api_key::insert(&mut tx, call.clinic(), &record).await?;
    journal::add(&mut tx, &[entry(&call, "api_key.created", key.id, now)]).await?;
    tx.commit().await?;
    let receipt = ApiKeyReceipt { id: key.id, key: key.reveal(), expires_at: record.expires_at };
    Ok(created(None, None, receipt))
}

/// The clinic's keys, the newest first, also those that have expired or were revoked.
#[utoipa::path(get, path = "/api-keys", tag = "operations",
    responses((status = 200, description = "Without their secrets", body = Page<ApiKeyView>), ReadErrors))]
async fn list_api_keys(call: RequestContext) -> Result<Json<Page<ApiKeyView>>, Problem> {
    call.caller.require(&[Role::Admin])?;
    let mut tx = call.app.db.read().await?;
    let keys = api_key::list(&mut tx, call.clinic(), LISTED).await?;
    Ok(Json(Page { items: keys.into_iter().map(ApiKeyView::from).collect(), next: None }))
}

/// Revokes a key, at once.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "operations",
    params(("id" = String, Path, description = "The key")),
    responses((status = 204, description = "It is worth nothing from now on"), WriteErrors))]
async fn revoke_api_key(call: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<StatusCode, Problem> {
    call.caller.require(&[Role::Admin])?;
    let now = call.app.clock.now();
    let mut tx = call.app.db.begin("api_key").await?;
    if !api_key::revoke(&mut tx, call.clinic(), id, now).await? {
        return Err(Problem::not_found("API key"));
    }
    journal::add(&mut tx, &[entry(&call, "api_key.revoked", id, now)]).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn entry(call: &RequestContext, event: &str, key: Uuid, now: DateTime<Utc>) -> JournalEntry {
    let (by, role) = (&call.caller.subject, Some(call.caller.role));
    let mut entry = JournalEntry::new(call.app.clock.id(), call.clinic(), now, by, role).event(event);
    entry.subject = Some(format!("api-key/{key}"));
    entry
}

//! Common parts of the FHIR handlers: caller, resource and representation.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::header::{AsHeaderName, CONTENT_TYPE, HOST};
use axum::http::request::Parts;

use super::scope;
use crate::api::App;
use crate::fhir::arrival::ResourceType;
use crate::fhir::logical_id::is_logical_id;
use crate::fhir::query;
use crate::identity::{Caller, Role};
use crate::intake::bundle::EntryAction;
use crate::limits::JsonBudget;
use crate::listener::{BodyLimit, read_body};
use crate::problem::{Category, Problem};

/// A type that is not taken in here.
pub fn unknown_type() -> Problem {
    Problem::new(Category::Unsupported, "only Patient, QuestionnaireResponse and Observation are kept here")
}

/// An operation, a history, a compartment.
pub fn unknown_interaction() -> Problem {
    Problem::new(Category::Unsupported, "this interaction is not supported here; see the CapabilityStatement")
}

/// A request that passed the door.
pub struct FhirCall {
    /// Shared state of the handlers.
    pub app: App,
    pub caller: Caller,
    pub headers: HeaderMap,
    /// Our own address, for links.
    pub base: String,
}

impl FromRequestParts<App> for FhirCall {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let base = base(app, &parts.headers);
        let app = App { intake: app.intake.under(&base), ..app.clone() };
        Ok(Self { app, caller, headers: parts.headers.clone(), base })
    }
}

/// The door's address, as clients know it.
pub fn base(app: &App, headers: &HeaderMap) -> String {
    match (&app.config.public_url, text(headers, HOST)) {
        (Some(url), _) => format!("{}/fhir", url.trim_end_matches('/')),
        (None, Some(host)) => format!("http://{host}/fhir"),
        (None, None) => "/fhir".to_owned(),
    }
}

/// A header, if it is there and is text.
pub fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

impl FhirCall {
    /// The clinic everything is about.
    pub fn clinic(&self) -> &str {
        self.caller.clinic.as_str()
    }

    /// Holds if the caller may do this.
    pub fn may(&self, kind: ResourceType, action: EntryAction) -> Result<(), Problem> {
        match action {
            EntryAction::Read | EntryAction::Search => {}
            EntryAction::Create | EntryAction::Update | EntryAction::Delete => {
                self.caller.require(&[Role::Ehr, Role::Admin])?;
            }
        }
        match &self.caller.scopes {
            Some(scopes) if !scope::allows(scopes, kind, action) => {
                Err(Problem::new(Category::Forbidden, "the token's scopes do not allow this"))
            }
            _ => Ok(()),
        }
    }

    /// A preference of the caller's (`Prefer: name=value`).
    pub fn prefers(&self, name: &str, value: &str) -> bool {
        self.preference(name).is_some_and(|said| said.eq_ignore_ascii_case(value))
    }

    /// The caller's value of a `Prefer` parameter.
    pub fn preference(&self, name: &str) -> Option<&str> {
        let said = self.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        said.flat_map(|value| value.split([',', ';'])).find_map(|one| {
            let (said, value) = one.trim().split_once('=')?;
            said.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
        })
    }

    /// The version of `If-Match`, if it is there.
    pub fn if_match(&self) -> Result<Option<i64>, Problem> {
        text(&self.headers, axum::http::header::IF_MATCH).map(query::version).transpose()
    }
}

/// The type that an address names.
pub struct TypeInPath(pub ResourceType);

impl FromRequestParts<App> for TypeInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Path(name) =
            Path::<String>::from_request_parts(parts, app).await.map_err(|_| Problem::malformed("not an address"))?;
        ResourceType::of(&name).map(Self).ok_or_else(unknown_type)
    }
}

/// The resource that an address names.
pub struct ResourceInPath(pub ResourceType, pub String);

impl FromRequestParts<App> for ResourceInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Path((name, id)) = Path::<(String, String)>::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::malformed("not an address"))?;
        let kind = ResourceType::of(&name).ok_or_else(unknown_type)?;
        if id.starts_with(['$', '_']) {
            return Err(unknown_interaction());
        }
        if is_logical_id(&id) { Ok(Self(kind, id)) } else { Err(Problem::malformed("not a logical id")) }
    }
}

/// A body with one resource, as text.
pub struct ResourceText(pub String);

impl FromRequest<App> for ResourceText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        fhir_text(request, |limit| limit.body, JsonBudget::RESOURCE).await.map(Self)
    }
}

/// A body with a Bundle, as text.
pub struct BundleText(pub String);

impl FromRequest<App> for BundleText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        fhir_text(request, |limit| limit.bundle, JsonBudget::BUNDLE).await.map(Self)
    }
}

async fn fhir_text(request: Request, limit: fn(BodyLimit) -> usize, budget: JsonBudget) -> Result<String, Problem> {
    let (parts, body) = request.into_parts();
    let kind = text(&parts.headers, CONTENT_TYPE).unwrap_or_default();
    let is_empty = parts.headers.get("content-length").is_some_and(|length| length == "0");
    if !(is_json(kind) || kind.is_empty() && is_empty) {
        let detail = "Content-Type must be application/fhir+json or application/json";
        return Err(Problem::new(Category::UnsupportedMediaType, detail));
    }
    let most = limit(parts.extensions.get::<BodyLimit>().copied().unwrap_or_default());
    let bytes = read_body(&parts.headers, body, most).await?;
    budget.check(&bytes)?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::malformed("the body is not UTF-8").at("Resource"))
}

/// Whether a media type is FHIR's JSON, or plain JSON.
pub fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    ["application/fhir+json", "application/json", "application/json+fhir", "text/json", "json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
}

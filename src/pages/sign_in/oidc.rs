//! Signing in with somebody else's word for it: `OpenID Connect`'s authorization code flow with PKCE, and SMART App
//! Launch, which is the same with the EHR's FHIR base as the audience and perhaps a patient in the answer.
//!
//! No library: the flow is two redirects and one POST, and the ID token is verified by the code that verifies every
//! other token (`identity`): the same algorithms, the same key cache.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, SET_COOKIE};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::own_path;
use crate::config::SignInConfig;
use crate::id::PatientId;
use crate::identity::{Caller, ClinicId, Role, Verifier};
use crate::pages::Pages;
use crate::pages::pending_sign_in::{PendingSignIn, kept};
use crate::pages::response::ProblemPage;
use crate::pages::session::random_word;
use crate::problem::{Category, Problem};
use crate::store::patient;

/// How long a sign-in may take, in seconds.
const TAKES: i64 = 600;
/// Deadline of a request to an identity provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// Landing page for a launch with an unknown patient.
const UNKNOWN: &str = "/caseload?launched=unknown";
/// Largest answer of one, in bytes.
const LARGEST: usize = 256 * 1024;

/// One configured way, with the keys of its issuer.
pub struct IdentityProvider {
    config: SignInConfig,
    verifier: Verifier,
}

/// Every configured way.
pub fn ways(config: &crate::config::Config) -> Arc<Vec<IdentityProvider>> {
    let way = |config: &SignInConfig| match Verifier::of_sign_in(config) {
        Ok(verifier) => Some(IdentityProvider { config: config.clone(), verifier }),
        Err(error) => {
            tracing::error!(%error, "a way to sign in cannot be used");
            None
        }
    };
    Arc::new(config.sign_ins.iter().filter_map(way).collect())
}

impl IdentityProvider {
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Where the provider says what it can.
    fn discovery(&self) -> String {
        match &self.config.fhir_base {
            Some(base) => format!("{}/.well-known/smart-configuration", base.trim_end_matches('/')),
            None => format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/')),
        }
    }
}

#[derive(Deserialize)]
struct Endpoints {
    authorization_endpoint: String,
    token_endpoint: String,
}

/// Where to afterwards.
#[derive(Debug, Default, Deserialize)]
pub struct ReturnTo {
    #[serde(default)]
    to: String,
}

/// A launch by an EHR.
#[derive(Debug, Deserialize)]
pub struct EhrLaunch {
    iss: String,
    launch: String,
}

/// Leaves for a provider (for SMART: the standalone launch).
pub async fn leave(
    State(pages): State<Pages>,
    Path(way): Path<String>,
    Query(to): Query<ReturnTo>,
    headers: HeaderMap,
) -> Result<Response, ProblemPage> {
    let way = way.parse().map_err(|_| Problem::not_found("way to sign in"))?;
    begin(&pages, way, None, own_path(&to.to), &headers).await
}

/// An EHR opens us for somebody who is signed in there.
pub async fn launched(
    State(pages): State<Pages>,
    Query(launch): Query<EhrLaunch>,
    headers: HeaderMap,
) -> Result<Response, ProblemPage> {
    // Only EHRs that the operator named: a launch tells us where to send people.
    let base = |text: &str| text.trim_end_matches('/').to_owned();
    let known =
        |way: &IdentityProvider| way.config.fhir_base.as_deref().is_some_and(|of| base(of) == base(&launch.iss));
    let way = pages.ways.iter().position(known);
    let way = way.ok_or_else(|| Problem::new(Category::Forbidden, "this EHR is not known here"))?;
    begin(&pages, way, Some(&launch.launch), "/caseload", &headers).await
}

async fn begin(
    pages: &Pages,
    number: usize,
    launch: Option<&str>,
    to: &str,
    headers: &HeaderMap,
) -> Result<Response, ProblemPage> {
    let way = pages.ways.get(number).ok_or_else(|| Problem::not_found("way to sign in"))?;
    let endpoints = discover(way).await?;
    let leaving = PendingSignIn {
        way: number,
        state: random_word()?,
        nonce: random_word()?,
        verifier: random_word()?,
        to: to.to_owned(),
        framed: in_a_frame(headers) && !way.config.frame_origins.is_empty(),
    };
    let mut url = address(&endpoints.authorization_endpoint)?;
    {
        let mut query = url.query_pairs_mut();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&leaving.verifier));
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &way.config.client_id)
            .append_pair("redirect_uri", &back(pages)?)
            .append_pair("state", &leaving.state)
            .append_pair("nonce", &leaving.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        match (&way.config.fhir_base, launch) {
            (Some(base), Some(launch)) => query
                .append_pair("scope", "openid fhirUser launch")
                .append_pair("launch", launch)
                .append_pair("aud", base),
            (Some(base), None) => query.append_pair("scope", "openid fhirUser").append_pair("aud", base),
            (None, _) => query.append_pair("scope", "openid profile"),
        };
    }
    let kept = serde_json::to_vec(&leaving).map_err(|_| Problem::internal("a sign-in could not be begun"))?;
    let cookie = pages.set_cookie("cocm-leaving", &URL_SAFE_NO_PAD.encode(kept), TAKES, leaving.frame());
    Ok(([(SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
}

/// Browsers say what they load a document for, and no page can say it for them.
fn in_a_frame(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|dest| dest == "iframe" || dest == "frame")
}

/// Where providers send people back.
fn back(pages: &Pages) -> Result<String, Problem> {
    let base = pages.app.config.public_url.as_deref();
    let base = base.ok_or_else(|| Problem::internal("public_url is not configured"))?;
    Ok(format!("{}/sign-in/back", base.trim_end_matches('/')))
}

/// Query of a provider's redirect back to us.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProviderReturn {
    code: String,
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

/// Back from a provider.
pub async fn returned(
    State(pages): State<Pages>,
    headers: HeaderMap,
    Query(came): Query<ProviderReturn>,
) -> Result<Response, ProblemPage> {
    let refused = |why: &str| Problem::new(Category::Forbidden, why);
    let begun =
        [true, false].map(|framed| pages.cookie(&headers, "cocm-leaving", framed).and_then(|cookie| kept(&cookie)));
    let is_this =
        |leaving: &PendingSignIn| verify_slices_are_equal(came.state.as_bytes(), leaving.state.as_bytes()).is_ok();
    let leaving = begun.into_iter().flatten().find(is_this);
    let leaving = leaving.ok_or_else(|| refused("this sign-in was not begun in this browser, or took too long"))?;
    let way = pages.ways.get(leaving.way).ok_or_else(|| Problem::not_found("way to sign in"))?;
    // RFC 9207: an answer that names another issuer is another's answer.
    if came.iss.as_deref().is_some_and(|iss| iss != way.config.issuer) {
        return Err(refused("the answer came from another issuer").into());
    }
    if came.error.is_some() || came.code.is_empty() {
        return Err(refused("the identity provider did not let you in").into());
    }
    let answer = redeem(&pages, way, &came.code, &leaving.verifier).await?;
    let token = answer["id_token"].as_str().ok_or_else(|| refused("the identity provider sent no ID token"))?;
    let claims = way.verifier.claims(token).await.map_err(|error| {
        tracing::warn!(%error, "an ID token was refused");
        refused("the identity provider's word could not be verified")
    })?;
    let nonce = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if verify_slices_are_equal(nonce.as_bytes(), leaving.nonce.as_bytes()).is_err() {
        return Err(refused("the identity provider's word is not about this sign-in").into());
    }
    let (caller, name) = who(&pages, way, &claims)?;
    let session = pages.begin_session(&caller, &name, leaving.frame()).await?;
    let forget = pages.set_cookie("cocm-leaving", "", 0, leaving.frame());
    let to = in_context(&pages, &caller, &answer).await?.unwrap_or(leaving.to);
    let cookies = AppendHeaders([(SET_COOKIE, session), (SET_COOKIE, forget)]);
    Ok((cookies, Redirect::to(own_path(&to))).into_response())
}

/// Subject, clinic and role of a sign-in.
fn who(pages: &Pages, way: &IdentityProvider, claims: &Map<String, Value>) -> Result<(Caller, String), Problem> {
    let refused = |why: &str| Problem::new(Category::Forbidden, why);
    let text =
        |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= 255);
    let subject = text("sub").ok_or_else(|| refused("the identity provider does not say who you are"))?;
    // `https://ehr.example/fhir/Practitioner/123` is known as `Practitioner/123`.
    let user = text("fhirUser").or_else(|| text("profile").filter(|_| way.config.fhir_base.is_some()));
    let user = user.map(|user| {
        let mut parts = user.rsplit('/');
        match (parts.next(), parts.next()) {
            (Some(id), Some(kind)) => format!("{kind}/{id}"),
            _ => user.to_owned(),
        }
    });
    let clinic = match &way.config.clinic {
        Some(clinic) => clinic.clone(),
        None => text(&way.config.clinic_claim)
            .and_then(|clinic| ClinicId::new(clinic).ok())
            .ok_or_else(|| refused("the identity provider does not say which clinic you work for"))?,
    };
    if pages.app.config.clinic(&clinic).is_none() {
        return Err(refused("your clinic is not served here"));
    }
    let listed = user.as_ref().and_then(|user| way.config.roles.get(user)).or_else(|| way.config.roles.get(subject));
    let role: Option<Role> =
        listed.map(String::as_str).or_else(|| text(&way.config.role_claim)).and_then(|r| r.parse().ok());
    let role = role.filter(|role| *role != Role::Ehr);
    let role = role.ok_or_else(|| refused("you have no role in this care team; ask whoever runs the registry"))?;
    let name = text("name").or(text("preferred_username")).map(str::to_owned).or_else(|| user.clone());
    let name = name.unwrap_or_else(|| subject.to_owned());
    let subject = user.unwrap_or_else(|| subject.to_owned());
    Ok((Caller { clinic, subject, role, scopes: None }, name))
}

/// The page of the patient whom the EHR had open, by its name for them, or by ours where our card launched us
/// (`appContext`); `None` where it had nobody open. Whom nobody knows here, or only another clinic does, is told so on the
/// caseload.
async fn in_context(pages: &Pages, caller: &Caller, answer: &Value) -> Result<Option<String>, Problem> {
    let clinic = caller.clinic.as_str();
    let open = answer["patient"].as_str().map(|id| id.strip_prefix("Patient/").unwrap_or(id));
    let ours: Option<PatientId> = answer["appContext"].as_str().and_then(|context| context.parse().ok());
    if open.is_none() && ours.is_none() {
        return Ok(None);
    }
    let mut tx = pages.app.db.read().await?;
    let named = match open {
        Some(id) => patient::by_key(&mut tx, clinic, &format!("Patient/{id}")).await?,
        None => Vec::new(),
    };
    let found = match (named.as_slice(), ours) {
        ([one], _) => Some(one.id),
        ([], Some(ours)) => {
            let found = patient::find(&mut tx, clinic, ours).await?;
            // Known here by a number only, as the card knew them; who has another name there is somebody else.
            found.filter(|one| open.is_none() || !one.reference.starts_with("Patient/")).map(|one| one.id)
        }
        _ => None,
    };
    Ok(Some(found.map_or_else(|| UNKNOWN.to_owned(), |id| format!("/patients/{id}"))))
}

async fn discover(way: &IdentityProvider) -> Result<Endpoints, Problem> {
    let found = fetch(client()?.get(address(&way.discovery())?).header(ACCEPT, "application/json")).await?;
    serde_json::from_value(found).map_err(|_| unreachable_provider())
}

/// The code for the tokens.
async fn redeem(pages: &Pages, way: &IdentityProvider, code: &str, verifier: &str) -> Result<Value, Problem> {
    let endpoints = discover(way).await?;
    let back = back(pages)?;
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &back)
        .append_pair("client_id", &way.config.client_id)
        .append_pair("code_verifier", verifier)
        .finish();
    let mut request = client()?
        .post(address(&endpoints.token_endpoint)?)
        .header("content-type", "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(body);
    if let Some(secret) = &way.config.client_secret {
        request = request.basic_auth(&way.config.client_id, Some(secret.expose_secret()));
    }
    fetch(request).await
}

fn unreachable_provider() -> Problem {
    Problem::new(Category::Unavailable, "the identity provider cannot be reached now")
}

fn client() -> Result<reqwest::Client, Problem> {
    // A redirect could lead to somebody else's word.
    let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
    client.map_err(|_| Problem::internal("no HTTP client"))
}

/// An https address; http only on this machine.
fn address(text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text).map_err(|_| unreachable_provider())?;
    let nearby = url.host_str().is_some_and(|host| host.starts_with("127.") || host == "localhost" || host == "[::1]");
    if url.scheme() == "https" || (url.scheme() == "http" && nearby) { Ok(url) } else { Err(unreachable_provider()) }
}

async fn fetch(request: reqwest::RequestBuilder) -> Result<Value, Problem> {
    let failed = |error: reqwest::Error| {
        tracing::warn!(error = %error.without_url(), "an identity provider did not answer");
        unreachable_provider()
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        tracing::warn!(status = status.as_u16(), "an identity provider refused");
        return Err(Problem::new(Category::Forbidden, "the identity provider did not let you in"));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(unreachable_provider());
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|_| unreachable_provider())
}

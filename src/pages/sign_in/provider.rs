//! One identity provider: where its endpoints are, and what is asked of them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::ACCEPT;
use reqwest::{RequestBuilder, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{ClientAuth, Config, SignInConfig};
use crate::identity::Verifier;
use crate::problem::{Category, Problem};

/// Deadline of a request to an identity provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of one, in bytes.
const LARGEST: usize = 256 * 1024;
/// An ID token longer than this does not fit into the address by which one signs out.
const LONGEST_HINT: usize = 6 * 1024;

/// One configured way, with the keys of its issuer.
pub struct IdentityProvider {
    pub(super) config: SignInConfig,
    pub(super) verifier: Verifier,
}

#[derive(Deserialize)]
pub(super) struct Endpoints {
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// Every configured way.
pub fn ways(config: &Config) -> Arc<Vec<IdentityProvider>> {
    let way = |config: &SignInConfig| match Verifier::for_identity_provider(config) {
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

    /// The origin of its pages, as far as the issuer's name tells.
    pub fn origin(&self) -> Option<String> {
        let origin = Url::parse(&self.config.issuer).ok()?.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    }

    /// Whether it is the one of this name.
    pub(super) fn is(&self, issuer: &str) -> bool {
        self.config.issuer == issuer
    }

    /// Configured settings.
    pub(super) fn scope(&self, is_launch: bool) -> String {
        let default = if self.config.fhir_base.is_some() { "openid fhirUser" } else { "openid profile" };
        let scope = self.config.scope.as_deref().unwrap_or(default);
        let has_launch = scope.split_whitespace().any(|one| one == "launch");
        if is_launch && !has_launch { format!("{scope} launch") } else { scope.to_owned() }
    }

    /// Where the provider says what it can.
    fn discovery(&self) -> String {
        match &self.config.fhir_base {
            Some(base) => format!("{}/.well-known/smart-configuration", base.trim_end_matches('/')),
            None => format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/')),
        }
    }

    pub(super) async fn discover(&self) -> Result<Endpoints, Problem> {
        let found = fetch(client()?.get(address(&self.discovery())?).header(ACCEPT, "application/json")).await?;
        serde_json::from_value(found).map_err(|_| unreachable_provider())
    }

    /// The code for the tokens.
    pub(super) async fn redeem(&self, back: &str, code: &str, verifier: &str) -> Result<Value, Problem> {
        let endpoints = self.discover().await?;
        fetch(self.redemption(&endpoints, back, code, verifier)?).await
    }

    fn redemption(
        &self,
        endpoints: &Endpoints,
        back: &str,
        code: &str,
        verifier: &str,
    ) -> Result<RequestBuilder, Problem> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", back)
            .append_pair("client_id", &self.config.client_id)
            .append_pair("code_verifier", verifier);
        let mut request = client()?
            .post(address(&endpoints.token_endpoint)?)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if let Some(secret) = &self.config.client_secret {
            match self.config.client_auth.unwrap_or_else(|| endpoints.client_auth()) {
                ClientAuth::ClientSecretPost => {
                    form.append_pair("client_secret", secret.expose_secret());
                }
                // RFC 6749 section 2.3.1: both are encoded as in a form before they are joined.
                ClientAuth::ClientSecretBasic => {
                    let id = form_encoded(&self.config.client_id);
                    request = request.basic_auth(id, Some(form_encoded(secret.expose_secret())));
                }
            }
        }
        Ok(request.body(form.finish()))
    }

    /// Claims, and beside them what only the provider's userinfo says, where the ID token does not say who somebody is.
    pub(super) async fn completed(
        &self,
        mut claims: Map<String, Value>,
        access_token: Option<&str>,
    ) -> Map<String, Value> {
        claims.retain(|_, value| !value.is_null());
        let is_complete = self.verifier.clinic_of(&claims).is_ok()
            && (self.verifier.role_of(&claims).is_ok() || !self.config.roles.is_empty())
            && claims.contains_key("name");
        match access_token {
            Some(token) if !is_complete => match self.userinfo(token).await {
                // OpenID Connect Core 5.3.2: another `sub` is somebody else.
                Some(mut said) if said.get("sub") == claims.get("sub") => {
                    said.extend(claims);
                    said
                }
                Some(_) => {
                    tracing::warn!(issuer = self.config.issuer, "userinfo is about somebody else; it is not used");
                    claims
                }
                None => claims,
            },
            _ => claims,
        }
    }

    async fn userinfo(&self, access_token: &str) -> Option<Map<String, Value>> {
        let endpoint = self.discover().await.ok()?.userinfo_endpoint?;
        let request = client().ok()?.get(address(&endpoint).ok()?).header(ACCEPT, "application/json");
        if let Ok(Value::Object(said)) = fetch(request.bearer_auth(access_token)).await {
            Some(said)
        } else {
            tracing::warn!(issuer = self.config.issuer, "userinfo could not be read");
            None
        }
    }

    /// Where the provider ends its own session (`OpenID` Connect RP-Initiated Logout), if it says so.
    pub(super) async fn end_session(&self, id_token: &str, back: Option<&str>) -> Option<Url> {
        let endpoint = self.discover().await.ok()?.end_session_endpoint?;
        let mut url = address(&endpoint).ok()?;
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", &self.config.client_id);
        if id_token.len() <= LONGEST_HINT {
            query.append_pair("id_token_hint", id_token);
        }
        if let Some(back) = back {
            query.append_pair("post_logout_redirect_uri", back);
        }
        drop(query);
        Some(url)
    }
}

impl Endpoints {
    /// How the token endpoint takes a secret; what says nothing takes it as the specification has it by default.
    fn client_auth(&self) -> ClientAuth {
        let takes = |name: &str| self.token_endpoint_auth_methods_supported.iter().any(|one| one == name);
        if takes("client_secret_post") && !takes("client_secret_basic") {
            ClientAuth::ClientSecretPost
        } else {
            ClientAuth::ClientSecretBasic
        }
    }
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
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
pub(super) fn address(text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text).map_err(|_| unreachable_provider())?;
    let nearby = url.host_str().is_some_and(|host| host.starts_with("127.") || host == "localhost" || host == "[::1]");
    if url.scheme() == "https" || (url.scheme() == "http" && nearby) { Ok(url) } else { Err(unreachable_provider()) }
}

async fn fetch(request: RequestBuilder) -> Result<Value, Problem> {
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

//! SMART Backend Services: a signed assertion for a token, which is kept until shortly before it expires.

use std::fmt;
use std::time::{Duration, Instant};

use jsonwebtoken::{Header, encode, get_current_timestamp};
use reqwest::header::ACCEPT;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::discovery::{in_smart_configuration, in_statement};
use super::keys::KeyRing;
use crate::clock::Clock;
use crate::config::{BackendServices, is_private};
use crate::ehr::failure::Failure;
use crate::ehr::response_body::{cause, read_json};

/// SMART's name for our kind of assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion is good, in seconds; SMART allows five minutes, and clocks differ.
const ASSERTED: u64 = 240;
/// A token whose server does not say is taken to live this long.
const LIFETIME: u64 = 300;
/// The longest that a token is renewed before its end.
const MARGIN: Duration = Duration::from_mins(1);
/// After a refusal nobody asks again for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// The largest answer of a token endpoint or a discovery that is read, in bytes.
const LARGEST: usize = 4 << 20;

/// A client of one token endpoint. However many ask, one renewal is in flight.
pub struct TokenSource {
    client: Client,
    base: Url,
    settings: BackendServices,
    keys: KeyRing,
    clock: Clock,
    held: Mutex<TokenState>,
}

#[derive(Default)]
struct TokenState {
    token: Option<(SecretString, TokenLifetime)>,
    failed: Option<(NoToken, Instant)>,
    discovered: Option<Url>,
}

#[derive(Clone, Copy)]
struct TokenLifetime {
    /// When to renew it.
    renew: Instant,
    /// When it is good no more.
    end: Instant,
}

/// A token, and what the server says about it.
#[derive(Debug)]
pub struct TokenGrant {
    pub token: SecretString,
    pub expires_in: u64,
    /// Granted scopes, if the server names them.
    pub scope: Option<String>,
}

/// A token endpoint, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub url: Url,
    pub named_by: &'static str,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// Neither the configuration nor the server names an endpoint.
    NoEndpoint,
    /// The endpoint could be overheard.
    Exposed,
    /// There is no key to sign with, or it cannot be read.
    NoKey(&'static str),
    /// The endpoint cannot be reached, or does not answer as it should.
    Unanswered {
        cause: &'static str,
        /// The HTTP status, where one came.
        status: Option<u16>,
    },
    /// The endpoint says no.
    Refused {
        status: u16,
        /// OAuth's code: `invalid_client`, `invalid_scope`, …
        error: &'static str,
    },
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("no token endpoint is configured or discovered"),
            Self::Exposed => f.write_str("the token endpoint is not https"),
            Self::NoKey(why) => f.write_str(why),
            Self::Unanswered { cause, status: None } => write!(f, "the token endpoint: {cause}"),
            Self::Unanswered { cause, status: Some(status) } => write!(f, "the token endpoint: {cause} ({status})"),
            Self::Refused { status, error } => write!(f, "the token endpoint refuses us: {error} ({status})"),
        }
    }
}

impl From<NoToken> for Failure {
    fn from(why: NoToken) -> Self {
        // Nothing was sent to the server itself, so it is tried again on the schedule, and heals with the reason.
        let cause = match why {
            NoToken::NoEndpoint => "no token: no token endpoint is configured or discovered",
            NoToken::Exposed => "no token: the token endpoint is not https",
            NoToken::NoKey(_) => "no token: there is no key to sign with",
            NoToken::Unanswered { .. } => "no token: the token endpoint does not answer",
            NoToken::Refused { error: "invalid_client", .. } => "no token: refused with invalid_client",
            NoToken::Refused { error: "invalid_scope", .. } => "no token: refused with invalid_scope",
            NoToken::Refused { .. } => "no token: the token endpoint refuses us",
        };
        Self::NotSent { cause }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("client_id", &self.settings.client_id).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// For the server at `base`; nothing is asked yet.
    pub fn new(client: Client, base: Url, settings: BackendServices, keys: KeyRing, clock: Clock) -> Self {
        Self { client, base, settings, keys, clock, held: Mutex::default() }
    }

    /// A token to send: the one that is held, unless it is nearly over or the server has just refused it.
    pub async fn token(&self, refused: Option<&SecretString>) -> Result<SecretString, NoToken> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        if let Some((token, times)) = &held.token {
            let is_refused = refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret());
            if !is_refused && now < times.renew {
                return Ok(token.clone());
            }
            if is_refused {
                held.token = None;
            }
        }
        let still_good = held.token.as_ref().filter(|(_, times)| now < times.end).map(|(token, _)| token.clone());
        if let Some((why, at)) = &held.failed
            && at.elapsed() < PAUSE
        {
            return still_good.ok_or_else(|| why.clone());
        }
        match self.ask(&mut held.discovered).await {
            Ok(grant) => {
                let lifetime = Duration::from_secs(grant.expires_in);
                let end = now + lifetime;
                // A token of a second is renewed after 0.9.
                let renew = now + lifetime.saturating_sub(MARGIN.min(lifetime / 10));
                held.failed = None;
                held.token = Some((grant.token.clone(), TokenLifetime { renew, end }));
                Ok(grant.token)
            }
            Err(why) => {
                tracing::warn!(server = self.base.host_str(), %why, "no token");
                held.failed = Some((why.clone(), Instant::now()));
                // The server may have moved its endpoint.
                held.discovered = None;
                still_good.ok_or(why)
            }
        }
    }

    /// Asks for a token now, whatever is held: for trying the connection.
    pub async fn grant(&self) -> Result<TokenGrant, NoToken> {
        self.ask(&mut None).await
    }

    /// Configured settings.
    pub fn settings(&self) -> &BackendServices {
        &self.settings
    }

    /// Until when the token that is held is good, as time from now; `None` where none is held.
    pub fn good_for(&self) -> Option<Duration> {
        let held = self.held.try_lock().ok()?;
        held.token.as_ref().map(|(_, times)| times.end.saturating_duration_since(Instant::now()))
    }

    /// The token endpoint.
    pub async fn endpoint(&self) -> Result<Endpoint, NoToken> {
        let found = if let Some(url) = &self.settings.token_url {
            Url::parse(url).ok().map(|url| Endpoint { url, named_by: "the configuration" })
        } else {
            self.discover().await?
        };
        let endpoint = found.ok_or(NoToken::NoEndpoint)?;
        if is_private(&endpoint.url) { Ok(endpoint) } else { Err(NoToken::Exposed) }
    }

    async fn discover(&self) -> Result<Option<Endpoint>, NoToken> {
        // Without a token: nobody has one yet.
        let smart = self.look_up(".well-known/smart-configuration", "application/json").await;
        if let Some(url) = smart.as_ref().ok().and_then(in_smart_configuration) {
            return Ok(Some(Endpoint { url, named_by: ".well-known/smart-configuration" }));
        }
        let statement = self.look_up("metadata", "application/fhir+json").await?;
        Ok(in_statement(&statement).map(|url| Endpoint { url, named_by: "the CapabilityStatement" }))
    }

    async fn look_up(&self, path: &str, accept: &'static str) -> Result<Value, NoToken> {
        let url = self.base.join(path).map_err(|_| NoToken::NoEndpoint)?;
        let mut response =
            self.client.get(url).header(ACCEPT, accept).send().await.map_err(|e| unanswered(cause(&e), None))?;
        let status = response.status();
        if !status.is_success() {
            return Err(unanswered("discovery is refused", Some(status.as_u16())));
        }
        let read = read_json(&mut response, LARGEST).await.map_err(|why| unanswered(why, Some(status.as_u16())))?;
        Ok(read.unwrap_or(Value::Null))
    }

    async fn ask(&self, discovered: &mut Option<Url>) -> Result<TokenGrant, NoToken> {
        let endpoint = match discovered {
            Some(url) => url.clone(),
            None => self.endpoint().await?.url,
        };
        let assertion = self.assertion(&endpoint)?;
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", self.settings.scopes.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        let mut body = Url::parse("http://form/").map_err(|_| NoToken::NoEndpoint)?;
        body.query_pairs_mut().extend_pairs(form);
        let request = self.client.post(endpoint.clone()).header(ACCEPT, "application/json");
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.query().unwrap_or_default().to_owned());
        let mut response = request.send().await.map_err(|e| unanswered(cause(&e), None))?;
        let status = response.status();
        let read = read_json(&mut response, LARGEST).await;
        if status.is_client_error() {
            let said = read.ok().flatten().unwrap_or(Value::Null);
            return Err(NoToken::Refused { status: status.as_u16(), error: oauth_error(&said) });
        }
        let said = read.map_err(|why| unanswered(why, Some(status.as_u16())))?.unwrap_or(Value::Null);
        let grant = if status.is_success() { granted(&said) } else { None };
        let grant = grant.ok_or_else(|| unanswered("what it answers is no token", Some(status.as_u16())))?;
        *discovered = Some(endpoint);
        Ok(grant)
    }

    /// `iss` = `sub` = who we are, `aud` = the endpoint, used once.
    fn assertion(&self, endpoint: &Url) -> Result<String, NoToken> {
        let key = self.keys.signing(self.settings.algorithm, self.clock.now());
        let key = key.map_err(|_| NoToken::NoKey("our signing keys cannot be read"))?;
        let key = key.ok_or(NoToken::NoKey("there is no signing key: `cocm-registry keys rotate` makes one"))?;
        // Another machine compares it with its own clock, so ours may not be a pretended one.
        let now = get_current_timestamp();
        let id = &self.settings.client_id;
        // Some servers compare the audience letter by letter with what they publish, where no slash was added.
        let audience = self.settings.token_url.as_deref().unwrap_or(endpoint.as_str());
        let claims = json!({
            "iss": id, "sub": id, "aud": audience, "iat": now, "exp": now + ASSERTED, "jti": self.clock.id(),
        });
        let header = Header { kid: Some(key.id), ..Header::new(key.algorithm) };
        encode(&header, &claims, &key.encoding).map_err(|_| NoToken::NoKey("our signing key cannot sign"))
    }
}

fn unanswered(cause: &'static str, status: Option<u16>) -> NoToken {
    NoToken::Unanswered { cause, status }
}

fn granted(said: &Value) -> Option<TokenGrant> {
    let token = said["access_token"].as_str().filter(|token| !token.is_empty())?;
    let is_bearer = said["token_type"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let seconds = &said["expires_in"];
    let expires_in = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok()).unwrap_or(LIFETIME);
    let scope = said["scope"].as_str().map(str::to_owned);
    // A day is longer than any server means, and keeps the arithmetic of time within bounds.
    is_bearer.then(|| TokenGrant { token: SecretString::from(token), expires_in: expires_in.min(86_400), scope })
}

/// OAuth's codes, as constants: what a server says beside them is not repeated.
fn oauth_error(said: &Value) -> &'static str {
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let code = said["error"].as_str().unwrap_or_default();
    CODES.into_iter().find(|known| *known == code).unwrap_or("no reason that OAuth knows")
}

//! FHIR's interactions with one server.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_MATCH, LAST_MODIFIED, LOCATION};
use reqwest::{Method, Url};
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Mutex;

use super::auth::{Credentials, KeyRing, TokenSource};
use super::failure::Failure;
use super::http::{Http, base_url, client_for};
use super::offers::Offers;
use crate::clock::Clock;
use crate::config::{BackendServices, WriteConfig};
use crate::problem::Problem;

/// How long we rely on what a server said that it offers.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// How long nobody asks again who was not answered …
const ASKED_AGAIN: TimeDelta = TimeDelta::seconds(1);
/// … where it is known from before.
const ASKED_AGAIN_IF_KNOWN: TimeDelta = TimeDelta::minutes(5);

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// How we prove to a server who we are.
#[derive(Clone, Debug, Default)]
pub enum EhrAuth {
    #[default]
    Nobody,
    Bearer(SecretString),
    /// SMART Backend Services, with the keys of a folder.
    BackendServices(Box<BackendServices>, KeyRing),
}

/// How to reach one server and how to write there.
#[derive(Clone, Debug)]
pub struct EhrConfig {
    /// Its FHIR base URL. Nothing else is ever called.
    pub base_url: String,
    /// How we prove who we are.
    pub auth: EhrAuth,
    /// Certificate authorities (PEM) believed beside the machine's own.
    pub authorities: Option<Vec<u8>>,
    /// At most so many calls in a second.
    pub per_second: Option<NonZeroU32>,
    /// For one call from the first byte to the last.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes after decompression.
    pub max_body: usize,
    /// The namespace of `Intent::identifier` in the chart.
    pub identifier_system: String,
    /// Whether the server knows `If-None-Exist`; `false` searches first instead.
    pub conditional_create: bool,
    /// How long the server's search may lag behind its writes: waited out before a create of unknown outcome is
    /// repeated.
    pub search_lag: Duration,
    /// How work items reach the chart.
    pub write: WriteConfig,
}

impl EhrConfig {
    /// A server with the defaults: 20 s, 8 MiB, conditional create, search at most 2 s behind.
    pub fn at(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            auth: EhrAuth::Nobody,
            authorities: None,
            per_second: None,
            timeout: Duration::from_secs(20),
            max_body: 8 * 1024 * 1024,
            identifier_system: "https://cocm-registry.dev/fhir/identifier/plan".to_owned(),
            conditional_create: true,
            search_lag: Duration::from_secs(2),
            write: WriteConfig::default(),
        }
    }
}

/// Answer of a successful call.
#[derive(Clone, Debug, PartialEq)]
pub struct EhrResponse {
    pub status: u16,
    /// The resource, where one came.
    pub body: Option<Value>,
    /// The version, as `If-Match` takes it.
    pub etag: Option<String>,
    /// Where the resource is.
    pub location: Option<String>,
    /// When it was changed, as sent.
    pub last_modified: Option<String>,
}

impl EhrResponse {
    /// The resource's id, from the body or from its location.
    pub fn id(&self) -> Option<String> {
        let in_body = self.body.as_ref().filter(|body| body["resourceType"] != "OperationOutcome");
        in_body.and_then(|body| body["id"].as_str().map(str::to_owned)).or_else(|| self.located().0)
    }

    /// The resource's version, without quotes.
    pub fn version(&self) -> Option<String> {
        let in_etag = self.etag.as_deref().map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let in_body = || Some(self.body.as_ref()?["meta"]["versionId"].as_str()?.to_owned());
        in_etag.or_else(in_body).or_else(|| self.located().1)
    }

    /// Id and version of `…/Type/id/_history/version`. The host is not looked at: behind a proxy it is often wrong.
    fn located(&self) -> (Option<String>, Option<String>) {
        let Some(location) = &self.location else { return (None, None) };
        let path = location.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        match path.split_once("/_history/") {
            Some((path, version)) => (last(path), Some(version.to_owned())),
            None => (last(path), None),
        }
    }
}

fn last(path: &str) -> Option<String> {
    path.rsplit('/').next().filter(|id| is_id(id)).map(str::to_owned)
}

/// A client of one FHIR server. A clone shares its connections.
#[derive(Clone, Debug)]
pub struct EhrClient(Arc<ClientState>);

#[derive(Debug)]
struct ClientState {
    http: Http,
    config: EhrConfig,
    clock: Clock,
    /// Learned: the server refused `If-None-Exist` and took the same body without it.
    refuses_conditions: AtomicBool,
    /// Learned: the server refused something together with its Provenance and took it without.
    refuses_provenance: AtomicBool,
    offered: Mutex<CachedOffers>,
}

/// The server's capabilities as last read.
#[derive(Debug, Default)]
struct CachedOffers {
    offers: Option<(DateTime<Utc>, Arc<Offers>)>,
    failed: Option<(DateTime<Utc>, Failure)>,
}

impl EhrClient {
    /// A client; nothing is sent yet.
    pub fn new(config: EhrConfig, clock: Clock) -> Result<Self, Problem> {
        let base = base_url(&config.base_url)?;
        let client = client_for(&base, config.timeout, config.authorities.as_deref())?;
        let credentials = match &config.auth {
            EhrAuth::Nobody => Credentials::None,
            EhrAuth::Bearer(token) => Credentials::Fixed(token.clone()),
            EhrAuth::BackendServices(settings, keys) => {
                let (settings, keys) = (settings.as_ref().clone(), keys.clone());
                let source = TokenSource::new(client.clone(), base.clone(), settings, keys, clock.clone());
                Credentials::BackendServices(Arc::new(source))
            }
        };
        let http = Http::new(client, base, credentials, config.max_body).at_most(config.per_second);
        let (refuses_conditions, refuses_provenance, offered) = Default::default();
        Ok(Self(Arc::new(ClientState { http, config, clock, refuses_conditions, refuses_provenance, offered })))
    }

    /// Configuration.
    pub fn config(&self) -> &EhrConfig {
        &self.0.config
    }

    /// The transport, for what is no interaction with a resource.
    pub fn http(&self) -> &Http {
        &self.0.http
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether a create may carry a condition.
    pub fn creates_conditionally(&self) -> bool {
        self.0.config.conditional_create && !self.0.refuses_conditions.load(Ordering::Relaxed)
    }

    pub(super) fn remember_refused_condition(&self) {
        self.0.refuses_conditions.store(true, Ordering::Relaxed);
    }

    /// Whether something may be sent together with its Provenance.
    pub(super) fn takes_provenance(&self) -> bool {
        !self.0.refuses_provenance.load(Ordering::Relaxed)
    }

    pub(super) fn remember_refused_provenance(&self) {
        self.0.refuses_provenance.store(true, Ordering::Relaxed);
    }

    /// The server's capabilities, read once an hour.
    ///
    /// # Errors
    /// When it was never heard, and cannot be heard now.
    pub async fn offers(&self) -> Result<Arc<Offers>, Failure> {
        let mut offered = self.0.offered.lock().await;
        let now = self.0.clock.now();
        if let Some((at, offers)) = &offered.offers
            && now - at < KEPT
        {
            return Ok(offers.clone());
        }
        // Callers that waited while another request failed need not ask again.
        if let Some((_, failure)) = offered.failed.as_ref().filter(|(at, _)| now - *at < ASKED_AGAIN) {
            return Err(failure.clone());
        }
        let heard = match self.capabilities().await {
            Ok(answer) => answer.body.filter(|body| body["resourceType"] == "CapabilityStatement"),
            Err(failure) if failure.is_refused_for_good() => None,
            Err(failure) => {
                // Assume that the earlier capabilities still hold.
                if let Some((at, offers)) = &mut offered.offers {
                    *at = now - KEPT + ASKED_AGAIN_IF_KNOWN;
                    return Ok(offers.clone());
                }
                // After the call, which may have taken long.
                offered.failed = Some((self.0.clock.now(), failure.clone()));
                return Err(failure);
            }
        };
        let offers = Arc::new(heard.map_or_else(Offers::without_statement, |statement| Offers::of(&statement)));
        *offered = CachedOffers { offers: Some((now, offers.clone())), failed: None };
        Ok(offers)
    }

    pub async fn capabilities(&self) -> Result<EhrResponse, Failure> {
        self.call(Method::GET, self.0.http.url("metadata")?, None, None).await
    }

    pub async fn read(&self, kind: &str, id: &str) -> Result<EhrResponse, Failure> {
        self.call(Method::GET, self.resource(kind, id)?, None, None).await
    }

    pub async fn search(&self, kind: &str, parameters: &[(&str, &str)]) -> Result<EhrResponse, Failure> {
        let mut url = self.kind(kind)?;
        url.query_pairs_mut().extend_pairs(parameters);
        self.call(Method::GET, url, None, None).await
    }

    /// Follows a Bundle's `next` link, as long as it stays on this server.
    pub async fn follow(&self, link: &str) -> Result<EhrResponse, Failure> {
        self.call(Method::GET, self.0.http.url(link)?, None, None).await
    }

    /// `POST Type`, with `If-None-Exist` where a query is given. The type is the body's.
    pub async fn create(&self, body: &Value, if_none_exist: Option<&str>) -> Result<EhrResponse, Failure> {
        let url = self.kind(body["resourceType"].as_str().unwrap_or_default())?;
        let condition = if_none_exist.map(|query| (IF_NONE_EXIST, query));
        self.call(Method::POST, url, Some(body), condition).await
    }

    /// `POST` of a Bundle to the base.
    pub async fn transaction(&self, bundle: &Value) -> Result<EhrResponse, Failure> {
        let mut base = self.0.http.base().clone();
        // The specification writes it like this, and some servers insist on it.
        base.path_segments_mut().map_err(|()| Failure::NotAllowed { cause: "no base" })?.pop_if_empty();
        self.call(Method::POST, base, Some(bundle), None).await
    }

    /// `PUT Type/id`, with `If-Match` where a version is given.
    pub async fn update(
        &self,
        kind: &str,
        id: &str,
        body: &Value,
        if_match: Option<&str>,
    ) -> Result<EhrResponse, Failure> {
        let condition = if_match.map(|etag| (IF_MATCH, etag));
        self.call(Method::PUT, self.resource(kind, id)?, Some(body), condition).await
    }

    pub async fn conditional_update(
        &self,
        kind: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<EhrResponse, Failure> {
        let mut url = self.kind(kind)?;
        url.query_pairs_mut().extend_pairs(query);
        self.call(Method::PUT, url, Some(body), None).await
    }

    /// Parameters as the text of a query, for `If-None-Exist`.
    pub fn query(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.0.http.base().clone();
        url.query_pairs_mut().extend_pairs(parameters);
        url.query().unwrap_or_default().to_owned()
    }

    pub(super) fn kind(&self, kind: &str) -> Result<Url, Failure> {
        let is_type =
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic());
        if is_type { self.0.http.url(kind) } else { Err(Failure::NotAllowed { cause: "not a resource type" }) }
    }

    pub(super) fn resource(&self, kind: &str, id: &str) -> Result<Url, Failure> {
        self.kind(kind)?;
        if is_id(id) {
            self.0.http.url(&format!("{kind}/{id}"))
        } else {
            Err(Failure::NotAllowed { cause: "not an id" })
        }
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        header: Option<(HeaderName, &str)>,
    ) -> Result<EhrResponse, Failure> {
        let raw = self.0.http.call(method, url, body, header).await?;
        let text = |name: &HeaderName| text(&raw.headers, name);
        Ok(EhrResponse {
            status: raw.status,
            etag: text(&ETAG),
            location: text(&LOCATION).or_else(|| text(&reqwest::header::CONTENT_LOCATION)),
            last_modified: text(&LAST_MODIFIED),
            body: raw.body,
        })
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// FHIR's ids, and the longer ones that Epic has. `.` and `..` would change the path.
fn is_id(id: &str) -> bool {
    (1..=255).contains(&id.len())
        && id != "."
        && id != ".."
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://ehr.example/fhir/Task/12/_history/3", Some("12"), Some("3"))]
    #[case("http://10.0.0.1/Task/12", Some("12"), None)]
    #[case("Task/12/_history/3", Some("12"), Some("3"))]
    #[case("/Task/a%20b", None, None)]
    fn the_location_names_id_and_version(
        #[case] location: &str,
        #[case] id: Option<&str>,
        #[case] version: Option<&str>,
    ) {
        let answer = EhrResponse {
            status: 201,
            body: None,
            etag: None,
            location: Some(location.to_owned()),
            last_modified: None,
        };
        assert_eq!((answer.id().as_deref(), answer.version().as_deref()), (id, version));
    }

    #[rstest]
    fn an_id_that_would_change_the_path_is_refused(#[values("", ".", "..", "a/b", "a?b", "a#b", "%2e%2e")] id: &str) {
        assert!(!is_id(id));
    }
}

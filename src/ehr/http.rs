//! The transport: deadlines, limits, and one origin.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::auth::Credentials;
use super::failure::{Failure, RetryAfter, diagnostics};
use super::response_body::{cause, connection, json, read_body};
use crate::problem::Problem;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("cocm-registry/", env!("CARGO_PKG_VERSION"));

/// Speaks to one base URL and to nothing else.
#[derive(Debug)]
pub struct Http {
    client: Client,
    base: Url,
    credentials: Credentials,
    pace: Option<Arc<DefaultDirectRateLimiter>>,
    max_body: usize,
}

/// An answer with a 2xx status, or 304.
#[derive(Debug)]
pub struct OkResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Option<Value>,
}

/// An answer whose body has not been looked at.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, after decompression.
    pub body: Vec<u8>,
}

/// A client that believes the machine's own certificate authorities.
pub fn client(deadline: Duration, uses_proxy: bool) -> Result<Client, Problem> {
    believing(deadline, uses_proxy, None)
}

/// The one place where a client is made: no redirect is followed, nothing is repeated, everything ends. `authorities`
/// (PEM) are believed beside the machine's own.
fn believing(deadline: Duration, uses_proxy: bool, authorities: Option<&[u8]>) -> Result<Client, Problem> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(deadline)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT);
    let builder = if uses_proxy { builder } else { builder.no_proxy() };
    let builder = match authorities {
        None => builder,
        Some(pem) => {
            let unread = |_| Problem::unprocessable("the certificate authorities cannot be read as PEM").at("ca_file");
            builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(unread)?)
        }
    };
    builder
        .build()
        .map_err(|_| Problem::internal("the HTTP client cannot be set up (no certificates on this machine?)"))
}

/// A client for a server, as the address of that server needs it.
pub fn client_for(base: &Url, deadline: Duration, authorities: Option<&[u8]>) -> Result<Client, Problem> {
    believing(deadline, !is_this_machine(base), authorities)
}

impl Http {
    /// A transport to `base`, with a limit for each answer's body. The client has the deadline of each call.
    pub fn new(client: Client, base: Url, credentials: Credentials, max_body: usize) -> Self {
        Self { client, base, credentials, pace: None, max_body }
    }

    /// Itself, at most so many calls in a second: who calls more often waits.
    #[must_use]
    pub fn at_most(mut self, per_second: Option<NonZeroU32>) -> Self {
        self.pace = per_second.map(|most| Arc::new(RateLimiter::direct(Quota::per_second(most))));
        self
    }

    /// Source of its tokens.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The client, for calls to elsewhere: it sends no token by itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The base URL, ending in `/`.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of a path below the base, or of an absolute link, as long as it stays below the base.
    pub fn url(&self, reference: &str) -> Result<Url, Failure> {
        let outside = Failure::NotAllowed { cause: "an address outside the configured server" };
        let url = self.base.join(reference).map_err(|_| outside.clone())?;
        // `join` has resolved `..` (also written as %2e%2e), so comparing the beginning is enough.
        let is_inside = url.origin() == self.base.origin()
            && url.path().starts_with(self.base.path())
            && url.username().is_empty()
            && url.password().is_none();
        if is_inside { Ok(url) } else { Err(outside) }
    }

    /// One call whose answer is JSON, once.
    pub async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        header: Option<(HeaderName, &str)>,
    ) -> Result<OkResponse, Failure> {
        let writes = method != Method::GET;
        let sent = self.send(method, url, body, header).await?;
        // A 2xx with something else than JSON may be a proxy's log-in page: it proves nothing.
        let body = json(&sent.body).map_err(|cause| unknown(cause, writes, Some(sent.status), None))?;
        Ok(OkResponse { status: sent.status, headers: sent.headers, body })
    }

    /// One call, once; twice where a token is refused that can be had anew: then the server did nothing the first time.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        header: Option<(HeaderName, &str)>,
    ) -> Result<RawResponse, Failure> {
        let bearer = self.credentials.bearer().await?;
        let first = self.send_with(bearer.as_ref(), &method, &url, body, header.as_ref()).await;
        let (Err(Failure::Refused { status: 401, .. }), Some(refused)) = (&first, &bearer) else { return first };
        match self.credentials.instead_of(refused).await {
            Ok(Some(other)) => self.send_with(Some(&other), &method, &url, body, header.as_ref()).await,
            // The refusal says more than that there is nothing else to try.
            Ok(None) | Err(_) => first,
        }
    }

    async fn send_with(
        &self,
        bearer: Option<&SecretString>,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        header: Option<&(HeaderName, &str)>,
    ) -> Result<RawResponse, Failure> {
        // A token is for this server and for nobody else, whoever made the address.
        if url.origin() != self.base.origin() {
            return Err(Failure::NotAllowed { cause: "an address outside the configured server" });
        }
        if let Some(pace) = &self.pace {
            pace.until_ready().await;
        }
        let writes = *method != Method::GET;
        let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT, FHIR_JSON);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, FHIR_JSON).body(body.to_string());
        }
        if let Some((name, value)) = header {
            request = request.header(name, *value);
        }
        if let Some(bearer) = bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.expose_secret()))
                .map_err(|_| Failure::NotAllowed { cause: "the token is no header value" })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.send().await.map_err(|error| lost(&error, writes))?;
        let status = response.status();
        let headers = response.headers().clone();
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(RetryAfter::parse);
        let body = read_body(&mut response, self.max_body).await;

        if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            return Err(unknown("the server failed", writes, Some(status.as_u16()), retry_after));
        }
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            // The status decides, whatever the body holds, even if it broke off.
            let outcome = body.ok().and_then(|bytes| json(&bytes).ok().flatten());
            let diagnostics = outcome.map(|outcome| diagnostics(&outcome)).unwrap_or_default();
            return Err(Failure::Refused { status: status.as_u16(), retry_after, diagnostics });
        }
        let body = body.map_err(|cause| unknown(cause, writes, Some(status.as_u16()), retry_after))?;
        Ok(RawResponse { status: status.as_u16(), headers, body })
    }
}

fn lost(error: &reqwest::Error, writes: bool) -> Failure {
    if error.is_connect() {
        return Failure::NotSent { cause: connection(error) };
    }
    if error.is_builder() {
        return Failure::NotSent { cause: "no connection" };
    }
    unknown(cause(error), writes, None, None)
}

fn unknown(cause: &'static str, writes: bool, status: Option<u16>, retry_after: Option<RetryAfter>) -> Failure {
    if writes {
        Failure::OutcomeUnknown { cause, status, retry_after }
    } else {
        Failure::Unanswered { cause, status, retry_after }
    }
}

/// A base URL, ending in `/`.
pub(super) fn base_url(text: &str) -> Result<Url, Problem> {
    let wrong = |why: &str| Problem::unprocessable(format!("the EHR's base URL {why}")).at("base_url");
    let mut url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("must start with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must have no user, query or fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// A proxy of the environment is used, as an operator expects, but never for this machine itself.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn http(base: &str) -> Http {
        let base = base_url(base).unwrap();
        Http::new(client_for(&base, Duration::from_secs(1), None).unwrap(), base, Credentials::None, 1024)
    }

    #[rstest]
    #[case("Task/1", "https://ehr.example:8443/fhir/r4/Task/1")]
    #[case("Task?a=b", "https://ehr.example:8443/fhir/r4/Task?a=b")]
    #[case("", "https://ehr.example:8443/fhir/r4/")]
    #[case("https://ehr.example:8443/fhir/r4/Task?page=2", "https://ehr.example:8443/fhir/r4/Task?page=2")]
    #[case("HTTPS://EHR.example:8443/fhir/r4/?page=2", "https://ehr.example:8443/fhir/r4/?page=2")]
    fn addresses_below_the_base_are_used(#[case] reference: &str, #[case] url: &str) {
        assert_eq!(http("https://ehr.example:8443/fhir/r4").url(reference).unwrap().as_str(), url);
    }

    #[rstest]
    fn addresses_elsewhere_are_refused(
        #[values(
            "https://elsewhere.example/fhir/r4/Task",
            "https://ehr.example/fhir/r4/Task",
            "http://ehr.example:8443/fhir/r4/Task",
            "https://ehr.example:8443/fhir/r5/Task",
            "https://ehr.example:8443/fhir/r4x/Task",
            "https://ehr.example:8443@elsewhere.example/fhir/r4/Task",
            "https://user:secret@ehr.example:8443/fhir/r4/Task",
            "https://ehr.example:8443/fhir/r4/../../admin",
            "//elsewhere.example/fhir/r4/Task",
            "\\\\elsewhere.example/fhir/r4/Task",
            "/admin",
            "../admin",
            "%2e%2e/admin",
            "..\\admin",
            "file:///etc/passwd",
            "data:text/plain,x",
            "urn:uuid:0d5e7e6c-3c5a-4b32-9b43-8f1a52d3d4c5"
        )]
        reference: &str,
    ) {
        let refused = http("https://ehr.example:8443/fhir/r4").url(reference);
        assert!(matches!(refused, Err(Failure::NotAllowed { .. })), "{refused:?}");
    }

    #[rstest]
    fn a_base_url_must_be_plain(
        #[values(
            "ehr.example",
            "ftp://ehr.example/",
            "https://a:b@ehr.example/",
            "https://ehr.example/?x=1",
            "https://ehr.example/#x"
        )]
        base: &str,
    ) {
        assert!(base_url(base).is_err());
    }
}

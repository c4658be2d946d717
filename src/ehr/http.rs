//! The transport: deadlines, limits, and one origin.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;

use super::auth::{Authorization, Credentials};
use super::failure::{Explanation, Failure, RetryAfter};
use super::response_body::{cause, connection, json, read_body};
use crate::problem::Problem;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const NOT_FHIR: &str = "what answers is no FHIR server; a proxy on the way, or a wrong address";

/// Speaks to one base URL and to nothing else.
#[derive(Debug)]
pub struct Http {
    client: Client,
    base: Url,
    credentials: Credentials,
    /// Sent with every call.
    headers: HeaderMap,
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

impl Http {
    /// A transport to `base`, with a limit for each answer's body. The client has the deadline of each call.
    pub fn new(client: Client, base: Url, credentials: Credentials, max_body: usize) -> Self {
        Self { client, base, credentials, headers: HeaderMap::new(), pace: None, max_body }
    }

    /// Itself, at most so many calls in a second: who calls more often waits.
    #[must_use]
    pub fn at_most(mut self, per_second: Option<NonZeroU32>) -> Self {
        self.pace = per_second.map(|most| Arc::new(RateLimiter::direct(Quota::per_second(most))));
        self
    }

    /// Itself, with these headers on every call.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// What is sent with every call, for calls that are made elsewhere.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where its tokens come from.
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
        // A server may name its base without the slash, as HAPI does in its links to further pages.
        let is_base = url.path() == self.base.path().trim_end_matches('/');
        let is_inside = url.origin() == self.base.origin()
            && (is_base || url.path().starts_with(self.base.path()))
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
        let ours = self.credentials.authorization().await?;
        let first = self.send_with(ours.as_ref(), &method, &url, body, header.as_ref()).await;
        let (Err(Failure::Refused { status: 401, .. }), Some(refused)) = (&first, &ours) else { return first };
        match self.credentials.instead_of(refused).await {
            Ok(Some(other)) => self.send_with(Some(&other), &method, &url, body, header.as_ref()).await,
            // The refusal says more than that there is nothing else to try.
            Ok(None) | Err(_) => first,
        }
    }

    async fn send_with(
        &self,
        ours: Option<&Authorization>,
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
        let request = self.client.request(method.clone(), url.clone()).headers(self.headers.clone());
        let mut request = request.header(ACCEPT, FHIR_JSON);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, FHIR_JSON).body(body.to_string());
        }
        if let Some((name, value)) = header {
            request = request.header(name, *value);
        }
        if let Some(ours) = ours {
            request = request.header(AUTHORIZATION, ours.header()?);
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
            // Whatever came as a body, or broke while coming: the status is the answer.
            let explanation = Explanation::read(&body.unwrap_or_default());
            return Err(refusal(status.as_u16(), retry_after, explanation, writes));
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

/// A refusal. A read that finds nothing, without a word of FHIR, proves nothing: a proxy or a gateway on the way answers
/// so while the server behind it is away, and what is believed to be gone would be deleted here.
fn refusal(status: u16, retry_after: Option<RetryAfter>, explanation: Explanation, writes: bool) -> Failure {
    let Explanation { diagnostics, words, is_fhir } = explanation;
    let is_mute = words.is_empty() && !is_fhir;
    match status {
        404 if !writes && !is_fhir => unknown(NOT_FHIR, writes, Some(status), retry_after),
        410 if !writes && !is_fhir && !is_mute => unknown(NOT_FHIR, writes, Some(status), retry_after),
        _ => Failure::Refused { status, retry_after, diagnostics, words },
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::{Tls, client_for};
    use rstest::rstest;
    use std::time::Duration;

    fn http(base: &str) -> Http {
        let base = base_url(base).unwrap();
        Http::new(client_for(&base, Duration::from_secs(1), &Tls::default()).unwrap(), base, Credentials::None, 1024)
    }

    #[rstest]
    #[case("Task/1", "https://ehr.example:8443/fhir/r4/Task/1")]
    #[case("Task?a=b", "https://ehr.example:8443/fhir/r4/Task?a=b")]
    #[case("", "https://ehr.example:8443/fhir/r4/")]
    #[case("https://ehr.example:8443/fhir/r4/Task?page=2", "https://ehr.example:8443/fhir/r4/Task?page=2")]
    #[case("https://ehr.example:8443/fhir/r4?_getpages=1", "https://ehr.example:8443/fhir/r4?_getpages=1")]
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

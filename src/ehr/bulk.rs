//! Bulk Data export: asking for one, waiting for it, reading its files line by line.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LOCATION, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use serde::{Deserialize, Deserializer};

use super::auth::Authorization;
use super::client::EhrClient;
use super::failure::Failure;
use super::response_body::cause;

/// The longest line of a file that is read, in bytes.
const LONGEST: usize = 16 << 20;
/// For one file from the first byte to the last.
const PATIENCE: Duration = Duration::from_hours(4);

/// How many redirects are followed to a file.
const REDIRECTS_MAX: usize = 5;

/// What an export came to, as the server lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The export includes every change before this time.
    pub transaction_time: Option<String>,
    /// Whether the files want our token.
    #[serde(default, deserialize_with = "or_default")]
    pub requires_access_token: bool,
    /// Files with resources.
    #[serde(default, deserialize_with = "or_default")]
    pub output: Vec<ExportFile>,
    /// Files with Bundles of deletions.
    #[serde(default, deserialize_with = "or_default")]
    pub deleted: Vec<ExportFile>,
    /// Files with `OperationOutcomes`: what the server could not export, and what else it has to say.
    #[serde(default, deserialize_with = "or_default")]
    pub error: Vec<ExportFile>,
}

/// `null` is as if it were not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A file of an export.
#[derive(Clone, Debug, Deserialize)]
pub struct ExportFile {
    /// The type of its resources.
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
}

/// Progress of an export.
#[derive(Clone, Debug)]
pub enum ExportProgress {
    Working {
        /// Progress note of the server.
        note: Option<String>,
        /// When to ask again.
        wait: Duration,
    },
    Ready(Manifest),
}

impl EhrClient {
    /// Asks for an export of the types; answers with where its state can be read.
    pub async fn export(&self, group: Option<&str>, types: &str) -> Result<String, Failure> {
        let mut url = match group {
            Some(id) => self.resource("Group", id)?,
            None => self.kind("Patient")?,
        };
        url.set_path(&format!("{}/$export", url.path()));
        url.query_pairs_mut().append_pair("_type", types);
        let prefer = (HeaderName::from_static("prefer"), "respond-async");
        let sent = self.http().send(Method::GET, url, None, Some(prefer)).await?;
        let location = sent.headers.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok());
        let location = location.filter(|_| sent.status == 202).ok_or(Failure::Unanswered {
            cause: "the export was not accepted with a Content-Location",
            status: Some(sent.status),
            retry_after: None,
        })?;
        Ok(self.same_server(location)?.to_string())
    }

    pub async fn export_progress(&self, status_url: &str) -> Result<ExportProgress, Failure> {
        let sent = self.http().send(Method::GET, self.same_server(status_url)?, None, None).await?;
        let text = |name: &str| sent.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if sent.status == 202 {
            let seconds = text(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok()).unwrap_or(5);
            let wait = Duration::from_secs(u64::clamp(seconds, 1, 300));
            return Ok(ExportProgress::Working { note: text("x-progress"), wait });
        }
        let no_manifest =
            Failure::Unanswered { cause: "no manifest came", status: Some(sent.status), retry_after: None };
        serde_json::from_slice(&sent.body).map(ExportProgress::Ready).map_err(|_| no_manifest)
    }

    /// Tells the server that its files are not needed any more.
    pub async fn forget_export(&self, status_url: &str) -> Result<(), Failure> {
        self.http().send(Method::DELETE, self.same_server(status_url)?, None, None).await.map(|_| ())
    }

    /// Opens a file: on this server with our token, on one of the other `origins` without any, wherever redirects lead.
    pub async fn open_file(&self, url: &str, origins: &[String]) -> Result<Lines, Failure> {
        let mut url = self.file_url(self.http().base(), url, origins)?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get_file_as_ourselves(&url).await?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match (response.status().as_u16(), location) {
                (200, _) => return Ok(Lines { response, rest: Vec::new(), over: false }),
                (301 | 302 | 303 | 307 | 308, Some(location)) => url = self.file_url(&url, location, origins)?,
                (status, _) => return Err(Failure::refused(status, None)),
            }
        }
        Err(Failure::NotAllowed { cause: "a file whose redirects do not end" })
    }

    /// The address of a file, seen from where it is named, as long as its origin is this server's or a configured one.
    fn file_url(&self, from: &Url, reference: &str, origins: &[String]) -> Result<Url, Failure> {
        let outside = Failure::NotAllowed { cause: "a file outside the configured server and bulk.file_origins" };
        let url = from.join(reference).map_err(|_| outside.clone())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let mut configured = origins.iter().filter_map(|one| Url::parse(one).ok());
        if is_plain && (self.is_ours(&url) || configured.any(|one| one.origin() == url.origin())) {
            return Ok(url);
        }
        tracing::warn!(
            origin = url.origin().ascii_serialization(),
            "a file is there; bulk.file_origins does not name it"
        );
        Err(outside)
    }

    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.http().base().origin()
    }

    /// With our token on this server, with another one where that is refused; without any elsewhere.
    async fn get_file_as_ourselves(&self, url: &Url) -> Result<Response, Failure> {
        if !self.is_ours(url) {
            return self.get_file(url.clone(), None).await;
        }
        let credentials = self.http().credentials();
        let ours = credentials.authorization().await?;
        let response = self.get_file(url.clone(), ours.as_ref()).await?;
        let Some(refused) = ours.filter(|_| response.status().as_u16() == 401) else { return Ok(response) };
        match credentials.instead_of(&refused).await? {
            Some(other) => self.get_file(url.clone(), Some(&other)).await,
            None => Ok(response),
        }
    }

    async fn get_file(&self, url: Url, ours: Option<&Authorization>) -> Result<Response, Failure> {
        let is_ours = self.is_ours(&url);
        let request = self.http().client().get(url).header(ACCEPT, "application/fhir+ndjson").timeout(PATIENCE);
        let request = if is_ours { request.headers(self.http().headers().clone()) } else { request };
        let request = match ours {
            None => request,
            Some(ours) => request.header(AUTHORIZATION, ours.header()?),
        };
        let lost =
            |error: reqwest::Error| Failure::Unanswered { cause: cause(&error), status: None, retry_after: None };
        request.send().await.map_err(lost)
    }

    /// An address on this server, also beside its base: export files are often there.
    fn same_server(&self, reference: &str) -> Result<Url, Failure> {
        let base = self.http().base();
        let url = base.join(reference).ok().filter(|url| url.origin() == base.origin() && url.username().is_empty());
        url.ok_or(Failure::NotAllowed { cause: "an address outside the configured server" })
    }
}

/// The lines of a file, as they come.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    rest: Vec<u8>,
    over: bool,
}

impl Lines {
    /// The next line that is not blank; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        let broken = |cause| Failure::Unanswered { cause, status: Some(200), retry_after: None };
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let line = match end {
                Some(end) => self.rest.drain(..=end).collect::<Vec<u8>>(),
                None if self.over && self.rest.is_empty() => return Ok(None),
                None if self.over => std::mem::take(&mut self.rest),
                None => {
                    match self.response.chunk().await.map_err(|error| broken(cause(&error)))? {
                        Some(chunk) => self.rest.extend_from_slice(&chunk),
                        None => self.over = true,
                    }
                    if self.rest.len() > LONGEST {
                        return Err(broken("a line of the file is too long"));
                    }
                    continue;
                }
            };
            let line = String::from_utf8(line).map_err(|_| broken("the file is not UTF-8"))?;
            if !line.trim().is_empty() {
                return Ok(Some(line.trim().to_owned()));
            }
        }
    }
}

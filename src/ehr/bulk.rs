//! Bulk Data export: asking for one, waiting for it, reading its files line by line.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_LOCATION, HeaderName, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::client::EhrClient;
use super::failure::Failure;
use super::response_body::cause;

/// The longest line of a file that is read, in bytes.
const LONGEST: usize = 16 << 20;
/// For one file from the first byte to the last.
const PATIENCE: Duration = Duration::from_hours(4);

/// Result of an export as the server lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The export includes every change before this time.
    pub transaction_time: Option<String>,
    /// Whether the files want our token.
    #[serde(default)]
    pub requires_access_token: bool,
    /// Files with resources.
    #[serde(default)]
    pub output: Vec<ExportFile>,
    /// Files with Bundles of deletions.
    #[serde(default)]
    pub deleted: Vec<ExportFile>,
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

    /// Opens a file: on this server with our token, on one of the other `origins` without any.
    pub async fn open_file(&self, url: &str, origins: &[String]) -> Result<Lines, Failure> {
        let (url, credentials) = match self.same_server(url) {
            Ok(url) => (url, Some(self.http().credentials())),
            Err(outside) => {
                let url = Url::parse(url).map_err(|_| outside.clone())?;
                let mut allowed = origins.iter().filter_map(|one| Url::parse(one).ok());
                if !allowed.any(|one| one.origin() == url.origin()) {
                    return Err(Failure::NotAllowed { cause: "a file outside the configured server and file_origins" });
                }
                (url, None)
            }
        };
        let bearer = match credentials {
            Some(credentials) => credentials.bearer().await?,
            None => None,
        };
        let response = self.get_file(url.clone(), bearer.as_ref()).await?;
        let response = match (response.status().as_u16(), credentials, &bearer) {
            (401, Some(credentials), Some(refused)) => match credentials.instead_of(refused).await? {
                Some(other) => self.get_file(url, Some(&other)).await?,
                None => response,
            },
            _ => response,
        };
        match response.status().as_u16() {
            200 => Ok(Lines { response, rest: Vec::new(), over: false }),
            status => Err(Failure::Refused { status, retry_after: None, diagnostics: String::new() }),
        }
    }

    async fn get_file(&self, url: Url, bearer: Option<&SecretString>) -> Result<Response, Failure> {
        let request = self.http().client().get(url).header(ACCEPT, "application/fhir+ndjson").timeout(PATIENCE);
        let request = match bearer {
            None => request,
            Some(bearer) => request.bearer_auth(bearer.expose_secret()),
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

//! Operator settings: a TOML file, overridden by `COCM_*` variables, overridden by flags.
//!
//! Reading and checking are separate: [`Config::load`] checks shape and types, [`Config::check`] checks meaning and
//! reports every fault at once. Nothing here prints a secret.

mod cds_hooks;
mod check;
mod clinic;
mod connection;
mod development;
mod instruments;
mod overlay;
mod sign_in;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use crate::limits::{
    BODY_BYTES, BUNDLE_BYTES, CLIENT_REQUESTS, CLIENT_REQUESTS_PER_SECOND, PEER_CONNECTIONS, REQUESTS,
};

pub use cds_hooks::{CardLink, CdsHooks};
pub use check::is_private;
pub use clinic::ClinicId;
pub use connection::{
    AuthKind, BackendServices, BasicAuth, Bulk, ClientCertificate, EhrConnection, KeyAlgorithm, NotifyConfig,
    PollConfig, SearchStrategy, SubscriptionPayload, WriteConfig, key_folder,
};
pub use development::{AUDIENCE, Development, ISSUER, jwks_file};
pub use overlay::Flags;
pub use sign_in::{ClientAuth, SignInConfig};

/// Everything an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the service answers. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where Prometheus may read metrics; nowhere if absent.
    pub admin_listen: Option<SocketAddr>,
    /// `sqlite://path` or `postgres://…`; see [`Config::database_url`].
    pub database_url: Option<DatabaseUrl>,
    /// For the SQLite file and, in development, the signing keys.
    pub data_dir: PathBuf,
    /// The address clients know us by, for links in answers.
    pub public_url: Option<String>,
    /// Bounds on what a caller may cost.
    pub limits: Limits,
    /// Token issuers that this service trusts.
    pub auth: AuthConfig,
    /// Ways to sign in to the pages.
    #[serde(rename = "sign_in")]
    pub sign_ins: Vec<SignInConfig>,
    /// The clinics served here.
    #[serde(rename = "clinic")]
    pub clinics: Vec<Clinic>,
    /// Files of instruments and translations of this installation, from the folder of the configuration file.
    pub instruments: Vec<PathBuf>,
    /// The charts written to.
    #[serde(rename = "ehr")]
    pub ehrs: Vec<EhrConnection>,
    /// Webhooks to notify.
    #[serde(rename = "webhook")]
    pub webhooks: Vec<Webhook>,
    /// Log format and filter.
    pub log: Log,
    /// Where the ends of the journal are written.
    pub journal: JournalHeads,
    /// Development only: any clinic named in a token is served, with the first clinic's settings.
    #[serde(skip)]
    pub any_clinic: bool,
    /// Development only: the moment the service's clock starts at.
    #[serde(skip)]
    pub clock: Option<DateTime<Utc>>,
    /// `COCM_*` variables that mean nothing here. Not an error: Kubernetes invents some from service names.
    #[serde(skip)]
    pub ignored_variables: Vec<String>,
}

/// Bounds on what a caller may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body, after decompression.
    pub body_bytes: usize,
    /// Largest FHIR Bundle, after decompression.
    pub bundle_bytes: usize,
    /// Connections open at once.
    pub connections: usize,
    /// Of these, from one address. Behind a proxy all have the same.
    pub connections_per_peer: usize,
    /// Requests in work at once, of all clients together.
    pub requests: usize,
    /// Of these, of one client: whoever a token or a cookie stands for.
    pub requests_per_client: usize,
    /// Requests that one client begins in a second.
    pub requests_per_second: u32,
    /// From the first byte, or the end of the last answer, to the end of the request's headers.
    #[serde(rename = "header_timeout_s", deserialize_with = "seconds")]
    pub header_timeout: Duration,
    /// From the end of the headers to the beginning of the answer.
    #[serde(rename = "request_timeout_s", deserialize_with = "seconds")]
    pub request_timeout: Duration,
    /// How long requests in flight may finish after SIGTERM.
    #[serde(rename = "drain_s", deserialize_with = "seconds")]
    pub drain: Duration,
}

/// Token issuers that this service trusts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Trusted token issuers.
    pub issuers: Vec<Issuer>,
    /// Callers whom a proxy before us knows by their TLS certificate.
    pub client_certificates: Option<ClientCertificates>,
}

/// Mutual TLS that a proxy before us ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// The addresses of the proxies that are believed.
    pub proxies: Vec<IpAddr>,
    /// The header into which they write whose the certificate is; they take away what a caller sends in it.
    pub header: String,
    /// Who may call.
    pub clients: Vec<CertificateClient>,
}

/// A program with a certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateClient {
    /// For the journal.
    pub name: String,
    /// What the header says of it: the subject, or the fingerprint, letter by letter.
    pub certificate: String,
    pub clinic: ClinicId,
    pub role: String,
    /// FHIR scopes that limit it.
    pub scopes: Option<String>,
}

/// One token issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of its tokens, compared exactly.
    pub issuer: String,
    /// URL of its public keys…
    pub jwks_url: Option<String>,
    /// …or the file that holds them.
    pub jwks_file: Option<PathBuf>,
    /// Token endpoint for programs; published in `.well-known/smart-configuration`.
    pub token_url: Option<String>,
    /// The `aud` its tokens must carry for us.
    pub audience: String,
    /// The clinic of all its tokens, whatever they say.
    pub clinic: Option<ClinicId>,
    /// The role of all its tokens.
    pub role: Option<String>,
    /// What all its tokens are limited to; without it, their `scope` and `scp` say.
    pub scopes: Option<String>,
    /// The claim that names the clinic: a name, or a path with dots into what is nested.
    #[serde(default = "clinic_claim")]
    pub clinic_claim: String,
    /// The claim that names the role, or lists several of which one is ours.
    #[serde(default = "role_claim")]
    pub role_claim: String,
    /// The issuer's names of clinics, where they are not ours.
    #[serde(default)]
    pub clinic_map: BTreeMap<String, ClinicId>,
    /// The issuer's names of roles, where they are not ours.
    #[serde(default)]
    pub role_map: BTreeMap<String, String>,
    /// Clients of which more is known. Where any is named, tokens that were issued to another one are refused.
    #[serde(default)]
    pub clients: Vec<IssuerClient>,
}

/// A program that has its tokens from an issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerClient {
    /// As `azp`, `client_id`, `appid` or `cid` of its tokens says, or else their `sub`.
    pub client_id: String,
    /// Its clinic, whatever its tokens say.
    pub clinic: Option<ClinicId>,
    pub role: Option<String>,
    /// What it is limited to.
    pub scopes: Option<String>,
}

/// One clinic served here.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Clinic {
    /// Its name in tokens and in the database.
    pub id: ClinicId,
    /// Its name in print.
    pub name: Option<String>,
    /// Time zone that decides what counts as a day (IANA name).
    pub time_zone: Tz,
    /// The `[[ehr]]` it writes to.
    pub ehr: Option<String>,
    /// The day of the month on which the metrics of the month before are closed by themselves, 1–28; 0 for never.
    #[serde(default = "close_month_on")]
    pub close_month_on: u8,
}

/// A receiver of a clinic's events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Name in the log of deliveries.
    pub name: String,
    pub clinic: ClinicId,
    /// URL to post to. Redirects are not followed.
    pub url: String,
    /// `whsec_…`; several while changing from one to another.
    pub secrets: Vec<SecretString>,
    /// Types of events, `safety.*` for all that begin so; empty for all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Deadline of one attempt.
    #[serde(default = "webhook_timeout", rename = "timeout_s", deserialize_with = "seconds")]
    pub timeout: Duration,
}

/// Where the ends of the journal are written, signed, so that a cut-off end is found.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalHeads {
    /// Appended to: best on another machine's disk. Into the log without it.
    pub heads_file: Option<PathBuf>,
    #[serde(rename = "heads_every_s", deserialize_with = "seconds")]
    pub heads_every: Duration,
}

impl Default for JournalHeads {
    fn default() -> Self {
        Self { heads_file: None, heads_every: Duration::from_mins(15) }
    }
}

/// Log format and filter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Lines for machines or for people.
    pub format: LogFormat,
    /// A tracing filter, such as `info,sqlx=warn`.
    pub filter: String,
}

/// Lines for machines or for people.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    Text,
}

/// A database's address. Its password is not printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// An address as given.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The address, password and all.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password may stand before the `@` or among the parameters, so only the scheme is safe to print.
        write!(f, "{}://…", self.0.split_once("://").map_or("?", |(scheme, _)| scheme))
    }
}

/// Why a configuration cannot be used: every fault found, each naming its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence each.
    pub faults: Vec<String>,
}

impl ConfigError {
    pub fn one(fault: impl Into<String>) -> Self {
        Self { faults: vec![fault.into()] }
    }
}

impl Issuer {
    /// One that names clinic and role in the claims of these names.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            clinic_claim: clinic_claim(),
            role_claim: role_claim(),
            jwks_url: None,
            jwks_file: None,
            token_url: None,
            clinic: None,
            role: None,
            scopes: None,
            clinic_map: BTreeMap::new(),
            role_map: BTreeMap::new(),
            clients: Vec::new(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file (or none), variables and flags, and checks the whole.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| ConfigError::one(format!("{} cannot be read: {e}", path.display())))?,
            None => String::new(),
        };
        // Mappings name instruments, so these come first.
        instruments::register(&text, file)?;
        let config = Self::parse(&text, variables, flags)?;
        config.check()?;
        Ok(config)
    }

    /// Reads a file's text, variables and flags, without [`Config::check`].
    pub fn parse(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        // The error's own `Display` quotes the line, which may hold a secret: its message and place are enough.
        let mut table = text.parse::<toml::Table>().map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            ConfigError::one(format!("line {line}: {}", e.message()))
        })?;
        let ignored = overlay::variables(&mut table, variables)?;
        overlay::flags(&mut table, flags);
        let mut config: Self = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
            let key = e.path().to_string();
            let secret =
                ["token", "secret", "password", "headers", "database_url"].iter().any(|name| key.contains(name));
            let why = if secret { "must be a string".to_owned() } else { e.inner().message().to_owned() };
            ConfigError::one(format!("{key}: {why}"))
        })?;
        config.ignored_variables = ignored;
        Ok(config)
    }

    /// The database: as configured, or a SQLite file under `data_dir`.
    pub fn database_url(&self) -> DatabaseUrl {
        let embedded = || DatabaseUrl(format!("sqlite://{}", self.data_dir.join("cocm-registry.db").display()));
        self.database_url.clone().unwrap_or_else(embedded)
    }

    /// A clinic's settings, if it is served here.
    pub fn clinic(&self, id: &ClinicId) -> Option<Clinic> {
        let known = self.clinics.iter().find(|clinic| clinic.id == *id).cloned();
        let pretended =
            || self.clinics.first().filter(|_| self.any_clinic).map(|c| Clinic { id: id.clone(), ..c.clone() });
        known.or_else(pretended)
    }

    /// Where signing keys of ours may be, each folder once.
    pub fn key_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![key_folder(&self.data_dir)];
        let signing = self.ehrs.iter().filter_map(|ehr| ehr.auth.as_ref()).filter(|auth| auth.signs());
        folders.extend(signing.map(|auth| auth.key_folder(&self.data_dir)));
        folders.sort();
        folders.dedup();
        folders
    }

    /// The day of the month on which a clinic's metrics of the month before are closed; 0 for never.
    pub fn close_month_on(&self, clinic: &str) -> u8 {
        let known = self.clinics.iter().find(|c| c.id.as_str() == clinic);
        known.or(self.clinics.first()).map_or_else(close_month_on, |c| c.close_month_on)
    }

    /// A chart's settings by its name.
    pub fn ehr(&self, name: &str) -> Option<&EhrConnection> {
        self.ehrs.iter().find(|ehr| ehr.name == name)
    }

    /// The EHRs that may call our CDS service.
    pub fn cds_clients(&self) -> impl Iterator<Item = (&EhrConnection, &CdsHooks)> {
        self.ehrs.iter().filter_map(|ehr| Some((ehr, ehr.cds_hooks.as_ref()?)))
    }

    /// The address that clients know us by, without a slash at its end; empty where none is configured.
    pub fn public_base(&self) -> &str {
        self.public_url.as_deref().unwrap_or_default().trim_end_matches('/')
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: None,
            database_url: None,
            data_dir: PathBuf::from("./data"),
            public_url: None,
            limits: Limits::default(),
            auth: AuthConfig::default(),
            sign_ins: Vec::new(),
            clinics: Vec::new(),
            instruments: Vec::new(),
            ehrs: Vec::new(),
            webhooks: Vec::new(),
            log: Log::default(),
            journal: JournalHeads::default(),
            any_clinic: false,
            clock: None,
            ignored_variables: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES,
            bundle_bytes: BUNDLE_BYTES,
            connections: 1024,
            connections_per_peer: PEER_CONNECTIONS,
            requests: REQUESTS,
            requests_per_client: CLIENT_REQUESTS,
            requests_per_second: CLIENT_REQUESTS_PER_SECOND,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(20),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: "info,sqlx=warn".into() }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

fn close_month_on() -> u8 {
    10
}

fn clinic_claim() -> String {
    "clinic".into()
}

fn role_claim() -> String {
    "role".into()
}

fn webhook_timeout() -> Duration {
    Duration::from_secs(15)
}

#[cfg(test)]
mod tests;

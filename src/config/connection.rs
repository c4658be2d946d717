//! One EHR that we are connected to: how we prove who we are, what we fetch, what it may tell us.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::NaiveDate;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{CdsHooks, seconds};
use crate::domain::chart_plan::Rung;
use crate::domain::task::{ChartResource, Code};

/// One EHR: the chart that is written to, and the server that is read from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EhrConnection {
    /// Name that clinics use; part of its notification URL.
    pub name: String,
    pub base_url: String,
    /// Sent as `Authorization: Bearer`, where there is no `auth`.
    pub bearer_token: Option<SecretString>,
    /// How to get a token from the EHR's token endpoint.
    pub auth: Option<BackendServices>,
    /// A name and a password, sent as `Authorization: Basic`, where there is neither a token nor `auth`.
    pub basic: Option<BasicAuth>,
    /// Sent with every request to this EHR, such as the key of a gateway before it.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// Who we are in TLS, where the EHR asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Certificate authorities (PEM) believed for this connection beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// Deadline of one request.
    #[serde(default = "timeout", rename = "timeout_s", deserialize_with = "seconds")]
    pub timeout: Duration,
    /// At most so many requests in a second, from this process.
    pub rate_limit_per_s: Option<NonZeroU32>,
    /// Whether it honors `If-None-Exist`.
    #[serde(default = "yes")]
    pub conditional_create: bool,
    /// How long its search may lag behind its writes.
    #[serde(default = "search_lag", rename = "search_lag_s", deserialize_with = "seconds")]
    pub search_lag: Duration,
    /// Other bases by which it names its own resources in references.
    #[serde(default)]
    pub known_bases: Vec<String>,
    /// Polling.
    #[serde(default)]
    pub poll: PollConfig,
    /// Change notifications from the EHR.
    #[serde(default)]
    pub notify: NotifyConfig,
    /// Bulk Data export.
    #[serde(default)]
    pub bulk: Bulk,
    /// Its calls to our CDS Hooks service; none if absent.
    pub cds_hooks: Option<CdsHooks>,
    /// How work items reach the chart.
    #[serde(default)]
    pub write: WriteConfig,
    /// Mapping of its questionnaires to instruments; read by `fhir`.
    #[serde(default)]
    pub mapping: toml::Table,
}

/// Kind of authorization.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// SMART Backend Services: `client_credentials` with a signed assertion.
    BackendServices,
    /// `client_credentials` with a secret in `Authorization: Basic`.
    ClientSecretBasic,
    /// `client_credentials` with a secret in the form.
    ClientSecretPost,
}

/// A name and a password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The name; no colon in it.
    pub username: String,
    pub password: SecretString,
}

/// A certificate of ours and its key, both PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// The certificate, with those between it and its authority.
    pub certificate_file: PathBuf,
    /// Its private key; left out where it is in the same file.
    pub key_file: Option<PathBuf>,
}

/// The algorithms that SMART requires of servers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum KeyAlgorithm {
    /// RSA, 3072 bits.
    #[default]
    #[serde(rename = "RS384")]
    #[value(name = "RS384")]
    Rs384,
    /// The curve P-384.
    #[serde(rename = "ES384")]
    #[value(name = "ES384")]
    Es384,
}

impl KeyAlgorithm {
    /// Its name in a JWT's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs384 => "RS384",
            Self::Es384 => "ES384",
        }
    }
}

/// How we have tokens from the EHR's token endpoint: as SMART Backend Services has it, or with a shared secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendServices {
    /// How we prove to the token endpoint who we are.
    pub kind: AuthKind,
    /// Our client id at the EHR: `iss` and `sub` of our assertions.
    pub client_id: String,
    /// The secret, where one is shared.
    pub client_secret: Option<SecretString>,
    /// The token endpoint; without it, what the EHR's `.well-known/smart-configuration` says.
    pub token_url: Option<String>,
    /// Scopes to request, separated by spaces: `system/Patient.rs …`.
    #[serde(default = "scopes")]
    pub scopes: String,
    /// With which kind of key we sign.
    #[serde(default)]
    pub algorithm: KeyAlgorithm,
    /// Where our keys are; `connection-keys` in the data directory without it.
    pub keys: Option<PathBuf>,
}

impl BackendServices {
    /// Whether we prove who we are with a key of ours.
    pub fn signs(&self) -> bool {
        self.kind == AuthKind::BackendServices
    }

    /// Where our keys are.
    pub fn key_folder(&self, data_dir: &Path) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| key_folder(data_dir))
    }
}

/// Where keys are unless somebody says otherwise.
pub fn key_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("connection-keys")
}

/// Polling.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollConfig {
    /// Resource types: Patient, `QuestionnaireResponse`, Observation.
    pub types: Vec<String>,
    /// How often; 0 is never.
    #[serde(rename = "period_s", deserialize_with = "seconds")]
    pub period: Duration,
    /// How far before the last known change the next poll starts, to catch late commits on the server.
    #[serde(rename = "overlap_s", deserialize_with = "seconds")]
    pub overlap: Duration,
    /// Page size of searches.
    pub page_size: u16,
    /// Nothing that was last changed before this day (UTC) is fetched.
    pub since: Option<NaiveDate>,
    /// Parameters added to the search of a type: `Observation = "category=survey"`. Without one for Observation, the
    /// codes that we understand; for Task and Flag, our identifiers where the server can search for them.
    pub search: BTreeMap<String, String>,
    /// How a type is looked for, where the EHR's refusals should not decide.
    pub way: BTreeMap<String, SearchStrategy>,
    /// Whether the Tasks and Flags that we wrote are read back: what people do to them there counts.
    pub read_back: bool,
    /// How often each of them that stands open is looked at by itself, for what no search tells; 0 is never.
    #[serde(rename = "reread_s", deserialize_with = "seconds")]
    pub reread: Duration,
    /// How often a type's history is looked through for deletions, where the server has one; 0 is never.
    #[serde(rename = "deletions_s", deserialize_with = "seconds")]
    pub deletions: Duration,
}

/// How the changes of a type are looked for. The order is the order in which they are tried.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SearchStrategy {
    /// `_lastUpdated`, in order of it.
    #[default]
    LastUpdated,
    /// `_lastUpdated`, in whatever order the server has.
    LastUpdatedUnsorted,
    /// Everything of the type, each time.
    Everything,
    /// Patient by patient, of those in our care.
    ByPatient,
}

impl SearchStrategy {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::LastUpdated, Self::LastUpdatedUnsorted, Self::Everything, Self::ByPatient];

    /// Its name in the configuration, in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LastUpdated => "last_updated",
            Self::LastUpdatedUnsorted => "last_updated_unsorted",
            Self::Everything => "everything",
            Self::ByPatient => "by_patient",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.as_str() == name)
    }

    /// Fallback when the server does not support this strategy.
    pub fn next(self) -> Option<Self> {
        let at = Self::ALL.iter().position(|way| *way == self)?;
        Self::ALL.get(at + 1).copied()
    }
}

/// How the EHR may tell us that something has changed. One of them is enough; a token of ours for the role `ehr` is
/// always good.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// A secret that it sends as `Authorization: Bearer`.
    pub token: Option<SecretString>,
    /// The key of an HMAC-SHA256 over what it sends.
    pub hmac_secret: Option<SecretString>,
    /// The header with the HMAC, in hexadecimal or base64; `X-Signature` without it.
    pub signature_header: Option<String>,
    /// The header with the second or the instant of sending. Where it is set, what is signed is this, a full stop and
    /// the body, and it must not be more than five minutes from now.
    pub timestamp_header: Option<String>,
    /// Subscriptions that we make there, and renew.
    pub subscribe: Option<SubscriptionPayload>,
    /// Canonicals of the topics to subscribe to, each with its filters (`Observation?category=survey`). Left out: those
    /// that the EHR's CapabilityStatement names, without a filter.
    pub topics: BTreeMap<String, Vec<String>>,
}

/// Kind of Subscription to create.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionPayload {
    /// R4: criteria, and the resource that meets them.
    RestHook,
    /// The same, without the resource: "look again".
    RestHookEmpty,
    /// Topics (Subscriptions R5 Backport), and R4's criteria where the server has none or refuses.
    Topics,
}

/// Bulk Data export, for the beginning.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bulk {
    /// The Group whose patients are exported; all patients without it.
    pub group: Option<String>,
    /// Other origins (`https://files.example.org`) from which files may be fetched. No token is ever sent there.
    pub file_origins: Vec<String>,
}

/// How work items reach the chart.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct WriteConfig {
    /// How Tasks are written; `auto` (`None`) picks the best way that the EHR's CapabilityStatement offers.
    #[serde(deserialize_with = "rung")]
    pub task: Option<Rung>,
    /// How Flags are written.
    #[serde(deserialize_with = "rung")]
    pub flag: Option<Rung>,
    /// How the Tasks that ask for a case review are written: `none` where the consultant works from the review queue.
    /// Without it, as every Task.
    #[serde(deserialize_with = "rung")]
    pub case_review: Option<Rung>,
    /// Whether the EHR calls our CDS Hooks service (`cds_hooks` says so): then `auto` counts on the card where nothing can
    /// be written.
    #[serde(skip)]
    pub cards: bool,
    /// Whether a Provenance is written with what is created, where the EHR takes one.
    pub provenance: bool,
}

impl WriteConfig {
    /// Configured rung for a kind of resource; `None` is `auto`.
    pub fn set_for(self, resource: ChartResource) -> Option<Rung> {
        match resource {
            ChartResource::Task => self.task,
            ChartResource::Flag => self.flag,
        }
    }

    /// The rung that is configured for items of one code, whatever holds for others of their kind.
    pub fn set_for_code(self, code: Code) -> Option<Rung> {
        self.case_review.filter(|_| code == Code::PsychiatricCaseReview)
    }

    /// The code of items that stay on a rung of their own.
    pub fn own_rung_of(self) -> Option<Code> {
        self.case_review.map(|_| Code::PsychiatricCaseReview)
    }
}

impl Default for WriteConfig {
    fn default() -> Self {
        Self { task: None, flag: None, case_review: None, cards: false, provenance: true }
    }
}

fn rung<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rung>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "auto" => Ok(None),
        // Operators who want nothing written try this word first.
        "none" => Ok(Some(Rung::Worklist)),
        name => name.parse().map(Some).map_err(|why| D::Error::custom(format!("{why}, auto, none"))),
    }
}

impl EhrConnection {
    /// An EHR with the defaults.
    pub fn at(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            bearer_token: None,
            auth: None,
            basic: None,
            headers: BTreeMap::new(),
            client_certificate: None,
            ca_file: None,
            timeout: timeout(),
            rate_limit_per_s: None,
            conditional_create: true,
            search_lag: search_lag(),
            known_bases: Vec::new(),
            poll: PollConfig::default(),
            notify: NotifyConfig::default(),
            bulk: Bulk::default(),
            cds_hooks: None,
            write: WriteConfig::default(),
            mapping: toml::Table::new(),
        }
    }
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            types: TYPES.map(str::to_owned).to_vec(),
            period: Duration::from_mins(15),
            overlap: Duration::from_mins(10),
            page_size: 200,
            since: None,
            search: BTreeMap::new(),
            way: BTreeMap::new(),
            read_back: true,
            reread: Duration::from_hours(24),
            deletions: Duration::from_hours(1),
        }
    }
}

/// Resource types that can be polled.
pub(super) const TYPES: [&str; 3] = ["Patient", "QuestionnaireResponse", "Observation"];

/// Resource types that we write and read back.
pub(super) const OURS: [&str; 2] = ["Task", "Flag"];

fn timeout() -> Duration {
    Duration::from_secs(30)
}

fn search_lag() -> Duration {
    Duration::from_secs(2)
}

fn yes() -> bool {
    true
}

fn scopes() -> String {
    "system/Patient.rs system/QuestionnaireResponse.rs system/Observation.rs system/Task.crus system/Flag.crus".into()
}

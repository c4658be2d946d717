//! The EHRs that we fetch from: one client each, shared with the dispatcher, so that both keep to one pace.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::domain::task::ChartResource;
use crate::ehr::auth::KeyRing;
use crate::ehr::{EhrAuth, EhrClient, EhrConfig};
use crate::fhir::mapping::{CodeMapping, MappingConfig};
use crate::http_client::Tls;
use crate::problem::Problem;
use crate::store::connection::ConnectionKey;

/// The largest page or resource that is read, in bytes.
const LARGEST: usize = 32 << 20;

/// One EHR, for one clinic.
#[derive(Debug)]
pub struct Connection {
    pub clinic: String,
    pub settings: config::EhrConnection,
    pub ehr: EhrClient,
    /// Where the EHR sends what it has to say.
    pub endpoint: String,
    /// Notified when the EHR reports a change.
    pub heard: Notify,
    /// The codes of Observations to search for.
    codes: String,
}

impl Connection {
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn of(&self) -> ConnectionKey<'_> {
        ConnectionKey { clinic: &self.clinic, connection: &self.settings.name }
    }

    /// Author of what this connection brings.
    pub fn author(&self) -> String {
        format!("connection:{}", self.settings.name)
    }

    /// Types that we write and read back.
    pub fn reads_back(&self) -> &'static [ChartResource] {
        if self.settings.poll.read_back { ChartResource::ALL } else { &[] }
    }

    /// Extra search parameters for a type.
    pub fn search(&self, kind: &str) -> Option<String> {
        added(&self.settings, kind, &self.codes)
    }
}

/// All connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Vec<Arc<Connection>>>);

impl Connections {
    /// The connections of every clinic.
    ///
    /// # Errors
    /// What is wrong with the configuration of one.
    pub fn new(config: &Config, clock: &Clock) -> Result<Self, Problem> {
        let mut connections = Vec::new();
        for settings in &config.ehrs {
            let ehr = client(config, settings, clock)?;
            let codes = codes(settings)?;
            for clinic in config.clinics.iter().filter(|clinic| clinic.ehr.as_ref() == Some(&settings.name)) {
                connections.push(Arc::new(Connection {
                    clinic: clinic.id.as_str().to_owned(),
                    settings: settings.clone(),
                    ehr: ehr.clone(),
                    endpoint: endpoint(config, settings),
                    heard: Notify::new(),
                    codes: codes.clone(),
                }));
            }
        }
        Ok(Self(Arc::new(connections)))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.0.iter()
    }

    /// The one of a name. Where several clinics write to one chart, nobody can say whose it is that arrives: none.
    pub fn named(&self, name: &str) -> Option<&Arc<Connection>> {
        let mut named = self.iter().filter(|connection| connection.name() == name);
        let first = named.next()?;
        named.next().is_none().then_some(first)
    }

    /// The connection of a clinic.
    pub fn of_clinic(&self, clinic: &str) -> Option<&Arc<Connection>> {
        self.iter().find(|connection| connection.clinic == clinic)
    }
}

/// A client as configured; nothing is sent yet.
///
/// # Errors
/// What is wrong with the configuration.
pub fn client(config: &Config, settings: &config::EhrConnection, clock: &Clock) -> Result<EhrClient, Problem> {
    let read = |path: &Path, key: &str| {
        let unreadable = |e| format!("ehr {}: {} cannot be read: {e}", settings.name, path.display());
        fs::read(path).map_err(|e| Problem::unprocessable(unreadable(e)).at(key))
    };
    let authorities = settings.ca_file.as_deref().map(|path| read(path, "ca_file")).transpose()?;
    let identity = match &settings.client_certificate {
        None => None,
        Some(files) => {
            let mut pem = read(&files.certificate_file, "client_certificate.certificate_file")?;
            if let Some(path) = &files.key_file {
                pem.push(b'\n');
                pem.extend(read(path, "client_certificate.key_file")?);
            }
            Some(pem.into())
        }
    };
    let auth = match (&settings.auth, &settings.bearer_token, &settings.basic) {
        (Some(auth), ..) => {
            EhrAuth::BackendServices(Box::new(auth.clone()), KeyRing::at(auth.key_folder(&config.data_dir)))
        }
        (None, Some(token), _) => EhrAuth::Bearer(token.clone()),
        (None, None, Some(basic)) => EhrAuth::Basic(basic.clone()),
        (None, None, None) => EhrAuth::Nobody,
    };
    let settings = EhrConfig {
        auth,
        tls: Tls { authorities, identity },
        headers: headers(settings)?,
        per_second: settings.rate_limit_per_s,
        timeout: settings.timeout,
        max_body: LARGEST,
        conditional_create: settings.conditional_create,
        search_lag: settings.search_lag,
        write: config::WriteConfig { cards: settings.cds_hooks.is_some(), ..settings.write },
        ..EhrConfig::at(&settings.base_url)
    };
    EhrClient::new(settings, clock.clone())
}

fn headers(settings: &config::EhrConnection) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let wrong = || Problem::unprocessable(format!("ehr {}: headers.{name} is no header", settings.name));
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

fn endpoint(config: &Config, settings: &config::EhrConnection) -> String {
    let base = config.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
    format!("{base}/api/v1/connections/{}/notifications", settings.name)
}

/// The searches that a sweep makes, each for one resource that changed since yesterday: for trying them.
///
/// # Errors
/// What is wrong with the mapping.
pub fn trial(settings: &config::EhrConnection, now: DateTime<Utc>) -> Result<Vec<(String, String)>, Problem> {
    let codes = codes(settings)?;
    let since = (now - TimeDelta::days(1)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let query = |kind: &String| {
        let added = added(settings, kind, &codes).map(|query| query + "&").unwrap_or_default();
        (kind.clone(), format!("{added}_lastUpdated=ge{since}&_sort=_lastUpdated&_count=1"))
    };
    Ok(settings.poll.types.iter().map(query).collect())
}

/// Extra search parameters for a type.
fn added(settings: &config::EhrConnection, kind: &str, codes: &str) -> Option<String> {
    match settings.poll.search.get(kind) {
        Some(configured) => Some(configured.clone()),
        None if kind == "Observation" => Some(format!("code={codes}")),
        None => None,
    }
}

/// The mapping of a connection.
///
/// # Errors
/// What is wrong with it.
pub fn mapping(settings: &config::EhrConnection) -> Result<CodeMapping, Problem> {
    let mapping: MappingConfig = settings
        .mapping
        .clone()
        .try_into()
        .map_err(|e| Problem::internal(format!("ehr {}: mapping: {e}", settings.name)))?;
    Ok(CodeMapping::from_config(&mapping))
}

fn codes(settings: &config::EhrConnection) -> Result<String, Problem> {
    let mapping = mapping(settings)?;
    // A linkId may look like anything; a code that would break the query is none.
    let is_plain = |code: &&str| code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    Ok(mapping.observation_codes().into_iter().filter(is_plain).collect::<Vec<_>>().join(","))
}

//! `--dev`: everything chosen, nothing to prepare.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{AuthConfig, Clinic, ClinicId, Config, ConfigError, DatabaseUrl, EhrConnection, Issuer, Log, LogFormat};

/// The `iss` of development tokens.
pub const ISSUER: &str = "urn:cocm-registry:development";
/// The `aud` of development tokens.
pub const AUDIENCE: &str = "cocm-registry";

/// Options of `--dev`.
#[derive(Clone, Debug, Default)]
pub struct Development {
    /// `--time-zone`, else UTC.
    pub time_zone: Option<Tz>,
    /// `--listen`, else 127.0.0.1:8080.
    pub listen: Option<SocketAddr>,
    /// Where Prometheus may read metrics.
    pub admin_listen: Option<SocketAddr>,
    /// `--data-dir`, else `./data`.
    pub data_dir: Option<PathBuf>,
    /// `--database-url`, else SQLite under the data directory.
    pub database_url: Option<String>,
    /// `--ehr`: a FHIR server to write to.
    pub ehr: Option<String>,
    /// `--clock`: the moment to start at.
    pub clock: Option<DateTime<Utc>>,
}

/// Where the public development keys are, under a data directory.
pub fn jwks_file(data_dir: &Path) -> PathBuf {
    data_dir.join("development-keys").join("jwks.json")
}

impl Config {
    /// The configuration of `--dev`: one clinic `demo`, keys and SQLite under the data directory.
    pub fn development(options: Development) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let data_dir = options.data_dir.unwrap_or(defaults.data_dir);
        let demo = ClinicId::new("demo").map_err(ConfigError::one)?;
        let ehr = options.ehr.map(|base_url| EhrConnection::at("ehr", base_url));
        let config = Self {
            listen: options.listen.unwrap_or(defaults.listen),
            admin_listen: options.admin_listen,
            database_url: options.database_url.map(DatabaseUrl::new),
            auth: AuthConfig {
                issuers: vec![Issuer { jwks_file: Some(jwks_file(&data_dir)), ..Issuer::new(ISSUER, AUDIENCE) }],
                client_certificates: None,
            },
            clinics: vec![Clinic {
                id: demo,
                name: Some("Demo clinic".into()),
                time_zone: options.time_zone.unwrap_or(Tz::UTC),
                ehr: ehr.as_ref().map(|ehr| ehr.name.clone()),
                close_month_on: super::close_month_on(),
            }],
            ehrs: ehr.into_iter().collect(),
            log: Log { format: LogFormat::Text, ..defaults.log },
            any_clinic: true,
            clock: options.clock,
            data_dir,
            ..Self::default()
        };
        config.check()?;
        Ok(config)
    }
}

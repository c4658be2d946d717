//! Connection commands of the command line.

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::config::{self, Config, KeyAlgorithm};
use crate::ehr::auth::KeyRing;
use crate::ehr::auth::keys::KeyRotation;
use crate::ehr::probe::{ProbePlan, ProbeResult, probe};
use crate::intake::connection;
use crate::problem::Problem;

/// Where our public keys are, for those who register us.
pub fn jwks_url(config: &Config) -> String {
    let base = config.public_url.as_deref().unwrap_or("https://(set public_url)");
    format!("{}/.well-known/jwks.json", base.trim_end_matches('/'))
}

/// Tries one connection without writing anything.
///
/// # Errors
/// What is wrong with its configuration.
pub async fn try_connection(
    config: &Config,
    settings: &config::EhrConnection,
    clock: &Clock,
) -> Result<Vec<ProbeResult>, Problem> {
    let ehr = connection::client(config, settings, clock)?;
    let trial = ProbePlan { searches: connection::trial(settings, clock.now())?, jwks_url: jwks_url(config) };
    Ok(probe(&ehr, &trial).await)
}

/// Makes a new signing key wherever one is used: for every folder and algorithm of the configuration, or for this
/// algorithm in the default folder where no connection signs yet.
///
/// # Errors
/// When a file cannot be written.
pub fn rotate(
    config: &Config,
    algorithm: Option<KeyAlgorithm>,
    now: DateTime<Utc>,
) -> std::io::Result<Vec<(KeyAlgorithm, KeyRing, KeyRotation)>> {
    let used = config.ehrs.iter().filter_map(|ehr| ehr.auth.as_ref());
    let mut wanted: Vec<_> = used.map(|auth| (auth.key_folder(&config.data_dir), auth.algorithm)).collect();
    wanted.sort();
    wanted.dedup();
    match algorithm {
        Some(algorithm) if wanted.iter().any(|(_, used)| *used == algorithm) => {
            wanted.retain(|(_, used)| *used == algorithm);
        }
        None if !wanted.is_empty() => {}
        other => wanted = vec![(config::key_folder(&config.data_dir), other.unwrap_or_default())],
    }
    let made = wanted.into_iter().map(|(folder, algorithm)| {
        let ring = KeyRing::at(folder);
        let rotated = ring.rotate(algorithm, now)?;
        Ok((algorithm, ring, rotated))
    });
    made.collect()
}

//! The EHRs that call our CDS service, and the JWT that each signs for every call (CDS Hooks 2.0, "Trusting CDS
//! Clients"). Whose clinic it is follows from who signed, and from nothing else.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, get_current_timestamp};
use sha2::{Digest, Sha256};

use super::keys::KeySource;
use super::verifier::{CLOCK_SKEW_SECONDS, open};
use super::{ClinicId, KeyPolicy, TokenError, claims};
use crate::config::{CdsHooks, Config, ConfigError};

/// The longest that a token may be good for, in seconds: shorter than its `jti` is remembered.
const LONGEST: u64 = 24 * 60 * 60;

/// The configured CDS clients. Shared by all requests.
pub struct CdsClients(Vec<Client>);

struct Client {
    clinic: ClinicId,
    connection: String,
    settings: CdsHooks,
    keys: Arc<KeySource>,
}

/// The clinic and connection that signed a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdsCaller {
    /// The clinic everything is within.
    pub clinic: ClinicId,
    /// The `[[ehr]]` that calls.
    pub connection: String,
    /// A digest of the token's `iss` and `jti`: good for one call.
    pub once: String,
}

impl CdsClients {
    /// Clients from the configuration. Fetches nothing yet.
    ///
    /// # Errors
    /// What is wrong with the keys of one.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let client = |(ehr, settings): (&crate::config::EhrConnection, &CdsHooks)| {
            let clinic = config.clinics.iter().find(|clinic| clinic.ehr.as_ref() == Some(&ehr.name))?.id.clone();
            let keys = KeySource::new(&settings.as_issuer(), KeyPolicy::default()).map(Arc::new);
            Some(keys.map(|keys| Client { clinic, connection: ehr.name.clone(), settings: settings.clone(), keys }))
        };
        config.cds_clients().filter_map(client).collect::<Result<_, _>>().map(Self)
    }

    /// Fetches every client's keys, so that the first call need not wait.
    pub async fn warm_up(&self) {
        for client in &self.0 {
            client.keys.refresh().await;
        }
    }

    /// Verifies a call; `audiences` are the addresses that were called. The database knows whether the token was used
    /// before.
    ///
    /// # Errors
    /// Why the token is not believed.
    pub async fn verify(&self, token: &str, audiences: &[&str]) -> Result<CdsCaller, TokenError> {
        let unverified = claims::look(token)?;
        if !matches!(unverified.algorithm, Algorithm::RS384 | Algorithm::ES384) {
            return Err(TokenError::CdsAlgorithm);
        }
        let is_theirs = |client: &&Client| {
            client.settings.issuer == unverified.issuer
                && client.settings.tenant.as_ref().is_none_or(|tenant| unverified.tenant.as_ref() == Some(tenant))
        };
        let client = self.0.iter().find(is_theirs).ok_or(TokenError::Issuer)?;
        if unverified.key_set.is_some() && unverified.key_set != client.settings.jwks_url {
            return Err(TokenError::KeySet);
        }
        let claims = open(token, &unverified, &client.keys, audiences).await?;
        let now = get_current_timestamp();
        if claims::second(&claims, "exp")? > now + LONGEST {
            return Err(TokenError::Claim("exp"));
        }
        if claims::second(&claims, "iat")? > now + CLOCK_SKEW_SECONDS {
            return Err(TokenError::NotYet);
        }
        let jti = claims::name(&claims, "jti")?;
        let once = Sha256::new().chain_update(&unverified.issuer).chain_update([0]).chain_update(&jti).finalize();
        let once = format!("cds-hooks:{}", URL_SAFE_NO_PAD.encode(once));
        Ok(CdsCaller { clinic: client.clinic.clone(), connection: client.connection.clone(), once })
    }
}

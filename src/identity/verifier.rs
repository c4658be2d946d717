//! From a token to a [`Caller`].

use std::sync::Arc;

use jsonwebtoken::{Validation, decode, get_current_timestamp};
use serde_json::{Map, Value};

use super::cache::{Cache, fingerprint};
use super::keys::KeySource;
use super::{Caller, ClinicId, KeyPolicy, TokenError, claims};
use crate::config::{Config, ConfigError, Issuer, SignInConfig};

/// Tolerated clock difference between an issuer and us, in seconds.
pub(super) const LEEWAY: u64 = 30;
/// Verified tokens remembered.
const REMEMBERED: usize = 4096;

/// Verifies bearer tokens of the configured issuers. Shared by all requests.
pub struct Verifier {
    issuers: Vec<(Issuer, Arc<KeySource>)>,
    /// `None` serves any clinic (development).
    clinics: Option<Vec<ClinicId>>,
    cache: Cache,
}

impl Verifier {
    /// For the configured issuers and clinics. Fetches nothing yet.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::with_policy(config, KeyPolicy::default())
    }

    /// Like [`Verifier::new`], with a different key policy.
    pub fn with_policy(config: &Config, policy: KeyPolicy) -> Result<Self, ConfigError> {
        let source = |issuer: &Issuer| KeySource::new(issuer, policy).map(|keys| (issuer.clone(), Arc::new(keys)));
        let issuers = config.auth.issuers.iter().map(source).collect::<Result<_, _>>()?;
        let clinics = (!config.any_clinic).then(|| config.clinics.iter().map(|clinic| clinic.id.clone()).collect());
        Ok(Self { issuers, clinics, cache: Cache::new(REMEMBERED) })
    }

    /// Verifies the ID tokens of one way to sign in.
    pub fn of_sign_in(way: &SignInConfig) -> Result<Self, ConfigError> {
        let issuer = way.as_issuer();
        let keys = Arc::new(KeySource::new(&issuer, KeyPolicy::default())?);
        Ok(Self { issuers: vec![(issuer, keys)], clinics: None, cache: Cache::new(1) })
    }

    /// Fetches every issuer's keys, so that the first caller need not wait. A failure is logged and tried again later.
    pub async fn warm_up(&self) {
        for (_, keys) in &self.issuers {
            keys.refresh().await;
        }
    }

    /// Verifies a token and returns its bearer.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let unverified = claims::look_at_bearer(token)?;
        let (known_as, now) = (fingerprint(token), get_current_timestamp());
        if let Some(caller) = self.cache.get(&known_as, now) {
            return Ok(caller);
        }
        let (issuer, claims) = self.open(token, &unverified).await?;
        let (caller, expires) = claims::read(&claims, issuer)?;
        if self.clinics.as_ref().is_some_and(|served| !served.contains(&caller.clinic)) {
            return Err(TokenError::Clinic);
        }
        self.cache.put(known_as, &caller, expires, now);
        Ok(caller)
    }

    /// The claims of a token whose signature, issuer, audience and times hold: for ID tokens, which may name neither a
    /// clinic nor a role.
    pub async fn claims(&self, token: &str) -> Result<Map<String, Value>, TokenError> {
        let unverified = claims::look_at_bearer(token)?;
        Ok(self.open(token, &unverified).await?.1)
    }

    async fn open(
        &self,
        token: &str,
        unverified: &claims::UnverifiedToken,
    ) -> Result<(&Issuer, Map<String, Value>), TokenError> {
        let (issuer, keys) =
            self.issuers.iter().find(|(i, _)| i.issuer == unverified.issuer).ok_or(TokenError::Issuer)?;
        Ok((issuer, open(token, unverified, keys, &[&issuer.audience]).await?))
    }
}

/// The claims of a token whose signature and times hold, from the issuer that it names, for one of the audiences.
pub(super) async fn open(
    token: &str,
    unverified: &claims::UnverifiedToken,
    keys: &Arc<KeySource>,
    audiences: &[&str],
) -> Result<Map<String, Value>, TokenError> {
    let key = keys.find(unverified.key_id.as_deref(), unverified.algorithm).await?;
    let mut rules = Validation::new(unverified.algorithm);
    rules.leeway = LEEWAY;
    rules.validate_nbf = true;
    rules.set_audience(audiences);
    rules.set_issuer(&[&unverified.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    Ok(decode::<Map<String, Value>>(token, &key, &rules)?.claims)
}

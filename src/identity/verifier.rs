//! From a token to a [`Caller`].

use std::sync::Arc;

use axum::http::HeaderMap;
use jsonwebtoken::{Validation, decode, get_current_timestamp};
use serde_json::{Map, Value};

use super::cache::{Cache, fingerprint};
use super::caller_mapping::{CallerMapping, is_issued_to};
use super::client_certificate::{CertificateHolders, PeerAddress};
use super::keys::KeySource;
use super::{ApiKey, ApiKeys, Caller, ClinicId, KeyPolicy, Role, TokenError, claims};
use crate::config::{Config, ConfigError, Issuer, SignInConfig};

/// Tolerated clock difference between an issuer and us, in seconds.
pub(super) const CLOCK_SKEW_SECONDS: u64 = 30;
/// Verified tokens remembered.
const CACHE_CAPACITY: usize = 4096;

/// Verifies bearer tokens of the configured issuers. Shared by all requests.
pub struct Verifier {
    issuers: Vec<TrustedIssuer>,
    /// `None` serves any clinic (development).
    clinics: Option<Vec<ClinicId>>,
    cache: Cache,
    api_keys: Option<Arc<dyn ApiKeys>>,
    certificates: Option<CertificateHolders>,
}

struct TrustedIssuer {
    config: Issuer,
    mapping: CallerMapping,
    keys: Arc<KeySource>,
}

impl TrustedIssuer {
    fn new(config: &Issuer, policy: KeyPolicy) -> Result<Self, ConfigError> {
        let keys = Arc::new(KeySource::new(config, policy)?);
        Ok(Self { config: config.clone(), mapping: CallerMapping::new(config)?, keys })
    }

    /// Which claims were looked at, for whoever has to set them right. Values are not repeated.
    fn log_refusal(&self, error: TokenError, claims: &Map<String, Value>) {
        let present: Vec<&str> = claims.keys().map(String::as_str).collect();
        tracing::warn!(
            issuer = self.config.issuer,
            %error,
            clinic_claim = self.config.clinic_claim,
            role_claim = self.config.role_claim,
            present = present.join(" "),
            "what the issuer says makes nobody a caller here"
        );
    }
}

impl Verifier {
    /// For the configured issuers and clinics. Fetches nothing yet.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::with_policy(config, KeyPolicy::default())
    }

    /// Like [`Verifier::new`], with a different key policy.
    pub fn with_policy(config: &Config, policy: KeyPolicy) -> Result<Self, ConfigError> {
        let issuers = config.auth.issuers.iter().map(|issuer| TrustedIssuer::new(issuer, policy));
        let issuers = issuers.collect::<Result<_, _>>()?;
        let clinics = (!config.any_clinic).then(|| config.clinics.iter().map(|clinic| clinic.id.clone()).collect());
        let certificates = config.auth.client_certificates.as_ref().map(CertificateHolders::new).transpose()?;
        Ok(Self { issuers, clinics, cache: Cache::new(CACHE_CAPACITY), api_keys: None, certificates })
    }

    /// Verifies the ID tokens of one way to sign in.
    pub fn for_identity_provider(way: &SignInConfig) -> Result<Self, ConfigError> {
        let issuer = TrustedIssuer::new(&way.as_issuer(), KeyPolicy::default())?;
        Ok(Self { issuers: vec![issuer], clinics: None, cache: Cache::new(1), api_keys: None, certificates: None })
    }

    /// Fetches every issuer's keys, so that the first caller need not wait. A failure is logged and tried again later.
    pub async fn warm_up(&self) {
        for issuer in &self.issuers {
            issuer.keys.refresh().await;
        }
    }

    /// Itself, with API keys beside the issuers' tokens.
    #[must_use]
    pub fn with_api_keys(mut self, keys: Arc<dyn ApiKeys>) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Whom a proxy knows by a certificate; `None` where none says anything.
    pub(super) fn certificate_holder(
        &self,
        peer: Option<PeerAddress>,
        headers: &HeaderMap,
    ) -> Option<Result<Caller, TokenError>> {
        self.certificates.as_ref()?.holder(peer, headers)
    }

    /// Who presents an API key. Nothing is remembered: a key that is revoked is worth nothing at once.
    async fn holder(&self, text: &str) -> Result<Caller, TokenError> {
        let (Some(keys), Some(key)) = (&self.api_keys, ApiKey::parse(text)) else { return Err(TokenError::ApiKey) };
        if self.clinics.as_ref().is_some_and(|served| !served.contains(&key.clinic)) {
            return Err(TokenError::ApiKey);
        }
        let holder = keys.holder(&key).await.map_err(|_| TokenError::KeysUnavailable)?;
        holder.ok_or(TokenError::ApiKey)
    }

    /// Verifies a token or an API key and returns its bearer.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        if ApiKey::is_one(token) {
            return self.holder(token).await;
        }
        let unverified = claims::look_at_bearer(token)?;
        let (cache_key, now) = (fingerprint(token), get_current_timestamp());
        if let Some(caller) = self.cache.get(&cache_key, now) {
            return Ok(caller);
        }
        let (issuer, claims) = self.open(token, &unverified).await?;
        let served = |clinic: &ClinicId| self.clinics.as_ref().is_none_or(|served| served.contains(clinic));
        let read = claims::read(&claims, &issuer.mapping);
        let read = read.and_then(|read| if served(&read.0.clinic) { Ok(read) } else { Err(TokenError::Clinic) });
        let (caller, expires) = read.inspect_err(|error| issuer.log_refusal(*error, &claims))?;
        self.cache.put(cache_key, &caller, expires, now);
        Ok(caller)
    }

    /// The claims of a token whose signature, issuer, audience and times hold: for ID tokens, which may name neither a
    /// clinic nor a role.
    pub async fn claims(&self, token: &str) -> Result<Map<String, Value>, TokenError> {
        let unverified = claims::look_at_bearer(token)?;
        let (issuer, claims) = self.open(token, &unverified).await?;
        if is_issued_to(&claims, &issuer.config.audience) { Ok(claims) } else { Err(TokenError::Client) }
    }

    /// The clinic and the role that claims name by the mapping of the only issuer (a way to sign in).
    ///
    /// # Errors
    /// Where it is missing, or there are several.
    pub fn clinic_of(&self, claims: &Map<String, Value>) -> Result<ClinicId, TokenError> {
        let issuer = self.issuers.first().ok_or(TokenError::Issuer)?;
        issuer.mapping.clinic(claims)
    }

    /// As [`Verifier::clinic_of`], the role.
    ///
    /// # Errors
    /// Where there is none, or several.
    pub fn role_of(&self, claims: &Map<String, Value>) -> Result<Role, TokenError> {
        let issuer = self.issuers.first().ok_or(TokenError::Issuer)?;
        issuer.mapping.role(claims)
    }

    /// Writes into the log which claims were looked at.
    pub fn log_refusal(&self, error: TokenError, claims: &Map<String, Value>) {
        if let Some(issuer) = self.issuers.first() {
            issuer.log_refusal(error, claims);
        }
    }

    async fn open(
        &self,
        token: &str,
        unverified: &claims::UnverifiedToken,
    ) -> Result<(&TrustedIssuer, Map<String, Value>), TokenError> {
        let issuer = self.issuers.iter().find(|one| one.config.issuer == unverified.issuer);
        let issuer = issuer.ok_or(TokenError::Issuer)?;
        Ok((issuer, open(token, unverified, &issuer.keys, &[&issuer.config.audience]).await?))
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
    rules.leeway = CLOCK_SKEW_SECONDS;
    rules.validate_nbf = true;
    rules.set_audience(audiences);
    rules.set_issuer(&[&unverified.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    Ok(decode::<Map<String, Value>>(token, &key, &rules)?.claims)
}

//! How an EHR proves to our CDS Hooks service that it is itself, and what its cards lead to.

use std::path::PathBuf;

use serde::Deserialize;

use super::Issuer;

/// An EHR as a CDS client of ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdsHooks {
    /// The `iss` of the JWTs that it signs, compared exactly.
    pub issuer: String,
    /// The `tenant` of those JWTs, where one issuer speaks for several organizations.
    pub tenant: Option<String>,
    /// URL of its public keys; a `jku` must be the same…
    pub jwks_url: Option<String>,
    /// …or the file that holds them.
    pub jwks_file: Option<PathBuf>,
    /// Browsers' origins that may ask (CORS): of EHRs that call from the chart itself.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where a card's link leads.
    #[serde(default)]
    pub link: CardLink,
}

/// Where a card's link leads.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum CardLink {
    /// The patient's page.
    #[default]
    Absolute,
    /// A SMART launch; needs a `[[sign_in]]` for the EHR.
    Smart,
}

impl CdsHooks {
    /// This client as a token issuer. The audience stays empty: each request brings its own.
    pub fn as_issuer(&self) -> Issuer {
        Issuer {
            issuer: self.issuer.clone(),
            jwks_url: self.jwks_url.clone(),
            jwks_file: self.jwks_file.clone(),
            token_url: None,
            audience: String::new(),
            clinic_claim: String::new(),
            role_claim: String::new(),
        }
    }
}

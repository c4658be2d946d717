//! Ways to sign in to the pages: plain `OpenID Connect`, and SMART App Launch from an EHR.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::{ClinicId, Issuer};

/// One way to sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConfig {
    /// Label of the button.
    pub name: String,
    /// The `iss` of its ID tokens, compared exactly.
    pub issuer: String,
    /// URL of its public keys…
    pub jwks_url: Option<String>,
    /// …or the file that holds them.
    pub jwks_file: Option<PathBuf>,
    /// Our client id there: the `aud` of its ID tokens.
    pub client_id: String,
    /// For a confidential client.
    pub client_secret: Option<SecretString>,
    /// The FHIR base of an EHR that launches us (SMART App Launch): the `iss` of a launch, compared exactly.
    pub fhir_base: Option<String>,
    /// Origins of an EHR that may show the pages within its own (`https://ehr.example.org`): after a launch in a frame, and
    /// only then. None: never.
    #[serde(default)]
    pub frame_origins: Vec<String>,
    /// The clinic that everybody who signs in here works for; without it, the claim says.
    pub clinic: Option<ClinicId>,
    /// The claim that names the clinic.
    #[serde(default = "super::clinic_claim")]
    pub clinic_claim: String,
    /// The claim that names the role.
    #[serde(default = "super::role_claim")]
    pub role_claim: String,
    /// Roles of people whose token has none: by `fhirUser` (`Practitioner/123`) or `sub`.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

impl SignInConfig {
    /// This provider as a token issuer.
    pub fn as_issuer(&self) -> Issuer {
        Issuer {
            issuer: self.issuer.clone(),
            jwks_url: self.jwks_url.clone(),
            jwks_file: self.jwks_file.clone(),
            audience: self.client_id.clone(),
            clinic_claim: self.clinic_claim.clone(),
            role_claim: self.role_claim.clone(),
            token_url: None,
        }
    }
}

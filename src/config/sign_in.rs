//! Ways to sign in to the pages: plain `OpenID Connect`, and SMART App Launch from an EHR.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::{ClinicId, Issuer};

/// How a client secret is sent to a token endpoint.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In `Authorization: Basic`.
    ClientSecretBasic,
    ClientSecretPost,
}

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
    /// How the secret is sent; as the provider says it takes it, if left out.
    pub client_auth: Option<ClientAuth>,
    /// What is asked for; `openid profile` if left out, with `fhir_base` `openid fhirUser`.
    pub scope: Option<String>,
    /// The clinic that everybody who signs in here works for; without it, the claim says.
    pub clinic: Option<ClinicId>,
    /// The role of everybody who signs in here and is not in `roles`.
    pub role: Option<String>,
    /// The claim that names the clinic.
    #[serde(default = "super::clinic_claim")]
    pub clinic_claim: String,
    /// The claim that names the role.
    #[serde(default = "super::role_claim")]
    pub role_claim: String,
    /// The provider's names of clinics, where they are not ours.
    #[serde(default)]
    pub clinic_map: BTreeMap<String, ClinicId>,
    /// The provider's names of roles, where they are not ours.
    #[serde(default)]
    pub role_map: BTreeMap<String, String>,
    /// Roles of people whose token has none: by `fhirUser` (`Practitioner/123`) or `sub`.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

impl SignInConfig {
    /// A public client of a plain provider.
    pub fn new(name: impl Into<String>, issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            client_id: client_id.into(),
            jwks_url: None,
            jwks_file: None,
            client_secret: None,
            client_auth: None,
            scope: None,
            fhir_base: None,
            frame_origins: Vec::new(),
            clinic: None,
            role: None,
            clinic_claim: super::clinic_claim(),
            role_claim: super::role_claim(),
            clinic_map: BTreeMap::new(),
            role_map: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// As the verifier of tokens knows issuers.
    pub fn as_issuer(&self) -> Issuer {
        Issuer {
            jwks_url: self.jwks_url.clone(),
            jwks_file: self.jwks_file.clone(),
            clinic: self.clinic.clone(),
            role: self.role.clone(),
            clinic_claim: self.clinic_claim.clone(),
            role_claim: self.role_claim.clone(),
            clinic_map: self.clinic_map.clone(),
            role_map: self.role_map.clone(),
            ..Issuer::new(self.issuer.clone(), self.client_id.clone())
        }
    }
}

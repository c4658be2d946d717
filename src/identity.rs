//! Authentication and roles: bearer tokens, the keys that verify them, and what a caller may do.

mod acting;
mod api_key;
mod cache;
mod caller_mapping;
mod cds_client;
mod claims;
mod client_certificate;
pub mod development;
mod extractor;
mod keys;
mod verifier;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::{Category, Problem};

pub use crate::config::ClinicId;
pub use acting::{acting, acting_as};
pub use api_key::{ApiKey, ApiKeys, KeyHolder};
pub use cds_client::{CdsCaller, CdsClients};
pub use claims::TokenError;
pub use client_certificate::PeerAddress;
pub use extractor::bearer;
pub use keys::{KeyPolicy, count_keys};
pub use verifier::Verifier;

/// Role of a caller in the care team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Keeps the registry: contacts, measures, follow-up.
    CareManager,
    /// Reviews the caseload and recommends.
    PsychiatricConsultant,
    /// Decides on recommendations and treats.
    PrimaryCare,
    /// Runs the program: rule sets, staffing, replays.
    Admin,
    /// A program: the EHR that sends us resources.
    Ehr,
}

impl Role {
    /// Every role, in order.
    pub const ALL: &'static [Self] =
        &[Self::CareManager, Self::PsychiatricConsultant, Self::PrimaryCare, Self::Admin, Self::Ehr];

    /// Its name in tokens, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CareManager => "care_manager",
            Self::PsychiatricConsultant => "psychiatric_consultant",
            Self::PrimaryCare => "primary_care",
            Self::Admin => "admin",
            Self::Ehr => "ehr",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().find(|role| role.as_str() == s).copied().ok_or_else(|| format!("must be one of {}", names()))
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

/// The authenticated sender of a request. Also an extractor: a handler that takes a `Caller` answers 401 without a
/// valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The clinic they act for. Every read and write is within it.
    pub clinic: ClinicId,
    /// The token's `sub`: who, for the audit.
    pub subject: String,
    pub role: Role,
    /// The token's `scope`, if any.
    pub scopes: Option<String>,
}

impl Caller {
    /// Holds if the caller has one of these roles.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) {
            return Ok(());
        }
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        Err(Problem::new(Category::Forbidden, format!("needs the role {}", names.join(" or "))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, ClinicId, Role};
    use crate::problem::Category;

    #[test]
    fn a_role_reads_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().as_ref(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(Role::try_from(role.to_string()).as_ref(), Ok(role));
        }
        assert!("Admin".parse::<Role>().is_err());
        let names = ["care_manager", "psychiatric_consultant", "primary_care", "admin", "ehr"];
        assert_eq!(
            Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
            names,
            "as tokens and clients know them"
        );
    }

    #[test]
    fn a_caller_without_the_role_is_refused() {
        let clinic = ClinicId::new("demo").unwrap();
        let caller = Caller { clinic, subject: "s".into(), role: Role::Ehr, scopes: None };
        assert!(caller.require(&[Role::Admin, Role::Ehr]).is_ok());
        assert_eq!(caller.require(&[Role::Admin]).unwrap_err().category, Category::Forbidden);
        assert!(caller.require(&[]).is_err());
    }
}

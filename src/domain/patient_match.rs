//! Records that are perhaps one person.

use serde::{Deserialize, Serialize};

use crate::id::PatientId;

/// Why two records may be one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchReason {
    /// Both carry the same identifier.
    SharedIdentifier,
    /// Both have the same name and date of birth.
    SameNameAndBirthDate,
    /// The chart links them (`refer`, `seealso`), and both are in use.
    LinkedInChart,
    /// Somebody named the two.
    NamedByHand,
}

/// What somebody decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchState {
    /// Nothing yet.
    #[default]
    Open,
    /// They are one person.
    Joined,
    /// They are two.
    KeptApart,
}

impl MatchState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Joined => "joined",
            Self::KeptApart => "kept_apart",
        }
    }

    pub fn of(name: &str) -> Self {
        [Self::Joined, Self::KeptApart].into_iter().find(|state| state.as_str() == name).unwrap_or_default()
    }
}

/// What somebody decides about two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchDecision {
    /// They are one person, known by this record from now on.
    Join { survivor: PatientId },
    /// They are two.
    KeepApart,
    /// What was decided before was a mistake.
    Reopen,
}

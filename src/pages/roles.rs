//! Roles that several pages ask for.

use crate::identity::Role;

/// Roles that may simulate other thresholds.
pub const READERS_OF_RULES: &[Role] = &[Role::Admin, Role::PsychiatricConsultant];
/// Roles that hold sessions and document reviews, as in the API.
pub const REVIEWERS: &[Role] = &[Role::PsychiatricConsultant, Role::CareManager];
pub const OPERATORS: &[Role] = &[Role::Admin, Role::CareManager];

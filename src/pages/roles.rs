//! Roles that several pages ask for.

use crate::identity::Role;

/// Who may try other thresholds.
pub const READERS_OF_RULES: &[Role] = &[Role::Admin, Role::PsychiatricConsultant];
/// Who holds sessions and documents reviews, as the API says.
pub const REVIEWERS: &[Role] = &[Role::PsychiatricConsultant, Role::CareManager];
pub const OPERATORS: &[Role] = &[Role::Admin, Role::CareManager];

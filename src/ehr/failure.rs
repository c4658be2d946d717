//! What is known after a failed call. Holds no patient data.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// The longest text that an operator is shown of a server's refusal.
const DIAGNOSTICS_MAX: usize = 200;

const RETRY_AFTER_MIN: TimeDelta = TimeDelta::seconds(1);
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::hours(24);

/// A Retry-After header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds from now.
    Seconds(u64),
    At(DateTime<Utc>),
}

impl RetryAfter {
    /// Reads seconds or an HTTP-date; anything else is as if the header were absent.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than fit are still "very long".
            return Some(Self::Seconds(text.parse().unwrap_or(u64::MAX)));
        }
        let at = httpdate::parse_http_date(text).ok()?;
        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        DateTime::from_timestamp(i64::try_from(since_epoch.as_secs()).ok()?, 0).map(Self::At)
    }

    /// The instant it names, between one second and 24 hours from now.
    pub(super) fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let wait = match self {
            Self::Seconds(seconds) => {
                i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(RETRY_AFTER_MAX)
            }
            Self::At(at) => at - now,
        };
        now + wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }
}

/// A call that did not go well, by what is known of its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection never came about: certainly not executed.
    NotSent {
        /// Why, without addresses.
        cause: &'static str,
    },
    /// A read got no usable answer: nothing was changed.
    Unanswered {
        cause: &'static str,
        /// The HTTP status, where one came.
        status: Option<u16>,
        /// When the server wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// A write was sent, and whether it was executed is not known. Search before it is sent again.
    OutcomeUnknown {
        cause: &'static str,
        /// The HTTP status, where one came.
        status: Option<u16>,
        /// When the server wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// The server answered that it did not do it.
    Refused {
        status: u16,
        /// When the server wants to be asked again.
        retry_after: Option<RetryAfter>,
        /// Issue codes of its OperationOutcome, at most 200 characters.
        diagnostics: String,
    },
    /// We refused to call: an address outside the configured server, or an id that no FHIR server has.
    NotAllowed { cause: &'static str },
}

impl Failure {
    /// The HTTP status, where one came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unanswered { status, .. } | Self::OutcomeUnknown { status, .. } => *status,
            Self::NotSent { .. } | Self::NotAllowed { .. } => None,
        }
    }

    /// The server's Retry-After.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::Refused { retry_after, .. }
            | Self::Unanswered { retry_after, .. }
            | Self::OutcomeUnknown { retry_after, .. } => *retry_after,
            Self::NotSent { .. } | Self::NotAllowed { .. } => None,
        }
    }

    /// Whether the chart may hold something that we do not know of: the ledger must remember it.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// The server refused it, and would again.
    pub(super) fn is_refused_for_good(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if !is_passing(*status))
    }

    pub(super) fn is_refused_with(&self, statuses: &[u16]) -> bool {
        matches!(self, Self::Refused { status, .. } if statuses.contains(status))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { cause } => write!(f, "not sent: {cause}"),
            Self::Unanswered { cause, status, .. } => write!(f, "no usable answer: {cause}{}", in_brackets(*status)),
            Self::OutcomeUnknown { cause, status, .. } => write!(f, "outcome unknown: {cause}{}", in_brackets(*status)),
            Self::Refused { status, diagnostics, .. } if diagnostics.is_empty() => write!(f, "refused with {status}"),
            Self::Refused { status, diagnostics, .. } => write!(f, "refused with {status}: {diagnostics}"),
            Self::NotAllowed { cause } => write!(f, "not allowed: {cause}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Refusals that pass by themselves: 401 by a new token, 409 and 412 by reading again, 423 when the lock is gone.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 401 | 408 | 409 | 412 | 423 | 425 | 429 | 500..=599)
}

fn in_brackets(status: Option<u16>) -> String {
    status.map(|status| format!(" ({status})")).unwrap_or_default()
}

/// The codes and places of an OperationOutcome's issues. Its texts are left out: servers quote patient data in them.
pub fn diagnostics(outcome: &Value) -> String {
    let issues = outcome["issue"].as_array().into_iter().flatten();
    let told: Vec<String> = issues.filter_map(issue).collect();
    told.join(", ").chars().take(DIAGNOSTICS_MAX).collect()
}

fn issue(issue: &Value) -> Option<String> {
    let is_code = |text: &&str| text.len() <= 32 && text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let code = issue["code"].as_str().filter(is_code)?;
    // A path, and nothing that could quote a value: `Task.owner`, not `Patient.name.where(family = 'X')`.
    let is_path = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']'));
    let place = issue["expression"][0].as_str().filter(is_path);
    Some(place.map_or_else(|| code.to_owned(), |place| format!("{code} at {place}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_is_told_by_codes_and_places_only() {
        let outcome = json!({"resourceType": "OperationOutcome", "issue": [
            {"severity": "error", "code": "required", "expression": ["Task.status"], "diagnostics": "Canary Name"},
            {"severity": "error", "code": "value", "expression": ["Patient.name.where(family='Canary')"]},
            {"severity": "error", "code": "Canary Name"},
        ]});
        assert_eq!(diagnostics(&outcome), "required at Task.status, value");
    }

    #[test]
    fn a_long_refusal_is_cut() {
        let issues: Vec<Value> = (0..500).map(|_| json!({"code": "invalid"})).collect();
        assert_eq!(diagnostics(&json!({"issue": issues})).len(), DIAGNOSTICS_MAX);
    }
}

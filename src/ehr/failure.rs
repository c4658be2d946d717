//! What is known after a call that did not go well. Its `Display` never carries patient data, so it may be logged; the
//! server's own words, which may quote some, are only in [`Failure::in_full`].

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// The longest text that an operator is shown of a server's refusal.
const DIAGNOSTICS_MAX: usize = 200;
/// The most of a server's own words that is kept.
const WORDS_MAX: usize = 400;

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
        /// Its own words, at most 400 characters. For people of the clinic, never for a log.
        words: String,
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

    /// A refusal of which only the status is known.
    pub fn refused(status: u16, retry_after: Option<RetryAfter>) -> Self {
        Self::Refused { status, retry_after, diagnostics: String::new(), words: String::new() }
    }

    /// With the server's own words, for those who may see the patients of the clinic.
    pub fn in_full(&self) -> String {
        match self {
            Self::Refused { words, .. } if !words.is_empty() => format!("{self} (“{words}”)"),
            _ => self.to_string(),
        }
    }

    /// The server answered that what was asked for is not there. A 404 that says nothing in FHIR never gets here: it may
    /// be a proxy's.
    pub fn is_absent(&self) -> bool {
        self.is_refused_with(&[404, 410])
    }

    /// Whether the chart may hold something that we do not know of: the ledger must remember it.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// The server refused it, and would again.
    pub fn is_refused_for_good(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if !is_passing(*status))
    }

    /// Somebody answered no, the server or a proxy before it, and would again.
    pub(super) fn is_answered_no(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status) && !is_passing(status))
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

/// What a server says of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Explanation {
    pub(super) diagnostics: String,
    pub(super) words: String,
    /// It came as a FHIR resource, so that a FHIR server gave it and not a proxy on the way.
    pub(super) is_fhir: bool,
}

impl Explanation {
    /// Reads the body of a refusal, whatever it is.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            return Self { words: shortened(&without_markup(&text)), ..Self::default() };
        };
        let said = ["error_description", "detail", "message", "error", "title"];
        let plain = || said.iter().find_map(|name| json[*name].as_str()).unwrap_or_default().to_owned();
        let is_fhir = json["resourceType"].is_string();
        let words = if is_fhir { words(&json) } else { plain() };
        Self { diagnostics: diagnostics(&json), words: shortened(&words), is_fhir }
    }
}

/// The texts of an OperationOutcome's issues, each once.
pub fn words(outcome: &Value) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for issue in outcome["issue"].as_array().into_iter().flatten() {
        for text in [&issue["details"]["text"], &issue["diagnostics"]].into_iter().filter_map(Value::as_str) {
            if !text.trim().is_empty() && !texts.contains(&text.trim()) {
                texts.push(text.trim());
            }
        }
    }
    texts.join("; ")
}

/// A web page's title, or its text.
fn without_markup(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if let Some(begin) = lower.find("<title>")
        && let Some(length) = lower[begin..].find("</title>")
    {
        return text[begin + "<title>".len()..begin + length].to_owned();
    }
    let mut is_tag = false;
    let outside = text.chars().filter(|c| {
        is_tag = (is_tag || *c == '<') && *c != '>';
        !is_tag && *c != '>'
    });
    outside.collect()
}

fn shortened(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    words.join(" ").chars().take(WORDS_MAX).collect()
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
    fn the_servers_words_are_kept_and_are_not_for_the_log() {
        let outcome = json!({"resourceType": "OperationOutcome", "issue": [
            {"code": "processing", "diagnostics": "HAPI-0011: backport-filter-criteria\nmust be populated"},
            {"code": "processing", "details": {"text": "Canary Name"}}]});
        let Explanation { diagnostics, words, is_fhir } = Explanation::read(outcome.to_string().as_bytes());
        let failure = Failure::Refused { status: 422, retry_after: None, diagnostics, words };
        assert!(is_fhir);
        assert_eq!(failure.to_string(), "refused with 422: processing, processing");
        assert_eq!(
            failure.in_full(),
            "refused with 422: processing, processing (“HAPI-0011: backport-filter-criteria must be populated; Canary Name”)"
        );
    }

    #[test]
    fn what_a_proxy_says_is_told_from_what_a_fhir_server_says() {
        let read = |body: &str| {
            let explanation = Explanation::read(body.as_bytes());
            (explanation.words, explanation.is_fhir)
        };
        let page = "<html><head><TITLE>404 Not Found</TITLE></head><body>nginx</body></html>";
        assert_eq!(read(page), ("404 Not Found".to_owned(), false));
        assert_eq!(read("<p>404 page <b>not</b> found"), ("404 page not found".to_owned(), false));
        assert_eq!(read(r#"{"message": "no Route matched"}"#), ("no Route matched".to_owned(), false));
        assert_eq!(read(r#"{"resourceType": "OperationOutcome"}"#), (String::new(), true));
        assert_eq!(read(""), (String::new(), false));
        assert!(!Explanation::read(&[0xff, 0x00, b'<']).is_fhir);
        assert_eq!(read(&"x ".repeat(5_000)).0.chars().count(), WORDS_MAX);
    }

    #[test]
    fn a_long_refusal_is_cut() {
        let issues: Vec<Value> = (0..500).map(|_| json!({"code": "invalid"})).collect();
        assert_eq!(diagnostics(&json!({"issue": issues})).len(), DIAGNOSTICS_MAX);
    }
}

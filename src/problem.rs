//! Errors as a closed set of categories.
//!
//! The registry API answers a [`Problem`] as problem+json, the FHIR API as an OperationOutcome. `detail` is shown to
//! the caller, so it never holds patient data.

use std::fmt;

/// Category of a failure. It decides the HTTP status and the OperationOutcome code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// The request cannot be read: 400.
    Malformed,
    /// No valid token: 401.
    Unauthenticated,
    /// A valid token without the right: 403.
    Forbidden,
    /// Absent, or another clinic's: 404.
    NotFound,
    /// A kind of thing that is not kept here: 404.
    Unsupported,
    /// The path exists, the method does not: 405.
    MethodNotAllowed,
    /// The body came too slowly: 408.
    TooSlow,
    /// The present state does not allow it: 409.
    Conflict,
    /// Was here and was deleted: 410.
    Gone,
    /// `If-Match` does not hold, or a condition matched several: 412.
    PreconditionFailed,
    /// Too large or too deep: 413.
    TooLarge,
    /// An answer in a form we do not write: 406.
    NotAcceptable,
    /// A content type we do not read: 415.
    UnsupportedMediaType,
    /// Readable, but a rule is violated: 422.
    Unprocessable,
    /// Too many requests: 429.
    RateLimited,
    /// The database, or a dependency, cannot answer now: 503.
    Unavailable,
    /// A fault of ours: 500.
    Internal,
}

impl Category {
    /// Every category, in order.
    pub const ALL: [Self; 17] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Unsupported,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::NotAcceptable,
        Self::UnsupportedMediaType,
        Self::Unprocessable,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::Unsupported => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::TooSlow => 408,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The code of an OperationOutcome issue (value set issue-type).
    pub fn issue_code(self) -> &'static str {
        match self {
            Self::Malformed => "structure",
            Self::Unauthenticated => "login",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Unsupported | Self::MethodNotAllowed | Self::NotAcceptable | Self::UnsupportedMediaType => {
                "not-supported"
            }
            Self::TooSlow => "timeout",
            Self::Conflict | Self::PreconditionFailed => "conflict",
            Self::Gone => "deleted",
            Self::TooLarge => "too-long",
            Self::Unprocessable => "invalid",
            Self::RateLimited => "throttled",
            Self::Internal => "exception",
            Self::Unavailable => "transient",
        }
    }

    /// The last part of the problem's `type`, stable for clients.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Unsupported => "unsupported",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotAcceptable => "not-acceptable",
            Self::TooSlow => "too-slow",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::PreconditionFailed => "precondition-failed",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Unprocessable => "unprocessable",
            Self::RateLimited => "rate-limited",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A failure as reported to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub category: Category,
    /// A sentence for the caller. Never patient data.
    pub detail: String,
    /// Where in the request: a FHIRPath for resources, a field path for JSON bodies.
    pub expression: Option<String>,
    /// For a conflict of state: what would be allowed now.
    pub allowed: Vec<String>,
    /// Index of the failing command, from 0, when several were sent together.
    pub command: Option<usize>,
}

impl Problem {
    /// A problem of a category with a sentence.
    pub fn new(category: Category, detail: impl Into<String>) -> Self {
        Self { category, detail: detail.into(), expression: None, allowed: Vec::new(), command: None }
    }

    /// Names the place in the request.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = Some(expression.into());
        self
    }

    /// The request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Category::Malformed, detail)
    }

    /// Readable, but a rule is violated.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(Category::Unprocessable, detail)
    }

    /// Absent, or another clinic's.
    pub fn not_found(what: &str) -> Self {
        Self::new(Category::NotFound, format!("no such {what}"))
    }

    /// The present state does not allow it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Category::Conflict, detail)
    }

    /// A fault of ours; the cause goes to the log, not to the caller.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Category::Internal, detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.category.slug(), self.detail)
    }
}

impl std::error::Error for Problem {}

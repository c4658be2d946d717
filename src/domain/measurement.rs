//! One taking of one instrument: the evidence that everything else is computed from.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::instrument::Instrument;
use crate::id::MeasurementId;

named! {
    /// How a total came about.
    pub enum Quality {
        /// Every item was answered.
        Complete = "complete",
        /// One or two items are missing: the mean of the others times the number of items, half rounded up.
        Prorated = "prorated",
        /// A total without its items.
        TotalOnly = "total_only",
        /// Too much is missing or unclear: there is no total.
        Unscorable = "unscorable",
    }
}

named! {
    /// Whether the evidence counts.
    pub enum EvidenceStatus {
        /// Submitted (`completed`, `amended`, `final`, …).
        Submitted = "submitted",
        /// `in-progress` or `stopped`: never a score, but safety looks at it.
        Partial = "partial",
        /// `entered-in-error` or deleted: out of every computation.
        Retracted = "retracted",
    }
}

/// A data-quality remark, shown beside the score.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DataQualityIssue {
    /// Stable code, e.g. `total_mismatch`.
    pub code: String,
    /// A sentence. Numbers and codes only, never free text of the form.
    pub detail: String,
}

impl DataQualityIssue {
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// One taking of one instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// Our id; stays when the source is corrected.
    pub id: MeasurementId,
    /// Instrument.
    pub instrument: Instrument,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// The same as a date in the clinic's time zone.
    pub taken_on: NaiveDate,
    /// Items in order; `None` is unanswered. Empty where only a total is known.
    pub answers: Vec<Option<u8>>,
    /// The total; `None` exactly when unscorable.
    pub total: Option<u16>,
    /// How the total came about.
    pub quality: Quality,
    /// The answer to the suicide item (PHQ-9 item 9), where it was asked and answered.
    pub item9: Option<u8>,
    /// The suicide item belongs to this form and was left open or cannot be read: somebody has to ask.
    pub item9_unknown: bool,
    /// Whether it counts.
    pub counting: EvidenceStatus,
    /// Source resource, as the chart names it: `QuestionnaireResponse/123`.
    pub source: String,
    /// Data-quality remarks.
    pub issues: Vec<DataQualityIssue>,
    /// The language of the form (BCP 47), where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl Measurement {
    /// The total, if this evidence counts as a score.
    pub fn score(&self) -> Option<u16> {
        if self.counting == EvidenceStatus::Submitted { self.total } else { None }
    }
}

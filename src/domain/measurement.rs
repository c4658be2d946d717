//! One taking of one instrument: the evidence that everything else is computed from.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::instrument::Instrument;
pub use super::instrument::Supplement;
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
    /// How the evidence counts.
    pub enum EvidenceStatus {
        /// Submitted (`completed`, `amended`, `final`, …).
        Submitted = "submitted",
        /// `in-progress`, `stopped`, or in quarantine: never a score, but safety looks at it. Its total is shown and never
        /// used.
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

/// What is known about suicidal answers beyond the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfHarm {
    /// The self-harm item was answered, and the answer cannot be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
    /// Questions beside the scored ones that were answered with yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplements: Vec<Supplement>,
    /// The highest answer that an earlier version of the same form gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_before: Option<u8>,
    /// When it was corrected downward, or withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<DateTime<Utc>>,
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
    /// What else is known about suicidal answers.
    #[serde(default)]
    pub self_harm: SelfHarm,
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

    /// The answer to the self-harm item that stands.
    fn standing_answer(&self) -> u8 {
        self.item9.filter(|_| self.counting != EvidenceStatus::Retracted).unwrap_or(0)
    }

    /// Takes the place of an earlier version of itself, and remembers a suicidal answer that it does not repeat: no
    /// correction closes a concern.
    #[must_use]
    pub fn replacing(mut self, earlier: &Self, now: DateTime<Utc>) -> Self {
        if self.counting == EvidenceStatus::Retracted {
            // A retraction takes back what was submitted. The answers that it carries itself were never given.
            self = Self { counting: EvidenceStatus::Retracted, issues: self.issues, ..earlier.clone() };
        }
        let highest = earlier.item9.max(earlier.self_harm.highest_before);
        self.self_harm.highest_before = highest.filter(|answer| *answer > self.standing_answer());
        let is_lowered = self.standing_answer() < earlier.standing_answer();
        let changed_at = if is_lowered { Some(now) } else { earlier.self_harm.changed_at };
        self.self_harm.changed_at = changed_at.filter(|_| self.self_harm.highest_before.is_some());
        self
    }

    /// The same when the earlier version arrives after this one.
    #[must_use]
    pub fn remembering(mut self, earlier: &Self, now: DateTime<Utc>) -> Self {
        let highest = earlier.item9.filter(|answer| *answer > self.standing_answer());
        if highest > self.self_harm.highest_before {
            self.self_harm.highest_before = highest;
            self.self_harm.changed_at = Some(now);
        }
        self
    }

    /// The lowest answer to the self-harm item with which a total without items can be reached.
    pub fn implied_answer(&self) -> Option<u8> {
        let item =
            self.instrument.self_harm_item().filter(|_| self.quality == Quality::TotalOnly && self.item9.is_none())?;
        let highest = self.instrument.definition().items.get(item)?.scale.max;
        let others = self.instrument.max_total().checked_sub(u16::from(highest))?;
        u8::try_from(self.total?.checked_sub(others)?).ok().filter(|answer| *answer > 0)
    }
}

//! A conclusion of the rules, with its reason.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conclusion::Conclusion;
use super::instrument::Instrument;
pub use super::rule::{Rule, Rules};
use super::sentence;
use super::story::Score;
use crate::id::EpisodeId;

/// A conclusion, with everything needed to check it. Stable over time: nothing in it counts days up to today.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The rule that speaks.
    pub rule: Rule,
    /// The measure it speaks about.
    pub instrument: Option<Instrument>,
    /// The first day on which it holds.
    pub since: NaiveDate,
    /// A sentence a clinician would accept.
    pub reason: String,
    /// Ids of the measurements and entries behind it, latest first.
    pub evidence: Vec<Uuid>,
    /// The numbers it was compared with.
    pub thresholds: BTreeMap<String, i64>,
    /// Of an overdue contact: the first day on which it is long overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_overdue_on: Option<NaiveDate>,
    /// The same as the rules know it; a finding that was stored has only its words.
    #[serde(skip)]
    pub conclusion: Option<Box<Conclusion>>,
}

/// Two findings are the same if they say the same: one that was stored has lost its conclusion.
impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        let Self { rule, instrument, since, reason, evidence, thresholds, long_overdue_on, conclusion: _ } = self;
        (rule, instrument, since, reason) == (&other.rule, &other.instrument, &other.since, &other.reason)
            && (evidence, thresholds, long_overdue_on) == (&other.evidence, &other.thresholds, &other.long_overdue_on)
    }
}

impl Eq for Finding {}

impl Finding {
    /// A finding without evidence yet.
    pub fn new(conclusion: Conclusion, since: NaiveDate) -> Self {
        Self {
            rule: conclusion.rule(),
            instrument: conclusion.instrument(),
            since,
            reason: sentence::of(&conclusion),
            evidence: Vec::new(),
            thresholds: conclusion.thresholds(),
            long_overdue_on: match &conclusion {
                Conclusion::ContactOverdue { red_on, .. } => Some(*red_on),
                _ => None,
            },
            conclusion: Some(Box::new(conclusion)),
        }
    }

    /// Adds scores as evidence, latest first.
    #[must_use]
    pub fn on_scores<'a>(mut self, scores: impl IntoIterator<Item = &'a Score<'a>>) -> Self {
        for score in scores {
            if !self.evidence.contains(&score.measurement.id.0) {
                self.evidence.push(score.measurement.id.0);
            }
        }
        self
    }
}

/// One reason of a Task: several measures and rules may ask for the same.
// The fields stand in the order of their names, as those of `WorkItem`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskReason {
    /// The episode; `null` for what is independent of enrollment.
    pub episode: Option<EpisodeId>,
    /// The measure it speaks about.
    pub instrument: Option<Instrument>,
    /// Names the cause.
    pub key: String,
    /// A sentence.
    pub reason: String,
    /// The rule that asks for it.
    pub rule: Rule,
    /// Since when the cause holds.
    pub since: NaiveDate,
}

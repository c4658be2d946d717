//! A conclusion of the rules, with its reason.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::instrument::Instrument;
use super::story::Score;

named! {
    /// The rules that can speak. R8–R11 of the clinical rules.
    pub enum Rule {
        /// Week 4: below the important difference. Shown, no Task.
        EarlyWatch = "early_watch",
        /// Week 6: below the important difference.
        InadequateResponse = "inadequate_response",
        /// Week 8: no clinically significant improvement.
        Nonresponse = "nonresponse",
        /// Week 12: still none.
        PersistentNonresponse = "persistent_nonresponse",
        /// Week 20, or several failed plans.
        ConsiderSpecialtyReferral = "consider_specialty_referral",
        /// No fresh score at a checkpoint.
        MeasureStale = "measure_stale",
        /// Still none a while later.
        Unmeasured = "unmeasured",
        /// Worse than at baseline, or severe now.
        Worsening = "worsening",
        /// Had improved, and is ill again.
        Relapse = "relapse",
        /// The last scores do not move.
        Plateau = "plateau",
        /// In remission for a while.
        SustainedRemission = "sustained_remission",
        /// Below the threshold at baseline, above it now.
        SubthresholdWorsened = "subthreshold_worsened",
        /// PHQ-9 item 9 above 0, not assessed yet.
        SafetyItem9 = "safety_item9",
        /// The same, at a level that cannot wait.
        SafetyItem9High = "safety_item9_high",
        /// PHQ-9 item 9 was left open.
        AskItem9 = "ask_item9",
        /// A clinical contact is due.
        ContactDue = "contact_due",
        /// A clinical contact is overdue.
        ContactOverdue = "contact_overdue",
        /// A scale is overdue.
        MeasureOverdue = "measure_overdue",
        /// A psychiatric case review is overdue.
        ReviewOverdue = "review_overdue",
        /// Not improved, and no review with a recommendation in the required time.
        ReviewRequired = "review_required",
        /// The Task that asked for a review was completed in the chart, and no review is documented.
        ReviewUndocumented = "review_undocumented",
        /// A review recommended something that waits for somebody. Asks for a Task, is no finding.
        Recommendation = "recommendation",
        /// The same, past due.
        RecommendationOverdue = "recommendation_overdue",
        /// Too few scheduled contacts were attended.
        LowEngagement = "low_engagement",
        /// No contact for so long that discharge should be considered.
        InactivityDischargeProposed = "inactivity_discharge_proposed",
        /// Ready for relapse prevention.
        RelapsePreventionSuggested = "relapse_prevention_suggested",
    }
}

/// Set of rules that have findings for an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules(u64);

const _: () = assert!(Rule::ALL.len() <= 64, "a bit for each rule");

impl Rules {
    /// Whether this one does.
    pub fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }

    /// Whether one of them does.
    pub fn has_any(self, rules: &[Rule]) -> bool {
        rules.iter().any(|rule| self.has(*rule))
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self(rules.into_iter().fold(0, |bits, rule| bits | 1 << rule as u32))
    }
}

impl std::ops::BitOr for Rules {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Reads the column of a caseload row: `,nonresponse,contact_overdue,`. Unknown names are ignored.
impl From<String> for Rules {
    fn from(names: String) -> Self {
        names.split(',').filter_map(|name| name.parse().ok()).collect()
    }
}

/// A conclusion, with everything needed to check it. Stable over time: nothing in it counts days up to today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
}

impl Finding {
    /// A finding without evidence or thresholds yet.
    pub fn new(rule: Rule, instrument: Option<Instrument>, since: NaiveDate, reason: String) -> Self {
        Self { rule, instrument, since, reason, evidence: Vec::new(), thresholds: BTreeMap::new() }
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

    /// Adds a number it was compared with.
    #[must_use]
    pub fn against(mut self, name: &str, value: impl Into<i64>) -> Self {
        self.thresholds.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, Rules};

    #[test]
    fn rules_are_read_from_a_row_whatever_stands_beside_them() {
        let of = |names: &str| Rules::from(names.to_owned());
        assert_eq!(of(","), Rules::default());
        assert_eq!(of(",plateau,nonresponse,plateau,"), [Rule::Nonresponse, Rule::Plateau].into_iter().collect());
        assert_eq!(of(",no_longer_known,plateau,"), of(",plateau,"));
        assert!(of(",persistent_nonresponse,").has(Rule::PersistentNonresponse));
        assert!(!of(",persistent_nonresponse,").has_any(&[Rule::Nonresponse, Rule::Plateau]));
        let all: Rules = Rule::ALL.iter().copied().collect();
        assert_eq!(all, Rule::ALL.iter().fold(of(""), |all, rule| all | of(rule.as_str())));
    }
}

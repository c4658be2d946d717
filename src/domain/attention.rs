//! R15: the order of the review queue.

use chrono::NaiveDate;

use super::finding::{Finding, Rule};
use super::standing::Standing;

/// Nothing is due.
pub const NOTHING_DUE: i16 = 99;

/// Where an episode belongs in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// 1 is most pressing; [`NOTHING_DUE`] when there is nothing.
    pub rank: i16,
    /// Since when it waits there.
    pub since: NaiveDate,
    /// A safety answer is not assessed yet.
    pub open_safety: bool,
}

/// R15's order: which rules put an episode into which place.
const ORDER: [(i16, &[Rule]); 9] = [
    (1, &[Rule::SafetyItem9High, Rule::SafetyItem9]),
    (2, &[Rule::Worsening, Rule::Relapse]),
    // 3: flagged for discussion by hand
    (4, &[Rule::ReviewRequired]),
    (5, &[Rule::InadequateResponse, Rule::Nonresponse, Rule::PersistentNonresponse]),
    // 6: new without an initial review
    (7, &[Rule::Unmeasured, Rule::ContactOverdue]),
    (8, &[Rule::Plateau]),
    (9, &[Rule::ReviewOverdue]),
    (10, &[Rule::RelapsePreventionSuggested, Rule::SustainedRemission]),
    (11, &[Rule::AskItem9, Rule::MeasureStale, Rule::SubthresholdWorsened, Rule::InactivityDischargeProposed]),
];

impl Attention {
    /// The place of a standing.
    pub fn of(standing: &Standing) -> Self {
        let open_safety = standing.findings.iter().any(|f| matches!(f.rule, Rule::SafetyItem9 | Rule::SafetyItem9High));
        let waiting = |rules: &[Rule]| -> Option<NaiveDate> {
            standing.findings.iter().filter(|f: &&Finding| rules.contains(&f.rule)).map(|f| f.since).min()
        };
        let flagged = standing.discussion_flag.then_some((3, standing.as_of));
        let (rank, since) = ORDER
            .iter()
            .filter_map(|(rank, rules)| waiting(rules).map(|since| (*rank, since)))
            .chain(flagged)
            .min_by_key(|(rank, _)| *rank)
            .unwrap_or((NOTHING_DUE, standing.as_of));
        Self { rank, since, open_safety }
    }
}

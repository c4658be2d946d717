//! R15: the order of the review queue.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::day::beyond;
use super::episode::Phase;
use super::finding::{Finding, Rule};
use super::instrument::Instrument;
use super::standing::Standing;

pub const NOTHING_DUE: i16 = 99;

named! {
    /// The places of the review queue, most pressing first.
    pub enum QueuePlace {
        /// An unassessed safety answer.
        OpenSafety = "open_safety",
        /// Worse than at baseline, or ill again after improvement.
        WorseningOrRelapse = "worsening_or_relapse",
        /// Flagged for discussion by hand.
        Flagged = "flagged_for_discussion",
        /// Not improved, and no review in the required time.
        NonresponseWithoutReview = "nonresponse_without_review",
        /// Not improving as expected, reviewed or not due for it yet.
        InadequateResponse = "inadequate_response",
        /// In treatment, and never reviewed.
        NewWithoutReview = "new_without_review",
        /// Not measured, or long without a contact.
        UnmeasuredOrRed = "unmeasured_or_red_on_contact",
        /// The scores do not move.
        Plateau = "plateau",
        /// The case review is overdue.
        ReviewOverdue = "review_overdue",
        /// Ready for relapse prevention or graduation.
        ReadyToStepDown = "ready_for_relapse_prevention_or_graduation",
    }
}

impl QueuePlace {
    /// 1 is most pressing.
    pub fn rank(self) -> i16 {
        Self::ALL.iter().position(|place| *place == self).and_then(|i| i16::try_from(i + 1).ok()).unwrap_or(NOTHING_DUE)
    }

    /// The place of a rank; `None` outside the queue.
    pub fn of_rank(rank: i16) -> Option<Self> {
        usize::try_from(rank).ok().and_then(|rank| Self::ALL.get(rank.checked_sub(1)?).copied())
    }
}

/// The last rank that belongs to the review queue; what is due beyond it is for the caseload only.
pub const LAST_IN_QUEUE: i16 = 10;

/// Due for the care manager, and no matter for the review.
const BESIDE_THE_QUEUE: i16 = 11;

/// Why an episode is in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueReason {
    /// Place in the queue.
    pub place: QueuePlace,
    /// The rule behind it, where it is one.
    pub rule: Option<Rule>,
    /// The measure it speaks about.
    pub instrument: Option<Instrument>,
    /// First day.
    pub since: NaiveDate,
    /// A sentence a clinician would accept.
    pub reason: String,
}

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

impl Attention {
    /// The place of a standing.
    pub fn of(standing: &Standing) -> Self {
        let reasons = reasons(standing);
        let first = reasons.iter().map(|r| (r.place.rank(), r.since)).min();
        let beside = || {
            let is_due = |f: &&Finding| {
                matches!(
                    f.rule,
                    Rule::AskItem9
                        | Rule::MeasureStale
                        | Rule::SubthresholdWorsened
                        | Rule::ContactOverdue
                        | Rule::InactivityDischargeProposed
                )
            };
            standing.findings.iter().filter(is_due).map(|f| (BESIDE_THE_QUEUE, f.since)).min()
        };
        let (rank, since) = first.or_else(beside).unwrap_or((NOTHING_DUE, standing.as_of));
        Self { rank, since, open_safety: reasons.iter().any(|r| r.place == QueuePlace::OpenSafety) }
    }
}

/// An episode in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueEntry {
    /// Why it is there: the first reason decides its place.
    pub place: QueuePlace,
    /// 1 is most pressing.
    pub rank: i16,
    /// Since when it waits in that place.
    pub waiting_since: NaiveDate,
    /// The latest score of the primary measure.
    pub latest_score: Option<u16>,
    /// Every reason, most pressing first.
    pub reasons: Vec<QueueReason>,
}

impl QueueEntry {
    /// `None` where nothing puts it into the queue.
    pub fn of(standing: &Standing) -> Option<Self> {
        let attention = Attention::of(standing);
        Some(Self {
            place: QueuePlace::of_rank(attention.rank)?,
            rank: attention.rank,
            waiting_since: attention.since,
            latest_score: standing.measures.first().and_then(|m| m.latest.as_ref()).map(|l| l.score),
            reasons: reasons(standing),
        })
    }
}

/// Why an episode is in the queue: every reason, most pressing first. Empty when it is not.
pub fn reasons(standing: &Standing) -> Vec<QueueReason> {
    if standing.status == Phase::Discharged {
        return Vec::new();
    }
    let mut reasons: Vec<QueueReason> = standing.findings.iter().filter_map(|f| of_finding(standing, f)).collect();
    if let Some(since) = standing.discussion_flag_since {
        let reason = format!("Flagged by hand for the weekly review on {since}.");
        reasons.push(QueueReason { place: QueuePlace::Flagged, rule: None, instrument: None, since, reason });
    }
    let in_treatment = matches!(standing.status, Phase::Active | Phase::RelapsePrevention);
    let enrolled_on = standing
        .day
        .and_then(|day| u64::try_from(day).ok())
        .and_then(|day| standing.as_of.checked_sub_days(Days::new(day)));
    if let (true, None, Some(since)) = (in_treatment, standing.reviewed_on, enrolled_on) {
        let reason = format!("Enrolled on {since} and not reviewed yet.");
        reasons.push(QueueReason { place: QueuePlace::NewWithoutReview, rule: None, instrument: None, since, reason });
    }
    reasons.sort_by_key(|r| (r.place.rank(), r.since, r.rule, r.instrument));
    reasons
}

fn of_finding(standing: &Standing, finding: &Finding) -> Option<QueueReason> {
    let (place, since) = match finding.rule {
        Rule::SafetyItem9High | Rule::SafetyItem9 => (QueuePlace::OpenSafety, finding.since),
        Rule::Worsening | Rule::Relapse => (QueuePlace::WorseningOrRelapse, finding.since),
        Rule::ReviewRequired => (QueuePlace::NonresponseWithoutReview, finding.since),
        Rule::Nonresponse | Rule::PersistentNonresponse => match unreviewed_since(standing, finding) {
            Some(since) => (QueuePlace::NonresponseWithoutReview, since),
            None => (QueuePlace::InadequateResponse, finding.since),
        },
        Rule::InadequateResponse => (QueuePlace::InadequateResponse, finding.since),
        Rule::Unmeasured => (QueuePlace::UnmeasuredOrRed, finding.since),
        Rule::ContactOverdue => (QueuePlace::UnmeasuredOrRed, red_since(standing, finding)?),
        Rule::Plateau => (QueuePlace::Plateau, finding.since),
        // Overdue recommendations rank like an overdue review; so does a review that is documented only in the chart.
        Rule::ReviewOverdue | Rule::ReviewUndocumented | Rule::RecommendationOverdue => {
            (QueuePlace::ReviewOverdue, finding.since)
        }
        Rule::RelapsePreventionSuggested | Rule::SustainedRemission => (QueuePlace::ReadyToStepDown, finding.since),
        _ => return None,
    };
    let reason = finding.reason.clone();
    Some(QueueReason { place, rule: Some(finding.rule), instrument: finding.instrument, since, reason })
}

/// R15: "without a review in 60 d".
pub(super) const REVIEWED_WITHIN_DAYS: u16 = 60;

/// Since when a nonresponse waits for a review; `None` if there was one lately.
fn unreviewed_since(standing: &Standing, finding: &Finding) -> Option<NaiveDate> {
    let Some(reviewed) = standing.reviewed_on else { return Some(finding.since) };
    let again = beyond(reviewed, REVIEWED_WITHIN_DAYS);
    (standing.as_of >= again).then(|| finding.since.max(again))
}

/// Since when a contact is not only overdue but red; `None` while it is amber.
fn red_since(standing: &Standing, finding: &Finding) -> Option<NaiveDate> {
    let threshold = |name: &str| finding.thresholds.get(name).copied();
    let more = threshold("contact_red_days")? - threshold("contact_amber_days")?;
    let red = finding.since + Days::new(u64::try_from(more).unwrap_or(0));
    (standing.as_of >= red).then_some(red)
}

#[cfg(test)]
mod tests;

//! What the rules conclude, with the numbers they compared: everything that a sentence says. Words: `sentence.rs`.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::instrument::Instrument;
use super::measurement::Supplement;
use super::rule::Rule;
use super::rules::{Cadence, Checkpoints};
use super::story::Score;

/// A score on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScorePoint {
    pub total: u16,
    pub on: NaiveDate,
}

impl From<&Score<'_>> for ScorePoint {
    fn from(score: &Score<'_>) -> Self {
        Self { total: score.total, on: score.on }
    }
}

/// How a score compares with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreChange {
    pub instrument: Instrument,
    pub latest: ScorePoint,
    /// The score it is compared with.
    pub from: ScorePoint,
}

/// A checkpoint of the plan clock that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachedCheckpoint {
    /// The day of the plan clock.
    pub day: u16,
    /// When the plan began.
    pub plan_start: NaiveDate,
    /// A score older than this is not judged.
    pub stale_after_days: u16,
}

/// Why a scale is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingScore {
    /// The last score is too old.
    Old {
        /// Older than so many days.
        days: u16,
    },
    /// There is none since the plan began.
    SincePlan(NaiveDate),
    /// There is none since treatment was resumed.
    SinceResumed(NaiveDate),
}

/// The last contact, or where there was none, the enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastContact {
    /// A treatment contact.
    On(NaiveDate),
    /// None since enrollment.
    NoneSince(NaiveDate),
}

/// What a form says about suicidal thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// The self-harm item was answered above "not at all".
    Answered(u8),
    /// A total without its items that cannot be reached without such an answer.
    Implied {
        /// The lowest answer that reaches it.
        at_least: u8,
        total: u16,
    },
    /// A question beside the scored ones was answered with yes.
    Supplement(Supplement),
    /// The answer was corrected downward, or withdrawn: somebody has to confirm it with the patient.
    Changed {
        /// The highest answer there was.
        from: u8,
        /// The answer now; `None` where the form was withdrawn.
        to: Option<u8>,
    },
}

/// Why the self-harm item has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskReason {
    /// It was left open.
    Open,
    /// It was answered, and the answer cannot be read.
    Unreadable,
    /// A severe total arrived without its items.
    SevereTotal(u16),
}

/// A conclusion of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    EarlyWatch {
        change: ScoreChange,
        at: ReachedCheckpoint,
        difference: u16,
    },
    InadequateResponse {
        change: ScoreChange,
        at: ReachedCheckpoint,
        difference: u16,
    },
    Nonresponse {
        change: ScoreChange,
        at: ReachedCheckpoint,
    },
    PersistentNonresponse {
        change: ScoreChange,
        at: ReachedCheckpoint,
    },
    ConsiderSpecialtyReferral {
        change: ScoreChange,
        at: ReachedCheckpoint,
        failed_plans: Option<usize>,
        plans_limit: u16,
    },
    MeasureStale {
        instrument: Instrument,
        last: Option<ScorePoint>,
        lack: MissingScore,
        limits: Checkpoints,
    },
    Unmeasured {
        instrument: Instrument,
        last: Option<ScorePoint>,
        asked_on: NaiveDate,
        limits: Checkpoints,
    },
    Worsened {
        change: ScoreChange,
        since: NaiveDate,
        difference: u16,
    },
    BecameSevere {
        change: ScoreChange,
        since: NaiveDate,
        severe_at: u16,
        difference: u16,
    },
    Relapse {
        change: ScoreChange,
        in_relapse_prevention: bool,
        elevated_at: u16,
        difference: u16,
    },
    Plateau {
        instrument: Instrument,
        first: ScorePoint,
        latest: ScorePoint,
        low: u16,
        high: u16,
        limits: PlateauLimits,
    },
    SustainedRemission {
        instrument: Instrument,
        first: ScorePoint,
        latest: ScorePoint,
        below: u16,
        span_days: u16,
    },
    SubthresholdWorsened {
        change: ScoreChange,
        elevated_at: u16,
        difference: u16,
    },
    RelapsePreventionSuggested {
        changes: Vec<ScoreChange>,
        since: NaiveDate,
        span_days: u16,
    },
    SafetyAnswer {
        high: bool,
        sentence: String,
        closed_in_chart_on: Option<NaiveDate>,
    },
    AskSelfHarm {
        sentence: String,
    },
    ContactDue {
        due: NaiveDate,
        last: LastContact,
        resumed_on: Option<NaiveDate>,
        days: u16,
    },
    ContactOverdue {
        last: LastContact,
        red: bool,
        red_on: NaiveDate,
        limits: Cadence,
    },
    InactivityDischargeProposed {
        as_of: NaiveDate,
        last: LastContact,
        days: u16,
    },
    MeasureOverdue {
        instrument: Instrument,
        last: Option<ScorePoint>,
        days: u16,
    },
    ReviewOverdue {
        last: Option<NaiveDate>,
        start: NaiveDate,
        days: u16,
    },
    ReviewRequired {
        instruments: Vec<Instrument>,
        last: Option<NaiveDate>,
        limits: Checkpoints,
    },
    ReviewUndocumented {
        completed_on: NaiveDate,
    },
    RecommendationOverdue {
        count: usize,
        since: NaiveDate,
        due_days: u16,
        referral_due_days: u16,
    },
    LowEngagement {
        attended: u32,
        scheduled: u32,
        percent: u16,
        min_scheduled: u16,
    },
}

/// The thresholds of a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlateauLimits {
    pub scores: u16,
    /// Over so many days.
    pub span_days: u16,
    /// Less than this apart.
    pub difference: u16,
}

impl Conclusion {
    /// The rule that speaks.
    pub fn rule(&self) -> Rule {
        match self {
            Self::EarlyWatch { .. } => Rule::EarlyWatch,
            Self::InadequateResponse { .. } => Rule::InadequateResponse,
            Self::Nonresponse { .. } => Rule::Nonresponse,
            Self::PersistentNonresponse { .. } => Rule::PersistentNonresponse,
            Self::ConsiderSpecialtyReferral { .. } => Rule::ConsiderSpecialtyReferral,
            Self::MeasureStale { .. } => Rule::MeasureStale,
            Self::Unmeasured { .. } => Rule::Unmeasured,
            Self::Worsened { .. } | Self::BecameSevere { .. } => Rule::Worsening,
            Self::Relapse { .. } => Rule::Relapse,
            Self::Plateau { .. } => Rule::Plateau,
            Self::SustainedRemission { .. } => Rule::SustainedRemission,
            Self::SubthresholdWorsened { .. } => Rule::SubthresholdWorsened,
            Self::RelapsePreventionSuggested { .. } => Rule::RelapsePreventionSuggested,
            Self::SafetyAnswer { high: true, .. } => Rule::SafetyItem9High,
            Self::SafetyAnswer { high: false, .. } => Rule::SafetyItem9,
            Self::AskSelfHarm { .. } => Rule::AskItem9,
            Self::ContactDue { .. } => Rule::ContactDue,
            Self::ContactOverdue { .. } => Rule::ContactOverdue,
            Self::InactivityDischargeProposed { .. } => Rule::InactivityDischargeProposed,
            Self::MeasureOverdue { .. } => Rule::MeasureOverdue,
            Self::ReviewOverdue { .. } => Rule::ReviewOverdue,
            Self::ReviewRequired { .. } => Rule::ReviewRequired,
            Self::ReviewUndocumented { .. } => Rule::ReviewUndocumented,
            Self::RecommendationOverdue { .. } => Rule::RecommendationOverdue,
            Self::LowEngagement { .. } => Rule::LowEngagement,
        }
    }

    /// The measure it speaks about; of several the first.
    pub fn instrument(&self) -> Option<Instrument> {
        match self {
            Self::EarlyWatch { change, .. }
            | Self::InadequateResponse { change, .. }
            | Self::Nonresponse { change, .. }
            | Self::PersistentNonresponse { change, .. }
            | Self::ConsiderSpecialtyReferral { change, .. }
            | Self::Worsened { change, .. }
            | Self::BecameSevere { change, .. }
            | Self::Relapse { change, .. }
            | Self::SubthresholdWorsened { change, .. } => Some(change.instrument),
            Self::MeasureStale { instrument, .. }
            | Self::Unmeasured { instrument, .. }
            | Self::Plateau { instrument, .. }
            | Self::SustainedRemission { instrument, .. }
            | Self::MeasureOverdue { instrument, .. } => Some(*instrument),
            Self::RelapsePreventionSuggested { changes, .. } => changes.first().map(|change| change.instrument),
            Self::ReviewRequired { instruments, .. } => instruments.first().copied(),
            Self::SafetyAnswer { .. }
            | Self::AskSelfHarm { .. }
            | Self::ContactDue { .. }
            | Self::ContactOverdue { .. }
            | Self::InactivityDischargeProposed { .. }
            | Self::ReviewOverdue { .. }
            | Self::ReviewUndocumented { .. }
            | Self::RecommendationOverdue { .. }
            | Self::LowEngagement { .. } => None,
        }
    }

    /// The numbers it was compared with, as the API shows them.
    pub fn thresholds(&self) -> BTreeMap<String, i64> {
        let checkpoint = |at: &ReachedCheckpoint| vec![("plan_day", at.day), ("stale_after_days", at.stale_after_days)];
        let with = |mut all: Vec<(&'static str, u16)>, more: &[(&'static str, u16)]| {
            all.extend_from_slice(more);
            all
        };
        let numbers: Vec<(&str, u16)> = match self {
            Self::EarlyWatch { at, difference, .. } | Self::InadequateResponse { at, difference, .. } => {
                with(checkpoint(at), &[("important_difference", *difference)])
            }
            Self::Nonresponse { at, .. } | Self::PersistentNonresponse { at, .. } => checkpoint(at),
            Self::ConsiderSpecialtyReferral { at, plans_limit, .. } => {
                with(checkpoint(at), &[("failed_plans", *plans_limit)])
            }
            Self::MeasureStale { limits, .. } | Self::Unmeasured { limits, .. } => vec![
                ("stale_after_days", limits.stale_after_days),
                ("unmeasured_after_days", limits.unmeasured_after_days),
            ],
            Self::Worsened { difference, .. } => vec![("important_difference", *difference)],
            Self::BecameSevere { severe_at, difference, .. } => {
                vec![("important_difference", *difference), ("severe_at", *severe_at)]
            }
            Self::Relapse { elevated_at, difference, .. }
            | Self::SubthresholdWorsened { elevated_at, difference, .. } => {
                vec![("elevated_at", *elevated_at), ("important_difference", *difference)]
            }
            Self::Plateau { limits, .. } => vec![
                ("plateau_scores", limits.scores),
                ("plateau_span_days", limits.span_days),
                ("important_difference", limits.difference),
            ],
            Self::SustainedRemission { below, span_days, .. } => {
                vec![("remission_below", *below), ("span_days", *span_days)]
            }
            Self::RelapsePreventionSuggested { span_days, .. } => vec![("span_days", *span_days)],
            Self::SafetyAnswer { .. } => vec![("item9", 1), ("item9_high", 2)],
            Self::AskSelfHarm { .. } | Self::ReviewUndocumented { .. } => Vec::new(),
            Self::ContactDue { days, .. } => vec![("contact_due_days", *days)],
            Self::ContactOverdue { limits, .. } => {
                vec![("contact_amber_days", limits.contact_amber_days), ("contact_red_days", limits.contact_red_days)]
            }
            Self::InactivityDischargeProposed { days, .. } => vec![("inactivity_days", *days)],
            Self::MeasureOverdue { days, .. } => vec![("measure_days", *days)],
            Self::ReviewOverdue { days, .. } => vec![("review_days", *days)],
            Self::ReviewRequired { limits, .. } => vec![
                ("review_required_day", limits.review_required_day),
                ("review_required_every_days", limits.review_required_every_days),
            ],
            Self::RecommendationOverdue { due_days, referral_due_days, .. } => {
                vec![("recommendation_due_days", *due_days), ("referral_due_days", *referral_due_days)]
            }
            Self::LowEngagement { percent, min_scheduled, .. } => {
                vec![("engagement_percent", *percent), ("engagement_min_scheduled", *min_scheduled)]
            }
        };
        numbers.into_iter().map(|(name, value)| (name.to_owned(), i64::from(value))).collect()
    }
}

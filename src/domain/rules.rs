//! The versioned rule set: every threshold that a clinic may set. Defaults and their sources: `rules/default.toml`.

mod faults;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::instrument::Instrument;
use super::task::{Owner, Priority};

/// One version of the thresholds. Days are whole calendar days in the clinic's time zone; scores are points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Name of the series.
    pub id: String,
    /// Version, for `If-Match`.
    pub version: u32,
    /// Definition of "at target" for one measure.
    pub at_target: AtTarget,
    /// R4.
    pub baseline: BaselineRules,
    /// R5, R6, per instrument.
    pub measures: BTreeMap<Instrument, InstrumentRules>,
    /// R8.
    pub checkpoints: Checkpoints,
    /// R9.
    pub trajectory: Trajectory,
    /// R10.
    pub safety: Safety,
    /// R11.
    pub cadence: Cadence,
    /// When a course of brief treatment is complete.
    #[serde(default)]
    pub brief_treatment: BriefTreatment,
    /// Rules for candidates.
    #[serde(default)]
    pub candidates: Candidates,
    /// Rules for recommendations.
    #[serde(default)]
    pub recommendations: Recommendations,
}

named! {
    /// Definition of "at target" for one measure.
    pub enum AtTarget {
        /// Response or remission.
        ResponseOrRemission = "response_or_remission",
        /// Clinically significant improvement.
        ClinicallySignificantImprovement = "clinically_significant_improvement",
    }
}

/// R4: where a baseline may come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineRules {
    /// Days from enrollment in which the first score is the baseline.
    pub window_days: u16,
    /// Days before enrollment in which a provisional baseline may lie.
    pub look_back_days: u16,
}

/// Definition of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ResponseRule {
    /// `"half"`: at least 50 % below baseline; exactly half counts.
    Half(Half),
    /// At least so many points below baseline.
    Points(u16),
}

named! {
    /// The word `half`.
    pub enum Half {
        /// At least 50 % below baseline.
        Half = "half",
    }
}

impl ResponseRule {
    /// Whether `latest` is a response to `baseline`.
    pub fn reached(self, baseline: u16, latest: u16) -> bool {
        match self {
            Self::Half(_) => 2 * u32::from(latest) <= u32::from(baseline),
            Self::Points(points) => u32::from(latest) + u32::from(points) <= u32::from(baseline),
        }
    }
}

/// R5, R6: the numbers of one instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstrumentRules {
    /// A baseline from here up is elevated.
    pub elevated_at: u16,
    /// A score below this is remission.
    pub remission_below: u16,
    /// A score below this is clinically significant improvement by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub improved_below: Option<u16>,
    /// Definition of response.
    pub response: ResponseRule,
    /// The minimal important difference.
    pub important_difference: u16,
    /// Crossing into this from below is worsening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severe_at: Option<u16>,
}

/// R8: the checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoints {
    pub early_watch_day: u16,
    pub inadequate_response_day: u16,
    pub nonresponse_day: u16,
    pub review_due_days: u16,
    pub review_required_day: u16,
    pub review_required_every_days: u16,
    pub persistent_nonresponse_day: u16,
    pub specialty_referral_day: u16,
    pub specialty_referral_failed_plans: u16,
    pub stale_after_days: u16,
    pub unmeasured_after_days: u16,
}

/// R9: trajectories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    pub plateau_day: u16,
    pub plateau_scores: u16,
    pub plateau_span_days: u16,
    pub sustained_remission_span_days: u16,
    pub remeasure_after_relapse_days: u16,
}

/// R10: safety. There is no switch to turn it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    pub due_days: u16,
    pub routine_due_days: u16,
    pub repeat_days: u16,
    #[serde(default = "default_escalation")]
    pub escalation: Vec<EscalationStep>,
}

/// One step of the escalation of a safety concern that is past due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationStep {
    /// On which day after the due date: 1 is the first day past due. Whole days, because plans are made for dates.
    pub days_past_due: u16,
    /// Role to notify.
    pub to: Owner,
    /// How urgent at the least; never below the concern's own priority.
    pub priority: Priority,
}

/// Default for rule sets stored before escalation existed. The built-in rule set has it in its file.
fn default_escalation() -> Vec<EscalationStep> {
    DEFAULT.safety.escalation.clone()
}

/// Rules for recommendations and their outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recommendations {
    pub due_days: u16,
    pub referral_due_days: u16,
    pub outcome_after_days: u16,
}

/// Default for rule sets stored before these rules existed. The built-in rule set has them in its file.
impl Default for Recommendations {
    fn default() -> Self {
        DEFAULT.recommendations.clone()
    }
}

/// R11: cadence and engagement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    pub first_contact_days: u16,
    pub contact_active_days: u16,
    pub contact_relapse_prevention_days: u16,
    pub contact_amber_days: u16,
    pub contact_red_days: u16,
    pub inactivity_days: u16,
    pub measure_active_days: u16,
    pub measure_relapse_prevention_days: u16,
    pub review_first_days: u16,
    pub review_active_days: u16,
    pub review_relapse_prevention_days: u16,
    pub engagement_percent: u16,
    pub engagement_min_scheduled: u16,
}

/// When a course of brief treatment is complete: so many sessions in so many days from the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BriefTreatment {
    pub sessions: u16,
    pub within_days: u16,
}

impl Default for BriefTreatment {
    /// For rule sets that are older than this section.
    fn default() -> Self {
        DEFAULT.brief_treatment.clone()
    }
}

/// Rules for candidates for enrollment; R5 defines "elevated".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidates {
    pub look_back_days: u16,
}

impl Default for Candidates {
    /// For rule sets that are older than this section.
    fn default() -> Self {
        DEFAULT.candidates.clone()
    }
}

#[expect(clippy::expect_used, reason = "the file is compiled in; the test below reads it")]
static DEFAULT: LazyLock<RuleSet> =
    LazyLock::new(|| toml::from_str(include_str!("rules/default.toml")).expect("rules/default.toml is a rule set"));

impl Default for RuleSet {
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl RuleSet {
    /// The numbers of an instrument; an instrument left out of a rule set keeps its defaults.
    pub fn measure(&self, instrument: Instrument) -> &InstrumentRules {
        static NONE: LazyLock<InstrumentRules> = LazyLock::new(|| InstrumentRules {
            elevated_at: u16::MAX,
            remission_below: 0,
            improved_below: None,
            response: ResponseRule::Half(Half::Half),
            important_difference: u16::MAX,
            severe_at: None,
        });
        self.measures.get(&instrument).or_else(|| DEFAULT.measures.get(&instrument)).unwrap_or(&NONE)
    }

    pub fn label(&self) -> String {
        format!("{}/{}", self.id, self.version)
    }
}

#[cfg(test)]
mod tests;

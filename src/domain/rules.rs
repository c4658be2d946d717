//! The versioned rule set: every threshold that a clinic may set. Defaults and their sources: `rules/default.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::instrument::Instrument;
use super::plan::{Owner, Priority};

/// One version of the thresholds. Days are whole calendar days in the clinic's time zone; scores are points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Name of the series.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// What "at target" means for one measure.
    pub at_target: AtTarget,
    /// R4.
    pub baseline: Baseline,
    /// R5, R6, per instrument.
    pub measures: BTreeMap<Instrument, Measure>,
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
    /// Who is listed as a candidate.
    #[serde(default)]
    pub candidates: Candidates,
    /// What a case review recommends.
    #[serde(default)]
    pub recommendations: Recommendations,
}

named! {
    /// What "at target" means for one measure.
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
pub struct Baseline {
    /// Days from enrolment in which the first score is the baseline.
    pub window_days: u16,
    /// Days before enrolment in which a provisional baseline may lie.
    pub look_back_days: u16,
}

/// What counts as a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Response {
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

impl Response {
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
pub struct Measure {
    /// A baseline from here up is elevated.
    pub elevated_at: u16,
    /// A score below this is remission.
    pub remission_below: u16,
    /// A score below this is clinically significant improvement by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub improved_below: Option<u16>,
    /// What counts as a response.
    pub response: Response,
    /// The minimal important difference.
    pub important_difference: u16,
    /// Crossing into this from below is worsening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severe_at: Option<u16>,
}

/// R8: the checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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
    /// Who is told.
    pub to: Owner,
    /// How urgent at the least; never below the concern's own priority.
    pub priority: Priority,
}

/// Of a rule set that was stored before there was a chain. The built-in one has it in its file.
fn default_escalation() -> Vec<EscalationStep> {
    DEFAULT.safety.escalation.clone()
}

/// What a case review recommends, and what came after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
pub struct Recommendations {
    pub due_days: u16,
    pub referral_due_days: u16,
    pub outcome_after_days: u16,
}

/// Of a rule set that was stored before there were any. The built-in one has them in its file.
impl Default for Recommendations {
    fn default() -> Self {
        DEFAULT.recommendations.clone()
    }
}

/// R11: cadence and engagement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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

/// Who is listed as a candidate for enrolment; what is elevated says R5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is explained beside its default in rules/default.toml")]
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

/// Longer than any course of collaborative care, in days.
const MOST_DAYS: u64 = 1000;

/// A chain that begins later than this, in days past due, or goes on for longer, puts safety off.
const ESCALATION_BEGINS_BY: u16 = 2;
const ESCALATION_ENDS_BY: u16 = 14;

impl RuleSet {
    /// The numbers of an instrument; an instrument left out of a rule set keeps its defaults.
    pub fn measure(&self, instrument: Instrument) -> &Measure {
        static NONE: LazyLock<Measure> = LazyLock::new(|| Measure {
            elevated_at: u16::MAX,
            remission_below: 0,
            improved_below: None,
            response: Response::Half(Half::Half),
            important_difference: u16::MAX,
            severe_at: None,
        });
        self.measures.get(&instrument).or_else(|| DEFAULT.measures.get(&instrument)).unwrap_or(&NONE)
    }

    /// `default/1`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.id, self.version)
    }

    /// What makes this rule set unusable: each a sentence. Empty when it may be activated.
    pub fn faults(&self) -> Vec<String> {
        let c = &self.checkpoints;
        let mut faults = Vec::new();
        let mut need = |holds: bool, sentence: &str| {
            if !holds {
                faults.push(sentence.to_owned());
            }
        };
        need(self.safety.due_days <= 1, "safety.due_days must be 0 or 1: safety cannot be put off");
        need(self.safety.repeat_days <= 30, "safety.repeat_days must be at most 30");
        need(self.safety.routine_due_days <= 30, "safety.routine_due_days must be at most 30");
        self.safety.escalation_faults(&mut need);
        need(
            c.early_watch_day < c.inadequate_response_day
                && c.inadequate_response_day < c.nonresponse_day
                && c.nonresponse_day < c.persistent_nonresponse_day
                && c.persistent_nonresponse_day < c.specialty_referral_day,
            "the checkpoints must follow each other: early watch, inadequate response, nonresponse, persistent, referral",
        );
        let k = &self.cadence;
        need(
            k.contact_amber_days < k.contact_red_days && k.contact_red_days <= k.inactivity_days,
            "cadence: contact_amber_days < contact_red_days ≤ inactivity_days",
        );
        for (section, rules) in [
            ("baseline", serde_json::to_value(&self.baseline)),
            ("checkpoints", serde_json::to_value(c)),
            ("trajectory", serde_json::to_value(&self.trajectory)),
            ("cadence", serde_json::to_value(k)),
            ("brief_treatment", serde_json::to_value(&self.brief_treatment)),
            ("candidates", serde_json::to_value(&self.candidates)),
            ("recommendations", serde_json::to_value(&self.recommendations)),
        ] {
            for (name, days) in rules.ok().as_ref().and_then(serde_json::Value::as_object).into_iter().flatten() {
                let in_range = days.as_u64().is_some_and(|days| days <= MOST_DAYS);
                need(in_range, &format!("{section}.{name} must be at most {MOST_DAYS}"));
            }
        }
        need(c.stale_after_days > 0, "checkpoints.stale_after_days must be above 0");
        need(self.trajectory.plateau_scores >= 2, "trajectory.plateau_scores must be at least 2");
        need(self.cadence.engagement_percent <= 100, "cadence.engagement_percent is a percentage");
        need((1..=50).contains(&self.brief_treatment.sessions), "brief_treatment.sessions must be 1 to 50");
        for (instrument, measure) in &self.measures {
            need(
                measure.elevated_at <= instrument.max_total() && measure.remission_below <= measure.elevated_at,
                &format!("{instrument}: remission_below ≤ elevated_at ≤ the highest possible score"),
            );
            need(
                (1..=instrument.max_total()).contains(&measure.important_difference),
                &format!("{instrument}: important_difference must be above 0, up to the highest possible score"),
            );
            let points = if let Response::Points(points) = measure.response { points } else { 1 };
            need(
                (1..=instrument.max_total()).contains(&points),
                &format!("{instrument}: response must be \"half\" or points above 0, up to the highest possible score"),
            );
        }
        faults
    }
}

impl Safety {
    /// A chain that tells nobody, or tells them late, would switch safety off.
    fn escalation_faults(&self, need: &mut impl FnMut(bool, &str)) {
        let chain = &self.escalation;
        need(
            chain.iter().any(|step| step.to != Owner::CareManager),
            "safety.escalation must reach somebody besides the care manager",
        );
        need(
            chain.first().is_none_or(|step| (1..=ESCALATION_BEGINS_BY).contains(&step.days_past_due)),
            "safety.escalation must begin 1 or 2 days past due",
        );
        need(
            chain.iter().all(|step| step.days_past_due <= ESCALATION_ENDS_BY)
                && chain.is_sorted_by_key(|step| step.days_past_due),
            "safety.escalation must be in order of days_past_due, up to 14",
        );
        need(
            chain.iter().all(|step| step.priority != Priority::Routine),
            "safety.escalation: what is past due is urgent or stat, never routine",
        );
        need(
            chain.iter().enumerate().all(|(i, step)| chain[..i].iter().all(|earlier| earlier.to != step.to)),
            "safety.escalation must name each recipient once",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_default_rule_set_reads_and_has_no_fault() {
        assert_eq!(RuleSet::default().faults(), Vec::<String>::new());
        assert_eq!(RuleSet::default().label(), "default/1");
    }

    #[test]
    fn a_rule_set_from_before_a_section_was_added_reads_with_its_defaults() {
        let mut old = serde_json::to_value(RuleSet::default()).unwrap();
        for section in ["brief_treatment", "candidates"] {
            old.as_object_mut().unwrap().remove(section);
        }
        assert_eq!(serde_json::from_value::<RuleSet>(old).unwrap(), RuleSet::default());
    }

    #[test]
    fn exactly_half_is_a_response_and_one_point_more_is_not() {
        let half = Response::Half(Half::Half);
        assert!(half.reached(20, 10));
        assert!(!half.reached(20, 11));
        assert!(half.reached(15, 7));
        assert!(!half.reached(15, 8));
        assert!(Response::Points(12).reached(40, 28));
        assert!(!Response::Points(12).reached(40, 29));
    }

    type Set = fn(&mut RuleSet, u16);

    #[test]
    fn a_threshold_that_makes_no_sense_is_refused_with_one_sentence() {
        // The last value that may be activated, and the first that may not.
        let limits: [(&str, Set, u16, u16); 23] = [
            ("safety due the day after tomorrow", |r, n| r.safety.due_days = n, 1, 2),
            ("the same level again after a month", |r, n| r.safety.repeat_days = n, 30, 31),
            ("a routine assessment after a month", |r, n| r.safety.routine_due_days = n, 30, 31),
            ("an escalation after two weeks", |r, n| r.safety.escalation.last_mut().unwrap().days_past_due = n, 14, 15),
            ("week 4 with week 6", |r, n| r.checkpoints.early_watch_day = n, 41, 42),
            ("week 6 before week 4", |r, n| r.checkpoints.inadequate_response_day = n, 29, 28),
            ("week 6 with week 8", |r, n| r.checkpoints.inadequate_response_day = n, 55, 56),
            ("week 8 with week 12", |r, n| r.checkpoints.nonresponse_day = n, 83, 84),
            ("week 12 with week 20", |r, n| r.checkpoints.persistent_nonresponse_day = n, 139, 140),
            ("amber with red", |r, n| r.cadence.contact_amber_days = n, 59, 60),
            ("red after inactivity", |r, n| r.cadence.contact_red_days = n, 90, 91),
            ("years", |r, n| r.candidates.look_back_days = n, 1000, 1001),
            ("no score is ever stale", |r, n| r.checkpoints.stale_after_days = n, 1, 0),
            ("a plateau of one score", |r, n| r.trajectory.plateau_scores = n, 2, 1),
            ("more than all contacts", |r, n| r.cadence.engagement_percent = n, 100, 101),
            ("a treatment of no session", |r, n| r.brief_treatment.sessions = n, 1, 0),
            ("a treatment of many sessions", |r, n| r.brief_treatment.sessions = n, 50, 51),
            ("a threshold above the scale", |r, n| phq9(r).elevated_at = n, 27, 28),
            ("remission above elevation", |r, n| phq9(r).remission_below = n, 10, 11),
            ("no difference that matters", |r, n| phq9(r).important_difference = n, 1, 0),
            ("a difference above the scale", |r, n| phq9(r).important_difference = n, 27, 28),
            ("a response of no point", |r, n| phq9(r).response = Response::Points(n), 1, 0),
            ("a response above the scale", |r, n| phq9(r).response = Response::Points(n), 27, 28),
        ];
        for (what, set, good, bad) in limits {
            let faults = |n| {
                let mut rules = RuleSet::default();
                set(&mut rules, n);
                rules.faults()
            };
            assert_eq!(faults(good), Vec::<String>::new(), "{what}");
            assert_eq!(faults(bad).len(), 1, "{what}: {:?}", faults(bad));
        }
    }

    fn phq9(rules: &mut RuleSet) -> &mut Measure {
        rules.measures.get_mut(&Instrument::Phq9).unwrap()
    }

    #[test]
    fn an_instrument_without_numbers_has_the_built_in_ones() {
        let mut rules = RuleSet::default();
        rules.measures.clear();
        assert_eq!(rules.measure(Instrument::Gad7).important_difference, 4);
    }

    #[rstest]
    #[case::without_steps(&[], "must reach somebody besides the care manager")]
    #[case::that_reminds_only_the_care_manager(&[(1, Owner::CareManager, Priority::Stat)], "besides the care manager")]
    #[case::that_begins_before_the_due_date_has_passed(&[(0, Owner::PrimaryCareProvider, Priority::Stat)], "must begin")]
    #[case::that_begins_late(&[(3, Owner::PrimaryCareProvider, Priority::Stat)], "must begin")]
    #[case::that_goes_on_for_weeks(
        &[(1, Owner::PrimaryCareProvider, Priority::Stat), (15, Owner::PsychiatricConsultant, Priority::Stat)],
        "up to 14"
    )]
    #[case::out_of_order(
        &[(2, Owner::PrimaryCareProvider, Priority::Stat), (1, Owner::PsychiatricConsultant, Priority::Stat)],
        "in order"
    )]
    #[case::that_is_routine(&[(1, Owner::PrimaryCareProvider, Priority::Routine)], "never routine")]
    #[case::that_names_one_twice(
        &[(1, Owner::PrimaryCareProvider, Priority::Urgent), (2, Owner::PrimaryCareProvider, Priority::Stat)],
        "each recipient once"
    )]
    fn an_escalation_that_would_switch_safety_off_is_refused(
        #[case] chain: &[(u16, Owner, Priority)],
        #[case] fault: &str,
    ) {
        let mut rules = RuleSet::default();
        let step = |(days_past_due, to, priority)| EscalationStep { days_past_due, to, priority };
        rules.safety.escalation = chain.iter().copied().map(step).collect();
        let faults = rules.faults();
        assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
    }

    #[test]
    fn a_rule_set_stored_by_an_earlier_release_has_the_built_in_rest() {
        let mut stored = serde_json::to_value(RuleSet::default()).unwrap();
        stored["safety"].as_object_mut().unwrap().remove("escalation");
        stored.as_object_mut().unwrap().remove("recommendations");
        assert_eq!(serde_json::from_value::<RuleSet>(stored).unwrap(), RuleSet::default());
    }
}

//! Checks of a rule set: a clinic may set thresholds, but may not switch off what keeps patients safe.

use super::{ResponseRule, RuleSet, Safety};
use crate::domain::task::{Owner, Priority};

/// Longer than any course of collaborative care, in days.
const MOST_DAYS: u64 = 1000;

/// A chain that begins later than this, in days past due, or goes on for longer, puts safety off.
const ESCALATION_BEGINS_BY: u16 = 2;
const ESCALATION_ENDS_BY: u16 = 14;

impl RuleSet {
    /// Faults of this rule set, each a sentence. Empty if it may be activated.
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
            let points = if let ResponseRule::Points(points) = measure.response { points } else { 1 };
            need(
                (1..=instrument.max_total()).contains(&points),
                &format!("{instrument}: response must be \"half\" or points above 0, up to the highest possible score"),
            );
        }
        faults
    }
}

impl Safety {
    /// An escalation without steps, or with late ones, would switch safety off.
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

//! Whether the model fits a patient, and the plan that patient and team share.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::instrument::Instrument;

named! {
    /// A reason to think of direct specialty care: collaborative care is not built for it.
    pub enum FitConcern {
        /// Acute risk to the patient or to others.
        AcuteRisk = "acute_risk",
        Psychosis = "psychosis",
        /// Mania, now or before.
        Mania = "mania",
        /// Severe substance use.
        SevereSubstanceUse = "severe_substance_use",
        /// A cognitive impairment that stands in the way.
        Cognitive = "cognitive",
        /// Another one; the reason says which.
        Other = "other",
    }
}

named! {
    /// Decision about the fit.
    pub enum FitDecision {
        /// Collaborative care fits.
        Suitable = "suitable",
        /// Direct specialty care is the place.
        SpecialtyCare = "specialty_care",
    }
}

/// A documented fit check. A person decides; the registry keeps why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FitCheck {
    /// Concerns that speak for direct specialty care; each at most once.
    pub concerns: Vec<FitConcern>,
    /// The decision.
    pub decision: FitDecision,
    /// Why; needed where a concern is named and the patient is suitable all the same, and for specialty care.
    pub reason: Option<String>,
    /// Decision maker.
    pub by: String,
}

impl FitCheck {
    /// Reason why this cannot be stored: a sentence about `reason`.
    pub fn fault(&self) -> Option<&'static str> {
        match (self.decision, &self.reason) {
            (_, Some(_)) => None,
            (FitDecision::Suitable, None) if self.concerns.is_empty() => None,
            (FitDecision::Suitable, None) => Some("a concern is named: say why the patient is suitable all the same"),
            (FitDecision::SpecialtyCare, None) => Some("say why direct specialty care is the place"),
        }
    }
}

/// A goal of the patient, in their own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Goal {
    /// In the patient's words.
    pub text: String,
    /// Due date.
    pub by: Option<NaiveDate>,
    /// When it was reached.
    pub reached_on: Option<NaiveDate>,
}

/// A treatment target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreatmentTarget {
    /// Instrument of the target.
    pub instrument: Instrument,
    /// At most so many points.
    pub at_most: u16,
    /// Due date.
    pub by: Option<NaiveDate>,
}

/// A planned intervention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedIntervention {
    /// A known intervention, or free text.
    pub intervention: String,
    /// How and how often.
    pub detail: Option<String>,
    /// Person or role who delivers it.
    pub who: Option<String>,
}

/// A planned medication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedMedication {
    /// Name of the medication.
    pub name: String,
    /// How much and when, in words.
    pub dose: Option<String>,
    /// Note.
    pub note: Option<String>,
}

/// Responsibilities in the care team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Responsibility {
    /// Role or name of the responsible person.
    pub who: String,
    /// The object, such as `QuestionnaireResponse/123`.
    pub what: String,
}

/// The plan that patient and team share. Each is a whole plan and the next version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedCarePlan {
    /// Problems under treatment.
    pub problems: Vec<String>,
    /// The patient's own goals.
    pub goals: Vec<Goal>,
    /// Treatment targets; each instrument at most once.
    pub targets: Vec<TreatmentTarget>,
    /// Planned interventions.
    pub interventions: Vec<PlannedIntervention>,
    /// Planned medication.
    pub medication: Vec<PlannedMedication>,
    /// Responsibilities in the care team.
    pub responsibilities: Vec<Responsibility>,
    /// Note.
    pub note: Option<String>,
    /// Author of the plan.
    pub by: String,
    /// The version its writer had before them, where they said so: refused if that is not the last one any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<i64>,
}

impl SharedCarePlan {
    /// Whether nothing is planned in it.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
            && self.goals.is_empty()
            && self.targets.is_empty()
            && self.interventions.is_empty()
            && self.medication.is_empty()
            && self.responsibilities.is_empty()
            && self.note.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concern_asks_for_a_reason_and_so_does_specialty_care() {
        let fit = |concerns: &[FitConcern], decision, reason: Option<&str>| FitCheck {
            concerns: concerns.to_vec(),
            decision,
            reason: reason.map(str::to_owned),
            by: "Kim".into(),
        };
        assert_eq!(fit(&[], FitDecision::Suitable, None).fault(), None);
        assert!(fit(&[FitConcern::Mania], FitDecision::Suitable, None).fault().is_some());
        assert_eq!(fit(&[FitConcern::Mania], FitDecision::Suitable, Some("in remission")).fault(), None);
        assert!(fit(&[], FitDecision::SpecialtyCare, None).fault().is_some());
    }

    #[test]
    fn a_care_plan_with_one_thing_in_it_is_a_plan_whoever_wrote_it() {
        let nothing = SharedCarePlan { by: "Kim".into(), replaces: Some(1), ..SharedCarePlan::default() };
        assert!(nothing.is_empty());
        let with = |part: &str, value: serde_json::Value| {
            let mut plan = serde_json::to_value(&nothing).unwrap();
            plan[part] = value;
            serde_json::from_value::<SharedCarePlan>(plan).unwrap()
        };
        for plan in [
            with("problems", serde_json::json!(["depression"])),
            with("goals", serde_json::json!([{"text": "walk every day"}])),
            with("targets", serde_json::json!([{"instrument": "phq9", "at_most": 4}])),
            with("interventions", serde_json::json!([{"intervention": "behavioural_activation"}])),
            with("medication", serde_json::json!([{"name": "Sertraline"}])),
            with("responsibilities", serde_json::json!([{"who": "Kim", "what": "calls"}])),
            with("note", serde_json::json!("in Spanish")),
        ] {
            assert!(!plan.is_empty(), "{plan:?}");
        }
    }
}

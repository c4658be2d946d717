//! Treatment: interventions and medication changes.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

named! {
    /// Interventions of care managers that have a name. Free text is accepted, too.
    pub enum Intervention {
        /// Behavioral activation: a brief treatment.
        BehavioralActivation = "behavioural_activation",
        /// Problem-solving treatment (PST-PC): a brief treatment.
        ProblemSolvingTreatment = "problem_solving_treatment",
        /// Cognitive behavioral therapy: a brief treatment.
        CognitiveBehavioralTherapy = "cognitive_behavioural_therapy",
        /// Interpersonal counseling or therapy: a brief treatment.
        InterpersonalCounseling = "interpersonal_counselling",
        /// Taking medication as intended: effects, side effects, adherence.
        MedicationSupport = "medication_support",
        /// Explaining the illness and its treatment.
        Psychoeducation = "psychoeducation",
        /// Motivational interviewing.
        MotivationalInterviewing = "motivational_interviewing",
        /// Relaxation, breathing, mindfulness.
        Relaxation = "relaxation",
        SleepHygiene = "sleep_hygiene",
        SafetyPlanning = "safety_planning",
        /// Arranging care with others.
        CareCoordination = "care_coordination",
        /// Housing, food, work, transport.
        SocialNeeds = "social_needs",
        /// How to notice and answer a relapse.
        RelapsePrevention = "relapse_prevention",
    }
}

impl Intervention {
    /// The intervention in words, for documents and pages.
    pub fn words(self) -> &'static str {
        match self {
            Self::BehavioralActivation => "behavioral activation",
            Self::ProblemSolvingTreatment => "problem-solving treatment",
            Self::CognitiveBehavioralTherapy => "cognitive behavioral therapy",
            Self::InterpersonalCounseling => "interpersonal counseling",
            Self::MedicationSupport => "medication support",
            Self::Psychoeducation => "psychoeducation",
            Self::MotivationalInterviewing => "motivational interviewing",
            Self::Relaxation => "relaxation",
            Self::SleepHygiene => "sleep hygiene",
            Self::SafetyPlanning => "safety planning",
            Self::CareCoordination => "care coordination",
            Self::SocialNeeds => "social needs",
            Self::RelapsePrevention => "relapse prevention",
        }
    }

    /// The known intervention that somebody's words name: its code in any spelling, or its usual abbreviation.
    pub fn named(words: &str) -> Option<Self> {
        let code: String = words
            .trim()
            .to_lowercase()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' })
            .collect::<String>()
            .replace("behavior", "behaviour")
            .replace("counseling", "counselling");
        match code.as_str() {
            "ba" => Some(Self::BehavioralActivation),
            "pst" | "pst_pc" | "problem_solving" | "problem_solving_therapy" => Some(Self::ProblemSolvingTreatment),
            "cbt" => Some(Self::CognitiveBehavioralTherapy),
            "ipc" | "ipt" | "interpersonal_therapy" | "interpersonal_psychotherapy" => {
                Some(Self::InterpersonalCounseling)
            }
            "mi" => Some(Self::MotivationalInterviewing),
            "medication_management" | "medication_monitoring" => Some(Self::MedicationSupport),
            code => code.parse().ok(),
        }
    }

    /// Whether it is a brief treatment: a course of sessions that has an end.
    pub fn is_brief_treatment(self) -> bool {
        matches!(
            self,
            Self::BehavioralActivation
                | Self::ProblemSolvingTreatment
                | Self::CognitiveBehavioralTherapy
                | Self::InterpersonalCounseling
        )
    }
}

named! {
    /// Kind of a medication change.
    pub enum MedicationAct {
        Started = "started",
        Stopped = "stopped",
        DoseIncreased = "dose_increased",
        DoseDecreased = "dose_decreased",
        /// Taken instead of another one.
        Switched = "switched",
    }
}

/// One medication that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MedicationChange {
    /// Name of the medication; of a switch, the new one.
    pub name: String,
    /// Kind of change.
    pub change: MedicationAct,
    /// The dose from now on, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<String>,
    /// Previous medication of a switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl MedicationChange {
    /// A phrase: `Sertraline, dose increased: 100 mg`.
    pub fn phrase(&self) -> String {
        let mut phrase = format!("{}, {}", self.name, self.change.as_str().replace('_', " "));
        if let Some(before) = &self.instead_of {
            phrase.push_str(" from ");
            phrase.push_str(before);
        }
        if let Some(dose) = &self.dose {
            phrase.push_str(": ");
            phrase.push_str(dose);
        }
        phrase
    }
}

/// Whether an appointment may be on that day: after the contact that made it, within a year.
pub fn may_be_next(contact: NaiveDate, next: NaiveDate) -> bool {
    next > contact && (next - contact).num_days() <= 366
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_treatment_is_known_in_any_spelling_and_free_words_are_nothing_known() {
        for words in ["behavioural_activation", "Behavioral Activation", " BA ", "behavioural-activation"] {
            assert_eq!(Intervention::named(words), Some(Intervention::BehavioralActivation), "{words}");
        }
        assert_eq!(Intervention::named("PST-PC"), Some(Intervention::ProblemSolvingTreatment));
        assert_eq!(Intervention::named("went for a walk together"), None);
        assert!(!Intervention::MedicationSupport.is_brief_treatment());
    }

    #[test]
    fn the_next_appointment_is_after_this_contact_and_within_a_year() {
        let day = |days: u64| NaiveDate::from_ymd_opt(2026, 1, 5).unwrap() + chrono::Days::new(days);
        let may = |days| may_be_next(day(0), day(days));
        assert_eq!([may(0), may(1), may(366), may(367)], [false, true, true, false]);
        assert!(!may_be_next(day(1), day(0)));
    }

    #[test]
    fn a_change_of_medication_reads_as_it_is_said() {
        let change = |instead_of: Option<&str>, dose: Option<&str>, change| MedicationChange {
            name: "Sertraline".into(),
            change,
            dose: dose.map(str::to_owned),
            instead_of: instead_of.map(str::to_owned),
            note: None,
        };
        assert_eq!(
            change(None, Some("100 mg"), MedicationAct::DoseIncreased).phrase(),
            "Sertraline, dose increased: 100 mg"
        );
        assert_eq!(
            change(Some("fluoxetine"), None, MedicationAct::Switched).phrase(),
            "Sertraline, switched from fluoxetine"
        );
    }
}

//! A care plan as somebody sends it, and what is kept of it.

use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::request::{RequestContext, RequiredText, plausible, words};
use crate::domain::care::plan::{Goal, PlannedIntervention, PlannedMedication, Responsibility, TreatmentTarget};
use crate::domain::care::{Intervention, SharedCarePlan};
use crate::domain::instrument::Instrument;
use crate::problem::Problem;

/// More than anybody reads.
const MOST: usize = 50;

/// A care plan, as a whole. At most 50 items in each list; something must be in it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCarePlan {
    /// The local date it is of; today where it is left out.
    pub on: Option<NaiveDate>,
    /// Problems under treatment.
    #[serde(default)]
    problems: Vec<RequiredText>,
    /// The patient's own goals.
    #[serde(default)]
    goals: Vec<NewGoal>,
    /// Treatment targets; each instrument at most once.
    #[serde(default)]
    targets: Vec<NewTarget>,
    /// Planned interventions.
    #[serde(default)]
    interventions: Vec<NewIntervention>,
    /// Planned medication.
    #[serde(default)]
    medication: Vec<NewMedication>,
    /// Responsibilities in the care team.
    #[serde(default)]
    responsibilities: Vec<NewResponsibility>,
    /// Note.
    note: Option<RequiredText>,
    /// Author; the caller if omitted.
    by: Option<RequiredText>,
}

/// A goal of the patient.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGoal {
    /// In the patient's words.
    text: RequiredText,
    /// Due date.
    by: Option<NaiveDate>,
    /// When it was reached.
    reached_on: Option<NaiveDate>,
}

/// A treatment target.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    /// Instrument of the target.
    instrument: Instrument,
    /// At most so many points.
    at_most: u16,
    /// Due date.
    by: Option<NaiveDate>,
}

/// A planned intervention.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewIntervention {
    /// A known intervention (schema `Intervention`), or free text.
    intervention: RequiredText,
    /// How and how often.
    detail: Option<RequiredText>,
    /// Person or role who delivers it.
    who: Option<RequiredText>,
}

/// A planned medication.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMedication {
    /// Name of the medication.
    name: RequiredText,
    /// How much and when, in words.
    dose: Option<RequiredText>,
    /// Note.
    note: Option<RequiredText>,
}

/// Responsibilities in the care team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewResponsibility {
    /// Role or name of the responsible person.
    who: RequiredText,
    /// The object, such as `QuestionnaireResponse/123`.
    what: RequiredText,
}

fn date(on: Option<NaiveDate>, field: impl FnOnce() -> String) -> Result<(), Problem> {
    match on {
        Some(on) if !plausible(on) => Err(Problem::unprocessable("a date between 1900 and 2200").at(field())),
        _ => Ok(()),
    }
}

impl NewCarePlan {
    /// The plan to store.
    pub fn plan(self, call: &RequestContext) -> Result<SharedCarePlan, Problem> {
        for (name, many) in [
            ("problems", self.problems.len()),
            ("goals", self.goals.len()),
            ("targets", self.targets.len()),
            ("interventions", self.interventions.len()),
            ("medication", self.medication.len()),
            ("responsibilities", self.responsibilities.len()),
        ] {
            if many > MOST {
                return Err(Problem::unprocessable(format!("at most {MOST}")).at(name));
            }
        }
        for (n, goal) in self.goals.iter().enumerate() {
            date(goal.by, || format!("goals[{n}].by"))?;
            date(goal.reached_on, || format!("goals[{n}].reached_on"))?;
        }
        for (n, target) in self.targets.iter().enumerate() {
            date(target.by, || format!("targets[{n}].by"))?;
            let most = target.instrument.max_total();
            if target.at_most > most {
                let detail = format!("a total of {} is 0 to {most}", target.instrument);
                return Err(Problem::unprocessable(detail).at(format!("targets[{n}].at_most")));
            }
            if self.targets[..n].iter().any(|before| before.instrument == target.instrument) {
                return Err(Problem::unprocessable("each measure once").at(format!("targets[{n}].instrument")));
            }
        }
        let known = |text: RequiredText| Intervention::named(&text.0).map_or(text.0, |known| known.to_string());
        let targets = self.targets.into_iter();
        let plan = SharedCarePlan {
            problems: self.problems.into_iter().map(|text| text.0).collect(),
            goals: self
                .goals
                .into_iter()
                .map(|goal| Goal { text: goal.text.0, by: goal.by, reached_on: goal.reached_on })
                .collect(),
            targets: targets
                .map(|t| TreatmentTarget { instrument: t.instrument, at_most: t.at_most, by: t.by })
                .collect(),
            interventions: self
                .interventions
                .into_iter()
                .map(|i| PlannedIntervention {
                    intervention: known(i.intervention),
                    detail: words(i.detail),
                    who: words(i.who),
                })
                .collect(),
            medication: self
                .medication
                .into_iter()
                .map(|m| PlannedMedication { name: m.name.0, dose: words(m.dose), note: words(m.note) })
                .collect(),
            responsibilities: self
                .responsibilities
                .into_iter()
                .map(|r| Responsibility { who: r.who.0, what: r.what.0 })
                .collect(),
            note: words(self.note),
            by: words(self.by).unwrap_or_else(|| call.caller.subject.clone()),
            replaces: None,
        };
        if plan.is_empty() {
            return Err(Problem::unprocessable("a care plan says something").at("problems"));
        }
        Ok(plan)
    }
}

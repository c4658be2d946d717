//! What should stand in the chart, with reasons: the planner's answer.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::instrument::Instrument;

named! {
    /// What kind of resource the chart should hold.
    pub enum Resource {
        /// Something to do.
        Task = "Task",
        /// Something to see.
        Flag = "Flag",
    }
}

named! {
    /// What a Task or a Flag is about (our CodeSystem).
    pub enum Code {
        /// The weekly psychiatric caseload review should look at this patient.
        PsychiatricCaseReview = "psychiatric-case-review",
        /// The scale should be taken again.
        Measure = "measure",
        /// The care manager should reassess and set a new baseline.
        Reassess = "reassess",
        /// Somebody has to assess suicide risk.
        SafetyAssessment = "safety-assessment",
        /// PHQ-9 item 9 was left open: ask it.
        AskItem9 = "ask-item9",
        /// A contact is due.
        Contact = "contact",
        /// Write the relapse-prevention plan.
        RelapsePreventionPlan = "relapse-prevention-plan",
        /// Decide whether to discharge.
        DischargeReview = "discharge-review",
        /// Flag: not at target.
        CocmNotAtTarget = "cocm-not-at-target",
        /// Flag: an unassessed safety answer.
        CocmSafety = "cocm-safety",
    }
}

named! {
    /// FHIR request-priority.
    pub enum Priority {
        /// In its turn.
        Routine = "routine",
        /// Ahead of routine.
        Urgent = "urgent",
        /// At once.
        Stat = "stat",
    }
}

named! {
    /// Who should act.
    pub enum Owner {
        /// The behavioural care manager.
        CareManager = "care_manager",
        /// The psychiatric consultant.
        PsychiatricConsultant = "psychiatric_consultant",
        /// The patient's own doctor.
        PrimaryCareProvider = "primary_care_provider",
    }
}

named! {
    /// How a planned resource should stand in the chart.
    pub enum Standing {
        /// Task `requested`, Flag `active`.
        Open = "open",
        /// Done, as the registry knows: Task `completed`, Flag `inactive`.
        Fulfilled = "fulfilled",
        /// No longer called for: Task `cancelled`, Flag `inactive`.
        Withdrawn = "withdrawn",
        /// Its evidence was retracted: `entered-in-error`.
        EnteredInError = "entered-in-error",
    }
}

/// One Task or Flag that should stand in the chart, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Names the cause: the same cause always has the same key, within one patient.
    pub key: String,
    /// Task or Flag.
    pub resource: Resource,
    /// What it is about.
    pub code: Code,
    /// How it should stand.
    pub standing: Standing,
    /// How urgent.
    pub priority: Priority,
    /// Who should act.
    pub owner: Owner,
    /// The rule that asks for it.
    pub rule: String,
    /// The measure that triggered it.
    pub instrument: Option<Instrument>,
    /// The episode; `None` for what is independent of enrolment.
    pub episode: Option<Uuid>,
    /// Since when the cause holds.
    pub since: NaiveDate,
    /// When it should be done.
    pub due_on: Option<NaiveDate>,
    /// A sentence a clinician would accept. For `Withdrawn`, `Fulfilled` and `EnteredInError`: why it ended.
    pub reason: String,
    /// The measurements behind it, latest first, as the chart names them: `QuestionnaireResponse/123`.
    pub evidence: Vec<String>,
}

/// A planned Task or Flag with all that is needed to write it into the chart: what the outbox carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Unique in the chart: `{clinic}/{patient}/{key}`; goes out as `identifier.value`.
    pub identifier: String,
    /// The patient as the chart names it: `Patient/123`.
    pub patient: String,
    /// The planned resource.
    #[serde(flatten)]
    pub desired: Desired,
    /// Display name of the person who should act, where known.
    pub owner_display: Option<String>,
    /// When the cause was first recorded (Task.authoredOn, Flag.period.start is `since`).
    pub authored_on: chrono::DateTime<chrono::Utc>,
    /// When it ended, for everything but `Open`.
    pub ended_on: Option<NaiveDate>,
    /// Rule set that decided, e.g. `default/1`.
    pub rule_set: String,
}

//! Entries of the care team: dated facts that people record.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::instrument::Instrument;
use super::task::{ChartResource, Code};
use crate::id::{EpisodeId, MeasurementId};

pub mod contact;
pub mod plan;
pub mod recommendation;
pub mod treatment;

pub use contact::{ContactKind, ContactOutcome, Modality};
pub use plan::{FitCheck, FitConcern, FitDecision, SharedCarePlan};
pub use recommendation::{Addressee, ChangeKind, Recommendation, RecommendationDecision, ReferralProgress};
pub use treatment::{Intervention, MedicationAct, MedicationChange};

named! {
    /// Why an episode ended.
    pub enum DischargeReason {
        /// Treatment goals met.
        Graduated = "graduated",
        /// Could not be reached any more.
        LostToFollowUp = "lost_to_follow_up",
        /// No contact for a long time.
        AdministrativeInactivity = "administrative_inactivity",
        /// The patient withdrew.
        Withdrew = "withdrew",
        /// To a higher level of care.
        TransferredHigherLevelOfCare = "transferred_higher_level_of_care",
        /// To another place.
        TransferredOther = "transferred_other",
        /// The patient died.
        Died = "died",
        Other = "other",
    }
}

named! {
    /// The payer.
    pub enum Payer {
        Medicaid = "medicaid",
        Medicare = "medicare",
        /// Commercial insurance.
        Commercial = "commercial",
        Other = "other",
    }
}

/// A score that somebody looked at and put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DismissedScore {
    /// The measurement.
    pub measurement: MeasurementId,
    /// Its points then: a correction makes another score of it.
    pub score: u16,
}

/// An event in the care of a patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Care {
    /// A contact, attempted or made.
    Contact {
        purpose: ContactKind,
        modality: Option<Modality>,
        /// Whether it was on the schedule.
        scheduled: bool,
        /// Outcome of the contact.
        outcome: ContactOutcome,
        /// When it began, where the time is known and not only the day.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts_at: Option<DateTime<Utc>>,
        /// Minutes of the care manager.
        minutes: Option<u16>,
        performer: Option<String>,
        /// Delivered interventions: known ones, or free text.
        interventions: Vec<String>,
        /// The next appointment that was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_contact_on: Option<NaiveDate>,
        note: Option<String>,
    },
    /// Treatment was changed: restarts the plan clock.
    TreatmentChange {
        changes: Vec<ChangeKind>,
        summary: String,
        /// The recommendation it follows.
        recommendation: Option<Uuid>,
        /// Medication changes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        medication: Vec<MedicationChange>,
    },
    /// The psychiatric consultant reviewed this patient.
    CaseReview {
        reviewer: String,
        summary: Option<String>,
        /// Minutes of the consultant.
        minutes: Option<u16>,
        /// Recommendations; "continue" counts as one, an empty list does not.
        recommendations: Vec<Recommendation>,
        /// The review session it was part of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Uuid>,
    },
    /// A recommendation was accepted, modified, declined or done.
    RecommendationDecision {
        recommendation: Uuid,
        /// The decision.
        decision: RecommendationDecision,
        by: Option<String>,
        reason: Option<String>,
    },
    /// A referral or a direct evaluation that was recommended went on its way.
    RecommendationProgress {
        recommendation: Uuid,
        progress: ReferralProgress,
        scheduled_for: Option<NaiveDate>,
        by: Option<String>,
        reason: Option<String>,
    },
    /// A clinician set the baseline.
    BaselineOverride {
        /// The instrument.
        instrument: Instrument,
        /// The measurement that is the baseline from now on.
        measurement: MeasurementId,
        reason: String,
    },
    /// Treatment paused.
    Hold { reason: String },
    /// Back to active treatment, from hold or from relapse prevention.
    Resume,
    /// Relapse prevention began.
    RelapsePrevention {
        /// The plan in words.
        plan: String,
    },
    /// The episode ended.
    Discharge { reason: DischargeReason, note: Option<String> },
    /// Flagged by hand for the weekly review, or unflagged.
    DiscussionFlag { raised: bool, note: Option<String> },
    /// Suicide risk was assessed: the only thing that closes a safety concern.
    SafetyAssessment { instrument: String, result: String, disposition: String, assessor: String, note: Option<String> },
    /// A payer of the patient's care, from a date on.
    Coverage {
        payer: Payer,
        from: NaiveDate,
        /// The last day; open without one.
        to: Option<NaiveDate>,
    },
    /// A check whether Collaborative Care fits this patient.
    FitCheck(FitCheck),
    /// The plan that patient and team share, as a whole: its next version.
    CarePlan(SharedCarePlan),
    /// A patient who screened positive is not offered an episode.
    CandidateDismissal {
        reason: String,
        /// The scores that were looked at: a newer one makes a candidate again.
        scores: Vec<DismissedScore>,
    },
    /// A person set the status of one of our Tasks or Flags in the chart, or deleted it there.
    SetInChart {
        /// The delivery that wrote it.
        delivery: Uuid,
        key: String,
        resource: ChartResource,
        /// Kind of change.
        code: Code,
        /// Since when its cause holds.
        since: NaiveDate,
        /// Its status in the chart; [`DELETED`] where it is gone.
        status: String,
        /// Owner in the chart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Why, where somebody said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The last note on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An earlier entry was a mistake and is taken back.
    TakenBack { entry: Uuid, reason: Option<String> },
}

/// Status recorded for a Task or Flag that was deleted from the chart.
pub const DELETED: &str = "deleted";

impl Care {
    /// The kind as it is stored and shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Contact { .. } => "contact",
            Self::TreatmentChange { .. } => "treatment_change",
            Self::CaseReview { .. } => "case_review",
            Self::RecommendationDecision { .. } => "recommendation_decision",
            Self::RecommendationProgress { .. } => "recommendation_progress",
            Self::BaselineOverride { .. } => "baseline_override",
            Self::Hold { .. } => "hold",
            Self::Resume => "resume",
            Self::RelapsePrevention { .. } => "relapse_prevention",
            Self::Discharge { .. } => "discharge",
            Self::DiscussionFlag { .. } => "discussion_flag",
            Self::SafetyAssessment { .. } => "safety_assessment",
            Self::Coverage { .. } => "coverage",
            Self::FitCheck(_) => "fit_check",
            Self::CarePlan(_) => "care_plan",
            Self::CandidateDismissal { .. } => "candidate_dismissal",
            Self::SetInChart { .. } => "set_in_chart",
            Self::TakenBack { .. } => "taken_back",
        }
    }

    /// Minutes spent, where the entry states them.
    pub fn minutes(&self) -> Option<u16> {
        match self {
            Self::Contact { minutes, .. } | Self::CaseReview { minutes, .. } => *minutes,
            _ => None,
        }
    }

    /// A treatment contact that took place: the only kind that counts as clinical.
    pub fn is_clinical_contact(&self) -> bool {
        matches!(
            self,
            Self::Contact { purpose: ContactKind::Treatment, outcome: ContactOutcome::Attended, modality, .. }
                if *modality != Some(Modality::Message)
        )
    }
}

/// An entry of the story: what happened, when, in which episode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CareEntry {
    pub id: Uuid,
    /// The episode; `None` for what concerns the patient (safety assessments).
    pub episode: Option<EpisodeId>,
    /// The date in the clinic's time zone.
    pub on: NaiveDate,
    /// The instant; local midnight where only a date is known.
    pub at: DateTime<Utc>,
    pub care: Care,
}

//! Recommendations of case reviews, and decisions about them.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A recommendation of a case review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recommendation {
    /// Id in this registry.
    pub id: Uuid,
    /// Kind of change.
    pub kind: ChangeKind,
    /// The recommendation in words.
    pub text: String,
    /// Role that should act.
    pub to: Addressee,
    /// Due date.
    pub due_on: Option<NaiveDate>,
}

named! {
    /// Kind of a treatment change or a recommendation.
    pub enum ChangeKind {
        Medication = "medication",
        /// Psychotherapy or another behavioral treatment.
        Psychotherapy = "psychotherapy",
        /// Behavioral intervention by the care manager.
        Behavioral = "behavioural",
        Referral = "referral",
        /// To specialty mental health care; carried out, it is a change by referral.
        SpecialtyReferral = "specialty_referral",
        /// The consultant sees the patient; carried out, it changes no treatment yet.
        DirectEvaluation = "direct_evaluation",
        /// Go on as planned: a recommendation too.
        Continue = "continue",
        Other = "other",
    }
}

impl ChangeKind {
    /// The treatment change that carrying it out means; `None` if nothing changes.
    pub fn as_change(self) -> Option<Self> {
        match self {
            Self::Continue | Self::DirectEvaluation => None,
            Self::SpecialtyReferral => Some(Self::Referral),
            other => Some(other),
        }
    }

    /// Whether it is followed on its way: ordered, scheduled, completed.
    pub fn is_followed(self) -> bool {
        matches!(self, Self::Referral | Self::SpecialtyReferral | Self::DirectEvaluation)
    }
}

named! {
    /// To whom a recommendation is addressed.
    pub enum Addressee {
        /// The patient's own doctor.
        PrimaryCare = "primary_care",
        /// The care manager.
        CareManager = "care_manager",
        /// The psychiatric consultant: to see the patient.
        PsychiatricConsultant = "psychiatric_consultant",
    }
}

named! {
    /// Progress of a referral or a direct evaluation.
    pub enum ReferralProgress {
        /// Asked for; there is no appointment yet, or not any more.
        Ordered = "ordered",
        /// There is an appointment.
        Scheduled = "scheduled",
        /// The patient was seen: the recommendation is done.
        Completed = "completed",
        /// The patient or the other side does not want it.
        Declined = "declined",
        /// Ended without being done.
        Closed = "closed",
    }
}

named! {
    /// Decision about a recommendation.
    pub enum RecommendationDecision {
        /// Will be done as recommended.
        Accepted = "accepted",
        /// Will be done otherwise.
        Modified = "modified",
        /// Will not be done.
        Declined = "declined",
        Done = "done",
    }
}

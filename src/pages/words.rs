//! Names of things, for people.

use crate::domain::care::{
    Addressee, ChangeKind, ContactKind, ContactOutcome, DischargeReason, FitConcern, FitDecision, MedicationAct,
    Modality, RecommendationDecision, Risk,
};
use crate::domain::chart_plan::Rung;
use crate::domain::episode::Phase;
use crate::domain::finding::Rule;
use crate::domain::minutes::MissingDocumentation;
use crate::domain::patient_match::MatchReason;
use crate::domain::read_back::Drift;
use crate::domain::target::{Basis, MeasureStatus};
use crate::domain::task::{Code, Posture};
use crate::identity::Role;
use crate::store::outbox::DeliveryState;

/// Color of an element; words and shape always say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A patient may be in danger.
    Danger,
    /// Not as it should be.
    Bad,
    /// Soon not as it should be.
    Watch,
    Good,
    Plain,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Self::Danger => "danger",
            Self::Bad => "bad",
            Self::Watch => "watch",
            Self::Good => "good",
            Self::Plain => "plain",
        }
    }

    /// Its shape, for those who do not see its color.
    pub fn shape(self) -> &'static str {
        match self {
            Self::Danger => "‼",
            Self::Bad => "▲",
            Self::Watch => "◆",
            Self::Good => "✓",
            Self::Plain => "",
        }
    }
}

pub fn role(role: Role) -> &'static str {
    match role {
        Role::CareManager => "Care manager",
        Role::PsychiatricConsultant => "Psychiatric consultant",
        Role::PrimaryCare => "Primary care provider",
        Role::Admin => "Administrator",
        Role::Ehr => "EHR",
    }
}

pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Referred => "Referred",
        Phase::Active => "Active",
        Phase::OnHold => "On hold",
        Phase::RelapsePrevention => "Relapse prevention",
        Phase::Discharged => "Discharged",
    }
}

pub fn status(status: MeasureStatus) -> (&'static str, Tone) {
    match status {
        MeasureStatus::NoBaseline => ("no baseline", Tone::Watch),
        MeasureStatus::BaselineSubthreshold => ("low at baseline", Tone::Plain),
        MeasureStatus::AwaitingFollowup => ("awaiting follow-up", Tone::Plain),
        MeasureStatus::Remission => ("remission", Tone::Good),
        MeasureStatus::Response => ("response", Tone::Good),
        MeasureStatus::ImprovedBelow10 => ("improved, below 10", Tone::Plain),
        MeasureStatus::PartialResponse => ("partial response", Tone::Watch),
        MeasureStatus::Worse => ("worse", Tone::Bad),
        MeasureStatus::NoImprovement => ("no improvement", Tone::Bad),
    }
}

pub fn rule(rule: Rule) -> (&'static str, Tone) {
    match rule {
        Rule::EarlyWatch => ("early watch", Tone::Watch),
        Rule::InadequateResponse => ("inadequate response", Tone::Bad),
        Rule::Nonresponse => ("nonresponse", Tone::Bad),
        Rule::PersistentNonresponse => ("persistent nonresponse", Tone::Bad),
        Rule::ConsiderSpecialtyReferral => ("consider specialty referral", Tone::Watch),
        Rule::MeasureStale => ("score too old to judge by", Tone::Watch),
        Rule::Unmeasured => ("unmeasured", Tone::Bad),
        Rule::Worsening => ("worsening", Tone::Bad),
        Rule::Relapse => ("relapse", Tone::Bad),
        Rule::Plateau => ("plateau", Tone::Bad),
        Rule::SustainedRemission => ("sustained remission", Tone::Good),
        Rule::SubthresholdWorsened => ("worsened from below threshold", Tone::Watch),
        Rule::SafetyItem9 => ("item 9 above 0", Tone::Danger),
        Rule::SafetyItem9High => ("item 9 high", Tone::Danger),
        Rule::AskItem9 => ("item 9 left open", Tone::Watch),
        Rule::ContactDue => ("contact due", Tone::Plain),
        Rule::ContactOverdue => ("contact overdue", Tone::Watch),
        Rule::MeasureOverdue => ("measure overdue", Tone::Watch),
        Rule::ReviewOverdue => ("review overdue", Tone::Watch),
        Rule::ReviewRequired => ("review required", Tone::Bad),
        Rule::ReviewUndocumented => ("review not documented", Tone::Watch),
        Rule::LowEngagement => ("low engagement", Tone::Watch),
        Rule::InactivityDischargeProposed => ("inactive: discharge?", Tone::Watch),
        Rule::Recommendation => ("recommendation waits", Tone::Plain),
        Rule::RecommendationOverdue => ("recommendation overdue", Tone::Watch),
        Rule::RelapsePreventionSuggested => ("ready for relapse prevention", Tone::Good),
    }
}

/// The findings that mean "not improving": what the page's first filter looks for.
pub const NOT_IMPROVING: &[Rule] = &[
    Rule::InadequateResponse,
    Rule::Nonresponse,
    Rule::PersistentNonresponse,
    Rule::Worsening,
    Rule::Relapse,
    Rule::Plateau,
];

pub fn code(code: Code) -> &'static str {
    match code {
        Code::PsychiatricCaseReview => "case review",
        Code::Measure => "measure",
        Code::Reassess => "reassess",
        Code::SafetyAssessment => "safety assessment",
        Code::AskItem9 => "ask item 9",
        Code::Contact => "contact",
        Code::RelapsePreventionPlan => "relapse-prevention plan",
        Code::DischargeReview => "discharge decision",
        Code::SafetyEscalation => "safety: nobody has assessed it",
        Code::Recommendation => "recommendation",
        Code::CocmNotAtTarget => "flag: not at target",
        Code::CocmSafety => "flag: safety",
    }
}

pub fn basis(basis: Basis) -> Option<&'static str> {
    match basis {
        Basis::Window => None,
        Basis::Provisional => Some("provisional, from before enrollment"),
        Basis::Late => Some("late"),
        Basis::Override => Some("set by a clinician"),
    }
}

pub fn contact_kind(kind: ContactKind) -> &'static str {
    match kind {
        ContactKind::Treatment => "Treatment",
        ContactKind::Outreach => "Outreach",
        ContactKind::Scheduling => "Scheduling",
        ContactKind::Message => "Message",
        ContactKind::Consultation => "Caseload consultation",
        ContactKind::CarePlanning => "Registry and care-plan work",
        ContactKind::Coordination => "Coordination",
        ContactKind::Clerical => "Clerical",
    }
}

pub fn modality(modality: Modality) -> &'static str {
    match modality {
        Modality::InPerson => "in person",
        Modality::Video => "video",
        Modality::Phone => "phone",
        Modality::Group => "group",
        Modality::Message => "message",
    }
}

pub fn medication(act: MedicationAct) -> &'static str {
    match act {
        MedicationAct::Started => "started",
        MedicationAct::Stopped => "stopped",
        MedicationAct::DoseIncreased => "dose increased",
        MedicationAct::DoseDecreased => "dose decreased",
        MedicationAct::Switched => "switched to it",
    }
}

pub fn fit_concern(concern: FitConcern) -> &'static str {
    match concern {
        FitConcern::AcuteRisk => "acute risk",
        FitConcern::Psychosis => "psychosis",
        FitConcern::Mania => "mania",
        FitConcern::SevereSubstanceUse => "severe substance use",
        FitConcern::Cognitive => "cognitive impairment",
        FitConcern::Other => "other",
    }
}

pub fn fit_decision(decision: FitDecision) -> &'static str {
    match decision {
        FitDecision::Suitable => "it fits",
        FitDecision::SpecialtyCare => "direct specialty care",
    }
}

pub fn outcome(outcome: ContactOutcome) -> &'static str {
    match outcome {
        ContactOutcome::Attended => "attended",
        ContactOutcome::NoShow => "no-show",
        ContactOutcome::LateCancel => "late cancellation",
        ContactOutcome::NotReached => "not reached",
    }
}

pub fn change(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Medication => "Medication",
        ChangeKind::Psychotherapy => "Psychotherapy",
        ChangeKind::Behavioral => "Behavioural",
        ChangeKind::Referral => "Referral",
        ChangeKind::SpecialtyReferral => "Specialty referral",
        ChangeKind::DirectEvaluation => "Direct evaluation",
        ChangeKind::Continue => "Continue as planned",
        ChangeKind::Other => "Other",
    }
}

pub fn addressee(to: Addressee) -> &'static str {
    match to {
        Addressee::PrimaryCare => "primary care",
        Addressee::CareManager => "care manager",
        Addressee::PsychiatricConsultant => "psychiatric consultant",
    }
}

pub fn decision(decision: RecommendationDecision) -> &'static str {
    match decision {
        RecommendationDecision::Accepted => "accepted",
        RecommendationDecision::Modified => "modified",
        RecommendationDecision::Declined => "declined",
        RecommendationDecision::Done => "done",
    }
}

pub fn match_reason(reason: MatchReason) -> &'static str {
    match reason {
        MatchReason::SharedIdentifier => "both carry the same identifier",
        MatchReason::SameNameAndBirthDate => "same name and birth date",
        MatchReason::LinkedInChart => "linked in the chart",
        MatchReason::NamedByHand => "named by a person",
    }
}

pub fn missing_documentation(missing: MissingDocumentation) -> &'static str {
    match missing {
        MissingDocumentation::Consent => "consent",
        MissingDocumentation::Score => "score of a target measure",
        MissingDocumentation::CaseReview => "case review",
    }
}

pub fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::None => "None",
        Risk::Low => "Low",
        Risk::Moderate => "Moderate",
        Risk::High => "High",
    }
}

pub fn discharge(reason: DischargeReason) -> &'static str {
    match reason {
        DischargeReason::Graduated => "Graduated",
        DischargeReason::LostToFollowUp => "Lost to follow-up",
        DischargeReason::AdministrativeInactivity => "Administrative: inactivity",
        DischargeReason::Withdrew => "Withdrew",
        DischargeReason::TransferredHigherLevelOfCare => "Transferred to a higher level of care",
        DischargeReason::TransferredOther => "Transferred elsewhere",
        DischargeReason::Duplicate => "Duplicate of another episode",
        DischargeReason::Died => "Died",
        DischargeReason::Other => "Other",
    }
}

/// Whether the chart has been told, and how.
pub fn delivery(state: DeliveryState, rung: Option<Rung>) -> (&'static str, Tone) {
    match state {
        DeliveryState::Pending => ("waiting to be sent", Tone::Watch),
        DeliveryState::Settled if rung == Some(Rung::CdsCard) => ("on the card in the chart", Tone::Plain),
        DeliveryState::Settled if rung == Some(Rung::Worklist) => ("only in this list", Tone::Plain),
        DeliveryState::Settled if rung == Some(Rung::Communication) => ("in the chart, as a message", Tone::Good),
        DeliveryState::Settled if rung == Some(Rung::DocumentReference) => ("in the chart, as a note", Tone::Good),
        DeliveryState::Settled => ("in the chart", Tone::Good),
        DeliveryState::Parked => ("failed", Tone::Bad),
        DeliveryState::ClosedInChart => ("closed in the chart", Tone::Plain),
    }
}

/// How the chart differs from what was written there.
pub fn drift(drift: Drift) -> (&'static str, Tone) {
    match drift {
        Drift::ClosedByPerson => ("closed by a person", Tone::Plain),
        Drift::ChangedByPerson => ("changed by a person", Tone::Plain),
        Drift::Deleted => ("deleted", Tone::Bad),
        Drift::OursLost => ("what was written is lost", Tone::Bad),
        Drift::NamesAnotherPatient => ("about another patient now", Tone::Bad),
    }
}

pub fn posture(posture: Posture) -> &'static str {
    match posture {
        Posture::Open => "open",
        Posture::Fulfilled => "done",
        Posture::Withdrawn => "withdrawn",
        Posture::EnteredInError => "entered in error",
    }
}

/// A sentence without what stands at the top of every page.
pub fn without_notice(reason: &str) -> &str {
    reason.strip_suffix(" This service is not a crisis service: assess suicide risk.").unwrap_or(reason)
}

/// `contact_amber_days` → `contact amber days`.
pub fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

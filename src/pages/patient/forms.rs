//! Forms of a patient, and the API endpoints behind them.

mod fields;

use axum::http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::PatientFile;
use crate::domain::care::RecommendationDecision;
use crate::domain::episode::Phase;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::pages::form::{Choices, Form, FormField};
use crate::pages::session::Visitor;
use crate::pages::staff::Teams;
use crate::pages::words;
use crate::store::episode::EpisodeRecord;

/// A form of the patient page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryForm {
    Contact,
    TreatmentChange,
    SafetyAssessment,
    RelapsePrevention,
    Hold,
    Resume,
    Discharge,
    DiscussionFlag,
    FitCheck,
    Baseline,
    Transfer,
    Enrollment,
    Particulars,
    Dismissal,
}

impl EntryForm {
    /// In the order in which the page has them.
    pub const ALL: [Self; 14] = [
        Self::SafetyAssessment,
        Self::Enrollment,
        Self::Dismissal,
        Self::Contact,
        Self::TreatmentChange,
        Self::RelapsePrevention,
        Self::DiscussionFlag,
        Self::Particulars,
        Self::FitCheck,
        Self::Baseline,
        Self::Transfer,
        Self::Hold,
        Self::Resume,
        Self::Discharge,
    ];

    /// Its name in addresses: the API's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::TreatmentChange => "treatment-changes",
            Self::SafetyAssessment => "safety-assessment",
            Self::RelapsePrevention => "relapse-prevention",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Discharge => "discharge",
            Self::DiscussionFlag => "discussion-flag",
            Self::FitCheck => "fit-check",
            Self::Baseline => "baseline-override",
            Self::Transfer => "transfer",
            Self::Enrollment => "enrolment",
            Self::Particulars => "particulars",
            Self::Dismissal => "candidate-dismissal",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }

    /// Label of its button and heading, and the confirmation.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Contact => ("Log a contact", "The contact was logged."),
            Self::TreatmentChange => {
                ("Treatment change", "The treatment change was recorded; the plan clock starts anew.")
            }
            Self::SafetyAssessment => ("Safety assessment", "The safety assessment was recorded."),
            Self::RelapsePrevention => ("Relapse-prevention plan", "Relapse prevention begins."),
            Self::Hold => ("Put on hold", "Treatment is on hold."),
            Self::Resume => ("Resume treatment", "Treatment goes on."),
            Self::Discharge => ("Discharge", "The episode has ended."),
            Self::DiscussionFlag => ("Flag for the review", "The flag for the review was changed."),
            Self::FitCheck => ("Fit check", "The fit check was recorded."),
            Self::Baseline => ("Choose another baseline", "The baseline was changed."),
            Self::Transfer => ("Hand over", "The patient was handed over."),
            Self::Enrollment => ("Enroll, or note a referral", "The episode was opened."),
            Self::Particulars => ("Enrollment, team and measures", "The particulars were changed."),
            Self::Dismissal => ("Offer no episode", "Noted: no episode is offered until the next positive score."),
        }
    }

    /// Label of its submit button.
    fn submit(self, flagged: bool) -> &'static str {
        match self {
            Self::DiscussionFlag if flagged => "Take the flag down",
            Self::Contact => "Log the contact",
            Self::Discharge => "End the episode",
            Self::DiscussionFlag => "Flag",
            Self::Transfer => "Hand over",
            Self::Dismissal => "Dismiss",
            _ => "Save",
        }
    }

    /// Roles that may use it, as in the API.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::SafetyAssessment | Self::DiscussionFlag | Self::FitCheck => crate::api::request::CLINICIANS,
            Self::TreatmentChange | Self::Dismissal => &[Role::CareManager, Role::PrimaryCare],
            Self::Baseline => &[Role::CareManager, Role::PsychiatricConsultant],
            _ => &[Role::CareManager],
        }
    }

    /// Whether it makes sense now: in this phase of the episode, or without one.
    pub fn fits(self, phase: Option<Phase>, whole: &PatientFile) -> bool {
        let open = phase.filter(|phase| *phase != Phase::Discharged);
        let kind = match self {
            Self::SafetyAssessment => return true,
            Self::Enrollment => return open.is_none(),
            Self::Dismissal => return whole.row.candidate.as_ref().is_some_and(|of| of.dismissed.is_none()),
            Self::Particulars | Self::Transfer => return open.is_some(),
            Self::Contact => "contact",
            Self::TreatmentChange => "treatment_change",
            Self::RelapsePrevention => "relapse_prevention",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Discharge => "discharge",
            Self::DiscussionFlag => "discussion_flag",
            Self::FitCheck => "fit_check",
            Self::Baseline => "baseline_override",
        };
        phase.is_some_and(|phase| phase.allowed().contains(&kind))
    }

    /// The API's address, and how it is called.
    pub fn call(self, patient: PatientId, episode: Option<EpisodeId>) -> Option<(Method, String)> {
        let path = match self {
            Self::SafetyAssessment => format!("patients/{patient}/safety-assessments"),
            Self::Dismissal => format!("patients/{patient}/candidate-dismissal"),
            Self::Enrollment => "episodes".to_owned(),
            Self::Particulars => return Some((Method::PATCH, format!("episodes/{}", episode?))),
            _ => format!("episodes/{}/{}", episode?, self.name()),
        };
        Some((Method::POST, path))
    }

    /// Whether what comes of it is an entry, which can be taken back.
    pub fn is_entry(self) -> bool {
        !matches!(self, Self::Enrollment | Self::Particulars | Self::Transfer)
    }

    pub fn form(self, visitor: &Visitor, whole: &PatientFile, stored: Option<&EpisodeRecord>, teams: &Teams) -> Form {
        let action = format!("/patients/{}/{}", whole.row.id, self.name());
        let flagged = stored.is_some_and(|stored| whole.is_flagged(stored.episode.id));
        let fields = self.fields(visitor.today(), whole, stored, teams);
        Form::new(visitor, self.name(), action, self.submit(flagged), fields)
    }

    /// Body for the API.
    pub fn body(self, mut typed: Map<String, Value>, whole: &PatientFile, stored: Option<&EpisodeRecord>) -> Value {
        match self {
            Self::DiscussionFlag => {
                let flagged = stored.is_some_and(|stored| whole.is_flagged(stored.episode.id));
                typed.insert("raised".to_owned(), json!(!flagged));
            }
            Self::Enrollment => {
                typed.insert("patient".to_owned(), json!({"id": whole.row.id}));
                let fit = part(&mut typed, "fit.");
                if fit.contains_key("decision") || fit.get("concerns").is_some_and(|of| *of != json!([])) {
                    typed.insert("fit".to_owned(), fit.into());
                }
            }
            Self::Particulars => {
                // An emptied field clears the value.
                for name in ["consent_on", "care_manager", "primary_care_provider", "psychiatric_consultant"] {
                    typed.entry(name).or_insert(Value::Null);
                }
            }
            Self::TreatmentChange => {
                let medication = part(&mut typed, "medication.0.");
                if !medication.is_empty() {
                    typed.insert("medication".to_owned(), json!([medication]));
                }
            }
            Self::Baseline => {
                let chosen = typed.get("measurement").and_then(Value::as_str).unwrap_or_default();
                let chosen = whole.story.measurements.iter().find(|m| m.id.to_string() == chosen);
                typed.insert("instrument".to_owned(), json!(chosen.map(|m| m.instrument)));
            }
            _ => {}
        }
        typed.into()
    }
}

/// Takes out what begins so: `fit.reason` is the `reason` of `fit`.
fn part(typed: &mut Map<String, Value>, with: &str) -> Map<String, Value> {
    let names: Vec<String> = typed.keys().filter(|name| name.starts_with(with)).cloned().collect();
    let mut part = Map::new();
    for name in names {
        if let Some(value) = typed.remove(&name) {
            part.insert(name[with.len()..].to_owned(), value);
        }
    }
    part
}

/// Each value with its words.
pub fn options<T: Copy>(all: &[T], name: fn(T) -> &'static str, words: fn(T) -> &'static str) -> Choices {
    all.iter().map(|one| (name(*one).into(), words(*one).to_owned())).collect()
}

/// Who decides otherwise than was recommended says why: the team reads it.
pub fn require_reason(decision: &mut Form) {
    let otherwise =
        [RecommendationDecision::Modified, RecommendationDecision::Declined].map(RecommendationDecision::as_str);
    let deviates = decision.fields.iter().any(|field| field.name == "decision" && otherwise.contains(&field.value()));
    for field in decision.fields.iter_mut().filter(|field| field.name == "reason") {
        field.required = deviates;
    }
}

/// Form for a decision about a recommendation.
pub fn decision(
    visitor: &Visitor,
    patient: PatientId,
    recommendation: Uuid,
    allowed: &[RecommendationDecision],
) -> Form {
    let action = format!("/patients/{patient}/decision");
    let fields = vec![
        FormField::one("decision", "Decision", options(allowed, RecommendationDecision::as_str, words::decision))
            .required(),
        FormField::date("decided_on", "Date", Some(visitor.today())).required(),
        FormField::text("reason", "Why"),
    ];
    let mut form = Form::new(visitor, format!("decision-{recommendation}"), action, "Save", fields);
    form.hidden.push(("recommendation", recommendation.to_string()));
    form
}

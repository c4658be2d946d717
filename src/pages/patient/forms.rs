//! What can be entered about a patient, and where in the API it goes.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::domain::care::{ChangeKind, ContactKind, ContactOutcome, Decision, DischargeReason, Intervention, Modality};
use crate::domain::episode::Phase;
use crate::identity::Role;
use crate::pages::form::{Field, Form};
use crate::pages::session::Visitor;
use crate::pages::words;

/// What can be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Contact,
    TreatmentChange,
    SafetyAssessment,
    RelapsePrevention,
    Hold,
    Resume,
    Discharge,
    DiscussionFlag,
}

impl What {
    pub const ALL: [Self; 8] = [
        Self::SafetyAssessment,
        Self::Contact,
        Self::TreatmentChange,
        Self::RelapsePrevention,
        Self::DiscussionFlag,
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
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }

    /// What its button, its heading, and the message afterwards say.
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
        }
    }

    /// Who may, as the API says.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::SafetyAssessment | Self::DiscussionFlag => crate::api::request::CLINICIANS,
            Self::TreatmentChange => &[Role::CareManager, Role::PrimaryCare],
            _ => &[Role::CareManager],
        }
    }

    /// Whether it makes sense in this phase of the episode; without an episode only safety does.
    pub fn fits(self, phase: Option<Phase>) -> bool {
        let Some(phase) = phase else { return self == Self::SafetyAssessment };
        let kind = match self {
            Self::Contact => "contact",
            Self::TreatmentChange => "treatment_change",
            Self::SafetyAssessment => return true,
            Self::RelapsePrevention => "relapse_prevention",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Discharge => "discharge",
            Self::DiscussionFlag => "discussion_flag",
        };
        phase.allowed().contains(&kind)
    }

    /// The API's address.
    pub fn path(self, patient: Uuid, episode: Uuid) -> String {
        match self {
            Self::SafetyAssessment => format!("patients/{patient}/safety-assessments"),
            _ => format!("episodes/{episode}/{}", self.name()),
        }
    }

    /// An empty form.
    pub fn form(self, visitor: &Visitor, patient: Uuid, flagged: bool) -> Form {
        let action = format!("/patients/{patient}/{}", self.name());
        let submit = match self {
            Self::DiscussionFlag if flagged => "Take the flag down",
            Self::Contact => "Log the contact",
            Self::Discharge => "End the episode",
            Self::DiscussionFlag => "Flag",
            _ => "Save",
        };
        Form::new(visitor, self.name(), action, submit, self.fields(visitor, flagged))
    }

    fn fields(self, visitor: &Visitor, flagged: bool) -> Vec<Field> {
        let today = Some(visitor.today());
        match self {
            Self::Contact => vec![
                Field::date("on", "Date", today).required(),
                Field::one("kind", "What for", options(ContactKind::ALL, ContactKind::as_str, words::contact_kind))
                    .required(),
                Field::one("modality", "How", options(Modality::ALL, Modality::as_str, words::modality)).with("phone"),
                Field::one("outcome", "Outcome", options(ContactOutcome::ALL, ContactOutcome::as_str, words::outcome))
                    .required(),
                Field::number("minutes", "Minutes"),
                Field::yes("scheduled", "It was scheduled", true),
                Field::some(
                    "interventions",
                    "What was delivered",
                    options(Intervention::ALL, Intervention::as_str, words::intervention),
                ),
                Field::date("next_contact_on", "Next appointment", None),
                Field::area("note", "Note"),
            ],
            Self::TreatmentChange => {
                let kinds: Vec<ChangeKind> =
                    ChangeKind::ALL.iter().copied().filter(|kind| *kind != ChangeKind::Continue).collect();
                vec![
                    Field::date("changed_on", "Date", today).required(),
                    Field::some("kinds", "What changed", options(&kinds, ChangeKind::as_str, words::change)).required(),
                    Field::area("summary", "In words").required().hint("Such as: sertraline 50 → 100 mg"),
                ]
            }
            Self::SafetyAssessment => vec![
                Field::date("assessed_at", "Assessed on", today).required(),
                Field::text("instrument", "With").required().with("C-SSRS screener"),
                Field::area("result", "Result").required(),
                Field::area("disposition", "What was done")
                    .required()
                    .hint("Such as: safety plan reviewed, PCP told, call tomorrow"),
                Field::text("assessor", "Who assessed").hint("Left empty: you"),
                Field::area("note", "Note"),
            ],
            Self::RelapsePrevention => vec![
                Field::date("on", "From", today).required(),
                Field::area("plan", "The plan").required().hint("Early signs, first steps, whom to call"),
            ],
            Self::Hold => vec![Field::date("from", "From", today).required(), Field::area("reason", "Why").required()],
            Self::Resume => vec![Field::date("on", "From", today).required()],
            Self::Discharge => {
                let reasons = options(DischargeReason::ALL, DischargeReason::as_str, words::discharge);
                vec![
                    Field::date("discharged_on", "Date", today).required(),
                    Field::one("reason", "Why", reasons).required(),
                    Field::area("note", "Note")
                        .hint("Needed where somebody graduates without a relapse-prevention plan"),
                ]
            }
            Self::DiscussionFlag if flagged => Vec::new(),
            Self::DiscussionFlag => vec![Field::area("note", "What should be discussed")],
        }
    }

    /// What the API wants beyond the fields.
    pub fn complete(self, body: &mut Map<String, Value>, flagged: bool) {
        if self == Self::DiscussionFlag {
            body.insert("raised".to_owned(), json!(!flagged));
        }
    }
}

/// Each value with its words.
pub fn options<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    words: fn(T) -> &'static str,
) -> Vec<(&'static str, String)> {
    all.iter().map(|one| (name(*one), words(*one).to_owned())).collect()
}

/// What may become of a recommendation.
pub fn decision(visitor: &Visitor, patient: Uuid, recommendation: Uuid, allowed: &[Decision]) -> Form {
    let action = format!("/patients/{patient}/decision");
    let fields = vec![
        Field::one("decision", "Decision", options(allowed, Decision::as_str, words::decision)).required(),
        Field::date("decided_on", "Date", Some(visitor.today())).required(),
        Field::text("reason", "Why"),
    ];
    let mut form = Form::new(visitor, format!("decision-{recommendation}"), action, "Save", fields);
    form.hidden.push(("recommendation", recommendation.to_string()));
    form
}

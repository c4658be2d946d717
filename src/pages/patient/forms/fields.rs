//! The fields of each form.

use chrono::NaiveDate;

use super::{EntryForm, options};
use crate::domain::care::{
    ChangeKind, ContactKind, ContactOutcome, DischargeReason, FitConcern, FitDecision, Intervention, MedicationAct,
    Modality, Risk,
};
use crate::domain::episode::Phase;
use crate::domain::instrument::Instrument;
use crate::domain::recommendation;
use crate::pages::date_texts::day;
use crate::pages::form::{Choices, FormField};
use crate::pages::patient::PatientFile;
use crate::pages::staff::Teams;
use crate::pages::words;
use crate::store::episode::EpisodeRecord;

impl EntryForm {
    pub(super) fn fields(
        self,
        on: NaiveDate,
        whole: &PatientFile,
        stored: Option<&EpisodeRecord>,
        teams: &Teams,
    ) -> Vec<FormField> {
        let today = Some(on);
        match self {
            Self::Contact => contact(today),
            Self::TreatmentChange => treatment_change(today, whole, stored),
            Self::SafetyAssessment => vec![
                FormField::date("assessed_at", "Assessed on", today).required(),
                FormField::text("instrument", "With")
                    .required()
                    .suggest(vec!["C-SSRS screener".to_owned(), "Clinical interview".to_owned()]),
                FormField::area("result", "Result").required(),
                FormField::one("risk", "Risk", options(Risk::ALL, Risk::as_str, words::risk))
                    .hint("None or low: the same answer within two weeks is routine. Left open: it is urgent again"),
                FormField::area("disposition", "What was done")
                    .required()
                    .hint("Such as: safety plan reviewed, PCP told, call tomorrow"),
                FormField::text("assessor", "Who assessed").hint("Blank: you"),
                FormField::area("note", "Note"),
            ],
            Self::RelapsePrevention => vec![
                FormField::date("on", "From", today).required(),
                FormField::area("plan", "The plan").required().hint("Early signs, first steps, whom to call"),
            ],
            Self::Hold => {
                vec![FormField::date("from", "From", today).required(), FormField::area("reason", "Why").required()]
            }
            Self::Resume => vec![FormField::date("on", "From", today).required()],
            Self::Discharge => {
                let reasons = options(DischargeReason::ALL, DischargeReason::as_str, words::discharge);
                vec![
                    FormField::date("discharged_on", "Date", today).required(),
                    FormField::one("reason", "Why", reasons).required(),
                    FormField::area("note", "Note")
                        .hint("Needed where somebody graduates without a relapse-prevention plan"),
                ]
            }
            Self::DiscussionFlag if stored.is_some_and(|stored| whole.is_flagged(stored.episode.id)) => Vec::new(),
            Self::DiscussionFlag => vec![FormField::area("note", "What should be discussed")],
            Self::FitCheck => {
                let mut fields = vec![FormField::date("on", "Date", today).required()];
                fields.extend(fit(["concerns", "decision", "reason"], true));
                fields
            }
            Self::Baseline => vec![
                FormField::one("measurement", "The score to start from", scores(on, whole, stored)).required(),
                FormField::area("reason", "Why").required(),
            ],
            Self::Transfer => vec![
                FormField::date("on", "From", today).required(),
                FormField::text("to_care_manager", "To the care manager").suggest(teams.care_managers.clone()),
                FormField::text("to_clinic", "or to the clinic").hint("Ends the episode here; nothing is sent"),
                FormField::area("reason", "Why").required(),
            ],
            Self::Enrollment => enrollment(teams),
            Self::Particulars => stored.map_or_else(Vec::new, |stored| particulars(stored, teams)),
            Self::Dismissal => {
                vec![
                    FormField::area("reason", "Why")
                        .required()
                        .hint("Such as: declined, in care elsewhere, not reached"),
                ]
            }
        }
    }
}

fn contact(today: Option<NaiveDate>) -> Vec<FormField> {
    vec![
        FormField::date("on", "Date", today).required(),
        FormField::one("kind", "What for", options(ContactKind::ALL, ContactKind::as_str, words::contact_kind))
            .with(ContactKind::Treatment.as_str())
            .required(),
        FormField::one("modality", "How", options(Modality::ALL, Modality::as_str, words::modality)).with("phone"),
        FormField::one("outcome", "Outcome", options(ContactOutcome::ALL, ContactOutcome::as_str, words::outcome))
            .with(ContactOutcome::Attended.as_str())
            .required(),
        FormField::number("minutes", "Minutes"),
        FormField::yes("scheduled", "It was scheduled", true),
        FormField::some(
            "interventions",
            "What was delivered",
            options(Intervention::ALL, Intervention::as_str, Intervention::words),
        ),
        FormField::date("next_contact_on", "Next appointment", None),
        FormField::area("note", "Note"),
    ]
}

fn treatment_change(today: Option<NaiveDate>, whole: &PatientFile, stored: Option<&EpisodeRecord>) -> Vec<FormField> {
    let kinds: Vec<ChangeKind> =
        ChangeKind::ALL.iter().copied().filter(|kind| kind.as_change() == Some(*kind)).collect();
    let episode = stored.map(|stored| stored.episode.id);
    let waiting: Choices = recommendation::followed(&whole.story)
        .into_iter()
        .filter(|followed| followed.episode == episode && followed.state.waits())
        .map(|followed| {
            let of = followed.recommendation;
            (of.id.to_string().into(), format!("{}: {}", words::change(of.kind), of.text))
        })
        .collect();
    let mut fields = vec![
        FormField::date("changed_on", "Date", today).required(),
        FormField::some("kinds", "What changed", options(&kinds, ChangeKind::as_str, words::change)).required(),
        FormField::area("summary", "Details").required().hint("Such as: sertraline 50 → 100 mg"),
    ];
    if !waiting.is_empty() {
        fields.push(FormField::one("recommendation", "Follows the recommendation", waiting));
    }
    let acts = options(MedicationAct::ALL, MedicationAct::as_str, words::medication);
    fields.extend([
        FormField::text("medication.0.name", "Medication that changed"),
        FormField::one("medication.0.change", "How it changed", acts),
        FormField::text("medication.0.dose", "Dose from now on"),
        FormField::text("medication.0.instead_of", "Instead of").hint("For a switch"),
    ]);
    fields
}

fn fit([concerns, decision, reason]: [&'static str; 3], decided: bool) -> [FormField; 3] {
    let decisions = options(FitDecision::ALL, FitDecision::as_str, words::fit_decision);
    let decision = FormField::one(decision, "Does collaborative care fit?", decisions);
    [
        FormField::some(
            concerns,
            "Reasons for direct specialty care",
            options(FitConcern::ALL, FitConcern::as_str, words::fit_concern),
        ),
        if decided { decision.required() } else { decision.hint("Blank: not checked yet") },
        FormField::area(reason, "Why").hint("Needed for specialty care, and where a concern is named"),
    ]
}

/// The scores that may be a baseline, newest first.
fn scores(today: NaiveDate, whole: &PatientFile, stored: Option<&EpisodeRecord>) -> Choices {
    let targets = stored.map_or_else(Vec::new, |stored| stored.episode.target_instruments.clone());
    let mut all: Vec<_> = whole
        .story
        .measurements
        .iter()
        .filter(|m| m.total.is_some() && whole.story.source_stands(&m.source) && targets.contains(&m.instrument))
        .collect();
    all.sort_by_key(|m| std::cmp::Reverse((m.taken_at, m.id)));
    all.into_iter()
        .map(|m| {
            let total = m.total.unwrap_or_default();
            (m.id.to_string().into(), format!("{} {total}, {}", m.instrument, day(m.taken_on, today)))
        })
        .collect()
}

fn instruments() -> Choices {
    Instrument::all().iter().map(|one| (one.id().into(), one.title().to_owned())).collect()
}

/// Fields for the care team.
fn team(teams: &Teams) -> [FormField; 3] {
    [
        FormField::text("care_manager", "Care manager").suggest(teams.care_managers.clone()),
        FormField::text("primary_care_provider", "Primary care provider"),
        FormField::text("psychiatric_consultant", "Psychiatric consultant").suggest(teams.consultants.clone()),
    ]
}

fn enrollment(teams: &Teams) -> Vec<FormField> {
    let mut fields = vec![
        FormField::date("enrolled_on", "Enrolled on", None)
            .hint("The date of the initial assessment. Blank: referred only"),
        FormField::date("consent_on", "Consented on", None),
        FormField::some("target_instruments", "Treated to target", instruments()).required().with("phq9"),
    ];
    fields.extend(team(teams));
    fields.extend(fit(["fit.concerns", "fit.decision", "fit.reason"], false));
    fields
}

fn particulars(stored: &EpisodeRecord, teams: &Teams) -> Vec<FormField> {
    let episode = &stored.episode;
    let mut fields = Vec::new();
    if stored.phase == Phase::Referred {
        fields.push(FormField::date("enrolled_on", "Enrolled on", None).hint("The date of the initial assessment"));
    }
    fields.push(FormField::date("consent_on", "Consented on", episode.consent_on));
    let mut targets = FormField::some("target_instruments", "Treated to target", instruments()).required();
    targets.values = episode.target_instruments.iter().map(|one| one.id().to_owned()).collect();
    fields.push(targets);
    let now = [&episode.care_manager, &episode.primary_care_provider, &episode.psychiatric_consultant];
    let team = team(teams).into_iter().zip(now);
    fields.extend(team.map(|(field, name)| field.with(name.clone().unwrap_or_default())));
    fields.push(FormField::text("reason", "Why"));
    fields
}

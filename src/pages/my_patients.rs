//! A doctor's own patients: recommendations that wait for the doctor, what is overdue, and everybody in care.

use std::collections::{HashMap, HashSet};

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use uuid::Uuid;

use super::caseload::choice::SelectOption;
use super::caseload::row::CaseloadPageRow;
use super::date_texts::{day, whole_day};
use super::identity::{self, PersonIdentity};
use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{Confirmation, NavSection, Shell};
use super::staff::one_of;
use super::words;
use crate::api::request::READERS;
use crate::domain::care::{Addressee, RecommendationDecision};
use crate::domain::recommendation::{MeasureChange, RecommendationDetail};
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::standing::caseload;
use crate::store::standing::doctor::{self, DoctorCount};
use crate::store::{ReadTx, recommendation};

/// Whose patients, and the decision just made.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MyPatientsQuery {
    doctor: String,
    done: String,
    patient: Option<PatientId>,
    entry: Option<Uuid>,
}

/// The address of a doctor's page.
pub fn address(doctor: &str) -> String {
    let doctor: String = form_urlencoded::byte_serialize(doctor.as_bytes()).collect();
    format!("/my-patients?doctor={doctor}")
}

/// A recommendation to the doctor that is undecided, or accepted and not done.
struct WaitingRecommendation {
    id: Uuid,
    /// Sent twice, a decision counts once.
    once: Uuid,
    patient: PatientId,
    name: String,
    identity: PersonIdentity,
    kind: &'static str,
    text: String,
    made: String,
    due: Option<(String, bool)>,
    /// The decision so far.
    decided: Option<String>,
    scores: Vec<String>,
    accepts: bool,
    /// Decisions that need a reason: (value, label).
    reasoned: Vec<(&'static str, &'static str)>,
    finishes: bool,
}

/// Tasks of a patient whose day has passed.
fn overdue(row: &CaseloadPageRow) -> Vec<String> {
    let late = row.due.iter().filter(|(.., late)| *late);
    late.map(|(what, on, _)| format!("{what}, due {on}")).collect()
}

#[derive(Template)]
#[template(path = "my_patients.html")]
struct MyPatientsPage {
    shell: Shell,
    doctor: String,
    doctors: Vec<SelectOption>,
    today: String,
    decided_on: String,
    waiting: Vec<WaitingRecommendation>,
    patients: Vec<CaseloadPageRow>,
    decides: bool,
    /// Where a decision leads back to.
    back: String,
}

impl MyPatientsPage {
    fn overdue(&self) -> Vec<(&CaseloadPageRow, Vec<String>)> {
        let each = self.patients.iter().map(|row| (row, overdue(row)));
        each.filter(|(_, overdue)| !overdue.is_empty()).collect()
    }
}

pub async fn show(visitor: Visitor, Query(asked): Query<MyPatientsQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let today = visitor.today();
    let mut tx = visitor.pages.app.db.read().await?;
    let doctors = doctor::doctors(&mut tx, visitor.clinic()).await?;
    let doctor = chosen(&visitor, &asked.doctor, &doctors);
    let (waiting, patients) = match &doctor {
        Some(doctor) => read(&mut tx, &visitor, doctor).await?,
        None => (Vec::new(), Vec::new()),
    };
    drop(tx);
    let mut shell = Shell::around(&visitor, "My patients", NavSection::MyPatients).await?;
    shell.done = (asked.done == "decision").then(|| Confirmation {
        words: "The decision was recorded.".to_owned(),
        undo: asked.patient.zip(asked.entry).map(|(of, entry)| format!("/patients/{of}/take-back?entry={entry}")),
    });
    let doctor = doctor.unwrap_or_default();
    let page = MyPatientsPage {
        doctors: options(doctors, &doctor),
        today: whole_day(today),
        decided_on: today.to_string(),
        waiting,
        patients,
        decides: visitor.is(&[Role::PrimaryCare, Role::CareManager]),
        back: address(&doctor),
        doctor,
        shell,
    };
    Ok(html(&page))
}

/// The doctor who was asked for; else the visitor, as episodes name them; else the clinic's only doctor.
fn chosen(visitor: &Visitor, asked: &str, doctors: &[DoctorCount]) -> Option<String> {
    if !asked.is_empty() {
        return Some(asked.to_owned());
    }
    let names: Vec<&str> = doctors.iter().map(|doctor| doctor.name.as_str()).collect();
    match (one_of(&visitor.session.name, &names), names.as_slice()) {
        (Some(own), _) => Some(own.to_owned()),
        (None, [only]) => Some((*only).to_owned()),
        _ => None,
    }
}

fn options(doctors: Vec<DoctorCount>, chosen: &str) -> Vec<SelectOption> {
    let option = |doctor: DoctorCount| SelectOption {
        words: format!("{} ({})", doctor.name, doctor.episodes),
        chosen: doctor.name == chosen,
        value: doctor.name,
    };
    doctors.into_iter().map(option).collect()
}

async fn read(
    tx: &mut ReadTx,
    visitor: &Visitor,
    doctor: &str,
) -> Result<(Vec<WaitingRecommendation>, Vec<CaseloadPageRow>), Problem> {
    let (clinic, today) = (visitor.clinic(), visitor.today());
    let episodes = doctor::episodes_of_doctor(tx, clinic, doctor).await?;
    let rows = caseload::rows(tx, clinic, &episodes).await?;
    let mut ids: Vec<PatientId> = rows.iter().map(|row| row.patient_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = identity::read(tx, clinic, ids.iter().copied()).await?;
    let identity = |id: PatientId| known.get(&id).cloned().unwrap_or_default();
    let patients: Vec<CaseloadPageRow> = rows
        .iter()
        .map(|row| CaseloadPageRow::of(row, identity(row.patient_id), &row.line().unwrap_or_default(), today))
        .collect();
    let names: HashMap<PatientId, &str> = patients.iter().map(|row| (row.patient, row.name.as_str())).collect();
    let open: HashSet<EpisodeId> = episodes.into_iter().collect();
    let mut details = Vec::new();
    for row in recommendation::of_each(tx, clinic, &ids).await? {
        if open.contains(&row.episode_id) {
            details.push((row.patient_id, row.detail()?));
        }
    }
    details.retain(|(_, one)| one.followed.state.waits() && one.followed.recommendation.to == Addressee::PrimaryCare);
    // Undecided ones first, each group by the day it is due.
    details.sort_by_key(|(_, one)| (one.followed.decision.is_some(), one.due_by, one.followed.recommendation.id));
    let waiting = details
        .into_iter()
        .map(|(id, one)| (id, visitor.pages.app.clock.id(), one))
        .map(|(id, once, one)| {
            waiting((id, once), names.get(&id).copied().unwrap_or_default(), identity(id), one, today)
        })
        .collect();
    Ok((waiting, patients))
}

fn waiting(
    (patient, once): (PatientId, Uuid),
    name: &str,
    identity: PersonIdentity,
    detail: RecommendationDetail,
    today: NaiveDate,
) -> WaitingRecommendation {
    let allowed = detail.followed.allowed();
    let followed = detail.followed;
    let reasoned = [(RecommendationDecision::Modified, "Modify"), (RecommendationDecision::Declined, "Decline")];
    WaitingRecommendation {
        id: followed.recommendation.id,
        once,
        patient,
        name: name.to_owned(),
        identity,
        kind: words::change(followed.recommendation.kind),
        text: followed.recommendation.text,
        made: format!("{}, {}", followed.reviewer, day(followed.recommended_on, today)),
        due: detail.due_by.map(|on| (day(on, today), on < today)),
        decided: followed.decision.map(|decision| {
            let on = followed.decided_on.map(|on| format!(" {}", day(on, today))).unwrap_or_default();
            format!("{}{on}, not done yet", words::decision(decision))
        }),
        scores: detail.outcomes.iter().filter_map(|change| score(change, today)).collect(),
        accepts: allowed.contains(&RecommendationDecision::Accepted) && followed.decision.is_none(),
        reasoned: reasoned
            .into_iter()
            .filter(|(decision, _)| allowed.contains(decision))
            .map(|(decision, label)| (decision.as_str(), label))
            .collect(),
        finishes: allowed.contains(&RecommendationDecision::Done),
    }
}

/// The latest score of a measure, and the one when it was recommended where that is another.
fn score(change: &MeasureChange, today: NaiveDate) -> Option<String> {
    let (before, latest) = (change.before.as_ref(), change.latest.as_ref());
    let shown = latest.or(before)?;
    let from = before.filter(|before| before.taken_on != shown.taken_on).map(|before| format!("{} → ", before.score));
    let title = change.instrument.title();
    Some(format!("{title} {}{}, {}", from.unwrap_or_default(), shown.score, day(shown.taken_on, today)))
}

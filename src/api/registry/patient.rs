//! `GET patients/{id}`

use axum::Json;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::episodes::EpisodeBody;
use super::measurements::MeasurementBody;
use super::patient_matches::{PatientMatchBody, side_by_side};
use super::patients::PatientIdentity;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{IdInPath, READERS, RequestContext};
use crate::domain::candidate::Candidate;
use crate::domain::care::{Care, Risk};
use crate::domain::chart_plan::plan;
use crate::domain::history::History;
use crate::domain::safety::{Concern, ConcernState, unanswered};
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::matches;
use crate::store::{episode, patient, rule_set, story};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_patient))
}

/// A patient with what matters about them.
#[derive(Debug, Serialize, ToSchema)]
struct PatientBody {
    #[serde(flatten)]
    identity: PatientIdentity,
    /// Every name the person is known by: `Patient/123`, `system|value`.
    keys: Vec<String>,
    /// Everything measured, in order of time; retracted ones are marked and count for nothing.
    measurements: Vec<MeasurementBody>,
    /// Every episode, in order of enrollment.
    episodes: Vec<EpisodeBody>,
    /// Set while the patient screened positive and is in no open episode.
    candidate: Option<Candidate>,
    /// Records that are perhaps the same person, until somebody has decided.
    possible_matches: Vec<PatientMatchBody>,
    /// PHQ-9 item 9, enrolled or not.
    safety: SafetyStatus,
}

/// How a patient stands with regard to safety. This service is not a crisis service.
#[derive(Debug, Serialize, ToSchema)]
struct SafetyStatus {
    /// Unassessed concerns, oldest first.
    open: Vec<Concern>,
    /// The earliest date on which one of them is due.
    due_on: Option<NaiveDate>,
    /// Concerns that were assessed, oldest first.
    assessed: Vec<Concern>,
    /// The last documented assessment.
    last_assessment: Option<AssessmentBody>,
}

/// A documented safety assessment.
#[derive(Debug, Serialize, ToSchema)]
struct AssessmentBody {
    /// Id of the entry.
    id: Uuid,
    /// Instant.
    assessed_at: DateTime<Utc>,
    /// Date in the clinic's time zone.
    assessed_on: NaiveDate,
    /// Name of the instrument, such as `C-SSRS`.
    instrument: String,
    /// Result of the assessment.
    result: String,
    /// The risk it came to; `null` where nobody recorded it.
    risk: Option<Risk>,
    /// Action that was taken.
    disposition: String,
    /// Person who made the assessment.
    assessor: String,
    /// Note.
    note: Option<String>,
}

/// A patient: identity, measurements, episodes, safety.
#[utoipa::path(get, path = "/patients/{id}", tag = "patients", params(("id" = String, Path, description = "The patient")),
    responses((status = 200, description = "One who was merged into another is answered as the other", body = PatientBody), ReadErrors))]
async fn read_patient(call: RequestContext, IdInPath(id): IdInPath<PatientId>) -> Result<Json<PatientBody>, Problem> {
    call.caller.require(READERS)?;
    let clinic = call.clinic();
    let mut tx = call.app.db.read().await?;
    let row = patient::find(&mut tx, clinic, id).await?.ok_or_else(|| Problem::not_found("patient"))?;
    let story = story::of(&mut tx, clinic, &row).await?;
    let keys = patient::keys(&mut tx, clinic, row.id).await?;
    let episodes = episode::of_patient(&mut tx, clinic, row.id).await?;
    let mut possible_matches = Vec::new();
    for found in matches::of_person(&mut tx, clinic, row.id).await? {
        possible_matches.push(side_by_side(&mut tx, clinic, found).await?);
    }
    let rules = rule_set::active(&mut tx, clinic).await?;
    drop(tx);
    let plan = plan(&story, &rules, call.today());
    let episodes = episodes.into_iter().map(|stored| EpisodeBody::of(stored, &row)).collect();
    let mut concerns = plan.concerns;
    let asked = unanswered(&History::of(&story), &rules, call.today());
    concerns.extend(asked.iter().filter_map(|open| open.as_concern(&rules)));
    let safety = safety(&story, concerns);
    let measurements = story.measurements.into_iter().map(MeasurementBody::from).collect();
    let candidate = row.candidate.as_ref().map(|candidate| candidate.0.clone());
    Ok(Json(PatientBody {
        identity: PatientIdentity::from(row),
        keys,
        measurements,
        episodes,
        candidate,
        possible_matches,
        safety,
    }))
}

fn safety(story: &Story, concerns: Vec<Concern>) -> SafetyStatus {
    let (open, assessed): (Vec<Concern>, Vec<Concern>) =
        concerns.into_iter().partition(|c| c.state == ConcernState::Open);
    let assessments = story.standing_entries().into_iter().filter_map(|e| match &e.care {
        Care::SafetyAssessment { instrument, result, risk, disposition, assessor, note } => Some(AssessmentBody {
            id: e.id,
            assessed_at: e.at,
            assessed_on: e.on,
            instrument: instrument.clone(),
            result: result.clone(),
            risk: *risk,
            disposition: disposition.clone(),
            assessor: assessor.clone(),
            note: note.clone(),
        }),
        _ => None,
    });
    let last_assessment = assessments.max_by_key(|a| (a.assessed_at, a.id));
    SafetyStatus { due_on: open.iter().map(|c| c.due_on).min(), open, assessed, last_assessment }
}

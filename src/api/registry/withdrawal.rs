//! `POST episodes/{id}/entries/{entry}/take-back` and `POST patients/{id}/entries/{entry}/take-back`

use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{CLINICIANS, EntryInPath, IdInPath, RequestContext, RequiredText};
use crate::domain::care::{Care, CareEntry};
use crate::id::{EpisodeId, PatientId};
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;
use crate::store;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(take_back)).routes(routes!(take_back_of_patient))
}

/// Marks an entry as a mistake.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTakeBack {
    /// Why: it is part of the record.
    reason: RequiredText,
}

/// Takes an entry back: it stays in the timeline and counts for nothing any more.
///
/// Entries of the episode, and safety assessments of its patient.
#[utoipa::path(post, path = "/episodes/{id}/entries/{entry}/take-back", tag = "care",
    params(("id" = String, Path, description = "The episode"), ("entry" = String, Path, description = "The entry")),
    request_body = NewTakeBack, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn take_back(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    EntryInPath(entry): EntryInPath,
    JsonBody(new): JsonBody<NewTakeBack>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let mut tx = call.app.db.read().await?;
    let stored = store::episode::find(&mut tx, call.clinic(), episode).await?;
    let stored = stored.ok_or_else(|| Problem::not_found("episode"))?;
    let entries = store::event_log::entries(&mut tx, call.clinic(), stored.patient_id).await?;
    drop(tx);
    let is_its_own = entries.iter().any(|e| e.id == entry && e.episode.is_none_or(|of| of == episode));
    if !is_its_own {
        return Err(Problem::not_found("entry"));
    }
    let care = Care::TakenBack { entry, reason: Some(new.reason.0) };
    care::enter(&call, episode, (call.today(), None), care).await
}

/// Entry that was taken back.
#[derive(Debug, Serialize, ToSchema)]
struct WithdrawalReceipt {
    /// The entry that takes it back.
    id: String,
    /// The patient.
    patient: PatientId,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
}

/// Takes back what concerns the patient and no episode: a safety assessment, a coverage, the dismissal of a candidate.
///
/// A safety concern that only this assessment had closed stands open again.
#[utoipa::path(post, path = "/patients/{id}/entries/{entry}/take-back", tag = "patients",
    params(("id" = String, Path, description = "The patient"), ("entry" = String, Path, description = "The entry")),
    request_body = NewTakeBack, responses((status = 201, description = "Recorded", body = WithdrawalReceipt), WriteErrors))]
async fn take_back_of_patient(
    call: RequestContext,
    IdInPath(patient): IdInPath<PatientId>,
    EntryInPath(entry): EntryInPath,
    JsonBody(new): JsonBody<NewTakeBack>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let mut tx = call.app.db.read().await?;
    let stored = store::patient::find(&mut tx, call.clinic(), patient).await?;
    let stored = stored.ok_or_else(|| Problem::not_found("patient"))?;
    let entries = store::event_log::entries(&mut tx, call.clinic(), stored.id).await?;
    drop(tx);
    let is_one = |e: &CareEntry| e.id == entry && e.episode.is_none() && !matches!(e.care, Care::TakenBack { .. });
    if !entries.iter().any(is_one) {
        return Err(Problem::not_found("entry"));
    }
    let care = Care::TakenBack { entry, reason: Some(new.reason.0) };
    let recorded = call.record_one(Command::RecordPatientCare { patient, at: call.app.clock.now(), care }).await?;
    let patient = recorded.patient.unwrap_or(patient);
    Ok(created(None, None, WithdrawalReceipt { id: recorded.id, patient, recorded_at: recorded.at }))
}

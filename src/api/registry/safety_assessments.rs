//! `POST patients/{id}/safety-assessments`

use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{CLINICIANS, IdInPath, Moment, RequestContext, RequiredText, words};
use crate::domain::care::{Care, Risk};
use crate::id::PatientId;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(assess))
}

/// A safety assessment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAssessment {
    /// When; an instant, so that it closes what was answered before it and nothing after. A bare date is the end of that
    /// day, or now if that is earlier.
    assessed_at: Moment,
    /// Name of the instrument, such as `C-SSRS`.
    instrument: RequiredText,
    /// Result of the assessment.
    result: RequiredText,
    /// The risk it came to. Left out it is not known, and the next suicidal answer stands at its full level.
    risk: Option<Risk>,
    /// Action that was taken.
    disposition: RequiredText,
    /// Reviewer; the caller if omitted.
    assessor: Option<RequiredText>,
    /// Note.
    note: Option<RequiredText>,
}

/// A safety assessment that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct AssessmentReceipt {
    /// Id of the entry.
    id: String,
    /// The patient.
    patient: PatientId,
    /// Date in the clinic's time zone.
    on: NaiveDate,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
}

/// Documents a safety assessment: the only thing that closes a safety concern.
#[utoipa::path(post, path = "/patients/{id}/safety-assessments", tag = "patients",
    params(("id" = String, Path, description = "The patient")), request_body = NewAssessment,
    responses((status = 201, description = "Recorded", body = AssessmentReceipt), WriteErrors))]
async fn assess(
    call: RequestContext,
    IdInPath(patient): IdInPath<PatientId>,
    JsonBody(new): JsonBody<NewAssessment>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let (on, at) = new.assessed_at.by_the_end_of_the_day(call.zone(), call.app.clock.now());
    let care = Care::SafetyAssessment {
        instrument: new.instrument.0,
        result: new.result.0,
        risk: new.risk,
        disposition: new.disposition.0,
        assessor: words(new.assessor).unwrap_or_else(|| call.caller.subject.clone()),
        note: words(new.note),
    };
    let recorded = call.record_one(Command::RecordPatientCare { patient, at, care }).await?;
    let patient = recorded.patient.unwrap_or(patient);
    Ok(created(None, None, AssessmentReceipt { id: recorded.id, patient, on, recorded_at: recorded.at }))
}

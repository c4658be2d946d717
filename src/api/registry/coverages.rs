//! `POST patients/{id}/coverages`

use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext};
use crate::domain::care::{Care, Payer};
use crate::id::PatientId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(cover))
}

/// A coverage: the payer and the first day.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCoverage {
    /// The payer.
    payer: Payer,
    /// The first day.
    from: NaiveDate,
    /// The last day; open without one.
    to: Option<NaiveDate>,
}

/// A coverage that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct CoverageReceipt {
    /// Id of the entry.
    id: String,
    /// The patient.
    patient: PatientId,
}

/// Documents who pays for a patient's care: metrics are narrowed by it, month by month.
#[utoipa::path(post, path = "/patients/{id}/coverages", tag = "patients",
    params(("id" = String, Path, description = "The patient")), request_body = NewCoverage,
    responses((status = 201, description = "Recorded", body = CoverageReceipt), WriteErrors))]
async fn cover(
    call: RequestContext,
    IdInPath(patient): IdInPath<PatientId>,
    JsonBody(new): JsonBody<NewCoverage>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::Admin])?;
    if new.to.is_some_and(|to| to < new.from) {
        return Err(Problem::unprocessable("a coverage does not end before it begins").at("to"));
    }
    let care = Care::Coverage { payer: new.payer, from: new.from, to: new.to };
    let recorded = call.record_one(Command::RecordPatientCare { patient, at: call.app.clock.now(), care }).await?;
    let patient = recorded.patient.unwrap_or(patient);
    Ok(created(None, None, CoverageReceipt { id: recorded.id, patient }))
}

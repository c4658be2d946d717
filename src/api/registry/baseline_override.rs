//! `POST episodes/{id}/baseline-override`

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText, parse_id};
use crate::domain::care::Care;
use crate::domain::instrument::Instrument;
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(override_baseline))
}

/// A baseline set by a clinician.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBaseline {
    /// The instrument.
    instrument: Instrument,
    /// The id of the measurement that is the baseline from now on.
    measurement: String,
    /// Why: it is part of the record.
    reason: RequiredText,
}

/// Sets the baseline of a measure by hand, as of today.
#[utoipa::path(post, path = "/episodes/{id}/baseline-override", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewBaseline,
    responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn override_baseline(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewBaseline>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::PsychiatricConsultant])?;
    let measurement = parse_id(&new.measurement).map_err(|_| {
        Problem::unprocessable("no scored measurement of this instrument has that id").at("measurement")
    })?;
    let care = Care::BaselineOverride { instrument: new.instrument, measurement, reason: new.reason.0 };
    care::enter(&call, episode, (call.today(), None), care).await
}

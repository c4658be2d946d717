//! `GET episodes/{id}/handover`

use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care_plan::CarePlanSource;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{IdInPath, READERS, RequestContext};
use crate::id::EpisodeId;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(hand_over))
}

/// The care plan and what happened in the episode, as a page that a person may hand over. Nothing is sent anywhere.
#[utoipa::path(get, path = "/episodes/{id}/handover", tag = "care", params(("id" = String, Path, description = "The episode")),
    responses((status = 200, description = "A document", content_type = "text/html", body = String), ReadErrors))]
async fn hand_over(call: RequestContext, IdInPath(id): IdInPath<EpisodeId>) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    Ok(CarePlanSource::of(&call, id).await?.handover())
}

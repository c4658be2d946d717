//! `POST episodes/{id}/discussion-flag`

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{CLINICIANS, IdInPath, RequestContext, RequiredText, words};
use crate::domain::care::Care;
use crate::id::EpisodeId;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(flag))
}

/// A flag for the weekly review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFlag {
    /// Whether the flag is set.
    raised: bool,
    /// Reason.
    note: Option<RequiredText>,
}

/// Flags an episode for discussion in the weekly review, or takes the flag down, as of today. A review takes it down too.
#[utoipa::path(post, path = "/episodes/{id}/discussion-flag", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewFlag,
    responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn flag(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewFlag>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let care = Care::DiscussionFlag { raised: new.raised, note: words(new.note) };
    care::enter(&call, episode, (call.today(), None), care).await
}

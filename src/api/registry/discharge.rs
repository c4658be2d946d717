//! `POST episodes/{id}/discharge`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{EntryReceipt, fact};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText, words};
use crate::domain::care::{Care, DischargeReason};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::store;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(discharge))
}

/// The end of an episode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDischarge {
    /// The first local date on which it is no longer open.
    discharged_on: NaiveDate,
    /// Reason.
    reason: NewReason,
    /// Free text; asked for when a patient graduates without a relapse-prevention plan.
    note: Option<RequiredText>,
}

/// Why an episode ended.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewReason {
    Graduated,
    LostToFollowUp,
    AdministrativeInactivity,
    Withdrew,
    /// The same as `transferred_other`.
    Transferred,
    TransferredHigherLevelOfCare,
    TransferredOther,
    Died,
    Other,
}

impl From<NewReason> for DischargeReason {
    fn from(reason: NewReason) -> Self {
        match reason {
            NewReason::Graduated => Self::Graduated,
            NewReason::LostToFollowUp => Self::LostToFollowUp,
            NewReason::AdministrativeInactivity => Self::AdministrativeInactivity,
            NewReason::Withdrew => Self::Withdrew,
            NewReason::TransferredHigherLevelOfCare => Self::TransferredHigherLevelOfCare,
            NewReason::Transferred | NewReason::TransferredOther => Self::TransferredOther,
            NewReason::Died => Self::Died,
            NewReason::Other => Self::Other,
        }
    }
}

/// Ends an episode. A patient who returns gets a new episode.
#[utoipa::path(post, path = "/episodes/{id}/discharge", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewDischarge, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn discharge(
    ask: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewDischarge>,
) -> Result<Response, Problem> {
    ask.caller.require(&[Role::CareManager])?;
    let reason = DischargeReason::from(new.reason);
    let asks = reason == DischargeReason::Graduated && new.note.is_none() && !has_plan(&ask, episode).await?;
    let care = Care::Discharge { reason, note: words(new.note) };
    let recorded = ask.record_one(fact(&ask, episode, (new.discharged_on, None), care)).await?;
    let mut entered = EntryReceipt::of(recorded, episode, new.discharged_on);
    if asks {
        let warning =
            "A relapse-prevention plan is expected before graduation; the note does not say why there is none.";
        entered.warnings.push(warning.to_owned());
    }
    Ok(entered.answer())
}

async fn has_plan(ask: &RequestContext, episode: EpisodeId) -> Result<bool, Problem> {
    let mut tx = ask.app.db.read().await?;
    let Some(stored) = store::episode::find(&mut tx, ask.clinic(), episode).await? else { return Ok(false) };
    let Some(patient) = store::patient::find(&mut tx, ask.clinic(), stored.patient_id).await? else { return Ok(false) };
    let story = store::story::of(&mut tx, ask.clinic(), &patient).await?;
    // A discharge that was taken back does not count.
    let entries = story.standing_entries();
    Ok(entries.iter().any(|e| e.episode == Some(episode) && matches!(e.care, Care::RelapsePrevention { .. })))
}

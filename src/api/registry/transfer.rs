//! `POST episodes/{id}/transfer`

use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{EntryReceipt, fact};
use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText};
use crate::domain::care::{Care, DischargeReason};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{Amendment, Change, Command};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(transfer))
}

/// A transfer: to exactly one of a care manager and a clinic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTransfer {
    /// The local date: the new care manager's first, or the first on which the episode is no longer open here.
    on: NaiveDate,
    /// To another care manager of this clinic: the episode goes on.
    to_care_manager: Option<RequiredText>,
    /// To another clinic: the episode ends here.
    to_clinic: Option<RequiredText>,
    /// Reason.
    reason: RequiredText,
}

/// A transfer that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct TransferReceipt {
    #[serde(flatten)]
    entered: EntryReceipt,
    /// After a transfer to another clinic: the document that a person may hand over (care plan and summary). Nothing
    /// goes there by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    handover: Option<String>,
}

/// Hands a patient over, to another care manager or to another clinic.
///
/// Clinics are walls: a transfer to another one ends the episode here as `transferred_other`, with a note that names
/// the clinic. Whoever receives the patient refers or enrolls them there.
#[utoipa::path(post, path = "/episodes/{id}/transfer", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewTransfer, responses((status = 201, description = "Recorded", body = TransferReceipt), WriteErrors))]
async fn transfer(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewTransfer>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let reason = new.reason.0;
    let (fact, leaves) = match (new.to_care_manager, new.to_clinic) {
        (Some(to), None) => (to_care_manager(&call, episode, new.on, to.0, reason), false),
        (None, Some(to)) if to.0 == call.clinic() => {
            return Err(Problem::unprocessable("the patient is in this clinic").at("to_clinic"));
        }
        (None, Some(to)) => {
            let note = Some(format!("Transferred to clinic {to}: {reason}"));
            let care = Care::Discharge { reason: DischargeReason::TransferredOther, note };
            (fact(&call, episode, (new.on, None), care), true)
        }
        _ => return Err(Problem::unprocessable("exactly one of to_care_manager and to_clinic").at("to_care_manager")),
    };
    let recorded = call.record_one(fact).await?;
    let entered = EntryReceipt::of(recorded, episode, new.on);
    let handover = leaves.then(|| format!("/api/v1/episodes/{episode}/handover"));
    Ok(created(None, Some(entered.revision), TransferReceipt { entered, handover }))
}

fn to_care_manager(call: &RequestContext, episode: EpisodeId, on: NaiveDate, to: String, reason: String) -> Command {
    let amendment = Amendment {
        care_manager: Change::To(to),
        reason: Some(reason),
        transferred_on: Some(on),
        ..Amendment::default()
    };
    Command::AmendEpisode { episode, amendment, if_match: call.if_match }
}

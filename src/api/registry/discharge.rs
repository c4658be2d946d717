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
use crate::api::request::{IdInPath, RequestContext, RequiredText, parse_id, words};
use crate::domain::care::{Care, DischargeReason};
use crate::domain::graduation;
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
    /// Of a duplicate: the episode that stays. Contacts, reviews and forms count for that one.
    duplicate_of: Option<String>,
    /// Free text; asked for when a patient graduates without response or without a relapse-prevention plan.
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
    /// The same treatment as another open episode of the person: `duplicate_of` names the one that stays.
    Duplicate,
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
            NewReason::Duplicate => Self::Duplicate,
            NewReason::Died => Self::Died,
            NewReason::Other => Self::Other,
        }
    }
}

/// Ends an episode. A patient who returns gets a new episode.
#[utoipa::path(post, path = "/episodes/{id}/discharge", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewDischarge, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn discharge(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewDischarge>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let reason = DischargeReason::from(new.reason);
    let asks = reason == DischargeReason::Graduated && new.note.is_none();
    let missing = if asks { missing_for_graduation(&call, episode, new.discharged_on).await? } else { Vec::new() };
    let care = match (reason, new.duplicate_of.as_deref().map(parse_id)) {
        (DischargeReason::Duplicate, Some(Ok(of))) => Care::Duplicate { of },
        (DischargeReason::Duplicate, _) => {
            return Err(Problem::unprocessable("the episode that stays").at("duplicate_of"));
        }
        (_, Some(_)) => return Err(Problem::unprocessable("only with the reason duplicate").at("duplicate_of")),
        (reason, None) => Care::Discharge { reason, note: words(new.note) },
    };
    let recorded = call.record_one(fact(&call, episode, (new.discharged_on, None), care)).await?;
    let mut entered = EntryReceipt::of(recorded, episode, new.discharged_on);
    entered.warnings.extend(missing.into_iter().map(str::to_owned));
    Ok(entered.answer())
}

/// What a graduation asks a reason for, where the note gives none.
async fn missing_for_graduation(
    call: &RequestContext,
    episode: EpisodeId,
    on: NaiveDate,
) -> Result<Vec<&'static str>, Problem> {
    let mut tx = call.app.db.read().await?;
    let Some(stored) = store::episode::find(&mut tx, call.clinic(), episode).await? else { return Ok(Vec::new()) };
    let found = store::patient::find(&mut tx, call.clinic(), stored.patient_id).await?;
    let Some(patient) = found else { return Ok(Vec::new()) };
    let story = store::story::of(&mut tx, call.clinic(), &patient).await?;
    let rules = store::rule_set::active(&mut tx, call.clinic()).await?;
    Ok(graduation::missing(&story, &rules, episode, on))
}

//! `POST episodes/{id}/contacts`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{IdInPath, Moment, RequestContext, RequiredText, words};
use crate::domain::care::treatment::may_be_next;
use crate::domain::care::{Care, ContactKind, ContactOutcome, Intervention, Modality};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add_contact))
}

/// A contact, attempted or made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewContact {
    /// Date in the clinic's time zone. One of `on` and `occurred_at` is needed.
    on: Option<NaiveDate>,
    /// Instant (RFC 3339).
    occurred_at: Option<Moment>,
    /// Purpose. Only attended treatment counts as a clinical contact.
    kind: ContactKind,
    /// Modality.
    modality: Option<Modality>,
    /// Whether it was on the schedule.
    #[serde(default)]
    scheduled: bool,
    /// Outcome; `attended` if omitted.
    outcome: Option<ContactOutcome>,
    /// Minutes of the care manager, at most 1440.
    minutes: Option<u16>,
    /// Person who made the contact.
    performer: Option<RequiredText>,
    /// Delivered interventions: known ones (`behavioural_activation`, `problem_solving_treatment`,
    /// `medication_support`, …; see the schema `Intervention`), or free text.
    #[serde(default)]
    interventions: Vec<RequiredText>,
    /// The next appointment that was made: after this contact, within a year.
    next_contact_on: Option<NaiveDate>,
    /// Note.
    note: Option<RequiredText>,
}

/// Documents a contact.
#[utoipa::path(post, path = "/episodes/{id}/contacts", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = NewContact, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn add_contact(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewContact>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let occurred = new.occurred_at.map(|moment| moment.in_zone(call.zone()));
    let when = match (new.on, occurred) {
        (Some(on), Some((date, _))) if on != date => {
            return Err(Problem::unprocessable("not the local date of occurred_at").at("on"));
        }
        (_, Some(occurred)) => occurred,
        (Some(on), None) => (on, None),
        (None, None) => return Err(Problem::unprocessable("one of on and occurred_at is needed").at("on")),
    };
    if new.next_contact_on.is_some_and(|next| !may_be_next(when.0, next)) {
        return Err(Problem::unprocessable("after this contact, and within a year").at("next_contact_on"));
    }
    let care = Care::Contact {
        purpose: new.kind,
        modality: new.modality,
        scheduled: new.scheduled,
        outcome: new.outcome.unwrap_or(ContactOutcome::Attended),
        starts_at: when.1,
        minutes: care::minutes(new.minutes)?,
        performer: words(new.performer),
        interventions: new.interventions.into_iter().map(|text| known(text.0)).collect(),
        next_contact_on: new.next_contact_on,
        note: words(new.note),
    };
    care::enter(&call, episode, when, care).await
}

/// Stores a known intervention by its name, free text unchanged.
fn known(words: String) -> String {
    Intervention::named(&words).map_or(words, |known| known.to_string())
}

//! `POST episodes/{id}/fit-check`

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{EntryReceipt, fact};
use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{CLINICIANS, IdInPath, RequestContext, RequiredText, words};
use crate::domain::care::{Care, FitCheck, FitConcern, FitDecision};
use crate::domain::episode::Phase;
use crate::id::EpisodeId;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::store;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(check_fit))
}

/// Whether the model fits this patient.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFitCheck {
    /// Concerns that speak for direct specialty care.
    #[serde(default)]
    concerns: Vec<FitConcern>,
    /// The decision that a person made.
    decision: FitDecision,
    /// Why; needed for `specialty_care`, and for `suitable` where a concern is named.
    reason: Option<RequiredText>,
    /// Decision maker; the caller if omitted.
    by: Option<RequiredText>,
}

impl NewFitCheck {
    /// The checked fit check to store. `field` is its place in the request.
    pub fn checked(self, call: &RequestContext, field: &str) -> Result<FitCheck, Problem> {
        let mut concerns = self.concerns;
        concerns.sort_unstable();
        concerns.dedup();
        let fit = FitCheck {
            concerns,
            decision: self.decision,
            reason: words(self.reason),
            by: words(self.by).unwrap_or_else(|| call.caller.subject.clone()),
        };
        match fit.fault() {
            Some(fault) => Err(Problem::unprocessable(fault).at(format!("{field}reason"))),
            None => Ok(fit),
        }
    }
}

/// A fit check of an episode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DatedFitCheck {
    /// The local date; today where it is left out.
    on: Option<NaiveDate>,
    /// Concerns that speak for direct specialty care.
    #[serde(default)]
    concerns: Vec<FitConcern>,
    /// The decision that a person made.
    decision: FitDecision,
    /// Why; needed for `specialty_care`, and for `suitable` where a concern is named.
    reason: Option<RequiredText>,
    /// Decision maker; the caller if omitted.
    by: Option<RequiredText>,
}

/// Documents a fit check: acute risk, psychosis, mania, severe substance use and other reasons for direct specialty care.
///
/// The last one counts. Someone who is only referred cannot be enrolled while it says `specialty_care`; of someone who
/// is enrolled nothing changes by itself.
#[utoipa::path(post, path = "/episodes/{id}/fit-check", tag = "care", params(("id" = String, Path, description = "The episode")),
    request_body = DatedFitCheck, responses((status = 201, description = "Recorded", body = EntryReceipt), WriteErrors))]
async fn check_fit(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<DatedFitCheck>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let check = NewFitCheck { concerns: new.concerns, decision: new.decision, reason: new.reason, by: new.by };
    let fit = check.checked(&call, "")?;
    let on = new.on.unwrap_or_else(|| call.today());
    let elsewhere = fit.decision == FitDecision::SpecialtyCare;
    let recorded = call.record_one(fact(&call, episode, (on, None), Care::FitCheck(fit))).await?;
    let mut entered = EntryReceipt::of(recorded, episode, on);
    let mut tx = call.app.db.read().await?;
    let stored = store::episode::find(&mut tx, call.clinic(), episode).await?;
    if elsewhere && stored.is_some_and(|stored| stored.phase != Phase::Referred) {
        let warning = "The patient is enrolled: a referral to specialty care or a discharge is for a person to enter.";
        entered.warnings.push(warning.to_owned());
    }
    Ok(entered.answer())
}

//! `POST recommendations/{id}/decision`

use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{WriteErrors, created};
use super::care::{Entered, fact};
use crate::api::App;
use crate::api::request::{Ask, Id, Text, words};
use crate::domain::care::{Care, ChangeKind, Decision};
use crate::domain::episode::Phase;
use crate::domain::recommendation::{Followed, follow};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Fact;
use crate::store::{self, episode, patient};

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(decide))
}

/// What becomes of a recommendation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDecision {
    /// What was decided, or that it was done.
    decision: Decision,
    /// The local date.
    decided_on: NaiveDate,
    /// Who; the caller where it is left out.
    by: Option<Text>,
    /// Why.
    reason: Option<Text>,
}

/// A decision that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct Decided {
    #[serde(flatten)]
    entered: Entered,
    /// The recommendation.
    recommendation: uuid::Uuid,
    /// The treatment change that was recorded with it: only of what is `done` and not `continue`.
    treatment_change: Option<String>,
}

/// Accepts, modifies or declines a recommendation, or says that it was done.
///
/// What is done is a treatment change: it is recorded with it, dated `decided_on`, and restarts the plan clock.
/// Undecided may become anything; accepted and modified may be changed or done; declined has to be accepted first;
/// done is done.
#[utoipa::path(post, path = "/recommendations/{id}/decision", tag = "care",
    params(("id" = String, Path, description = "The recommendation")), request_body = NewDecision,
    responses((status = 201, description = "Recorded", body = Decided), WriteErrors))]
async fn decide(ask: Ask, Id(id): Id, JsonBody(new): JsonBody<NewDecision>) -> Result<Response, Problem> {
    ask.caller.require(&[Role::PrimaryCare, Role::CareManager])?;
    let (followed, episode, phase) = find(&ask, id).await?;
    let care = Care::RecommendationDecision {
        recommendation: id,
        decision: new.decision,
        by: Some(words(new.by).unwrap_or_else(|| ask.caller.subject.clone())),
        reason: words(new.reason),
    };
    let mut facts = vec![fact(&ask, episode, (new.decided_on, None), care)];
    let kind = followed.recommendation.kind;
    // In an episode that has ended there is no plan to restart.
    if new.decision == Decision::Done && kind != ChangeKind::Continue && phase != Phase::Discharged {
        let summary = followed.recommendation.text;
        let care =
            Care::TreatmentChange { changes: vec![kind], summary, recommendation: Some(id), medication: Vec::new() };
        facts.push(Fact::Cared { episode, on: new.decided_on, at: None, care, if_match: None });
    }
    let mut recorded = ask.record(facts).await?.into_iter();
    let first = recorded.next().ok_or_else(|| Problem::internal("a fact was not answered"))?;
    let change = recorded.next();
    let mut entered = Entered::of(first, episode, new.decided_on);
    entered.revision = change.as_ref().map_or(entered.revision, |change| change.version);
    let treatment_change = change.map(|change| change.id);
    Ok(created(None, Some(entered.revision), Decided { entered, recommendation: id, treatment_change }))
}

async fn find(ask: &Ask, id: uuid::Uuid) -> Result<(Followed, uuid::Uuid, Phase), Problem> {
    let absent = || Problem::not_found("recommendation");
    let mut tx = ask.app.db.read().await?;
    let (patient, episode) = store::fact::reviews_with(&mut tx, ask.clinic(), id).await?.ok_or_else(absent)?;
    let episode = episode.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, ask.clinic(), patient).await?.ok_or_else(absent)?;
    let story = store::story::of(&mut tx, ask.clinic(), &patient).await?;
    let stored = episode::find(&mut tx, ask.clinic(), episode).await?.ok_or_else(absent)?;
    Ok((follow(&story, id).ok_or_else(absent)?, episode, stored.phase))
}

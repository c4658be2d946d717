//! `POST recommendations/{id}/decision`, `POST recommendations/{id}/progress`

use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::care::{EntryReceipt, fact};
use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{CLINICIANS, IdInPath, RequestContext, RequiredText, plausible, words};
use crate::domain::care::{Care, RecommendationDecision, ReferralProgress};
use crate::domain::episode::Phase;
use crate::domain::recommendation::{TrackedRecommendation, follow};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;
use crate::store::{self, episode, patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(decide)).routes(routes!(go_on))
}

/// A decision about a recommendation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDecision {
    /// The decision, or that it was done.
    decision: RecommendationDecision,
    /// Date in the clinic's time zone.
    decided_on: NaiveDate,
    /// Reviewer; the caller if omitted.
    by: Option<RequiredText>,
    /// Reason.
    reason: Option<RequiredText>,
}

/// A decision that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionReceipt {
    #[serde(flatten)]
    entered: EntryReceipt,
    /// The recommendation.
    recommendation: uuid::Uuid,
    /// The treatment change that was recorded with it: only of what is done and changes
    /// the treatment, as `continue` and `direct_evaluation` do not.
    treatment_change: Option<String>,
}

/// Accepts, modifies or declines a recommendation, or says that it was done.
///
/// What is done is a treatment change: it is recorded with it, dated `decided_on`, and restarts the plan clock.
/// Undecided may become anything; accepted and modified may be changed or done; declined has to be accepted first;
/// done is done.
#[utoipa::path(post, path = "/recommendations/{id}/decision", tag = "care",
    params(("id" = String, Path, description = "The recommendation")), request_body = NewDecision,
    responses((status = 201, description = "Recorded", body = DecisionReceipt), WriteErrors))]
async fn decide(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(new): JsonBody<NewDecision>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::PrimaryCare, Role::CareManager])?;
    let (followed, episode, phase) = find(&call, id).await?;
    let care = Care::RecommendationDecision {
        recommendation: id,
        decision: new.decision,
        by: Some(words(new.by).unwrap_or_else(|| call.caller.subject.clone())),
        reason: words(new.reason),
    };
    let done = new.decision == RecommendationDecision::Done;
    enter(&call, (followed, phase), (episode, new.decided_on), care, done).await
}

/// Progress of a referral or a direct evaluation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProgress {
    /// Progress.
    progress: ReferralProgress,
    /// Date in the clinic's time zone.
    on: NaiveDate,
    /// The date of the appointment; only of what is `scheduled`.
    scheduled_for: Option<NaiveDate>,
    /// Person who reports it; the caller if omitted.
    by: Option<RequiredText>,
    /// Why; has to be said of what is `declined` or `closed`.
    reason: Option<RequiredText>,
}

/// Follows a referral, or an evaluation by the consultant, to its end: ordered, scheduled, then completed, declined or
/// closed with a reason.
///
/// Ordering an undecided recommendation accepts it; `completed` means done, and for a referral also a change of
/// treatment.
#[utoipa::path(post, path = "/recommendations/{id}/progress", tag = "care",
    params(("id" = String, Path, description = "A recommendation of the kind `referral`, `specialty_referral` or `direct_evaluation`")),
    request_body = NewProgress, responses((status = 201, description = "Recorded", body = DecisionReceipt), WriteErrors))]
async fn go_on(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(new): JsonBody<NewProgress>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    match (new.progress, new.scheduled_for) {
        (ReferralProgress::Scheduled, Some(on)) if !plausible(on) || on < new.on => {
            return Err(Problem::unprocessable("an appointment on that day or later").at("scheduled_for"));
        }
        (ReferralProgress::Scheduled, _) | (_, None) => {}
        _ => return Err(Problem::unprocessable("only what is scheduled has an appointment").at("scheduled_for")),
    }
    if matches!(new.progress, ReferralProgress::Declined | ReferralProgress::Closed) && new.reason.is_none() {
        return Err(Problem::unprocessable("say why it ended").at("reason"));
    }
    let (followed, episode, phase) = find(&call, id).await?;
    let care = Care::RecommendationProgress {
        recommendation: id,
        progress: new.progress,
        scheduled_for: new.scheduled_for,
        by: Some(words(new.by).unwrap_or_else(|| call.caller.subject.clone())),
        reason: words(new.reason),
    };
    let done = new.progress == ReferralProgress::Completed;
    enter(&call, (followed, phase), (episode, new.on), care, done).await
}

/// Records what was said about a recommendation, and the treatment change that doing it is.
async fn enter(
    call: &RequestContext,
    (followed, phase): (TrackedRecommendation, Phase),
    (episode, on): (EpisodeId, NaiveDate),
    care: Care,
    done: bool,
) -> Result<Response, Problem> {
    let id = followed.recommendation.id;
    let mut commands = vec![fact(call, episode, (on, None), care)];
    // In an episode that has ended there is no plan to restart.
    let change = followed.recommendation.kind.as_change().filter(|_| done && phase != Phase::Discharged);
    if let Some(kind) = change {
        let summary = followed.recommendation.text;
        let care =
            Care::TreatmentChange { changes: vec![kind], summary, recommendation: Some(id), medication: Vec::new() };
        commands.push(Command::RecordCare { episode, on, at: None, care, if_match: None });
    }
    let mut recorded = call.record(commands).await?.into_iter();
    let first = recorded.next().ok_or_else(|| Problem::internal("a fact was not answered"))?;
    let change = recorded.next();
    let mut entered = EntryReceipt::of(first, episode, on);
    entered.revision = change.as_ref().map_or(entered.revision, |change| change.version);
    let treatment_change = change.map(|change| change.id);
    Ok(created(None, Some(entered.revision), DecisionReceipt { entered, recommendation: id, treatment_change }))
}

async fn find(call: &RequestContext, id: uuid::Uuid) -> Result<(TrackedRecommendation, EpisodeId, Phase), Problem> {
    let absent = || Problem::not_found("recommendation");
    let mut tx = call.app.db.read().await?;
    let (patient, episode) = store::event_log::reviews_with(&mut tx, call.clinic(), id).await?.ok_or_else(absent)?;
    let episode = episode.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, call.clinic(), patient).await?.ok_or_else(absent)?;
    let story = store::story::of(&mut tx, call.clinic(), &patient).await?;
    let stored = episode::find(&mut tx, call.clinic(), episode).await?.ok_or_else(absent)?;
    Ok((follow(&story, id).ok_or_else(absent)?, episode, stored.phase))
}

//! `POST episodes/{id}/case-reviews`

use axum::response::Response;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::care::{self, EntryReceipt, fact};
use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{IdInPath, RequestContext, RequiredText, parse_id, plausible, words};
use crate::domain::care::{Addressee, Care, ChangeKind, Recommendation};
use crate::id::EpisodeId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(review_case))
}

/// A psychiatric case review of this patient.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCaseReview {
    /// Date in the clinic's time zone.
    reviewed_on: NaiveDate,
    /// Reviewer; the caller if omitted.
    reviewer: Option<RequiredText>,
    /// Summary of the review.
    summary: Option<RequiredText>,
    /// Minutes of the consultant, at most 1440.
    minutes: Option<u16>,
    /// Recommendations. `continue` is a recommendation; an empty list is not.
    #[serde(default)]
    recommendations: Vec<NewRecommendation>,
    /// The review session it is part of: one that is not closed.
    session: Option<String>,
}

/// A recommendation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRecommendation {
    /// Kind of change.
    kind: ChangeKind,
    /// Text of the recommendation.
    text: RequiredText,
    /// Role that should act.
    to: Addressee,
    /// Due date.
    due_on: Option<NaiveDate>,
}

/// A case review that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct CaseReviewReceipt {
    #[serde(flatten)]
    entered: EntryReceipt,
    /// With their ids, for the decisions.
    recommendations: Vec<Recommendation>,
}

/// Documents a case review with its recommendations.
#[utoipa::path(post, path = "/episodes/{id}/case-reviews", tag = "care",
    params(("id" = String, Path, description = "The episode")), request_body = NewCaseReview,
    responses((status = 201, description = "Recorded", body = CaseReviewReceipt), WriteErrors))]
async fn review_case(
    call: RequestContext,
    IdInPath(episode): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewCaseReview>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::PsychiatricConsultant, Role::CareManager])?;
    let mut recommendations = Vec::with_capacity(new.recommendations.len());
    for (n, new) in new.recommendations.into_iter().enumerate() {
        if new.due_on.is_some_and(|on| !plausible(on)) {
            let at = format!("recommendations[{n}].due_on");
            return Err(Problem::unprocessable("a date between 1900 and 2200").at(at));
        }
        recommendations.push(Recommendation {
            id: call.id(n),
            kind: new.kind,
            text: new.text.0,
            to: new.to,
            due_on: new.due_on,
        });
    }
    let summary = words(new.summary);
    if recommendations.is_empty() && summary.is_none() {
        let detail =
            "a review says what was seen, or recommends something; to go on as before is a recommendation: continue";
        return Err(Problem::unprocessable(detail).at("recommendations"));
    }
    let session = new.session.as_deref().map(parse_id).transpose();
    let session = session.map_err(|_| Problem::unprocessable("no such review session").at("session"))?;
    let care = Care::CaseReview {
        reviewer: words(new.reviewer).unwrap_or_else(|| call.caller.subject.clone()),
        summary,
        minutes: care::minutes(new.minutes)?,
        recommendations: recommendations.clone(),
        session,
    };
    let recorded = call.record_one(fact(&call, episode, (new.reviewed_on, None), care)).await?;
    let entered = EntryReceipt::of(recorded, episode, new.reviewed_on);
    Ok(created(None, Some(entered.revision), CaseReviewReceipt { entered, recommendations }))
}

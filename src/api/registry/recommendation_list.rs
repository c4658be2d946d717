//! `GET recommendations?state=`, `GET episodes/{id}/recommendations`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::episodes::PatientName;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery};
use crate::domain::care::Addressee;
use crate::domain::history::History;
use crate::domain::recommendation::{RecommendationDetail, RecommendationState, listed};
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::recommendation::{self, RecommendationFilter};
use crate::store::{episode, patient, rule_set, story};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_recommendations)).routes(routes!(of_episode))
}

/// How the recommendations that are asked for stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum RecommendationStateFilter {
    /// Undecided.
    Undecided,
    /// Accepted or modified, and not done yet.
    Open,
    /// Undecided or open, and due before today.
    Overdue,
    /// Done.
    Done,
    /// Will not be done.
    Declined,
    /// Ended without being done.
    Closed,
    /// To go on as before.
    NothingToDo,
}

impl RecommendationStateFilter {
    fn state(self) -> Option<RecommendationState> {
        match self {
            Self::Undecided => Some(RecommendationState::Undecided),
            Self::Open => Some(RecommendationState::Open),
            Self::Overdue => None,
            Self::Done => Some(RecommendationState::Done),
            Self::Declined => Some(RecommendationState::Declined),
            Self::Closed => Some(RecommendationState::Closed),
            Self::NothingToDo => Some(RecommendationState::NothingToDo),
        }
    }
}

/// Filter and page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those that stand so; `overdue` are the undecided and the open ones that were due before today.
    state: Option<RecommendationStateFilter>,
    /// Only those addressed to these.
    to: Option<Addressee>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// A recommendation of the clinic.
#[derive(Debug, Serialize, ToSchema)]
struct ClinicsRecommendation {
    /// The patient.
    patient: PatientName,
    /// Whether it waits for somebody and was due before today.
    overdue: bool,
    #[serde(flatten)]
    listed: RecommendationDetail,
}

/// Recommendations of case reviews, what became of them, and the scores before and after; longest due first.
///
/// Recommendations that are never due (`nothing_to_do`) are listed by the day they were made. Reviews that were taken
/// back are left out.
#[utoipa::path(get, path = "/recommendations", tag = "care", params(ListQuery),
    responses((status = 200, description = "Longest due first", body = Page<ClinicsRecommendation>), ReadErrors))]
async fn list_recommendations(
    call: RequestContext,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<ClinicsRecommendation>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after: Option<(NaiveDate, Uuid)> = paging.after()?;
    let today = call.today();
    let filter = RecommendationFilter {
        state: query.state.and_then(RecommendationStateFilter::state).map(|state| state.to_string()),
        due_before: (query.state == Some(RecommendationStateFilter::Overdue)).then_some(today),
        addressee: query.to.map(|to| to.to_string()),
    };
    let mut tx = call.app.db.read().await?;
    let rows = recommendation::page(&mut tx, call.clinic(), &filter, after, limit + 1).await?;
    drop(tx);
    let items = page(
        rows,
        limit,
        |row| (row.waits_until, row.id),
        |row| {
            let display_name = row.display_name.clone().unwrap_or_else(|| row.reference.clone());
            let patient = PatientName { id: row.patient_id, display_name, reference: row.reference.clone() };
            let listed = row.detail()?;
            Ok(ClinicsRecommendation {
                patient,
                overdue: listed.followed.state.waits() && listed.due_by.is_some_and(|due| due < today),
                listed,
            })
        },
    );
    let next = items.next;
    let items = items.items.into_iter().collect::<Result<Vec<_>, Problem>>()?;
    Ok(Json(Page { items, next }))
}

/// Recommendations in an episode, what became of them, and the scores before and after; in order of time.
#[utoipa::path(get, path = "/episodes/{id}/recommendations", tag = "care",
    params(("id" = String, Path, description = "The episode")),
    responses((status = 200, description = "All on one page", body = Page<RecommendationDetail>), ReadErrors))]
async fn of_episode(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
) -> Result<Json<Page<RecommendationDetail>>, Problem> {
    call.caller.require(READERS)?;
    let absent = || Problem::not_found("episode");
    let mut tx = call.app.db.read().await?;
    let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(absent)?;
    let patient = patient::find(&mut tx, call.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
    let story = story::of(&mut tx, call.clinic(), &patient).await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    drop(tx);
    let mut items = listed(&History::of(&story), &rules, call.today());
    items.retain(|one| one.followed.episode == Some(id));
    Ok(Json(Page { items, next: None }))
}

//! `GET` and `POST episodes/{id}/care-plan`, `GET episodes/{id}/care-plans`

mod new_care_plan;

use axum::Json;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::care::fact;
use super::responses::{ReadErrors, WriteErrors, created, etag};
use crate::api::App;
use crate::api::page::Page;
use crate::api::request::{CLINICIANS, IdInPath, READERS, RequestContext, StrictQuery};
use crate::domain::care::{Care, SharedCarePlan};
use crate::domain::chart_plan::plan_without_outlook;
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
use crate::domain::story::{CarePlanVersion, Story};
use crate::fhir::care_plan::narrative::{NarrativeKind, page};
use crate::fhir::care_plan::{CarePlanDocument, care_plan};
use crate::id::EpisodeId;
use crate::listener::JsonBody;
use crate::problem::{Category, Problem};
use crate::store::event_log::EventRow;
use crate::store::patient::Patient;
use crate::store::{episode, event_log as log, patient, rule_set, story};
use new_care_plan::NewCarePlan;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_plan, write_plan)).routes(routes!(list_plans))
}

/// Version of the plan.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PlanQuery {
    /// From 1; the one that holds where it is left out.
    version: Option<i64>,
}

/// How a target stands.
#[derive(Debug, Serialize, ToSchema)]
struct TargetStatus {
    /// Instrument of the target.
    instrument: Instrument,
    /// At most so many points is the target.
    at_most: u16,
    /// Due date.
    by: Option<NaiveDate>,
    /// The present score; `null` where it is not measured in this episode.
    score: Option<u16>,
    /// Date in the clinic's time zone.
    taken_on: Option<NaiveDate>,
    /// Whether it is reached.
    reached: bool,
}

/// A version of a care plan.
#[derive(Debug, Serialize, ToSchema)]
struct CarePlanBody {
    /// The episode.
    episode: EpisodeId,
    /// Counts from 1: the ETag.
    version: i64,
    /// The entry: it can be taken back by it.
    id: Uuid,
    /// The local date it is of.
    on: NaiveDate,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Author.
    recorded_by: String,
    /// Whether this is the version that holds.
    holds: bool,
    /// Whether it was taken back as a mistake.
    taken_back: bool,
    /// Status of its targets today.
    targets_now: Vec<TargetStatus>,
    #[serde(flatten)]
    plan: SharedCarePlan,
}

/// A version, in the list of them.
#[derive(Debug, Serialize, ToSchema)]
struct VersionName {
    /// From 1.
    version: i64,
    /// Id of the entry.
    id: Uuid,
    /// The local date it is of.
    on: NaiveDate,
    /// Author of the plan.
    by: String,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Author.
    recorded_by: String,
    /// Whether this is the version that holds.
    holds: bool,
    /// Whether it was taken back as a mistake.
    taken_back: bool,
}

/// Data from which an episode's plans are read.
pub(super) struct CarePlanSource {
    stored: episode::EpisodeRecord,
    patient: Patient,
    story: Story,
    standing: Standing,
    log: Vec<EventRow>,
}

impl CarePlanSource {
    pub(super) async fn of(call: &RequestContext, id: EpisodeId) -> Result<Self, Problem> {
        let absent = || Problem::not_found("episode");
        let mut tx = call.app.db.read().await?;
        let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(absent)?;
        let patient = patient::find(&mut tx, call.clinic(), stored.patient_id).await?.ok_or_else(absent)?;
        let story = story::of(&mut tx, call.clinic(), &patient).await?;
        let rules = rule_set::active(&mut tx, call.clinic()).await?;
        let log = log::of_episode(&mut tx, call.clinic(), id, "care_plan").await?;
        drop(tx);
        let plan = plan_without_outlook(&story, &rules, call.today());
        let standing = plan.standings.into_iter().find(|s| s.episode == id).ok_or_else(absent)?;
        Ok(Self { stored, patient, story, standing, log })
    }

    fn version(&self, number: Option<i64>) -> Option<CarePlanVersion<'_>> {
        let id = self.stored.episode.id;
        match number {
            None => self.story.care_plan(id),
            Some(number) => self.story.care_plans(id).into_iter().find(|version| version.number == number),
        }
    }

    fn holds(&self, version: &CarePlanVersion<'_>) -> bool {
        self.story.care_plan(self.stored.episode.id).is_some_and(|last| last.number == version.number)
    }

    /// When and by whom a version was recorded.
    fn recorded(&self, version: &CarePlanVersion<'_>) -> (DateTime<Utc>, String) {
        let line = self.log.iter().find(|line| line.id == version.entry.id);
        line.map_or_else(|| (version.entry.at, String::new()), |line| (line.recorded_at, line.recorded_by.clone()))
    }

    pub(super) fn sheet<'a>(&'a self, plan: Option<CarePlanVersion<'a>>, label: &'a str) -> CarePlanDocument<'a> {
        CarePlanDocument {
            reference: &self.patient.reference,
            name: label,
            birth_date: self.patient.birth_date.as_deref(),
            language: self.patient.language.as_deref(),
            story: &self.story,
            episode: &self.stored.episode,
            standing: &self.standing,
            plan,
            holds: plan.as_ref().is_some_and(|version| self.holds(version)),
            recorded_at: plan.as_ref().map_or(self.stored.updated_at, |version| self.recorded(version).0),
        }
    }

    /// The plan and what happened, as a page.
    pub(super) fn handover(&self) -> Response {
        html(page(&self.sheet(self.version(None), &self.patient.label()), NarrativeKind::Handover))
    }

    fn body(&self, version: CarePlanVersion<'_>) -> CarePlanBody {
        let (recorded_at, recorded_by) = self.recorded(&version);
        let now = |instrument: Instrument| {
            let measure = self.standing.measures.iter().find(|m| m.instrument == instrument)?;
            let latest = measure.latest.as_ref().map(|l| (l.score, l.taken_on));
            latest.or_else(|| measure.baseline.as_ref().map(|b| (b.score, b.taken_on)))
        };
        let targets_now = version.plan.targets.iter().map(|target| {
            let now = now(target.instrument);
            TargetStatus {
                instrument: target.instrument,
                at_most: target.at_most,
                by: target.by,
                score: now.map(|(score, _)| score),
                taken_on: now.map(|(_, on)| on),
                reached: now.is_some_and(|(score, _)| score <= target.at_most),
            }
        });
        CarePlanBody {
            episode: self.stored.episode.id,
            version: version.number,
            id: version.entry.id,
            on: version.entry.on,
            recorded_at,
            recorded_by,
            holds: self.holds(&version),
            taken_back: version.taken_back,
            targets_now: targets_now.collect(),
            plan: version.plan.clone(),
        }
    }
}

/// A page that loads nothing from anywhere.
fn html(page: String) -> Response {
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    ([(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")), (CONTENT_SECURITY_POLICY, policy)], page)
        .into_response()
}

/// The shared care plan of an episode.
///
/// `Accept: application/fhir+json` gives a FHIR R4 `CarePlan`, `Accept: text/html` a readable document for the chart.
#[utoipa::path(get, path = "/episodes/{id}/care-plan", tag = "care",
    params(("id" = String, Path, description = "The episode"), PlanQuery),
    responses((status = 200, description = "With its version as `ETag`", body = CarePlanBody), ReadErrors))]
async fn read_plan(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<PlanQuery>,
) -> Result<Response, Problem> {
    call.caller.require(READERS)?;
    let read = CarePlanSource::of(&call, id).await?;
    let version = read.version(query.version).ok_or_else(|| Problem::not_found("care plan"))?;
    let tag = etag(version.number);
    let accept = headers.get(ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or_default();
    let label = read.patient.label();
    if accept.contains("fhir+json") {
        let plan = care_plan(&read.sheet(Some(version), &label)).ok_or_else(|| Problem::not_found("care plan"))?;
        return Ok((tag, [(CONTENT_TYPE, "application/fhir+json")], plan.to_string()).into_response());
    }
    if accept.contains("text/html") {
        return Ok((tag, html(page(&read.sheet(Some(version), &label), NarrativeKind::Plan))).into_response());
    }
    Ok((tag, Json(read.body(version))).into_response())
}

/// Writes the next version of the care plan: the whole of it.
///
/// `If-Match` is the version that its writer read, not the episode's: 412 if somebody wrote another one meanwhile.
#[utoipa::path(post, path = "/episodes/{id}/care-plan", tag = "care",
    params(("id" = String, Path, description = "The episode"), ("If-Match" = Option<String>, Header, description = "The version that was read")),
    request_body = NewCarePlan, responses((status = 201, description = "With its version as `ETag`", body = CarePlanBody), WriteErrors))]
async fn write_plan(
    mut call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
    JsonBody(new): JsonBody<NewCarePlan>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let on = new.on.unwrap_or_else(|| call.today());
    let mut plan = new.plan(&call)?;
    // The header names a version of the plan, not of the episode.
    plan.replaces = call.if_match.take();
    let recorded = call.record_one(fact(&call, id, (on, None), Care::CarePlan(plan))).await?;
    let read = CarePlanSource::of(&call, id).await?;
    let versions = read.story.care_plans(id);
    let version = versions.into_iter().find(|version| version.entry.id.to_string() == recorded.id);
    let version = version.ok_or_else(|| Problem::new(Category::Internal, "a care plan vanished"))?;
    let address = format!("/api/v1/episodes/{id}/care-plan?version={}", version.number);
    Ok(created(Some(address), Some(version.number), read.body(version)))
}

/// Every version of an episode's care plan, newest first.
#[utoipa::path(get, path = "/episodes/{id}/care-plans", tag = "care", params(("id" = String, Path, description = "The episode")),
    responses((status = 200, description = "All on one page", body = Page<VersionName>), ReadErrors))]
async fn list_plans(
    call: RequestContext,
    IdInPath(id): IdInPath<EpisodeId>,
) -> Result<Json<Page<VersionName>>, Problem> {
    call.caller.require(READERS)?;
    let read = CarePlanSource::of(&call, id).await?;
    let name = |version: CarePlanVersion<'_>| {
        let (recorded_at, recorded_by) = read.recorded(&version);
        VersionName {
            version: version.number,
            id: version.entry.id,
            on: version.entry.on,
            by: version.plan.by.clone(),
            recorded_at,
            recorded_by,
            holds: read.holds(&version),
            taken_back: version.taken_back,
        }
    };
    let items = read.story.care_plans(id).into_iter().rev().map(name).collect();
    Ok(Json(Page { items, next: None }))
}

//! `GET patient-matches`, `POST patient-matches` and `POST patient-matches/{id}/decision`

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::episodes::EpisodeBody;
use super::patients::PatientIdentity;
use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, RequiredText, StrictQuery};
use crate::domain::patient_match::{MatchDecision, MatchReason, MatchState};
use crate::id::PatientId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;
use crate::store::patient::matches::{self, PatientMatch};
use crate::store::{ReadTx, episode, patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_matches, name_match)).routes(routes!(decide_match))
}

/// Which matches.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MatchesQuery {
    /// `open`, `joined` or `kept_apart`; `open` without it.
    #[serde(default)]
    state: MatchState,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// One of the two records.
#[derive(Debug, Serialize, ToSchema)]
pub struct MatchedRecord {
    #[serde(flatten)]
    pub identity: PatientIdentity,
    /// Every name the person is known by: `Patient/123`, `system|value`.
    pub keys: Vec<String>,
    pub episodes: Vec<EpisodeBody>,
}

/// Two records that are perhaps one person, side by side.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientMatchBody {
    pub id: Uuid,
    pub state: MatchState,
    /// Why they may be one.
    pub reasons: Vec<MatchReason>,
    pub found_at: DateTime<Utc>,
    pub one: MatchedRecord,
    pub other: MatchedRecord,
    pub decided_at: Option<DateTime<Utc>>,
    pub decided_by: Option<String>,
    pub decision_reason: Option<String>,
}

async fn record(tx: &mut ReadTx, clinic: &str, id: PatientId) -> Result<MatchedRecord, Problem> {
    let row = patient::find(tx, clinic, id).await?.ok_or_else(|| Problem::not_found("patient"))?;
    let keys = patient::keys(tx, clinic, row.id).await?;
    let episodes = episode::of_patient(tx, clinic, row.id).await?;
    let episodes = episodes.into_iter().map(|stored| EpisodeBody::of(stored, &row)).collect();
    Ok(MatchedRecord { identity: PatientIdentity::from(row), keys, episodes })
}

/// A match with both records.
pub async fn side_by_side(tx: &mut ReadTx, clinic: &str, found: PatientMatch) -> Result<PatientMatchBody, Problem> {
    Ok(PatientMatchBody {
        one: record(tx, clinic, found.one_id).await?,
        other: record(tx, clinic, found.other_id).await?,
        id: found.id,
        state: found.state(),
        reasons: found.reasons.0,
        found_at: found.found_at,
        decided_at: found.decided_at,
        decided_by: found.decided_by,
        decision_reason: found.decision_reason,
    })
}

/// Records that are perhaps one person: the machine finds them, and joins none.
#[utoipa::path(get, path = "/patient-matches", tag = "patients", params(MatchesQuery),
    responses((status = 200, description = "In order of finding", body = Page<PatientMatchBody>), ReadErrors))]
async fn list_matches(
    call: RequestContext,
    StrictQuery(query): StrictQuery<MatchesQuery>,
) -> Result<Json<Page<PatientMatchBody>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after = paging.after()?;
    let mut tx = call.app.db.read().await?;
    let rows = matches::page(&mut tx, call.clinic(), query.state, after, limit + 1).await?;
    let rows = page(rows, limit, |found| (found.found_at, found.id), |found| found);
    let mut items = Vec::with_capacity(rows.items.len());
    for found in rows.items {
        items.push(side_by_side(&mut tx, call.clinic(), found).await?);
    }
    Ok(Json(Page { items, next: rows.next }))
}

/// Two records that may be one person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMatch {
    one: PatientId,
    other: PatientId,
}

/// Names two records that may be one person; a decision is another step.
#[utoipa::path(post, path = "/patient-matches", tag = "patients", request_body = NewMatch,
    responses((status = 201, description = "Noted", body = PatientMatchBody), WriteErrors))]
async fn name_match(call: RequestContext, JsonBody(new): JsonBody<NewMatch>) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let recorded = call.record_one(Command::ProposeMatch { records: [new.one, new.other] }).await?;
    Ok(created(None, None, read(&call, &recorded.id).await?))
}

async fn read(call: &RequestContext, id: &str) -> Result<PatientMatchBody, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found("match"))?;
    let mut tx = call.app.db.read().await?;
    let found = matches::find(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("match"))?;
    side_by_side(&mut tx, call.clinic(), found).await
}

/// What is decided.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewDecision {
    /// They are one person.
    Join,
    /// They are two.
    KeepApart,
    /// What was decided before was a mistake: both are as they were.
    Reopen,
}

/// A decision about two records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMatchDecision {
    decision: NewDecision,
    /// Whose record stays, where they are joined.
    survivor: Option<PatientId>,
    /// Why: it is part of the record.
    reason: RequiredText,
}

/// Joins two records, keeps them apart, or takes either back.
///
/// Joined, everything known about the one belongs to the survivor; two open episodes both stay, until one is ended as a
/// duplicate. Taken back, each has its own again.
#[utoipa::path(post, path = "/patient-matches/{id}/decision", tag = "patients",
    params(("id" = String, Path, description = "The match")), request_body = NewMatchDecision,
    responses((status = 200, description = "Decided", body = PatientMatchBody), WriteErrors))]
async fn decide_match(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(new): JsonBody<NewMatchDecision>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let decision = match (new.decision, new.survivor) {
        (NewDecision::Join, Some(survivor)) => MatchDecision::Join { survivor },
        (NewDecision::Join, None) => {
            return Err(Problem::unprocessable("whose record stays has to be said").at("survivor"));
        }
        (NewDecision::KeepApart, None) => MatchDecision::KeepApart,
        (NewDecision::Reopen, None) => MatchDecision::Reopen,
        (_, Some(_)) => return Err(Problem::unprocessable("only where the two are joined").at("survivor")),
    };
    let recorded = call.record_one(Command::DecideMatch { id, decision, reason: new.reason.0 }).await?;
    Ok(Json(read(&call, &recorded.id).await?).into_response())
}

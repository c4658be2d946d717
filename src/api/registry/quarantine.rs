//! `GET quarantine`, `GET quarantine/groups`, `POST quarantine/{id}/replay`, `POST quarantine/{id}/completion` and
//! `POST quarantine/groups/replay`

use axum::Json;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery};
use crate::fhir::content::can_be_completed;
use crate::fhir::date::FhirDate;
use crate::id::{MeasurementId, PatientId};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Condition;
use crate::store::completion::Completion;
use crate::store::quarantine::{self, QuarantineGroup, QuarantineRecord};
use crate::store::{measurement, resource};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_quarantine))
        .routes(routes!(list_quarantine_groups))
        .routes(routes!(replay))
        .routes(routes!(complete))
        .routes(routes!(replay_quarantine_group))
}

/// Page of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct QuarantineQuery {
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// A resource that was accepted and cannot be used yet.
#[derive(Debug, Serialize, ToSchema)]
struct QuarantineItem {
    /// Id in this registry.
    id: Uuid,
    /// The resource: `QuestionnaireResponse/123`.
    resource: String,
    /// The patient, where known.
    patient: Option<PatientId>,
    /// Why: a stable code.
    code: String,
    /// Reason in a sentence.
    detail: String,
    /// When it arrived.
    received_at: DateTime<Utc>,
}

impl From<QuarantineRecord> for QuarantineItem {
    fn from(kept: QuarantineRecord) -> Self {
        Self {
            id: kept.id,
            resource: format!("{}/{}", kept.kind, kept.resource_id),
            patient: kept.patient_id,
            code: kept.code,
            detail: kept.detail,
            received_at: kept.received_at,
        }
    }
}

/// Resources that wait for the same reason: the reason names the form's item or the code that needs a mapping.
#[derive(Debug, Serialize, ToSchema)]
struct QuarantineGroupBody {
    /// `QuestionnaireResponse` or `Observation`.
    resource_type: String,
    /// Why: a stable code.
    code: String,
    /// Reason in a sentence.
    detail: String,
    /// How many wait.
    count: i64,
    /// When the first of them arrived.
    first_received_at: DateTime<Utc>,
    /// When the last of them arrived.
    last_received_at: DateTime<Utc>,
}

impl From<QuarantineGroup> for QuarantineGroupBody {
    fn from(group: QuarantineGroup) -> Self {
        Self {
            resource_type: group.kind,
            code: group.code,
            detail: group.detail,
            count: group.count,
            first_received_at: group.first_at,
            last_received_at: group.last_at,
        }
    }
}

/// The groups of the quarantine.
#[derive(Debug, Serialize, ToSchema)]
struct QuarantineGroups {
    /// The largest group first; at most 500.
    items: Vec<QuarantineGroupBody>,
}

/// A group to read again, as `GET quarantine/groups` names it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupToReplay {
    /// Its code.
    code: String,
    /// Its reason.
    detail: String,
}

/// Result of the replay of a group.
#[derive(Debug, Serialize, ToSchema)]
struct GroupReplayResult {
    /// How many were read again.
    replayed: u32,
    /// How many could be used, and are no longer in quarantine.
    released: u32,
}

/// Result of a replay.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayResult {
    /// Id in this registry.
    id: Uuid,
    /// The resource.
    resource: String,
    /// `true`: it could be used, and is no longer in quarantine.
    released: bool,
    /// Why it stays, where it does: a stable code.
    code: Option<String>,
    /// Why it stays, in words.
    detail: Option<String>,
    /// The patient, where known.
    patient: Option<PatientId>,
    /// The measurements that come from it now.
    measurements: Vec<MeasurementId>,
}

/// Resources that could not be understood, with the reason.
#[utoipa::path(get, path = "/quarantine", tag = "operations", params(QuarantineQuery),
    responses((status = 200, description = "In order of id", body = Page<QuarantineItem>), ReadErrors))]
async fn list_quarantine(
    call: RequestContext,
    StrictQuery(query): StrictQuery<QuarantineQuery>,
) -> Result<Json<Page<QuarantineItem>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, after) = (paging.limit()?, paging.after()?);
    let mut tx = call.app.db.read().await?;
    let rows = quarantine::page(&mut tx, call.clinic(), after, limit + 1).await?;
    Ok(Json(page(rows, limit, |kept| kept.id, QuarantineItem::from)))
}

/// What waits for the same reason, with counts: one mapping answers for a whole group.
#[utoipa::path(get, path = "/quarantine/groups", tag = "operations",
    responses((status = 200, description = "The largest group first", body = QuarantineGroups), ReadErrors))]
async fn list_quarantine_groups(call: RequestContext) -> Result<Json<QuarantineGroups>, Problem> {
    call.caller.require(READERS)?;
    let mut tx = call.app.db.read().await?;
    let groups = quarantine::groups(&mut tx, call.clinic(), 500).await?;
    Ok(Json(QuarantineGroups { items: groups.into_iter().map(QuarantineGroupBody::from).collect() }))
}

/// Reads every resource of a group again, after its mapping was corrected.
#[utoipa::path(post, path = "/quarantine/groups/replay", tag = "operations", request_body = GroupToReplay,
    responses((status = 200, description = "What it came to", body = GroupReplayResult), WriteErrors))]
async fn replay_quarantine_group(
    call: RequestContext,
    JsonBody(group): JsonBody<GroupToReplay>,
) -> Result<Json<GroupReplayResult>, Problem> {
    call.caller.require(&[Role::Admin, Role::CareManager])?;
    let (mut after, mut replayed, mut released) = (Uuid::nil(), 0, 0);
    loop {
        let mut tx = call.app.db.read().await?;
        let of = (group.code.as_str(), group.detail.as_str());
        let ids = quarantine::of_group(&mut tx, call.clinic(), of, after, 100).await?;
        drop(tx);
        let Some(last) = ids.last().copied() else { break };
        after = last;
        for id in ids {
            replayed += 1;
            released += u32::from(replay_one(&call, id).await?.released);
        }
    }
    Ok(Json(GroupReplayResult { replayed, released }))
}

/// Reads a resource in quarantine again: after its mapping was corrected, or its patient has arrived.
#[utoipa::path(post, path = "/quarantine/{id}/replay", tag = "operations", params(("id" = String, Path, description = "The item")),
    responses((status = 200, description = "What it came to", body = ReplayResult), WriteErrors))]
async fn replay(call: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<Json<ReplayResult>, Problem> {
    call.caller.require(&[Role::Admin, Role::CareManager])?;
    replay_one(&call, id).await.map(Json)
}

/// What the resource does not say itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuarantineCompletion {
    /// Whose it is.
    patient: Option<PatientId>,
    /// When it was taken: an instant…
    taken_at: Option<DateTime<Utc>>,
    /// …or a date in the clinic's time zone.
    taken_on: Option<NaiveDate>,
}

/// Completes a resource that does not say whose it is or when it was taken, and reads it again. The resource itself stays
/// as it came.
#[utoipa::path(post, path = "/quarantine/{id}/completion", tag = "operations", params(("id" = String, Path, description = "The item")),
    request_body = QuarantineCompletion,
    responses((status = 200, description = "What it came to", body = ReplayResult), WriteErrors))]
async fn complete(
    call: RequestContext,
    IdInPath(id): IdInPath<Uuid>,
    JsonBody(said): JsonBody<QuarantineCompletion>,
) -> Result<Json<ReplayResult>, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let taken = match (said.taken_at, said.taken_on) {
        (Some(_), Some(_)) => return Err(Problem::unprocessable("either taken_at or taken_on").at("taken_on")),
        (Some(at), None) => Some((FhirDate::Instant(at), "taken_at")),
        (None, on) => on.map(|on| (FhirDate::Day(on), "taken_on")),
    };
    if said.patient.is_none() && taken.is_none() {
        return Err(Problem::unprocessable("say whose it is, or when it was taken").at("patient"));
    }
    let zone = call.zone();
    let taken = taken.map(|(date, field)| date.taken(zone).map(|time| (time, field))).unwrap_or_default();
    if let Some((_, field)) = taken.filter(|(time, _)| time.at > call.app.clock.now()) {
        return Err(Problem::unprocessable("must not be in the future").at(field));
    }
    let mut tx = call.app.db.read().await?;
    let kept = quarantine::find(&mut tx, call.clinic(), id).await?;
    drop(tx);
    let kept = kept.ok_or_else(|| Problem::not_found("item in quarantine"))?;
    if !can_be_completed(&kept.code) {
        return Err(Problem::conflict("it waits for something else than a patient or a date"));
    }
    let completion = Completion {
        patient_id: said.patient,
        taken_at: taken.map(|(time, _)| time.at),
        taken_on: taken.map(|(time, _)| time.on),
        completed_at: call.app.clock.now(),
        completed_by: call.caller.subject.clone(),
    };
    read_again(&call, id, Condition::Completed(completion)).await.map(Json)
}

async fn replay_one(call: &RequestContext, id: Uuid) -> Result<ReplayResult, Problem> {
    read_again(call, id, Condition::Again).await
}

async fn read_again(call: &RequestContext, id: Uuid, condition: Condition) -> Result<ReplayResult, Problem> {
    let clinic = call.clinic();
    let absent = || Problem::not_found("item in quarantine");
    let mut tx = call.app.db.read().await?;
    let kept = quarantine::find(&mut tx, clinic, id).await?.ok_or_else(absent)?;
    let stored = resource::find(&mut tx, clinic, &kept.kind, &kept.resource_id).await?;
    let stored = stored.filter(|r| !r.deleted).ok_or_else(absent)?;
    drop(tx);
    let arrival = call.app.intake.read(clinic, &stored.body)?;
    let recorded = call.app.intake.take(clinic, &call.caller.subject, arrival, condition).await?;
    let source = format!("{}/{}", kept.kind, kept.resource_id);
    let mut tx = call.app.db.read().await?;
    let still = quarantine::find(&mut tx, clinic, id).await?;
    let measurements = measurement::of_source(&mut tx, clinic, &source).await?;
    Ok(ReplayResult {
        id,
        resource: source,
        released: still.is_none(),
        code: still.as_ref().map(|kept| kept.code.clone()),
        detail: still.map(|kept| kept.detail),
        patient: recorded.patient,
        measurements: measurements.into_iter().map(|(_, measurement)| measurement).collect(),
    })
}

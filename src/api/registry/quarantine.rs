//! `GET quarantine` and `POST quarantine/{id}/replay`

use axum::Json;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::{ReadErrors, WriteErrors};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, StrictQuery};
use crate::id::{MeasurementId, PatientId};
use crate::identity::Role;
use crate::problem::Problem;
use crate::record::Condition;
use crate::store::quarantine::{self, QuarantineRecord};
use crate::store::{measurement, resource};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_quarantine)).routes(routes!(replay))
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
    ask: RequestContext,
    StrictQuery(query): StrictQuery<QuarantineQuery>,
) -> Result<Json<Page<QuarantineItem>>, Problem> {
    ask.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, after) = (paging.limit()?, paging.after()?);
    let mut tx = ask.app.db.read().await?;
    let rows = quarantine::page(&mut tx, ask.clinic(), after, limit + 1).await?;
    Ok(Json(page(rows, limit, |kept| kept.id, QuarantineItem::from)))
}

/// Reads a resource in quarantine again: after its mapping was corrected, or its patient has arrived.
#[utoipa::path(post, path = "/quarantine/{id}/replay", tag = "operations", params(("id" = String, Path, description = "The item")),
    responses((status = 200, description = "What it came to", body = ReplayResult), WriteErrors))]
async fn replay(ask: RequestContext, IdInPath(id): IdInPath<Uuid>) -> Result<Json<ReplayResult>, Problem> {
    ask.caller.require(&[Role::Admin, Role::CareManager])?;
    let clinic = ask.clinic();
    let absent = || Problem::not_found("item in quarantine");
    let mut tx = ask.app.db.read().await?;
    let kept = quarantine::find(&mut tx, clinic, id).await?.ok_or_else(absent)?;
    let stored = resource::find(&mut tx, clinic, &kept.kind, &kept.resource_id).await?;
    let stored = stored.filter(|r| !r.deleted).ok_or_else(absent)?;
    drop(tx);
    let arrival = ask.app.intake.read(clinic, &stored.body)?;
    let recorded = ask.app.intake.take(clinic, &ask.caller.subject, arrival, Condition::Again).await?;
    let source = format!("{}/{}", kept.kind, kept.resource_id);
    let mut tx = ask.app.db.read().await?;
    let still = quarantine::find(&mut tx, clinic, id).await?;
    let measurements = measurement::of_source(&mut tx, clinic, &source).await?;
    Ok(Json(ReplayResult {
        id,
        resource: source,
        released: still.is_none(),
        code: still.as_ref().map(|kept| kept.code.clone()),
        detail: still.map(|kept| kept.detail),
        patient: recorded.patient,
        measurements: measurements.into_iter().map(|(_, measurement)| measurement).collect(),
    }))
}

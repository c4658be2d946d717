//! `GET safety-concerns`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::answer::ReadErrors;
use super::episodes::PatientName;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{Ask, Asked, READERS};
use crate::domain::finding::Rule;
use crate::domain::plan::Priority;
use crate::problem::Problem;
use crate::store::outbox::State;
use crate::store::safety::{self, OpenSafety};

/// More open concerns than any clinic should have; beyond it the newest wait for the older ones.
const MOST: i64 = 100_000;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_concerns))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConcernsQuery {
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// An answer to item 9 that nobody has assessed.
#[derive(Debug, Serialize, ToSchema)]
struct OpenConcern {
    /// Whose.
    patient: PatientName,
    /// Names it within the patient.
    key: String,
    /// The rule: `safety_item9`, or `safety_item9_high` for a level that cannot wait.
    rule: Rule,
    /// How urgent.
    priority: Priority,
    /// The local date of the answer.
    answered_on: NaiveDate,
    /// When the assessment is due.
    due_on: Option<NaiveDate>,
    /// It was due before today.
    overdue: bool,
    /// Why it is at this level.
    reason: String,
    /// Who should act, where known: the care manager of an open episode.
    owner: Option<String>,
    /// The delivery that tells the chart.
    delivery: Uuid,
    /// Whether the chart has been told.
    delivery_state: State,
}

fn key(row: &OpenSafety) -> (Option<NaiveDate>, Uuid) {
    (row.intent.desired.due_on, row.id)
}

/// Every unassessed safety answer of the clinic, enrolled or not, longest due first.
///
/// This service is not a crisis service.
#[utoipa::path(get, path = "/safety-concerns", tag = "caseload", params(ConcernsQuery),
    responses((status = 200, description = "Longest due first", body = Page<OpenConcern>), ReadErrors))]
async fn list_concerns(ask: Ask, Asked(query): Asked<ConcernsQuery>) -> Result<Json<Page<OpenConcern>>, Problem> {
    ask.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after: Option<(Option<NaiveDate>, Uuid)> = paging.after()?;
    let mut tx = ask.app.db.read().await?;
    let mut rows = safety::open(&mut tx, ask.clinic(), MOST).await?;
    drop(tx);
    rows.sort_by_key(key);
    rows.retain(|row| after.is_none_or(|after| key(row) > after));
    let today = ask.today();
    Ok(Json(page(rows, limit, key, |row| {
        let display_name = row.display_name.unwrap_or_else(|| row.reference.clone());
        let intent = row.intent.0;
        let desired = intent.desired;
        OpenConcern {
            patient: PatientName { id: row.patient_id, display_name, reference: row.reference },
            key: row.key,
            rule: desired.rule,
            priority: desired.priority,
            answered_on: desired.since,
            due_on: desired.due_on,
            overdue: desired.due_on.is_some_and(|due| due < today),
            reason: desired.reason,
            owner: intent.owner_display,
            delivery: row.id,
            delivery_state: row.state,
        }
    })))
}

//! `GET patients`

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{READERS, RequestContext, StrictQuery};
use crate::fhir::reference::key_of;
use crate::id::PatientId;
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::patient::{self, Patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_patients))
}

/// Filter for patients.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PatientsQuery {
    /// With this business identifier: `system|value`.
    identifier: Option<String>,
    /// Reference of the chart: `Patient/123`.
    reference: Option<String>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// The patient.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientIdentity {
    /// Id in this registry.
    pub id: PatientId,
    /// How the chart names the person.
    pub reference: String,
    /// `false` while only references to the person have arrived.
    pub seen: bool,
    /// Display name.
    pub display_name: Option<String>,
    /// Family name.
    pub family: Option<String>,
    /// Date of birth as sent: a year, a month or a day.
    pub birth_date: Option<String>,
    /// `male`, `female`, `other`, `unknown`.
    pub gender: Option<String>,
    /// Preferred language (BCP 47).
    pub language: Option<String>,
    /// The record is marked inactive in the chart.
    pub inactive: bool,
    /// Date of death, or the date on which the chart first said so.
    pub deceased_on: Option<NaiveDate>,
}

impl From<Patient> for PatientIdentity {
    fn from(p: Patient) -> Self {
        Self {
            id: p.id,
            reference: p.reference,
            seen: p.seen,
            display_name: p.display_name,
            family: p.family,
            birth_date: p.birth_date,
            gender: p.gender,
            language: p.language,
            inactive: p.inactive,
            deceased_on: p.deceased_on,
        }
    }
}

/// Finds patients by what others call them, or pages through all.
///
/// The role `ehr` may look up by `identifier` or `reference` only.
#[utoipa::path(get, path = "/patients", tag = "patients", params(PatientsQuery),
    responses((status = 200, description = "In order of id; empty where nobody is known by that", body = Page<PatientIdentity>), ReadErrors))]
async fn list_patients(
    call: RequestContext,
    StrictQuery(query): StrictQuery<PatientsQuery>,
) -> Result<Json<Page<PatientIdentity>>, Problem> {
    let looks_up = query.identifier.is_some() || query.reference.is_some();
    if !(looks_up && call.caller.role == Role::Ehr) {
        call.caller.require(READERS)?;
    }
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after: Option<PatientId> = paging.after()?;
    let mut tx = call.app.db.read().await?;
    if !looks_up {
        let rows = patient::page(&mut tx, call.clinic(), after, limit + 1).await?;
        return Ok(Json(page(rows, limit, |p| p.id, PatientIdentity::from)));
    }
    let mut found: Option<Vec<Patient>> = None;
    let bases = call.app.intake.bases(call.clinic());
    let keys = [
        query.identifier.map(|token| if token.contains('|') { token } else { format!("|{token}") }),
        query.reference.map(|reference| key_of(&reference, bases)),
    ];
    for key in keys.into_iter().flatten() {
        let those = patient::by_key(&mut tx, call.clinic(), &key).await?;
        found = Some(match found {
            None => those,
            Some(found) => found.into_iter().filter(|p| those.iter().any(|t| t.id == p.id)).collect(),
        });
    }
    let rows: Vec<Patient> =
        found.unwrap_or_default().into_iter().filter(|p| after.is_none_or(|after| p.id > after)).collect();
    Ok(Json(page(rows, limit, |p| p.id, PatientIdentity::from)))
}

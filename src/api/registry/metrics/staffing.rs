//! `PUT staffing/{month}`

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::month_of;
use crate::api::App;
use crate::api::registry::responses::WriteErrors;
use crate::api::request::RequestContext;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::attest;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(attest_staffing))
}

/// The care managers of a month.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Staffing {
    /// Full-time equivalents, 0–1000.
    care_manager_fte: f64,
}

/// Attests the care managers of a month (NYS metric 11; metric 1's target follows from it).
#[utoipa::path(put, path = "/staffing/{month}", tag = "metrics",
    params(("month" = String, Path, description = "`YYYY-MM`")), request_body = Staffing,
    responses((status = 200, description = "Attested", body = Staffing), WriteErrors))]
async fn attest_staffing(
    call: RequestContext,
    Path(month): Path<String>,
    JsonBody(new): JsonBody<Staffing>,
) -> Result<Json<Staffing>, Problem> {
    call.caller.require(&[Role::CareManager, Role::Admin])?;
    let month = month_of(&call, Some(&month), "month")?;
    if !(0.0..=1000.0).contains(&new.care_manager_fte) {
        return Err(Problem::unprocessable("must be between 0 and 1000").at("care_manager_fte"));
    }
    let (db, now) = (&call.app.db, call.app.clock.now());
    attest(db, call.clinic(), &call.caller.subject, month.first, new.care_manager_fte, now).await?;
    Ok(Json(new))
}

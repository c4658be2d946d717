//! `POST imports/caseload`

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::WriteErrors;
use crate::api::App;
use crate::api::request::{RequestContext, RequiredText};
use crate::identity::Role;
use crate::intake::spreadsheet::{ColumnMapping, ImportResult, LARGEST, SpreadsheetFile, SpreadsheetImport};
use crate::limits::JsonBudget;
use crate::listener::{BodyLimit, json_within};
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(import_caseload))
}

/// A spreadsheet registry, one row per patient. All of it in the body: an address is written into logs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewImport {
    /// The file's text: at most 5 MiB, 5,000 rows of patients; the titles stand in one of the first rows.
    csv: Option<String>,
    /// Or its bytes, as they were saved, in base64: a workbook (.xlsx), or text in UTF-8, UTF-16 or Windows-1252.
    csv_base64: Option<String>,
    /// The namespace of the record numbers, exactly as the EHR sends it in `Patient.identifier.system`: by it a row and
    /// the chart's patient are one.
    #[schema(value_type = String)]
    identifier_system: RequiredText,
    /// How the columns are read; guessed from their titles where it is left out. The answer says how.
    mapping: Option<ColumnMapping>,
    /// Only say what would be done: so it is unless this is `false`.
    dry_run: Option<bool>,
}

/// Takes over a clinic's spreadsheet registry.
///
/// Send it first as a dry run, which is the default (`dry_run`): it reports for each row what would be created and what
/// is wrong, and writes nothing. Rows with errors are left out, the others are imported, each all or nothing. The same
/// file again changes nothing; a longer file adds the new rows. A patient who is unknown to the chart is identified by
/// the record number, and joined with the chart's Patient when it arrives.
#[utoipa::path(post, path = "/imports/caseload", tag = "caseload", request_body = NewImport,
    responses((status = 200, description = "What became of each row, or would", body = ImportResult), WriteErrors))]
async fn import_caseload(call: RequestContext, request: Request) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::Admin])?;
    let new: NewImport = json_within(request, |limit: BodyLimit| limit.bundle, JsonBudget::REQUEST).await?;
    let file = match (new.csv, new.csv_base64) {
        (Some(csv), None) => SpreadsheetFile::Text(csv),
        (None, Some(bytes)) => {
            if bytes.len() / 4 * 3 > LARGEST + 3 {
                return Err(Problem::unprocessable(format!("the file may have {LARGEST} bytes")).at("csv_base64"));
            }
            let bytes = STANDARD.decode(bytes.trim());
            SpreadsheetFile::Bytes(bytes.map_err(|_| Problem::unprocessable("not base64").at("csv_base64"))?)
        }
        _ => return Err(Problem::unprocessable("exactly one of csv and csv_base64").at("csv")),
    };
    let system = new.identifier_system.0;
    if system.contains('|') {
        return Err(Problem::unprocessable("a namespace contains no |").at("identifier_system"));
    }
    let import = SpreadsheetImport {
        clinic: call.clinic().to_owned(),
        by: call.caller.subject.clone(),
        file,
        identifier_system: system,
        mapping: new.mapping,
        dry_run: new.dry_run.unwrap_or(true),
    };
    let imported: ImportResult = call.app.intake.import(import).await?;
    Ok(Json(imported).into_response())
}

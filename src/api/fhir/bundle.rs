//! `POST /fhir`: Bundles, notifications, and single resources whose sender knows only our base.

use axum::http::StatusCode;
use axum::response::Response;
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::answer::{SentResource, recorded, told, with_body};
use super::call::{BundleText, FhirCall, unknown_type};
use super::{read, search};
use crate::fhir::arrival::ResourceType;
use crate::fhir::bundle::{Bundle, BundlePurpose, RequestTarget, inside, name_of};
use crate::fhir::{operation_outcome, query};
use crate::intake::bundle::{EntryAction, EntryOutcome};
use crate::problem::{Category, Problem};
use crate::record::{CommandEffect, Condition, Recorded};
use crate::store::resource;

/// How much may be read back by one batch, in bytes.
const MOST_READ: usize = 32 << 20;

/// Takes in a Bundle (batch, transaction, collection, searchset, history), a notification, or a single resource.
/// Entries are answered one by one; `Prefer: return=representation` puts the resources in.
#[utoipa::path(post, path = "/", tag = "fhir", security(("bearer" = [])),
    params(("Prefer" = Option<String>, Header, description = "`return=minimal`, `representation` or `OperationOutcome`")),
    request_body(content = Value, content_type = "application/fhir+json"),
    responses((status = 200, description = "A Bundle with an answer per entry", content_type = "application/fhir+json",
        body = Value), (status = "4XX", description = "An OperationOutcome; a transaction left nothing behind")))]
pub async fn bundle(call: FhirCall, BundleText(raw): BundleText) -> Result<Response, Problem> {
    let raw = raw.trim_start_matches('\u{feff}').trim();
    if raw.is_empty() {
        // "Something has changed, look again".
        may_write(&call)?;
        if let Some(connection) = call.app.connections.of_clinic(call.clinic()) {
            call.app.intake.hear(connection, &connection.understand(raw)?).await?;
        }
        return Ok(with_body(StatusCode::OK, operation_outcome::informational(&["heard".to_owned()]).to_string()));
    }
    match name_of(raw) {
        Some((name, _)) if name == "Bundle" => {}
        Some((name, _)) if ResourceType::of(&name).is_some() => return single(&call, raw).await,
        Some(_) => return Err(unknown_type().at("Resource.resourceType")),
        // Report its errors like those of any resource.
        None => {
            call.app.intake.read(call.clinic(), raw)?;
            return Err(Problem::malformed("not a resource").at("Resource"));
        }
    }
    let bundle = Bundle::read(raw)?;
    if bundle.purpose == BundlePurpose::History || bundle.entries.is_empty() {
        may_write(&call)?;
    }
    if bundle.purpose == BundlePurpose::History
        && let Some(connection) = call.app.connections.of_clinic(call.clinic())
    {
        // Fetch the resources that a notification names without including them, and the events that its numbers show to
        // be missing.
        let said = connection.understand(raw)?;
        if said.status.is_some() {
            call.app.intake.hear(connection, &said).await?;
        }
    }
    let may = |kind: ResourceType, action: EntryAction| call.may(kind, action);
    let outcomes = call.app.intake.take_bundle(call.clinic(), &call.caller.subject, &bundle, &may).await?;
    let mut answers = Vec::with_capacity(outcomes.len());
    let mut bytes = 0;
    for (i, outcome) in outcomes.into_iter().enumerate() {
        let answer = answer(&call, outcome, i, MOST_READ.saturating_sub(bytes)).await?;
        bytes += answer.len();
        answers.push(answer);
    }
    let kind = if bundle.purpose == BundlePurpose::Transaction { "transaction-response" } else { "batch-response" };
    let entries = if answers.is_empty() { String::new() } else { format!(r#","entry":[{}]"#, answers.join(",")) };
    Ok(with_body(StatusCode::OK, format!(r#"{{"resourceType":"Bundle","type":"{kind}"{entries}}}"#)))
}

/// Holds if the caller may write anything at all.
fn may_write(call: &FhirCall) -> Result<(), Problem> {
    let mut refused = Ok(());
    for kind in ResourceType::ALL {
        match call.may(kind, EntryAction::Update) {
            Ok(()) => return Ok(()),
            Err(problem) => refused = Err(problem),
        }
    }
    refused
}

/// A resource without an address: a subscription whose endpoint is our base.
async fn single(call: &FhirCall, raw: &str) -> Result<Response, Problem> {
    let arrival = call.app.intake.read(call.clinic(), raw)?;
    let kind = arrival.kind;
    call.may(kind, EntryAction::Create)?;
    call.may(kind, EntryAction::Update)?;
    let sent = SentResource::keep(call, &arrival);
    let done = call.app.intake.take(call.clinic(), &call.caller.subject, arrival, Condition::None).await?;
    recorded(call, kind, &done, sent).await
}

/// The answer to one entry, as JSON.
async fn answer(call: &FhirCall, outcome: EntryOutcome, index: usize, most: usize) -> Result<String, Problem> {
    Ok(match outcome {
        EntryOutcome::Recorded { kind, recorded } => of_recorded(call, kind, &recorded).await?,
        EntryOutcome::Ignored(why) => {
            let note = operation_outcome::informational(&[why.into_owned()]);
            json!({ "response": { "status": "200 OK", "outcome": note } }).to_string()
        }
        EntryOutcome::Failed(problem) => of_problem(&problem),
        EntryOutcome::Wanted { url, if_none_match } => {
            match wanted(call, &url, if_none_match.as_deref()).await {
                Ok(entry) if entry.len() > most => {
                    let detail = "the answers before this one are as much as goes into one Bundle; ask again for this";
                    of_problem(&inside(Problem::new(Category::TooLarge, detail), index))
                }
                Ok(entry) => entry,
                // Without the database nothing else can be answered either.
                Err(problem) if problem.category == Category::Unavailable => return Err(problem),
                Err(problem) => of_problem(&inside(problem, index)),
            }
        }
    })
}

fn of_problem(problem: &Problem) -> String {
    let code = problem.category.status();
    let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    json!({ "response": { "status": format!("{code} {reason}").trim_end(), "outcome": operation_outcome::of(problem) } })
        .to_string()
}

async fn of_recorded(call: &FhirCall, kind: ResourceType, recorded: &Recorded) -> Result<String, Problem> {
    let is_deletion = recorded.effect == CommandEffect::Deleted;
    let status = match recorded.effect {
        CommandEffect::Created => "201 Created",
        CommandEffect::Updated | CommandEffect::Unchanged => "200 OK",
        CommandEffect::Deleted => "204 No Content",
    };
    let mut response = json!({
        "status": status,
        "etag": query::etag(recorded.version),
        "lastModified": recorded.at.to_rfc3339_opts(SecondsFormat::Micros, true),
    });
    if !is_deletion {
        response["location"] = json!(format!("{}/{}/_history/{}", kind.name(), recorded.id, recorded.version));
    }
    if call.prefers("return", "OperationOutcome") {
        response["outcome"] = operation_outcome::informational(&[told(recorded)]);
    }
    if is_deletion || !call.prefers("return", "representation") || call.may(kind, EntryAction::Read).is_err() {
        return Ok(format!(r#"{{"response":{response}}}"#));
    }
    let mut tx = call.app.db.read().await?;
    let found = resource::find(&mut tx, call.clinic(), kind.name(), &recorded.id).await?;
    let full_url = Value::from(format!("{}/{}/{}", call.base, kind.name(), recorded.id));
    Ok(match found.filter(|found| !found.deleted) {
        Some(found) => format!(r#"{{"fullUrl":{full_url},"resource":{},"response":{response}}}"#, found.body),
        None => format!(r#"{{"response":{response}}}"#),
    })
}

/// A GET inside of a Bundle.
async fn wanted(call: &FhirCall, url: &str, if_none_match: Option<&str>) -> Result<String, Problem> {
    let target = RequestTarget::read(url).map_err(|problem| problem.at("request.url"))?;
    let Some(id) = target.id else {
        let found = search::answer(call, target.kind, query::pairs(target.query.unwrap_or_default())).await?;
        return Ok(format!(r#"{{"resource":{found},"response":{{"status":"200 OK"}}}}"#));
    };
    let found = read::one(call, target.kind, id).await?;
    let response = |status: &str| {
        let at = found.updated_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        json!({ "status": status, "etag": query::etag(found.version), "lastModified": at })
    };
    if if_none_match.is_some_and(|tags| query::names_version(tags, found.version)) {
        return Ok(json!({ "response": response("304 Not Modified") }).to_string());
    }
    Ok(format!(r#"{{"resource":{},"response":{}}}"#, found.body, response("200 OK")))
}

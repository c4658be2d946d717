//! `GET audit`

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{RequestContext, StrictQuery};
use crate::fhir::audit_event::{AuditedEntry, audit_event};
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::journal::{self, JournalEntry, SealedEntry};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_audit))
}

/// Filter for journal entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// About this patient, also where they were one of several.
    patient: Option<PatientId>,
    /// From this instant on.
    from: Option<DateTime<Utc>>,
    /// Before this instant.
    to: Option<DateTime<Utc>>,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// A change or a read.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEntry {
    /// Its place in the clinic's chain.
    seq: i64,
    /// Id of the entry.
    id: Uuid,
    /// Instant.
    at: DateTime<Utc>,
    /// Author: the subject of a token, or this program.
    by: String,
    /// Role of the author; `null` for this program.
    role: Option<Role>,
    /// Names of the changes; empty for a read.
    events: Vec<String>,
    /// The patient.
    patient: Option<PatientId>,
    /// The episode.
    episode: Option<EpisodeId>,
    /// The object, such as `QuestionnaireResponse/123`.
    subject: Option<String>,
    /// Changes, as codes.
    changes: Option<Value>,
    /// The request.
    request: Option<RequestBody>,
    /// Patients whose data were read, if several.
    patients: Vec<PatientId>,
    /// The whole clinic's, or most of it.
    everybody: bool,
}

/// The request.
#[derive(Debug, Serialize, ToSchema)]
struct RequestBody {
    /// The method.
    method: String,
    /// The template of the address.
    route: String,
    /// The ids in the address, in its order.
    ids: Vec<String>,
    /// The status of the answer.
    status: u16,
}

fn read(sealed: &SealedEntry) -> Option<AuditEntry> {
    let e = JournalEntry::read(&sealed.entry)?;
    let request = e.request.map(|r| RequestBody { method: r.method, route: r.route, ids: r.ids, status: r.status });
    Some(AuditEntry {
        seq: sealed.seq,
        id: e.id,
        at: e.at,
        by: e.by,
        role: e.role,
        events: e.events,
        patient: e.patient,
        episode: e.episode,
        subject: e.subject,
        changes: e.changes,
        request,
        patients: e.patients,
        everybody: e.everybody,
    })
}

/// Audit log of changes and reads, newest first. `Accept: application/fhir+json` returns a Bundle of AuditEvents.
///
/// An entry appears once it is sealed, within a second. With `patient`, the result includes lists that showed this
/// patient among others, and those that showed the whole clinic.
#[utoipa::path(get, path = "/audit", tag = "operations", params(AuditQuery),
    responses((status = 200, description = "In order of the chain, backwards", body = Page<AuditEntry>), ReadErrors))]
async fn read_audit(
    call: RequestContext,
    headers: HeaderMap,
    StrictQuery(query): StrictQuery<AuditQuery>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::Admin])?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let (limit, below) = (paging.limit()?, paging.after::<i64>()?);
    let asked = journal::JournalFilter { patient: query.patient, from: query.from, until: query.to, below };
    let mut tx = call.app.db.read().await?;
    let rows = journal::page(&mut tx, call.clinic(), &asked, limit + 1).await?;
    drop(tx);
    let lines = page(rows, limit, |row| row.seq, |row| read(&row));
    let unreadable = || Problem::internal("a line of the journal cannot be read; run verify-audit");
    let items: Vec<AuditEntry> = lines.items.into_iter().collect::<Option<_>>().ok_or_else(unreadable)?;
    let fhir = headers.get(ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|a| a.contains("fhir+json"));
    if !fhir {
        return Ok(Json(Page { items, next: lines.next }).into_response());
    }
    let next = lines.next.map(|cursor| page_after(&asked, paging.limit, &cursor));
    let bundle = bundle(call.clinic(), &items, next.as_deref());
    Ok(([(CONTENT_TYPE, "application/fhir+json")], bundle.to_string()).into_response())
}

/// The address of the page after a cursor, narrowed as this one.
fn page_after(asked: &journal::JournalFilter, limit: Option<i64>, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let narrowed = [
        ("patient", asked.patient.map(|id| id.to_string())),
        ("from", asked.from.map(instant)),
        ("to", asked.until.map(instant)),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    query.extend_pairs(narrowed.into_iter().filter_map(|(name, value)| Some((name, value?))));
    query.append_pair("cursor", cursor);
    format!("audit?{}", query.finish())
}

fn bundle(clinic: &str, lines: &[AuditEntry], next: Option<&str>) -> Value {
    let entries: Vec<Value> = lines
        .iter()
        .filter_map(|line| audit_event(&audited(clinic, line)))
        .map(|event| {
            let id = event["id"].as_str().unwrap_or_default();
            json!({"fullUrl": format!("urn:uuid:{id}"), "resource": event, "search": {"mode": "match"}})
        })
        .collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
    if let Some(next) = next {
        bundle["link"] = json!([{"relation": "next", "url": next}]);
    }
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

fn audited<'a>(clinic: &'a str, line: &'a AuditEntry) -> AuditedEntry<'a> {
    AuditedEntry {
        id: line.id,
        seq: line.seq,
        clinic,
        at: line.at,
        by: &line.by,
        role: line.role.map(Role::as_str),
        events: &line.events,
        request: line.request.as_ref().map(|r| (r.method.as_str(), r.route.as_str(), r.status)),
        patients: line.patient.iter().chain(&line.patients).copied().collect(),
        subject: line.subject.as_deref(),
    }
}

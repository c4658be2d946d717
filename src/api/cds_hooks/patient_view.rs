//! `POST /cds-services/{id}`

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::SERVICE;
use super::call::HookCall;
use super::card::{Card, PatientFacts, card, unreadable};
use crate::api::problem::ProblemBody;
use crate::fhir::arrival::ResourceType;
use crate::fhir::content::Identifier;
use crate::fhir::logical_id::is_logical_id;
use crate::identity::{Role, acting_as};
use crate::intake::connection::Connection;
use crate::listener::JsonBody;
use crate::problem::{Category, Problem};
use crate::store::access_trace::watched;
use crate::store::patient::{self, Patient};
use crate::store::{ReadTx, outbox, standing};

/// How long a chart waits for us, at the most, while the database does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A call, as far as it is read: `fhirAuthorization` is not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatientViewRequest {
    /// `patient-view`.
    #[schema(example = "patient-view")]
    hook: String,
    /// The FHIR base whose patient it is.
    fhir_server: Option<String>,
    /// Context of the open chart.
    context: HookContext,
    /// Prefetched resources.
    #[serde(default)]
    prefetch: Option<Value>,
}

/// Context of the open chart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HookContext {
    /// The user who opened the chart: `Practitioner/123`.
    user_id: Option<String>,
    /// The Patient's id there.
    patient_id: String,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cards {
    /// One, or none.
    cards: Vec<Card>,
}

/// Status of a patient: one card for a patient in Collaborative Care, or with an unassessed safety answer; no card
/// otherwise.
///
/// The caller is an EHR that is configured as a CDS client (`[ehr.cds_hooks]`), by the JWT that it signs for each call;
/// the patient is that connection's.
#[utoipa::path(post, path = "/cds-services/{id}", tag = "cds-hooks",
    params(("id" = String, Path, description = "`cocm-standing`")), request_body = PatientViewRequest,
    responses((status = 200, description = "A card, or none", body = Cards), (status = "4XX", description = "The token is not believed, or the call cannot be read",
        content_type = "application/problem+json", body = ProblemBody)))]
pub async fn cards(
    call: HookCall,
    Path(service): Path<String>,
    body: JsonBody<PatientViewRequest>,
) -> Result<Json<Cards>, Problem> {
    let JsonBody(asked) = body;
    if service != SERVICE {
        return Err(Problem::not_found("CDS service"));
    }
    if asked.hook != "patient-view" {
        return Err(Problem::unprocessable("this service answers to patient-view").at("hook"));
    }
    let reading = acting_as(Role::Ehr, watched(timeout(PATIENCE, read(&call, &asked))));
    let (first, (read, shown)) = tokio::join!(call.is_the_first(), reading);
    first?;
    let card = match read {
        Ok(Ok(card)) => card,
        Ok(Err(problem)) if problem.category != Category::Unavailable => return Err(problem),
        // An empty answer would say that there is nothing.
        Ok(Err(_)) | Err(_) => {
            tracing::error!("a card could not be made: the database does not answer");
            return Ok(Json(Cards { cards: vec![unreadable(&call.app.config)] }));
        }
    };
    if let Some(card) = &card {
        let user = asked.context.user_id.as_deref();
        let mut line = call.line(user, "/cds-services/{id}", SERVICE).naming(shown);
        line.subject = Some(card.name());
        call.app.journal.write(line).await;
    }
    Ok(Json(Cards { cards: card.into_iter().collect() }))
}

/// The patient's card, from rows that are ready-made.
async fn read(call: &HookCall, asked: &PatientViewRequest) -> Result<Option<Card>, Problem> {
    let id = asked.context.patient_id.trim();
    let id = id.strip_prefix("Patient/").unwrap_or(id);
    let app = &call.app;
    let Some(connection) = app.connections.named(&call.signed.connection) else { return Ok(None) };
    if !is_logical_id(id) {
        return Ok(None);
    }
    if asked.fhir_server.as_deref().is_some_and(|base| !is_its_base(connection, base)) {
        // The same id in another server is somebody else.
        metrics::counter!("cocm_cds_calls_of_unknown_servers").increment(1);
        tracing::warn!(
            connection = connection.name(),
            "a call named a fhirServer that is neither base_url nor among known_bases"
        );
        return Ok(None);
    }
    let mut tx = app.db.read().await?;
    let Some(person) = who(&mut tx, call, id, asked.prefetch.as_ref()).await? else { return Ok(None) };
    let standings = standing::of_patient(&mut tx, call.clinic(), person.id).await?;
    let intents = outbox::standing(&mut tx, call.clinic(), person.id).await?;
    drop(tx);
    let known = PatientFacts {
        clinic: call.clinic(),
        patient: person.id,
        standings: &standings,
        intents: &intents,
        today: app.clock.today(app.zones.of(call.clinic())),
    };
    let link = connection.settings.cds_hooks.as_ref().map(|hooks| hooks.link).unwrap_or_default();
    Ok(card(&known, &app.config, link))
}

fn is_its_base(connection: &Connection, said: &str) -> bool {
    connection.bases().iter().any(|base| base.trim_end_matches('/') == said.trim_end_matches('/'))
}

/// The patient of the chart; by the identifiers of the prefetched Patient if its id is unknown here. `None` if several
/// match.
async fn who(tx: &mut ReadTx, call: &HookCall, id: &str, prefetch: Option<&Value>) -> Result<Option<Patient>, Problem> {
    let mut names = vec![format!("Patient/{id}")];
    let sent = prefetch.and_then(|sent| sent.get("patient")).filter(|sent| sent.is_object());
    let sent = sent.and_then(|sent| call.app.intake.read(call.clinic(), &sent.to_string()).ok());
    if let Some(person) = sent.filter(|sent| sent.kind == ResourceType::Patient && sent.id.as_deref() == Some(id)) {
        names.extend(person.identifiers.iter().filter(|one| one.system.is_some()).map(Identifier::token));
    }
    for name in names {
        let mut found = patient::by_key(tx, call.clinic(), &name).await?;
        match found.len() {
            0 => {}
            1 => return Ok(found.pop()),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

//! `POST episodes` and `GET episodes?patient=`

use axum::Json;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::fit_check::NewFitCheck;
use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, parse_id, words};
use crate::domain::care::FitDecision;
use crate::domain::episode::{Episode, Phase};
use crate::domain::instrument::Instrument;
use crate::fhir::base::Bases;
use crate::fhir::reference::key_of;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::{Command, PatientKey};
use crate::store::episode::{self, EpisodeRecord};
use crate::store::patient::{self, Patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(enrol, list_episodes))
}

/// An enrollment, or a referral where `enrolled_on` is left out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEpisode {
    /// The patient.
    patient: NamedPatient,
    /// The date of the care manager's initial assessment.
    enrolled_on: Option<NaiveDate>,
    /// When the patient consented.
    consent_on: Option<NaiveDate>,
    /// The measure that drives metrics; fixed for the episode. `phq9` where it is left out.
    primary_instrument: Option<Instrument>,
    /// Every measure that is treated to target; contains the primary one, which is all where it is left out.
    target_instruments: Option<Vec<Instrument>>,
    /// The care manager.
    care_manager: Option<RequiredText>,
    /// The patient's own doctor.
    primary_care_provider: Option<RequiredText>,
    /// The psychiatric consultant.
    psychiatric_consultant: Option<RequiredText>,
    /// The fit check that was made with it, where one was documented already.
    fit: Option<NewFitCheck>,
}

/// A patient, named in exactly one way.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedPatient {
    /// Id in this registry.
    id: Option<String>,
    /// Reference of the chart: `Patient/123`.
    reference: Option<String>,
    /// By a business identifier: `system|value`, or both apart.
    identifier: Option<NamedIdentifier>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum NamedIdentifier {
    Token(String),
    Apart { system: Option<String>, value: String },
}

impl NamedPatient {
    fn whom(self, bases: &Bases) -> Result<PatientKey, Problem> {
        match (self.id, self.reference, self.identifier) {
            (Some(id), None, None) => Ok(PatientKey::Id(parse_id(&id).map_err(|_| Problem::not_found("patient"))?)),
            (None, Some(reference), None) => Ok(PatientKey::Key(key_of(&reference, bases))),
            (None, None, Some(NamedIdentifier::Token(token))) => {
                Ok(PatientKey::Key(if token.contains('|') { token } else { format!("|{token}") }))
            }
            (None, None, Some(NamedIdentifier::Apart { system, value })) => {
                Ok(PatientKey::Key(format!("{}|{value}", system.unwrap_or_default())))
            }
            _ => Err(Problem::unprocessable("exactly one of id, reference and identifier").at("patient")),
        }
    }
}

/// An episode of care.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpisodeBody {
    /// Id in this registry.
    pub id: EpisodeId,
    /// The patient.
    pub patient: PatientName,
    /// Phase of the episode.
    pub status: Phase,
    /// The care manager's initial assessment; `null` while only referred.
    pub enrolled_on: Option<NaiveDate>,
    /// When the patient consented.
    pub consent_on: Option<NaiveDate>,
    /// The measure that drives metrics.
    pub primary_instrument: Instrument,
    /// Every measure that is treated to target.
    pub target_instruments: Vec<Instrument>,
    /// The care manager.
    pub care_manager: Option<String>,
    /// The patient's own doctor.
    pub primary_care_provider: Option<String>,
    /// The psychiatric consultant.
    pub psychiatric_consultant: Option<String>,
    /// The end, once discharged.
    pub discharged_on: Option<NaiveDate>,
    /// Why it ended.
    pub discharge_reason: Option<String>,
    /// Counts changes: the ETag.
    pub revision: i64,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
}

/// A patient's name in lists.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientName {
    /// Id in this registry.
    pub id: PatientId,
    /// Never empty: the reference where no name has arrived.
    pub display_name: String,
    /// How the chart names the person.
    pub reference: String,
}

impl PatientName {
    /// The name of a patient.
    pub fn of(patient: &Patient) -> Self {
        Self { id: patient.id, display_name: patient.label(), reference: patient.reference.clone() }
    }
}

impl EpisodeBody {
    /// An episode of a patient.
    pub fn of(stored: EpisodeRecord, patient: &Patient) -> Self {
        let e = stored.episode;
        Self {
            id: e.id,
            patient: PatientName::of(patient),
            status: stored.phase,
            enrolled_on: e.enrolled_on,
            consent_on: e.consent_on,
            primary_instrument: e.primary_instrument,
            target_instruments: e.target_instruments,
            care_manager: e.care_manager,
            primary_care_provider: e.primary_care_provider,
            psychiatric_consultant: e.psychiatric_consultant,
            discharged_on: stored.discharged_on,
            discharge_reason: stored.discharge_reason,
            revision: stored.revision,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// Each once, and the primary one among them.
pub fn targets(primary: Instrument, targets: Option<Vec<Instrument>>) -> Result<Vec<Instrument>, Problem> {
    let mut distinct: Vec<Instrument> = Vec::new();
    for target in targets.unwrap_or_else(|| vec![primary]) {
        if !distinct.contains(&target) {
            distinct.push(target);
        }
    }
    if distinct.contains(&primary) {
        Ok(distinct)
    } else {
        Err(Problem::unprocessable("the primary instrument must be one of them").at("target_instruments"))
    }
}

/// Enrolls a patient, or notes a referral.
#[utoipa::path(post, path = "/episodes", tag = "episodes", request_body = NewEpisode,
    responses((status = 201, description = "Enrolled; `Location` and `ETag` are set", body = EpisodeBody), WriteErrors))]
async fn enrol(call: RequestContext, JsonBody(new): JsonBody<NewEpisode>) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager])?;
    let primary = new.primary_instrument.unwrap_or(Instrument::PHQ9);
    let new_episode = Episode {
        id: EpisodeId(Uuid::nil()),
        enrolled_on: new.enrolled_on,
        consent_on: new.consent_on,
        primary_instrument: primary,
        target_instruments: targets(primary, new.target_instruments)?,
        care_manager: words(new.care_manager),
        primary_care_provider: words(new.primary_care_provider),
        psychiatric_consultant: words(new.psychiatric_consultant),
    };
    let fit = new.fit.map(|fit| fit.checked(&call, "fit.")).transpose()?;
    if new.enrolled_on.is_some() && fit.as_ref().is_some_and(|fit| fit.decision == FitDecision::SpecialtyCare) {
        let detail = "who needs direct specialty care is not enrolled here; leave enrolled_on out to keep the referral";
        return Err(Problem::unprocessable(detail).at("fit.decision"));
    }
    let whom = new.patient.whom(call.app.intake.bases(call.clinic()))?;
    let fact = Command::Enroll { whom, episode: Box::new(new_episode), fit: fit.map(Box::new) };
    let recorded = call.record_one(fact).await?;
    let body = read(&call, parse_id(&recorded.id)?).await?;
    Ok(created(Some(format!("/api/v1/episodes/{}", recorded.id)), Some(body.revision), body))
}

/// Reads an episode.
pub async fn read(call: &RequestContext, id: EpisodeId) -> Result<EpisodeBody, Problem> {
    let mut tx = call.app.db.read().await?;
    let stored = episode::find(&mut tx, call.clinic(), id).await?.ok_or_else(|| Problem::not_found("episode"))?;
    let patient = patient::find(&mut tx, call.clinic(), stored.patient_id).await?;
    let patient = patient.ok_or_else(|| Problem::not_found("episode"))?;
    Ok(EpisodeBody::of(stored, &patient))
}

/// Filter for episodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EpisodesQuery {
    /// The patient.
    patient: PatientId,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// The episodes of a patient, in order of enrollment.
#[utoipa::path(get, path = "/episodes", tag = "episodes", params(EpisodesQuery),
    responses((status = 200, description = "Empty where the patient has none", body = Page<EpisodeBody>), ReadErrors))]
async fn list_episodes(
    call: RequestContext,
    StrictQuery(query): StrictQuery<EpisodesQuery>,
) -> Result<Json<Page<EpisodeBody>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after: Option<EpisodeId> = paging.after()?;
    let mut tx = call.app.db.read().await?;
    let patient = patient::find(&mut tx, call.clinic(), query.patient).await?;
    let patient = patient.ok_or_else(|| Problem::not_found("patient"))?;
    let rows = episode::of_patient(&mut tx, call.clinic(), patient.id).await?;
    // A patient has a handful: they are all read. An episode is never removed, so that the one before is found.
    let begin = after.and_then(|after| rows.iter().position(|stored| stored.episode.id == after)).map_or(0, |n| n + 1);
    let rows: Vec<EpisodeRecord> = rows.into_iter().skip(begin).collect();
    Ok(Json(page(rows, limit, |stored| stored.episode.id, |stored| EpisodeBody::of(stored, &patient))))
}

//! `POST patients/{id}/measurements`

use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::{WriteErrors, created};
use crate::api::App;
use crate::api::request::{CLINICIANS, IdInPath, Moment, RequestContext, RequiredText, words};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement, Quality};
use crate::domain::score::Answers;
use crate::fhir::arrival::is_language;
use crate::fhir::content::EvidenceTime;
use crate::id::{MeasurementId, PatientId};
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;
use crate::store::measurement;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add_measurement))
}

/// A score of one instrument.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeasurementBody {
    /// Our id; stays when the source is corrected.
    pub id: MeasurementId,
    /// Instrument.
    pub instrument: Instrument,
    /// Points; `null` exactly when it cannot be scored. Never 0 for "missing".
    pub total: Option<u16>,
    /// Severity band of the total.
    pub severity: Option<&'static str>,
    /// How the total came about.
    pub quality: Quality,
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// The same as a date in the clinic's time zone.
    pub taken_on: NaiveDate,
    /// The answer to PHQ-9 item 9, 0–3; `null` where it was not asked or not answered.
    pub item9: Option<u8>,
    /// Item 9 belongs to this form and was left open, or cannot be read: somebody has to ask.
    pub item9_unknown: bool,
    /// The answers in order; `null` is unanswered. Empty where only a total is known.
    pub answers: Vec<Option<u8>>,
    /// Whether it counts.
    pub counting: EvidenceStatus,
    /// Taken back by its source: out of every computation.
    pub retracted: bool,
    /// Source resource, as the chart names it.
    pub source: String,
    /// Data-quality remarks.
    pub issues: Vec<DataQualityIssue>,
    /// The language it was asked in (BCP 47); `null` where the form does not say.
    pub language: Option<String>,
}

impl From<Measurement> for MeasurementBody {
    fn from(m: Measurement) -> Self {
        Self {
            id: m.id,
            instrument: m.instrument,
            total: m.total,
            severity: m.total.map(|total| m.instrument.band(total)),
            quality: m.quality,
            taken_at: m.taken_at,
            taken_on: m.taken_on,
            item9: m.item9,
            item9_unknown: m.item9_unknown,
            answers: m.answers,
            counting: m.counting,
            retracted: m.counting == EvidenceStatus::Retracted,
            source: m.source,
            issues: m.issues,
            language: m.language,
        }
    }
}

/// A score taken outside the EHR.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMeasurement {
    /// Instrument.
    instrument: Instrument,
    /// When; an instant, or a date.
    taken_at: Moment,
    /// The answers in order, `null` where one is missing: as many as the instrument has items. They beat a total.
    answers: Option<Vec<Option<u8>>>,
    /// The total, where the answers are not known.
    total: Option<u16>,
    /// Person who administered it.
    recorded_by: Option<RequiredText>,
    /// The language it was asked in (BCP 47): `es`, `pt-BR`.
    language: Option<String>,
}

/// Enters a score that was taken outside the EHR.
#[utoipa::path(post, path = "/patients/{id}/measurements", tag = "patients",
    params(("id" = String, Path, description = "The patient")), request_body = NewMeasurement,
    responses((status = 201, description = "Scored", body = MeasurementBody), WriteErrors))]
async fn add_measurement(
    call: RequestContext,
    IdInPath(patient): IdInPath<PatientId>,
    JsonBody(new): JsonBody<NewMeasurement>,
) -> Result<Response, Problem> {
    call.caller.require(CLINICIANS)?;
    let answers = answers(&new)?;
    if new.language.as_deref().is_some_and(|tag| !is_language(tag)) {
        return Err(Problem::unprocessable("must be a language tag, like es or pt-BR").at("language"));
    }
    let (on, at) = new.taken_at.instant(call.zone());
    let fact = Command::RecordMeasurement {
        patient,
        instrument: new.instrument,
        taken: EvidenceTime { at, on },
        answers,
        taken_by: words(new.recorded_by),
        language: new.language,
    };
    let recorded = call.record_one(fact).await?;
    let mut tx = call.app.db.read().await?;
    let measured = measurement::of_patient(&mut tx, call.clinic(), recorded.patient.unwrap_or(patient)).await?;
    let measured = measured.into_iter().find(|m| m.id.to_string() == recorded.id);
    let measured = measured.ok_or_else(|| Problem::internal("a measurement vanished"))?;
    Ok(created(None, None, MeasurementBody::from(measured)))
}

fn answers(new: &NewMeasurement) -> Result<Answers, Problem> {
    let definition = new.instrument.definition();
    if new.answers.is_none() && new.total.is_none() {
        return Err(Problem::unprocessable("answers or a total are needed").at("answers"));
    }
    let items = new.answers.clone().unwrap_or_default();
    if new.answers.is_some() && items.len() != definition.items.len() {
        let detail = format!("{} has {} items; null where one is missing", new.instrument, definition.items.len());
        return Err(Problem::unprocessable(detail).at("answers"));
    }
    if let Some(n) = items.iter().position(|answer| answer.is_some_and(|answer| answer > definition.item_max())) {
        let detail = format!("an answer of {} is 0 to {}", new.instrument, definition.item_max());
        return Err(Problem::unprocessable(detail).at(format!("answers[{n}]")));
    }
    if new.total.is_some_and(|total| total > new.instrument.max_total()) {
        let detail = format!("a total of {} is 0 to {}", new.instrument, new.instrument.max_total());
        return Err(Problem::unprocessable(detail).at("total"));
    }
    Ok(Answers { items, stated_total: new.total, ..Answers::default() })
}

//! `GET time`

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::episodes::PatientName;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, words};
use crate::domain::metrics::Month;
use crate::domain::minutes::{self, EpisodeMinutes, MissingDocumentation, NextCode};
use crate::domain::story::Story;
use crate::problem::Problem;
use crate::record::local_midnight;
use crate::store::patient::Patient;
use crate::store::story;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_time))
}

/// Month and care manager.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimeQuery {
    /// `YYYY-MM`, in the clinic's time zone; the present month without it.
    month: Option<String>,
    /// Only episodes that this care manager had at the end of the month.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
}

/// The minutes of a month.
#[derive(Debug, Serialize, ToSchema)]
struct TimeBody {
    /// `YYYY-MM`.
    month: String,
    /// Each episode with a contact in the month. Codes are suggested, never decided.
    items: Vec<PatientMinutes>,
    /// All on one page.
    next: Option<String>,
}

/// The minutes of an episode in a month, and whose they are.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatientMinutes {
    /// The patient.
    pub patient: PatientName,
    /// As sent by the chart: a year, a month or a day.
    pub birth_date: Option<String>,
    /// The care manager at the end of the month.
    pub care_manager: Option<String>,
    #[serde(flatten)]
    pub minutes: EpisodeMinutes,
    /// The code that more minutes would reach first.
    pub next_code: NextCode,
    /// Documentation that a CoCM code still needs.
    pub missing: Vec<MissingDocumentation>,
}

/// Care-manager minutes and the billing codes they suggest, per episode.
#[utoipa::path(get, path = "/time", tag = "metrics", params(TimeQuery),
    responses((status = 200, description = "The minutes", body = TimeBody), ReadErrors))]
async fn read_time(
    call: RequestContext,
    StrictQuery(query): StrictQuery<TimeQuery>,
) -> Result<Json<TimeBody>, Problem> {
    let (month, items) = asked(&call, query).await?;
    Ok(Json(TimeBody { month: month.to_string(), items, next: None }))
}

/// The month of a query and its minutes.
pub(super) async fn asked(call: &RequestContext, query: TimeQuery) -> Result<(Month, Vec<PatientMinutes>), Problem> {
    call.caller.require(READERS)?;
    let text = query.month.unwrap_or_else(|| Month::of(call.today()).to_string());
    let month: Month = text.parse().map_err(|e: String| Problem::malformed(e).at("month"))?;
    let mut items = minutes_of_month(&call.app, call.clinic(), month).await?;
    if let Some(care_manager) = words(query.care_manager) {
        items.retain(|item| item.care_manager.as_deref() == Some(care_manager.as_str()));
    }
    Ok((month, items))
}

/// The minutes of every episode with a contact in the month, by care manager and name.
pub async fn minutes_of_month(app: &App, clinic: &str, month: Month) -> Result<Vec<PatientMinutes>, Problem> {
    let zone = app.zones.of(clinic);
    let span = (local_midnight(zone, month.first), local_midnight(zone, month.last.succ_opt().unwrap_or(month.last)));
    let mut tx = app.db.read().await?;
    let mut items = Vec::new();
    let mut everybody = story::everybody(clinic);
    while let Some((patients, stories)) = everybody.next(&mut tx).await? {
        for (patient, story) in patients.iter().zip(&stories) {
            items.extend(of_patient(patient, story, month, span));
        }
    }
    items.sort_by(|a, b| {
        let key = |item: &PatientMinutes| (item.care_manager.clone(), item.patient.display_name.clone());
        key(a).cmp(&key(b)).then(a.minutes.episode.cmp(&b.minutes.episode))
    });
    Ok(items)
}

fn of_patient(patient: &Patient, story: &Story, month: Month, span: minutes::Interval) -> Vec<PatientMinutes> {
    let courses = story.courses(month.last);
    let care = courses.iter().flat_map(|c| c.entries.iter().filter(|e| e.care.is_clinical_contact()).map(|e| e.on));
    let earlier: Vec<chrono::NaiveDate> = care.filter(|on| *on < month.first).collect();
    let timed = courses.iter().filter(|c| c.entries.iter().any(|e| e.care.minutes().is_some()));
    timed
        .filter_map(|course| {
            let minutes = minutes::of(course, month, span, &earlier);
            let in_month = course.entries.iter().any(|e| e.care.minutes().is_some() && month.contains(e.on));
            // A contact that began the evening before may last into the month.
            (in_month || minutes.minutes > 0 || !minutes.left_out.is_empty()).then(|| PatientMinutes {
                patient: PatientName::of(patient),
                birth_date: patient.birth_date.clone(),
                care_manager: story.care_manager(course.episode, month.last).map(str::to_owned),
                next_code: minutes::next_code(minutes.minutes, minutes.first_month),
                missing: minutes::missing(story, course, month),
                minutes,
            })
        })
        .collect()
}

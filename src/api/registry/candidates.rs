//! `GET candidates` and `POST patients/{id}/candidate-dismissal`

use axum::Json;
use axum::response::Response;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::episodes::PatientName;
use super::responses::{ReadErrors, WriteErrors, created};
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{IdInPath, READERS, RequestContext, RequiredText, StrictQuery};
use crate::domain::candidate::Candidate;
use crate::domain::care::Care;
use crate::id::PatientId;
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::record::Command;
use crate::store::patient::{self, Patient};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_candidates)).routes(routes!(dismiss))
}

/// Filter for candidates.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CandidatesQuery {
    /// List dismissed candidates instead of open ones.
    #[serde(default)]
    dismissed: bool,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// A patient who screened positive and has no open episode.
#[derive(Debug, Serialize, ToSchema)]
struct CandidateBody {
    /// The patient.
    patient: PatientName,
    /// Years, as far as the date of birth tells.
    age: Option<i32>,
    /// Preferred language (BCP 47).
    language: Option<String>,
    /// Days since the earliest of the scores.
    waiting_days: i64,
    /// Why, since when, which scores, which episode before.
    #[serde(flatten)]
    candidate: Candidate,
}

/// Age in whole years from a date of birth, which may be only a year or a month. `None` if that is not precise enough.
fn age(birth_date: Option<&str>, today: NaiveDate) -> Option<i32> {
    let born: NaiveDate = birth_date?.parse().ok()?;
    let had_birthday = (today.month(), today.day()) >= (born.month(), born.day());
    Some(today.year() - born.year() - i32::from(!had_birthday)).filter(|age| *age >= 0)
}

/// Patients who could be offered Collaborative Care: the latest PHQ-9 or GAD-7 is elevated, or a PHQ-2 without a later
/// PHQ-9, and no episode is open. Earlier episodes are shown.
#[utoipa::path(get, path = "/candidates", tag = "caseload", params(CandidatesQuery),
    responses((status = 200, description = "Longest waiting first, then by id", body = Page<CandidateBody>), ReadErrors))]
async fn list_candidates(
    call: RequestContext,
    StrictQuery(query): StrictQuery<CandidatesQuery>,
) -> Result<Json<Page<CandidateBody>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let after = paging.after()?;
    let mut tx = call.app.db.read().await?;
    let rows = patient::candidates(&mut tx, call.clinic(), query.dismissed, after, limit + 1).await?;
    drop(tx);
    let today = call.today();
    let rows: Vec<(Patient, Candidate)> =
        rows.into_iter().filter_map(|mut row| row.candidate.take().map(|candidate| (row, candidate.0))).collect();
    let key = |(row, candidate): &(Patient, Candidate)| (candidate.since, row.id);
    Ok(Json(page(rows, limit, key, |(row, candidate)| CandidateBody {
        patient: PatientName::of(&row),
        age: age(row.birth_date.as_deref(), today),
        language: row.language,
        waiting_days: (today - candidate.since).num_days(),
        candidate,
    })))
}

/// A decision not to offer an episode.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDismissal {
    /// Why: declined, in care elsewhere, …
    reason: RequiredText,
}

/// A dismissal that was recorded.
#[derive(Debug, Serialize, ToSchema)]
struct DismissalBody {
    /// The entry: it can be taken back by it.
    id: String,
    /// The patient.
    patient: PatientId,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
}

/// Dismisses a candidate: the scores that speak now are put aside, the next positive one makes a candidate again.
#[utoipa::path(post, path = "/patients/{id}/candidate-dismissal", tag = "patients",
    params(("id" = String, Path, description = "The patient")), request_body = NewDismissal,
    responses((status = 201, description = "Recorded", body = DismissalBody), WriteErrors))]
async fn dismiss(
    call: RequestContext,
    IdInPath(patient): IdInPath<PatientId>,
    JsonBody(new): JsonBody<NewDismissal>,
) -> Result<Response, Problem> {
    call.caller.require(&[Role::CareManager, Role::PrimaryCare])?;
    // The dismissed scores are determined under the patient's lock.
    let care = Care::CandidateDismissal { reason: new.reason.0, scores: Vec::new() };
    let recorded = call.record_one(Command::RecordPatientCare { patient, at: call.app.clock.now(), care }).await?;
    let patient = recorded.patient.unwrap_or(patient);
    Ok(created(None, None, DismissalBody { id: recorded.id, patient, recorded_at: recorded.at }))
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_counts_birthdays_and_a_year_alone_does_not_tell_it() {
        let today = "2026-03-02".parse().unwrap();
        assert_eq!(age(Some("1980-03-02"), today), Some(46));
        assert_eq!(age(Some("1980-03-03"), today), Some(45));
        assert_eq!(age(Some("1980"), today), None);
        assert_eq!(age(None, today), None);
    }
}

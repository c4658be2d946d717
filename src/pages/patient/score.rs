//! A questionnaire that was answered outside the chart: on the phone, on paper, in the room.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::PatientFile;
use super::view::identity;
use crate::api::request::CLINICIANS;
use crate::domain::instrument::Instrument;
use crate::id::PatientId;
use crate::pages::form::{Form, FormField};
use crate::pages::response::{ProblemPage, html};
use crate::pages::session::{FormPost, Visitor};
use crate::pages::shell::{NavSection, Shell};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
pub struct ScorePageQuery {
    instrument: Option<String>,
}

/// A question with its possible answers.
struct Question {
    number: usize,
    label: String,
    answers: Vec<PossibleAnswer>,
    /// Asks about thoughts of death or self-harm: an answer above 0 is an alarm before anything is saved.
    is_about_self_harm: bool,
}

struct PossibleAnswer {
    value: u8,
    words: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "score.html")]
struct ScorePage {
    shell: Shell,
    name: String,
    identity: Vec<String>,
    patient: PatientId,
    title: &'static str,
    questions: Vec<Question>,
    form: Form,
    /// `0 minimal;5 mild`: where each band begins.
    bands: String,
    max_total: u16,
    /// How many items may be left open.
    may_miss: usize,
}

/// The questionnaire, empty.
pub async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(query): Query<ScorePageQuery>,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(CLINICIANS)?;
    let whole = read(&visitor, &id).await?;
    let instrument = instrument(query)?;
    let form = form(&visitor, whole.row.id, instrument);
    render(&visitor, &whole, instrument, form, &[]).await
}

/// The stored answer to a request.
pub async fn save(
    Path(id): Path<String>,
    Query(query): Query<ScorePageQuery>,
    submitted: FormPost,
) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(CLINICIANS)?;
    let whole = read(visitor, &id).await?;
    let instrument = instrument(query)?;
    let answers: Vec<Option<u8>> = (0..instrument.item_count())
        .map(|item| submitted.get(&format!("answer{}", item + 1)).and_then(|answer| answer.parse().ok()))
        .collect();
    let mut form = form(visitor, whole.row.id, instrument);
    form.fill(&submitted.fields);
    if let Some(mut body) = form.json() {
        if answers.iter().any(Option::is_some) {
            body.insert("answers".to_owned(), json!(answers));
        }
        body.insert("instrument".to_owned(), json!(instrument));
        body.insert("recorded_by".to_owned(), json!(visitor.session.name));
        let path = format!("patients/{}/measurements", whole.row.id);
        match visitor.pages.door.post(&visitor.caller, &path, Some(&form.once), &body.into()).await {
            Ok(_) => {
                let self_harm = instrument.self_harm_item().and_then(|item| answers.get(item).copied().flatten());
                let next = if self_harm > Some(0) { "&form=safety-assessment#safety" } else { "" };
                return Ok(Redirect::to(&format!("/patients/{}?done=score{next}", whole.row.id)).into_response());
            }
            Err(refused) if refused.status >= 500 => return Err(refused.into()),
            Err(refused) => form.blame(refused, visitor),
        }
    }
    render(visitor, &whole, instrument, form, &answers).await
}

async fn read(visitor: &Visitor, id: &str) -> Result<PatientFile, Problem> {
    PatientFile::read(visitor, id.parse().map_err(|_| Problem::not_found("patient"))?).await
}

fn instrument(query: ScorePageQuery) -> Result<Instrument, Problem> {
    query.instrument.and_then(|id| id.parse().ok()).ok_or_else(|| Problem::not_found("instrument"))
}

fn form(visitor: &Visitor, patient: PatientId, instrument: Instrument) -> Form {
    let action = format!("/patients/{patient}/score?instrument={}", instrument.id());
    let fields = vec![
        FormField::date("taken_at", "Answered on", Some(visitor.today())).required(),
        FormField::number("total", "Total, where the answers are not known"),
    ];
    Form::new(visitor, "score", action, "Save the score", fields)
}

fn questions(instrument: Instrument, answers: &[Option<u8>]) -> Vec<Question> {
    let items = instrument.definition().items.iter().enumerate();
    items
        .map(|(n, item)| Question {
            number: n + 1,
            label: item.label.clone(),
            answers: (0..=item.scale.max)
                .map(|value| PossibleAnswer {
                    value,
                    words: item.scale.label(value).unwrap_or_default().to_owned(),
                    chosen: answers.get(n).copied().flatten() == Some(value),
                })
                .collect(),
            is_about_self_harm: instrument.self_harm_item() == Some(n),
        })
        .collect()
}

async fn render(
    visitor: &Visitor,
    whole: &PatientFile,
    instrument: Instrument,
    form: Form,
    answers: &[Option<u8>],
) -> Result<Response, ProblemPage> {
    let has_problem = form.problem.is_some();
    let definition = instrument.definition();
    let bands: Vec<String> = definition.bands.iter().map(|band| format!("{} {}", band.from, band.name)).collect();
    let page = ScorePage {
        shell: Shell::around(visitor, format!("{instrument} of {}", whole.row.label()), NavSection::Caseload).await?,
        name: whole.row.label(),
        identity: identity(whole, visitor.today()),
        patient: whole.row.id,
        title: instrument.title(),
        questions: questions(instrument, answers),
        form,
        bands: bands.join(";"),
        max_total: instrument.max_total(),
        may_miss: definition.may_miss,
    };
    let status = if has_problem { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, html(&page)).into_response())
}

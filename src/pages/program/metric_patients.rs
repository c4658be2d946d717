//! The patients behind one number.

use std::collections::HashSet;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use super::{Series, first_of, read, sentence};
use crate::api::request::READERS;
use crate::domain::care::Payer;
use crate::id::{EpisodeId, PatientId};
use crate::pages::response::{ProblemPage, html};
use crate::pages::session::Visitor;
use crate::pages::shell::{NavSection, Shell};
use crate::problem::Problem;
use crate::store::patient;
use crate::store::standing::caseload;

#[derive(Debug, Deserialize)]
pub struct MetricPatientsQuery {
    series: Series,
    metric: u8,
    month: String,
    #[serde(default)]
    payer: String,
}

/// One patient, in the numerator or only in the denominator.
struct MetricPatient {
    patient: PatientId,
    name: String,
    care_manager: String,
}

#[derive(Template)]
#[template(path = "metric_patients.html")]
struct MetricPatientsPage {
    shell: Shell,
    name: String,
    month: String,
    back: String,
    remark: Option<String>,
    /// A rate has two lists: who counts, and who does not.
    is_rate: bool,
    counted: Vec<MetricPatient>,
    missing: Vec<MetricPatient>,
}

pub async fn show(visitor: Visitor, Query(asked): Query<MetricPatientsQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let month = first_of(&asked.month, visitor.today());
    let payer: Option<Payer> = asked.payer.parse().ok();
    let metrics = read(&visitor, asked.series, month, payer).await?;
    let metric = metrics.into_iter().find(|m| m.number == asked.metric).ok_or_else(|| Problem::not_found("metric"))?;
    let mut tx = visitor.pages.app.db.read().await?;
    let mut missing_ids = metric.denominator_episodes.clone();
    missing_ids.retain(|id| !metric.numerator_episodes.contains(id));
    let mut lists = Vec::new();
    for ids in [&metric.numerator_episodes, &missing_ids] {
        let episodes: Vec<EpisodeId> = ids.iter().copied().map(EpisodeId).collect();
        let rows = caseload::rows(&mut tx, visitor.clinic(), &episodes).await?;
        let known: HashSet<EpisodeId> = rows.iter().map(|row| row.episode_id).collect();
        let one = |row: caseload::EpisodeListing| MetricPatient {
            patient: row.patient_id,
            name: row.display_name,
            care_manager: row.care_manager.unwrap_or_default(),
        };
        let mut list: Vec<MetricPatient> = rows.into_iter().map(one).collect();
        // Some metrics count patients, not episodes.
        for id in ids.iter().filter(|id| !known.contains(&EpisodeId(**id))) {
            list.extend(patient::find(&mut tx, visitor.clinic(), PatientId(*id)).await?.map(|row| MetricPatient {
                patient: row.id,
                name: row.label(),
                care_manager: String::new(),
            }));
        }
        list.sort_by_cached_key(|one| one.name.to_lowercase());
        lists.push(list);
    }
    drop(tx);
    let missing = lists.pop().unwrap_or_default();
    let page = MetricPatientsPage {
        shell: Shell::around(&visitor, sentence(&metric.name), NavSection::Program).await?,
        name: sentence(&metric.name),
        month: month.format("%B %Y").to_string(),
        back: super::address(month, payer),
        remark: metric.remark,
        is_rate: metric.numerator.is_some() && metric.denominator.is_some(),
        counted: lists.pop().unwrap_or_default(),
        missing,
    };
    Ok(html(&page))
}

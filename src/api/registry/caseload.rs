//! `GET caseload`

mod as_of;

use axum::Json;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::episodes::PatientName;
use super::responses::ReadErrors;
use crate::api::App;
use crate::api::page::{Page, PageQuery, page};
use crate::api::request::{READERS, RequestContext, RequiredText, StrictQuery, query_date, words};
use crate::domain::attention::QueuePlace;
use crate::domain::contacts::NextContact;
use crate::domain::episode::Phase;
use crate::domain::finding::{Finding, Rule};
use crate::domain::instrument::Instrument;
use crate::domain::standing::WorkItemSummary;
use crate::domain::target::MeasureSummary;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::standing::{self, StandingFilter, StandingRow};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_caseload))
}

/// Filter and order of the caseload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CaseloadQuery {
    /// Only episodes of this care manager.
    #[param(value_type = Option<String>)]
    care_manager: Option<RequiredText>,
    /// Only of this consultant.
    psychiatric_consultant: Option<RequiredText>,
    /// In this phase; everything that is not discharged without it.
    status: Option<Phase>,
    /// With this finding.
    finding: Option<Rule>,
    /// Only patients whose name has each of these words anywhere, without accents and in any order, or whose record
    /// number or chart id contains the text.
    #[param(value_type = Option<String>)]
    q: Option<RequiredText>,
    /// The caseload of this day, computed from everything known now under the thresholds in force now; without it the
    /// ready-made one of today.
    as_of: Option<NaiveDate>,
    /// Sort order.
    #[serde(default)]
    sort: Sort,
    /// At most so many items, 1–500; 50 without it.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// An order of the caseload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Most pressing first (R15): place in the queue, longest waiting, highest latest score.
    #[default]
    Attention,
    /// Sort by name.
    Name,
}

/// One row of the caseload.
#[derive(Debug, Serialize, ToSchema)]
struct CaseloadItem {
    /// The episode.
    episode: EpisodeId,
    /// The patient.
    patient: PatientName,
    /// The patient's preferred language (BCP 47).
    language: Option<String>,
    /// The care manager.
    care_manager: Option<String>,
    /// The psychiatric consultant.
    psychiatric_consultant: Option<String>,
    /// Phase of the episode.
    status: String,
    /// When it was enrolled.
    enrolled_on: Option<NaiveDate>,
    /// Days since enrollment, counted to today.
    day: Option<i64>,
    /// Whole weeks since enrollment.
    week: Option<i64>,
    /// Days of treatment since the last treatment change, at first since enrollment, counted to today; without holds.
    plan_day: Option<i64>,
    /// Each targeted measure; the primary one first.
    #[schema(value_type = Vec<MeasureSummary>)]
    measures: Box<RawValue>,
    /// Every targeted, elevated measure is at its target.
    at_target: bool,
    /// Targeted measures that were never taken in this episode: while there is one, the patient is not at target.
    measures_not_taken: Vec<Instrument>,
    /// After two charts were joined: the person's other open episodes, until one is ended as a duplicate.
    other_open_episodes: Vec<EpisodeId>,
    /// A safety answer is not assessed yet.
    open_safety: bool,
    /// Flagged by hand for the weekly review.
    discussion_flag: bool,
    /// The next appointment. A past one without documentation is listed as missed.
    next_contact: Option<NextContact>,
    /// Findings of the rules, with reasons.
    #[schema(value_type = Vec<Finding>)]
    findings: Box<RawValue>,
    /// The Tasks and Flags that should stand open.
    #[schema(value_type = Vec<WorkItemSummary>)]
    desired: Box<RawValue>,
    /// Its place in the order of attention: 1–10 the review queue, 11 due for the care manager, 99 nothing.
    attention: i16,
    /// The name of that place, in the review queue.
    place: Option<QueuePlace>,
    /// Since when it waits there.
    waiting_since: NaiveDate,
    /// The thresholds used.
    rule_set: String,
    /// The date it was computed for: it says the same until `reevaluate_on`.
    as_of: NaiveDate,
    /// The first date on which it changes by itself.
    reevaluate_on: Option<NaiveDate>,
    /// When it was computed.
    updated_at: DateTime<Utc>,
}

/// Parts of a stored standing that are needed here; the rest of the text is sent unchanged.
#[derive(Deserialize)]
struct StandingParts {
    measures: Box<RawValue>,
    findings: Box<RawValue>,
    desired: Box<RawValue>,
    discussion_flag: bool,
    #[serde(default)]
    plan_day: Option<i64>,
    #[serde(default)]
    measures_not_taken: Vec<Instrument>,
    #[serde(default)]
    other_open_episodes: Vec<EpisodeId>,
    discharged_on: Option<NaiveDate>,
    #[serde(default)]
    next_contact: Option<NextContact>,
}

fn case(row: StandingRow, today: NaiveDate) -> Result<CaseloadItem, Problem> {
    let kept: StandingParts = serde_json::from_str(row.body.0.get())
        .map_err(|_| Problem::internal("a stored standing cannot be read; replan the clinic"))?;
    let until = kept.discharged_on.unwrap_or(today);
    let day = row.enrolled_on.map(|start| (until - start).num_days());
    let on_hold = row.status == Phase::OnHold.as_str();
    Ok(CaseloadItem {
        episode: row.episode_id,
        patient: PatientName { id: row.patient_id, display_name: row.display_name, reference: row.reference },
        language: row.language,
        care_manager: row.care_manager,
        psychiatric_consultant: row.psychiatric_consultant,
        status: row.status,
        enrolled_on: row.enrolled_on,
        day,
        week: day.map(|day| day.div_euclid(7)),
        // Counted on from the day it was stored; a hold stops the clock.
        plan_day: kept
            .plan_day
            .map(|plan_day| if on_hold { plan_day } else { plan_day + (until - row.as_of).num_days() }),
        measures: kept.measures,
        at_target: row.at_target,
        measures_not_taken: kept.measures_not_taken,
        other_open_episodes: kept.other_open_episodes,
        open_safety: row.open_safety,
        discussion_flag: kept.discussion_flag,
        next_contact: kept.next_contact,
        findings: kept.findings,
        desired: kept.desired,
        attention: row.attention,
        place: QueuePlace::of_rank(row.attention),
        waiting_since: row.waiting_since,
        rule_set: row.rule_set,
        as_of: row.as_of,
        reevaluate_on: row.reevaluate_on,
        updated_at: row.updated_at,
    })
}

/// The caseload: one row per open episode, ready-made.
///
/// With `as_of`, the caseload of another day: nothing of that is stored, so every patient is planned for it, which takes
/// longer. A page's cursor holds for that day only. Records of one person that were joined since are read as one, and a
/// record that the chart has deleted since as it is now; care managers are those of that day.
#[utoipa::path(get, path = "/caseload", tag = "caseload", params(CaseloadQuery),
    responses((status = 200, description = "In a stable, total order", body = Page<CaseloadItem>), ReadErrors))]
async fn read_caseload(
    call: RequestContext,
    StrictQuery(query): StrictQuery<CaseloadQuery>,
) -> Result<Json<Page<CaseloadItem>>, Problem> {
    call.caller.require(READERS)?;
    let paging = PageQuery { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit()?;
    let filter = StandingFilter {
        care_manager: words(query.care_manager),
        status: query.status.map(|status| status.to_string()),
        finding: query.finding.map(|finding| finding.to_string()),
        name: words(query.q),
        psychiatric_consultant: words(query.psychiatric_consultant),
    };
    let by_name = |row: &StandingRow| (row.display_name.clone(), row.episode_id);
    let cases = match (query_date(query.as_of, "as_of")?, query.sort) {
        (Some(on), Sort::Attention) => {
            let after = on_the_same_day(on, paging.after()?)?;
            let rows = as_of::rows(&call, on, &filter, limit + 1, after, StandingRow::attention_key).await?;
            page(rows, limit, |row| (on, row.attention_key()), |row| case(row, on))
        }
        (Some(on), Sort::Name) => {
            let after = on_the_same_day(on, paging.after()?)?;
            let rows = as_of::rows(&call, on, &filter, limit + 1, after, by_name).await?;
            page(rows, limit, |row| (on, by_name(row)), |row| case(row, on))
        }
        (None, sort) => {
            let mut tx = call.app.db.read().await?;
            let today = call.today();
            match sort {
                Sort::Attention => {
                    let after = paging.after()?;
                    let rows = standing::by_attention(&mut tx, call.clinic(), &filter, None, after, limit + 1).await?;
                    page(rows, limit, StandingRow::attention_key, |row| case(row, today))
                }
                Sort::Name => {
                    let after = paging.after()?;
                    let rows = standing::by_name(&mut tx, call.clinic(), &filter, after, limit + 1).await?;
                    page(rows, limit, by_name, |row| case(row, today))
                }
            }
        }
    };
    Ok(Json(Page { items: cases.items.into_iter().collect::<Result<_, _>>()?, next: cases.next }))
}

/// A cursor holds for the day it was made for.
fn on_the_same_day<K>(on: NaiveDate, after: Option<as_of::AsOfPosition<K>>) -> Result<Option<K>, Problem> {
    match after {
        Some((day, _)) if day != on => Err(Problem::malformed(format!("a cursor of {day}")).at("cursor")),
        after => Ok(after.map(|(_, key)| key)),
    }
}

//! How the program does: its metrics by month against their targets, and the patients behind each number.

mod metric_patients;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use chrono::{Datelike, Months, NaiveDate};
use serde::Deserialize;

use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use super::words::{self, Tone};
use crate::api::request::READERS;
use crate::domain::care::Payer;
use crate::domain::episode::Phase;
use crate::domain::finding::Rule;
use crate::domain::metrics::{Metric, MetricValue};
use crate::problem::Problem;
use crate::store::standing::caseload::{self, CaseloadCount};
pub use metric_patients::show as behind;

/// Months side by side.
const MONTHS: u32 = 6;

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProgramPageQuery {
    /// `YYYY-MM`: the last of the months shown.
    month: String,
    payer: String,
}

/// A series of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    Nys,
    Fidelity,
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Self::Nys => "nys",
            Self::Fidelity => "fidelity",
        }
    }
}

/// A month's number.
struct MonthCell {
    value: String,
    of: Option<String>,
    tone: Tone,
    link: Option<String>,
}

struct MetricRow {
    number: u8,
    name: String,
    target: String,
    remark: Option<String>,
    cells: Vec<MonthCell>,
    picture: Option<MetricSparkline>,
}

/// The months as a line, with the target.
struct MetricSparkline {
    path: String,
    target: Option<String>,
}

struct MetricTable {
    title: &'static str,
    note: &'static str,
    rows: Vec<MetricRow>,
}

/// One care manager's caseload.
struct CareManagerRow {
    name: String,
    link: String,
    open: usize,
    active: usize,
    relapse_prevention: usize,
    at_target: usize,
    not_improving: usize,
    contact_overdue: usize,
    safety: usize,
}

#[derive(Template)]
#[template(path = "program.html")]
struct ProgramPage {
    shell: Shell,
    months: Vec<String>,
    tables: Vec<MetricTable>,
    keepers: Vec<CareManagerRow>,
    month: String,
    earlier: String,
    later: Option<String>,
    payers: Vec<(&'static str, bool)>,
    payer: String,
}

fn first_of(month: &str, today: NaiveDate) -> NaiveDate {
    let asked = format!("{month}-01").parse::<NaiveDate>().ok().filter(|on| (2000..2200).contains(&on.year()));
    asked.unwrap_or(today).with_day(1).unwrap_or(today)
}

pub async fn show(visitor: Visitor, Query(asked): Query<ProgramPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let today = visitor.today();
    let last = first_of(&asked.month, today);
    let payer: Option<Payer> = asked.payer.parse().ok();
    let months: Vec<NaiveDate> =
        (0..MONTHS).rev().filter_map(|back| last.checked_sub_months(Months::new(back))).collect();
    let mut tables = Vec::new();
    for (series, title, note) in [
        (
            Series::Nys,
            "New York State CoCM metrics",
            "As the state defined them in 2025. A score carries forward; no score after the baseline is not improved.",
        ),
        (Series::Fidelity, "Fidelity", "Whether the program is run as meant."),
    ] {
        let metrics = over_time(&visitor, series, (months[0], last), payer).await?;
        tables.push(MetricTable { title, note, rows: rows(series, &months, &metrics, payer) });
    }
    let mut tx = visitor.pages.app.db.read().await?;
    let tallies = caseload::tally(&mut tx, visitor.clinic(), false, None).await?;
    drop(tx);
    let next = last.checked_add_months(Months::new(1)).filter(|next| *next <= today);
    let page = ProgramPage {
        shell: Shell::around(&visitor, "Program", NavSection::Program).await?,
        months: months.iter().map(|month| month.format("%b %Y").to_string()).collect(),
        tables,
        keepers: keepers(&tallies),
        month: last.format("%Y-%m").to_string(),
        earlier: address(last.checked_sub_months(Months::new(1)).unwrap_or(last), payer),
        later: next.map(|next| address(next, payer)),
        payers: Payer::ALL.iter().map(|p| (p.as_str(), Some(*p) == payer)).collect(),
        payer: payer.map_or_else(String::new, |payer| payer.to_string()),
    };
    Ok(html(&page))
}

fn address(month: NaiveDate, payer: Option<Payer>) -> String {
    let payer = payer.map(|payer| format!("&payer={payer}")).unwrap_or_default();
    format!("/programme?month={}{payer}", month.format("%Y-%m"))
}

/// A month's metrics, from the API.
async fn read(
    visitor: &Visitor,
    series: Series,
    month: NaiveDate,
    payer: Option<Payer>,
) -> Result<Vec<Metric>, ProblemPage> {
    let payer = payer.filter(|_| series == Series::Nys).map(|payer| format!("&payer={payer}")).unwrap_or_default();
    let path = format!("metrics/{}?month={}{payer}", series.name(), month.format("%Y-%m"));
    let mut answer = visitor.pages.door.get(&visitor.caller, &path).await?;
    let metrics = serde_json::from_value(answer["metrics"].take());
    Ok(metrics.map_err(|_| Problem::internal("metrics could not be read"))?)
}

/// A metric over months, as the API tells it.
#[derive(Deserialize)]
struct MetricSeries {
    number: u8,
    name: String,
    months: Vec<MonthReply>,
}

/// Value of a metric in a month.
#[derive(Deserialize)]
struct MonthReply {
    month: String,
    #[serde(flatten)]
    counted: MetricValue,
    target: Option<f64>,
    remark: Option<String>,
    behind: usize,
}

/// Metrics over months, in one walk over everybody.
async fn over_time(
    visitor: &Visitor,
    series: Series,
    (from, to): (NaiveDate, NaiveDate),
    payer: Option<Payer>,
) -> Result<Vec<MetricSeries>, ProblemPage> {
    let payer = payer.filter(|_| series == Series::Nys).map(|payer| format!("&payer={payer}")).unwrap_or_default();
    let (from, to) = (from.format("%Y-%m"), to.format("%Y-%m"));
    let path = format!("metrics/{}/trend?from={from}&to={to}{payer}", series.name());
    let mut answer = visitor.pages.door.get(&visitor.caller, &path).await?;
    let metrics = serde_json::from_value(answer["metrics"].take());
    Ok(metrics.map_err(|_| Problem::internal("metrics could not be read"))?)
}

fn rows(series: Series, months: &[NaiveDate], metrics: &[MetricSeries], payer: Option<Payer>) -> Vec<MetricRow> {
    let row = |metric: &MetricSeries| {
        let in_month = |month: &NaiveDate| {
            let named = month.format("%Y-%m").to_string();
            metric.months.iter().find(|in_month| in_month.month == named)
        };
        let over_time: Vec<Option<&MonthReply>> = months.iter().map(in_month).collect();
        let latest = metric.months.last();
        let target = latest.and_then(|m| Some(format!("≥ {}", value(&m.counted, m.target?))));
        MetricRow {
            number: metric.number,
            name: sentence(&metric.name),
            target: target.unwrap_or_else(|| "–".to_owned()),
            remark: latest.and_then(|m| m.remark.clone()),
            cells: over_time.iter().zip(months).map(|(m, on)| cell(series, metric.number, *m, *on, payer)).collect(),
            picture: picture(&over_time),
        }
    };
    metrics.iter().map(row).collect()
}

/// `improved_after_70_days` → `Improved after 70 days`.
fn sentence(name: &str) -> String {
    let word = |word: &str| match word {
        "phq9" => "PHQ-9".to_owned(),
        "phq" => "PHQ".to_owned(),
        "fte" => "FTE".to_owned(),
        other => other.to_owned(),
    };
    let spaced = name.split('_').map(word).collect::<Vec<_>>().join(" ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn is_rate(metric: &MetricValue) -> bool {
    metric.numerator.is_some() && metric.denominator.is_some()
}

fn value(metric: &MetricValue, value: f64) -> String {
    if is_rate(metric) {
        format!("{:.0}%", value * 100.0)
    } else if metric.denominator.is_some() {
        format!("{value:.1} wk")
    } else if value.fract().abs() < f64::EPSILON {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn cell(series: Series, number: u8, metric: Option<&MonthReply>, month: NaiveDate, payer: Option<Payer>) -> MonthCell {
    let Some(MonthReply { counted, target, behind, .. }) = metric else {
        return MonthCell { value: "–".to_owned(), of: None, tone: Tone::Plain, link: None };
    };
    let payer = payer.map(|payer| format!("&payer={payer}")).unwrap_or_default();
    let month = month.format("%Y-%m");
    MonthCell {
        value: counted.value.map_or_else(|| "–".to_owned(), |v| value(counted, v)),
        of: is_rate(counted)
            .then(|| format!("{} of {}", counted.numerator.unwrap_or(0), counted.denominator.unwrap_or(0))),
        tone: match (counted.value, *target) {
            (Some(value), Some(target)) if value >= target => Tone::Good,
            (Some(_), Some(_)) => Tone::Bad,
            _ => Tone::Plain,
        },
        link: (*behind > 0)
            .then(|| format!("/programme/behind?series={}&metric={number}&month={month}{payer}", series.name())),
    }
}

fn picture(over_time: &[Option<&MonthReply>]) -> Option<MetricSparkline> {
    use std::fmt::Write as _;
    let latest = over_time.iter().copied().flatten().last()?;
    let values: Vec<Option<f64>> = over_time.iter().map(|m| m.and_then(|m| m.counted.value)).collect();
    let highest = values.iter().flatten().copied().chain(latest.target).fold(0.0, f64::max);
    let top = if is_rate(&latest.counted) { 1.0 } else { highest * 1.15 };
    if top <= 0.0 || values.iter().flatten().count() < 2 {
        return None;
    }
    let y = |value: f64| 3.0 + (1.0 - value / top) * 18.0;
    let mut path = String::new();
    let mut x = 3.0;
    for value in &values {
        if let Some(value) = value {
            let _ = write!(path, "{}{x:.0} {:.1}", if path.is_empty() { 'M' } else { 'L' }, y(*value));
        }
        x += 16.0;
    }
    Some(MetricSparkline { path, target: latest.target.map(|target| format!("{:.1}", y(target))) })
}

fn keepers(tallies: &[CaseloadCount]) -> Vec<CareManagerRow> {
    let mut names: Vec<&str> = tallies.iter().map(|tally| tally.care_manager.as_deref().unwrap_or("")).collect();
    names.sort_unstable();
    names.dedup();
    let keeper = |name: &str| {
        let count = |test: &dyn Fn(&CaseloadCount) -> bool| {
            let theirs = tallies.iter().filter(|t| t.care_manager.as_deref().unwrap_or("") == name && test(t));
            theirs.map(|tally| tally.episodes).sum()
        };
        CareManagerRow {
            name: if name.is_empty() { "nobody".to_owned() } else { name.to_owned() },
            link: form_urlencoded::Serializer::for_suffix(String::from("/caseload?"), "/caseload?".len())
                .append_pair("care_manager", name)
                .finish(),
            open: count(&|_| true),
            active: count(&|t| t.status == Phase::Active.as_str()),
            relapse_prevention: count(&|t| t.status == Phase::RelapsePrevention.as_str()),
            at_target: count(&|t| t.at_target),
            not_improving: count(&|t| t.findings.has_any(words::NOT_IMPROVING)),
            contact_overdue: count(&|t| t.findings.has(Rule::ContactOverdue)),
            safety: count(&|t| t.open_safety),
        }
    };
    names.into_iter().map(keeper).collect()
}

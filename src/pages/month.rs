//! The month: minutes of every patient against the thresholds, the codes they suggest and why, and what is missing.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, RawQuery};
use axum::response::Response;
use serde::Deserialize;

use super::caseload::choice::SelectOption;
use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use super::words;
use crate::api::registry::{PatientMinutes, minutes_of_month};
use crate::api::request::READERS;
use crate::domain::metrics::Month;
use crate::domain::minutes::{BillingSuggestion, UncountedMinutes};
use crate::id::PatientId;

/// Month and care manager; what cannot be read is the present month of everybody.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonthPageQuery {
    month: String,
    care_manager: String,
}

impl MonthPageQuery {
    /// The address of these minutes, in another month or as a file.
    fn address(&self, path: &str, month: Month) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        query.append_pair("month", &month.to_string());
        if !self.care_manager.is_empty() {
            query.append_pair("care_manager", &self.care_manager);
        }
        query.finish()
    }

    fn admits(&self, minutes: &PatientMinutes) -> bool {
        self.care_manager.is_empty() || minutes.care_manager.as_deref() == Some(&self.care_manager)
    }
}

/// The minutes of one patient.
struct MinutesRow {
    patient: PatientId,
    name: String,
    birth_date: Option<String>,
    care_manager: String,
    minutes: i64,
    first_month: bool,
    codes: Vec<String>,
    next: String,
    missing: Vec<&'static str>,
    reasoning: String,
    left_out: Vec<UncountedMinutes>,
}

/// The sum of one care manager.
#[derive(Default)]
struct CareManagerMinutes {
    patients: usize,
    minutes: i64,
    with_code: usize,
    /// A code is suggested, and something else is missing for it.
    incomplete: usize,
}

#[derive(Template)]
#[template(path = "month.html")]
struct MonthPage {
    shell: Shell,
    title: String,
    month: String,
    earlier: String,
    later: Option<String>,
    csv: String,
    xlsx: String,
    managers: Vec<SelectOption>,
    sums: Vec<(String, CareManagerMinutes)>,
    rows: Vec<MinutesRow>,
}

pub async fn show(visitor: Visitor, Query(asked): Query<MonthPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let present = Month::of(visitor.today());
    let month = asked.month.parse().unwrap_or(present).min(present);
    let all = minutes_of_month(&visitor.pages.app, visitor.clinic(), month).await?;
    let later = month.last.succ_opt().map(Month::of).filter(|next| *next <= present);
    let page = MonthPage {
        title: month.first.format("%B %Y").to_string(),
        month: month.to_string(),
        earlier: asked.address("/month", month.before()),
        later: later.map(|next| asked.address("/month", next)),
        csv: asked.address("/month.csv", month),
        xlsx: asked.address("/month.xlsx", month),
        managers: managers(&all, &asked.care_manager),
        sums: sums(all.iter().filter(|minutes| asked.admits(minutes))),
        rows: all.into_iter().filter(|minutes| asked.admits(minutes)).map(row).collect(),
        shell: Shell::around(&visitor, "Month", NavSection::Month).await?,
    };
    Ok(html(&page))
}

/// The same minutes for a spreadsheet: the API's.
pub async fn csv(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    hand_on(&visitor, "time.csv", query).await
}

/// The same as a workbook.
pub async fn xlsx(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    hand_on(&visitor, "time.xlsx", query).await
}

async fn hand_on(visitor: &Visitor, name: &str, query: Option<String>) -> Response {
    let path = query.map_or_else(|| name.to_owned(), |query| format!("{name}?{query}"));
    visitor.pages.door.hand_on(&visitor.caller, &path, &[]).await
}

/// Everybody who has minutes in the month, and the one who was chosen.
fn managers(all: &[PatientMinutes], chosen: &str) -> Vec<SelectOption> {
    let mut names: Vec<&str> = all.iter().filter_map(|minutes| minutes.care_manager.as_deref()).collect();
    names.extend(Some(chosen).filter(|chosen| !chosen.is_empty()));
    names.sort_unstable();
    names.dedup();
    let option = |name: &str| SelectOption { value: name.to_owned(), words: name.to_owned(), chosen: name == chosen };
    names.into_iter().map(option).collect()
}

fn sums<'a>(all: impl Iterator<Item = &'a PatientMinutes>) -> Vec<(String, CareManagerMinutes)> {
    let mut sums: BTreeMap<String, CareManagerMinutes> = BTreeMap::new();
    for one in all {
        let name = one.care_manager.clone().unwrap_or_else(|| "no care manager".to_owned());
        let sum = sums.entry(name).or_default();
        let has_code = !one.minutes.suggested_codes.is_empty();
        sum.patients += 1;
        sum.minutes += one.minutes.minutes;
        sum.with_code += usize::from(has_code);
        sum.incomplete += usize::from(has_code && !one.missing.is_empty());
    }
    sums.into_iter().collect()
}

fn row(one: PatientMinutes) -> MinutesRow {
    MinutesRow {
        patient: one.patient.id,
        name: one.patient.display_name,
        birth_date: one.birth_date,
        care_manager: one.care_manager.unwrap_or_default(),
        minutes: one.minutes.minutes,
        first_month: one.minutes.first_month,
        codes: one.minutes.suggested_codes.iter().map(code).collect(),
        next: format!("{} min to {}", one.next_code.minutes, one.next_code.code),
        missing: one.missing.into_iter().map(words::missing_documentation).collect(),
        reasoning: one.minutes.reasoning,
        left_out: one.minutes.left_out,
    }
}

fn code(code: &BillingSuggestion) -> String {
    let units = if code.units > 1 { format!(" × {}", code.units) } else { String::new() };
    match &code.instead_of {
        Some(other) => format!("or {}{units} instead of {other}", code.code),
        None => format!("{}{units}", code.code),
    }
}

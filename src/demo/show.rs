//! Output of the demo: the caseload as a table, the chart with its reasons, and what to try next.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::client::DemoClient;
use crate::problem::Problem;
use crate::sandbox::Sandbox;

/// Rows of the caseload that are printed.
const ROWS: usize = 30;
/// Tasks that are printed.
const LINES: usize = 24;
/// Columns of a line, as on any terminal.
const WIDTH: usize = 100;

/// Prints the caseload and the chart.
pub async fn everything(
    door: &DemoClient,
    sandbox: Option<&Sandbox>,
    chart: &str,
    people: usize,
) -> Result<(), Problem> {
    let mut rows = door.list("caseload").await?;
    rows.sort_by_cached_key(place);
    println!("\n  CASELOAD  {} open episodes of {people} patients, most pressing first\n", rows.len());
    let shown: Vec<&Value> = rows.iter().take(ROWS).collect();
    let histories: Vec<Value> = stream::iter(shown.iter().map(|row| {
        let id = row["patient"]["id"].as_str().unwrap_or_default().to_owned();
        async move { door.get(&format!("patients/{id}")).await.unwrap_or_default() }
    }))
    .buffered(8)
    .collect()
    .await;
    caseload(&shown, &histories);
    if rows.len() > shown.len() {
        println!("  … and {} more", rows.len() - shown.len());
    }
    summary(&rows);
    match sandbox {
        Some(sandbox) => {
            let discharged = door.list("caseload?status=discharged").await?;
            in_the_chart(sandbox, patient_months(rows.iter().chain(&discharged)));
        }
        None => println!("\n  CHART  the Tasks and Flags are at {chart}"),
    }
    Ok(())
}

/// R15's order with the person's reference, which is the same in every run, as the last word.
pub fn place(row: &Value) -> (i64, String, i64, String) {
    let rank = row["rank"].as_i64().or(row["attention"].as_i64()).unwrap_or(i64::MAX);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let latest = row["latest_score"].as_i64().or(row["measures"][0]["latest"]["score"].as_i64()).unwrap_or(-1);
    (rank, text(&row["waiting_since"]), -latest, text(&row["patient"]["reference"]))
}

fn caseload(rows: &[&Value], histories: &[Value]) {
    let line = |mark: &str, [name, week, phq9, trend, gad7, item9, status]: [&str; 7]| {
        println!("  {mark:<2}{name:<18.18}{week:>2}  {phq9:<15}{trend:<12}{gad7:<15}{item9:<11}{status}");
    };
    line("", ["Patient", "Wk", "PHQ-9", "", "GAD-7", "Item 9", "Status"]);
    for (row, history) in rows.iter().zip(histories) {
        let measure = |name: &str| {
            let all = row["measures"].as_array().into_iter().flatten();
            all.clone().find(|m| m["instrument"] == name).map_or_else(|| "–".to_owned(), movement)
        };
        let name = row["patient"]["display_name"].as_str().unwrap_or("?");
        let week = row["day"].as_i64().map_or(String::new(), |day| (day / 7).to_string());
        let (phq9, gad7, trend) = (measure("phq9"), measure("gad7"), trend(history, "phq9"));
        line(mark(row), [name, &week, &phq9, &trend, &gad7, &item9(history), &status(row)]);
        paragraph(&why(row));
    }
}

/// Prints a sentence below the line that it explains.
fn paragraph(text: &str) {
    const INDENT: usize = 6;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if INDENT + line.chars().count() + 1 + word.chars().count() > WIDTH {
            println!("{:INDENT$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        println!("{:INDENT$}{line}", "");
    }
}

fn findings(row: &Value) -> impl Iterator<Item = &Value> {
    row["findings"].as_array().into_iter().flatten()
}

fn has(row: &Value, rule: &str) -> bool {
    findings(row).any(|f| f["rule"].as_str().is_some_and(|r| r.starts_with(rule)))
}

fn mark(row: &Value) -> &'static str {
    if has(row, "safety_item9") {
        "‼"
    } else if has(row, "nonresponse") || has(row, "relapse") || has(row, "worsening") {
        "●"
    } else if row["at_target"] == true {
        "✓"
    } else {
        ""
    }
}

fn movement(measure: &Value) -> String {
    let baseline = measure["baseline"]["score"].as_i64();
    let latest = measure["latest"]["score"].as_i64();
    match (baseline, latest, measure["percent_change"].as_i64()) {
        (Some(b), Some(l), Some(p)) if p < 0 => format!("{b} → {l}  −{}%", -p),
        (Some(b), Some(l), Some(p)) => format!("{b} → {l}  +{p}%"),
        (Some(b), Some(l), None) => format!("{b} → {l}"),
        (Some(b), None, _) => format!("{b} → ?"),
        _ => "–".to_owned(),
    }
}

fn measurements<'a>(history: &'a Value, instrument: &'a str) -> impl Iterator<Item = &'a Value> {
    history["measurements"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(move |m| m["instrument"] == instrument && m["retracted"] != true && m["total"].is_number())
}

fn trend(history: &Value, instrument: &str) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut points: Vec<(&str, u64)> = measurements(history, instrument)
        .filter_map(|m| Some((m["taken_at"].as_str()?, m["total"].as_u64()?)))
        .collect();
    points.sort_unstable();
    let skip = points.len().saturating_sub(11);
    points.iter().skip(skip).map(|(_, t)| STEPS[usize::try_from(t * 7 / 27).unwrap_or(0).min(7)]).collect()
}

fn item9(history: &Value) -> String {
    let mut answers: Vec<(&str, u64)> = history["measurements"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|m| m["retracted"] != true)
        .filter_map(|m| Some((m["taken_at"].as_str()?, m["item9"].as_u64()?)))
        .collect();
    answers.sort_unstable();
    match answers.last() {
        Some((_, 0)) if answers.iter().any(|(_, a)| *a > 0) => "0 (was >0)".to_owned(),
        Some((_, answer)) => answer.to_string(),
        None => "?".to_owned(),
    }
}

fn status(row: &Value) -> String {
    let phase = row["status"].as_str().unwrap_or_default();
    if phase != "active" {
        return phase.replace('_', " ");
    }
    let measure = &row["measures"][0]["status"];
    measure.as_str().unwrap_or_default().replace('_', " ")
}

/// The gravest reason in full, the others by name.
fn why(row: &Value) -> String {
    let mut all: Vec<&Value> = findings(row).collect();
    let weight = |f: &Value| {
        let order = [
            "safety",
            "relapse",
            "worsening",
            "nonresponse",
            "inadequate",
            "subthreshold",
            "plateau",
            "relapse_prevention",
            "measure_stale",
            "contact_overdue",
        ];
        let rule = f["rule"].as_str().unwrap_or_default();
        order.iter().position(|prefix| rule.starts_with(prefix)).unwrap_or(order.len())
    };
    all.sort_by_key(|f| weight(f));
    let Some(first) = all.first() else { return String::new() };
    let reason = first["reason"].as_str().unwrap_or_default();
    let reason = reason.replace(" This service is not a crisis service: assess suicide risk.", "");
    let mut others: Vec<String> =
        all[1..].iter().filter_map(|f| f["rule"].as_str()).map(|r| r.replace('_', " ")).collect();
    others.retain(|other| *other != first["rule"].as_str().unwrap_or_default().replace('_', " "));
    others.dedup();
    // As much as a reader takes in at a glance; the API has the rest.
    if others.len() > 3 {
        let more = others.len() - 2;
        others.truncate(2);
        others.push(format!("{more} more"));
    }
    if others.is_empty() { reason } else { format!("{reason} (+ {})", others.join(", ")) }
}

fn summary(rows: &[Value]) {
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    let mut at_target = 0;
    for row in rows {
        at_target += usize::from(row["at_target"] == true);
        let mut rules: Vec<&str> = findings(row).filter_map(|f| f["rule"].as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            *by_rule.entry(rule.replace('_', " ")).or_default() += 1;
        }
    }
    let rules: Vec<String> = by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    println!("\n  {at_target} of {} at target", rows.len());
    paragraph(&rules.join(" · "));
}

/// Months of treatment, of 30.4 days.
fn patient_months<'a>(episodes: impl Iterator<Item = &'a Value>) -> f64 {
    let days: i64 = episodes.filter_map(|row| row["day"].as_i64()).sum();
    f64::from(i32::try_from(days).unwrap_or(i32::MAX)) / 30.4
}

/// How many Tasks each recipient was given for a patient and month.
fn by_recipient(tasks: &[Value], months: f64) -> String {
    let mut by_owner: BTreeMap<&str, usize> = BTreeMap::new();
    for task in tasks {
        *by_owner.entry(task["owner"]["display"].as_str().unwrap_or("nobody")).or_default() += 1;
    }
    let rate = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / months.max(1.0);
    let each: Vec<String> =
        by_owner.iter().map(|(owner, count)| format!("{owner} {count} ({:.2})", rate(*count))).collect();
    format!("{:.2} Tasks per patient and month of {months:.0}: {}", rate(tasks.len()), each.join(" · "))
}

fn in_the_chart(sandbox: &Sandbox, months: f64) {
    let (tasks, flags) = (sandbox.all("Task"), sandbox.all("Flag"));
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    for task in &tasks {
        *by_status.entry(task["status"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let counts: Vec<String> = by_status.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let active = flags.iter().filter(|f| f["status"] == "active").count();
    println!("\n  CHART  {} Tasks ({}), {} Flags ({active} active)", tasks.len(), counts.join(", "), flags.len());
    paragraph(&by_recipient(&tasks, months));
    println!();

    let mut open: Vec<&Value> = tasks.iter().filter(|t| t["status"] == "requested").collect();
    let urgency = |t: &Value| match t["priority"].as_str() {
        Some("stat") => 0,
        Some("urgent") => 1,
        _ => 2,
    };
    let whom = |t: &Value| t["for"]["reference"].as_str().unwrap_or_default().to_owned();
    open.sort_by_cached_key(|t| (urgency(t), due(t), whom(t), t["description"].to_string()));
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = 0;
    for task in &open {
        let code = task["code"]["coding"][0]["code"].as_str().unwrap_or_default();
        let of_kind = shown.entry(code).or_default();
        *of_kind += 1;
        // A few of each kind say more than many of one.
        if *of_kind > 5 || lines >= LINES {
            continue;
        }
        lines += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let due = due(task).map_or(String::new(), |due| format!("due {due}"));
        let (priority, whom, owner) = (text(&task["priority"]), whom(task), text(&task["owner"]["display"]));
        println!("  {code:<24}{priority:<9}{whom:<20}{due:<17}{owner}");
        paragraph(&text(&task["description"]));
    }
    if open.len() > lines {
        println!("  … and {} more open Tasks", open.len() - lines);
    }
}

fn due(task: &Value) -> Option<NaiveDate> {
    task["restriction"]["period"]["end"].as_str()?.get(..10)?.parse().ok()
}

/// Prints the addresses, a token and three lines worth trying.
pub fn what_to_try(door: &DemoClient, chart: &str, token: &str) {
    let base = &door.base;
    println!(
        "
  RUNNING
    the pages      {base}/                       one click signs you in
    registry API   {base}/api/v1/caseload        its documentation  {base}/docs
    FHIR door      {base}/fhir/metadata          the chart          {chart}

  A care manager's token (12 hours):
    export TOKEN={token}

  Worth trying:
    {base}/operations      two Tasks that the chart refused, on purpose
    curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/api/v1/review-queue?limit=3'
    curl -s -H \"Authorization: Bearer $TOKEN\" '{base}/api/v1/caseload?finding=nonresponse&limit=2'
    curl -s '{chart}/Task?status=requested&_count=3'

  Not a crisis service. Synthetic patients; nothing here is a real person. Stop with Ctrl-C."
    );
}

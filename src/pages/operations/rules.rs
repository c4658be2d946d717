//! Versions of the thresholds, and what another version would change for whom, before it is put in force.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::id::PatientId;
use crate::identity::Role;
use crate::pages::date_texts::{in_sentence, instant};
use crate::pages::response::{ProblemPage, html};
use crate::pages::roles::READERS_OF_RULES;
use crate::pages::session::{FormPost, Visitor};
use crate::pages::shell::{Confirmation, NavSection, Shell};
use crate::pages::words;
use crate::problem::Problem;
use crate::store::{patient, rule_set};

/// Confirmation to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RulesPageQuery {
    done: String,
}

/// A stored version.
struct RuleSetVersion {
    number: i64,
    active: bool,
    created: String,
}

/// A threshold that can be changed.
struct Threshold {
    /// `checkpoints.nonresponse_day`
    path: String,
    label: String,
    value: String,
    now: i64,
}

struct ThresholdGroup {
    title: String,
    thresholds: Vec<Threshold>,
}

/// Changes for one patient.
struct SimulatedChangeRow {
    patient: PatientId,
    name: String,
    opened: Vec<String>,
    closed: Vec<String>,
}

/// Result of a simulation.
struct SimulationView {
    patients: u64,
    changed: u64,
    counts: Vec<(String, i64, i64)>,
    episodes: Vec<SimulatedChangeRow>,
    truncated: bool,
}

#[derive(Template)]
#[template(path = "rules.html")]
struct RulesPage {
    shell: Shell,
    versions: Vec<RuleSetVersion>,
    groups: Vec<ThresholdGroup>,
    simulated: Option<SimulationView>,
    problem: Option<String>,
    is_admin: bool,
    active: String,
}

pub async fn show(visitor: Visitor, Query(asked): Query<RulesPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS_OF_RULES)?;
    let done = match asked.done.as_str() {
        "saved" => Some("The version was stored. It is not in force yet."),
        "active" => Some("The version is in force; everybody is being planned anew."),
        _ => None,
    };
    render(&visitor, &[], None, None, done).await
}

async fn render(
    visitor: &Visitor,
    typed: &[(String, String)],
    simulated: Option<SimulationView>,
    problem: Option<String>,
    done: Option<&str>,
) -> Result<Response, ProblemPage> {
    let listed = visitor.pages.door.get(&visitor.caller, "rule-sets").await?;
    let mut tx = visitor.pages.app.db.read().await?;
    let active = rule_set::active(&mut tx, visitor.clinic()).await?;
    drop(tx);
    let (zone, today) = (visitor.zone(), visitor.today());
    let version = |one: &Value| RuleSetVersion {
        number: one["version"].as_i64().unwrap_or(0),
        active: one["active"] == true,
        created: match one["created_at"].as_str().and_then(|at| at.parse().ok()) {
            Some(at) => format!("{} by {}", instant(at, zone, today), one["created_by"].as_str().unwrap_or("?")),
            None => "built in".to_owned(),
        },
    };
    let rules = serde_json::to_value(&active).map_err(|_| Problem::internal("rules cannot be written"))?;
    let mut shell = Shell::around(visitor, "Rule sets", NavSection::Operations).await?;
    shell.done = done.map(|words| Confirmation { words: words.to_owned(), undo: None });
    let page = RulesPage {
        shell,
        versions: listed["items"].as_array().into_iter().flatten().map(version).collect(),
        groups: groups(&rules, typed),
        simulated,
        problem,
        is_admin: visitor.is(&[Role::Admin]),
        active: active.label(),
    };
    Ok(html(&page))
}

/// Every whole number of the rules, by the table it stands in.
fn groups(rules: &Value, typed: &[(String, String)]) -> Vec<ThresholdGroup> {
    let mut groups: Vec<ThresholdGroup> = Vec::new();
    let mut tables: Vec<(String, &Value)> = Vec::new();
    for (name, value) in rules.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if inner.values().all(Value::is_object) => {
                tables.extend(inner.iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            Value::Object(_) => tables.push((name.clone(), value)),
            _ => {}
        }
    }
    for (name, table) in tables {
        let numbers = table.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_i64()?)));
        let thresholds: Vec<Threshold> = numbers
            .map(|(key, now)| {
                let path = format!("{name}.{key}");
                let sent = typed.iter().find(|(typed, _)| *typed == path).map(|(_, value)| value.clone());
                Threshold { label: words::spaced(key), value: sent.unwrap_or_else(|| now.to_string()), now, path }
            })
            .collect();
        if !thresholds.is_empty() {
            let title = match name.rsplit_once('.') {
                Some((_, measure)) => measure
                    .parse::<crate::domain::instrument::Instrument>()
                    .map_or_else(|_| words::spaced(measure), |instrument| instrument.to_string()),
                None => words::spaced(&name),
            };
            groups.push(ThresholdGroup { title, thresholds });
        }
    }
    groups
}

/// The thresholds that were typed and differ from those in force, nested as the rules are.
fn proposal(groups: &[ThresholdGroup]) -> Result<Value, String> {
    let mut rules = Value::Object(Map::new());
    for threshold in groups.iter().flat_map(|group| &group.thresholds) {
        let number: i64 =
            threshold.value.trim().parse().map_err(|_| format!("{}: a whole number, please", threshold.label))?;
        if number == threshold.now {
            continue;
        }
        let mut at = &mut rules;
        for part in threshold.path.split('.') {
            at = at.as_object_mut().map(|table| table.entry(part).or_insert_with(|| json!({}))).ok_or("not a table")?;
        }
        *at = json!(number);
    }
    Ok(rules)
}

/// Other thresholds were typed: what would they change, or keep them as a version.
pub async fn propose(submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    visitor.caller.require(READERS_OF_RULES)?;
    let mut tx = visitor.pages.app.db.read().await?;
    let active = rule_set::active(&mut tx, visitor.clinic()).await?;
    drop(tx);
    let rules = serde_json::to_value(&active).map_err(|_| Problem::internal("rules cannot be written"))?;
    let version = submitted.get("version").and_then(|version| version.parse::<u32>().ok());
    let saves = submitted.get("action") == Some("save");
    let body = match version {
        Some(version) => Ok(json!({"version": version})),
        None => proposal(&groups(&rules, &submitted.fields)).map(|rules| json!({"rules": rules})),
    };
    let body = match body {
        Ok(body) => body,
        Err(problem) => return render(visitor, &submitted.fields, None, Some(problem), None).await,
    };
    let door = &visitor.pages.door;
    let path = if saves { "rule-sets" } else { "rule-sets/simulate" };
    match door.post(&visitor.caller, path, None, &body).await {
        Ok(_) if saves => Ok(Redirect::to("/operations/rules?done=saved").into_response()),
        Ok(answer) => {
            let simulated = simulated(visitor, &answer).await?;
            render(visitor, &submitted.fields, Some(simulated), None, None).await
        }
        Err(refused) if refused.status >= 500 => Err(refused.into()),
        Err(refused) => render(visitor, &submitted.fields, None, Some(refused.detail), None).await,
    }
}

async fn simulated(visitor: &Visitor, answer: &Value) -> Result<SimulationView, Problem> {
    let today = visitor.today();
    let mut counts: HashMap<String, (i64, i64)> = HashMap::new();
    for (name, opens) in
        [("findings_opened", true), ("findings_closed", false), ("desired_opened", true), ("desired_closed", false)]
    {
        for (rule, number) in answer[name].as_object().into_iter().flatten() {
            let count = counts.entry(named(name, rule)).or_default();
            let number = number.as_i64().unwrap_or(0);
            if opens { count.0 += number } else { count.1 += number }
        }
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(name, (opened, closed))| (name, opened, closed)).collect();
    counts.sort();
    let mut tx = visitor.pages.app.db.read().await?;
    let mut episodes = Vec::new();
    let listed = answer["episodes"].as_array().map_or(&[][..], Vec::as_slice);
    for one in listed.iter().take(200) {
        let Some(id) = one["patient"].as_str().and_then(|id| id.parse().ok()) else { continue };
        let row = patient::find(&mut tx, visitor.clinic(), id).await?;
        let all = |findings: &str, desired: &str| -> Vec<String> {
            let sentences = one[findings].as_array().into_iter().flatten().map(|f| {
                let rule = f["rule"].as_str().unwrap_or_default();
                format!("{}: {}", named("findings", rule), in_sentence(f["reason"].as_str().unwrap_or_default(), today))
            });
            let tasks = one[desired].as_array().into_iter().flatten().map(|d| {
                format!(
                    "{}: {}",
                    d["resource"].as_str().unwrap_or("Task"),
                    named("desired", d["code"].as_str().unwrap_or_default())
                )
            });
            sentences.chain(tasks).collect()
        };
        episodes.push(SimulatedChangeRow {
            patient: id,
            name: row.map_or_else(|| "unknown".to_owned(), |row| row.label()),
            opened: all("findings_opened", "desired_opened"),
            closed: all("findings_closed", "desired_closed"),
        });
    }
    Ok(SimulationView {
        patients: answer["patients"].as_u64().unwrap_or(0),
        changed: answer["patients_changed"].as_u64().unwrap_or(0),
        counts,
        truncated: answer["truncated"] == true || listed.len() > episodes.len(),
        episodes,
    })
}

fn named(what: &str, name: &str) -> String {
    if what.starts_with("findings") {
        name.parse().map_or_else(|_| words::spaced(name), |rule| words::rule(rule).0.to_owned())
    } else {
        name.parse().map_or_else(|_| words::spaced(name), |code| words::code(code).to_owned())
    }
}

/// Puts a version in force.
pub async fn activate(Path(version): Path<String>, submitted: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &submitted.visitor;
    let version: u32 = version.parse().map_err(|_| Problem::not_found("rule set"))?;
    let path = format!("rule-sets/{version}/activate");
    visitor.pages.door.post(&visitor.caller, &path, None, &json!({})).await?;
    Ok(Redirect::to("/operations/rules?done=active").into_response())
}

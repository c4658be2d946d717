//! The tables in `golden/`: stories with what the rules expect on each day, worked out by hand from the clinical rules,
//! for a clinician to read and correct. A table is the test; change it only with a rule.
//!
//! Each row: the day (0 is enrollment), what happens on it, each measure as `baseline basis → latest status`, the
//! findings with the day since when they hold, what stands in the chart with the day it is due, and what closed since
//! the row above and how. `Shows: everything` in a file's head adds R11's findings, which are left out otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cocm_registry::domain::care::{Care, CareEntry, ChangeKind};
use cocm_registry::domain::chart_plan::{WorkItem, plan, resolve};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::EvidenceStatus;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::task::{ChartResource, Code, Priority};

use uuid::Uuid;

use crate::rules_story::{Tale, date, day_of};

const CADENCE: [Rule; 6] = [
    Rule::ContactDue,
    Rule::ContactOverdue,
    Rule::MeasureOverdue,
    Rule::ReviewOverdue,
    Rule::LowEngagement,
    Rule::InactivityDischargeProposed,
];

fn instrument(title: &str) -> Option<Instrument> {
    Instrument::ALL.into_iter().find(|i| i.to_string() == title)
}

/// `PHQ-9 18`, `PHQ-9 18 item9=2`, `PHQ-9 18 on 40`, `contact`, `treatment change`, …
fn happens(tale: &mut Tale, day: i64, what: &str) {
    let words: Vec<&str> = what.split_whitespace().collect();
    match words.as_slice() {
        ["enrolled", measures @ ..] => {
            let measures: Vec<Instrument> = measures.iter().map(|m| instrument(m).unwrap()).collect();
            tale.enroll(Some(day), &measures);
        }
        ["contact"] => drop(tale.contact(day)),
        ["no-show"] => drop(tale.no_show(day)),
        ["treatment", "change"] => drop(tale.change(day)),
        ["review"] => drop(tale.review(day)),
        ["review", "without", "recommendation"] => drop(tale.meeting(day)),
        ["review", "recommends", kind] => drop(tale.recommendation(day, kind.parse::<ChangeKind>().unwrap())),
        ["review", "taken", "back"] => {
            let is_review = |e: &&CareEntry| matches!(e.care, Care::CaseReview { .. });
            let last = tale.story.entries.iter().rev().find(is_review).unwrap().id;
            tale.taken_back(day, last);
        }
        [decision @ ("accepted" | "modified" | "declined" | "done")] => {
            let last = last_recommendation(tale);
            tale.decision(day, last, decision.parse().unwrap());
        }
        ["progress", progress, rest @ ..] => {
            let scheduled_for = if let ["for", day] = rest { Some(date(day.parse().unwrap())) } else { None };
            let (recommendation, progress) = (last_recommendation(tale), progress.parse().unwrap());
            let (by, reason) = (None, None);
            tale.entry(day, Care::RecommendationProgress { recommendation, progress, scheduled_for, by, reason });
        }
        ["hold"] => drop(tale.hold(day)),
        ["resume"] => drop(tale.resume(day)),
        ["relapse", "prevention"] => drop(tale.relapse_prevention(day)),
        ["discharge"] => drop(tale.discharge(day)),
        ["assessed"] => drop(tale.assessed(day)),
        ["dies"] => tale.story.patient.deceased_on = Some(date(day)),
        ["inactive"] => tale.story.patient.inactive = true,
        ["new", "baseline", total] => {
            let total: u16 = total.parse().unwrap();
            let chosen = tale.story.measurements.iter().rev().find(|m| m.total == Some(total)).unwrap().id;
            tale.override_baseline(day, chosen);
        }
        ["retracted", title, total] => {
            let (title, total) = (instrument(title).unwrap(), total.parse().ok());
            let all = &mut tale.story.measurements;
            all.iter_mut().rev().find(|m| m.instrument == title && m.total == total).unwrap().counting =
                EvidenceStatus::Retracted;
        }
        [title, total, rest @ ..] if instrument(title).is_some() => {
            let (on, rest) = match rest {
                ["on", on, rest @ ..] => (on.parse().unwrap(), rest),
                _ => (day, rest),
            };
            let m = tale.measurement(instrument(title).unwrap(), on, total.parse().ok());
            for word in rest {
                match word.split_once('=') {
                    Some(("item9", "open")) => m.item9_unknown = true,
                    Some(("item9", answer)) => m.item9 = Some(answer.parse().unwrap()),
                    None if *word == "unfinished" => m.counting = EvidenceStatus::Partial,
                    _ => panic!("cannot read {word:?} in {what:?}"),
                }
            }
        }
        _ => panic!("cannot read {what:?}"),
    }
}

fn last_recommendation(tale: &Tale) -> Uuid {
    let made = tale.story.entries.iter().rev().find_map(|e| match &e.care {
        Care::CaseReview { recommendations, .. } => recommendations.last(),
        _ => None,
    });
    made.unwrap().id
}

fn measures(standing: &Standing) -> String {
    let one = |m: &cocm_registry::domain::target::MeasureSummary| {
        let title = if standing.measures.len() > 1 { format!("{} ", m.instrument) } else { String::new() };
        let baseline = m.baseline.as_ref().map_or("–".to_owned(), |b| format!("{} {}", b.score, b.basis));
        let latest = m.latest.as_ref().map_or("–".to_owned(), |l| l.score.to_string());
        format!("{title}{baseline} → {latest} {}", m.status)
    };
    standing.measures.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn named(standing: &Standing, rule: Rule, instrument: Option<Instrument>) -> String {
    match instrument {
        Some(i) if standing.measures.len() > 1 => format!("{i} {rule}"),
        _ => rule.to_string(),
    }
}

fn chart(standing: &Standing, desired: &WorkItem) -> String {
    if desired.resource == ChartResource::Flag {
        return format!("flag {}", desired.code);
    }
    let mut line = String::new();
    if desired.priority != Priority::Routine {
        write!(line, "{} ", desired.priority).unwrap();
    }
    write!(line, "{} for {}", desired.code, named(standing, desired.rule, desired.instrument)).unwrap();
    if matches!(desired.code, Code::SafetyEscalation | Code::Recommendation) {
        write!(line, " to {}", desired.owner).unwrap();
    }
    if let Some(due) = desired.due_on {
        write!(line, " by {}", day_of(due)).unwrap();
    }
    line
}

#[derive(Debug, PartialEq)]
struct Row {
    day: String,
    happens: String,
    says: [String; 4],
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect()
}

fn read(text: &str) -> Vec<Row> {
    let rows = text.lines().filter(|l| l.trim_start().starts_with('|')).skip(2);
    rows.map(|line| {
        let [day, happens, a, b, c, d] = cells(line).try_into().unwrap_or_else(|c| panic!("six cells: {c:?}"));
        Row { day, happens, says: [a, b, c, d] }
    })
    .collect()
}

fn compute(rows: &[Row], everything: bool) -> Vec<Row> {
    let rules = RuleSet::default();
    let mut tale = Tale::of_a_patient();
    let mut open: BTreeMap<String, WorkItem> = BTreeMap::new();
    let mut computed = Vec::new();
    for row in rows {
        let day: i64 = row.day.parse().unwrap();
        row.happens.split(';').map(str::trim).filter(|w| !w.is_empty()).for_each(|w| happens(&mut tale, day, w));
        let plan = plan(&tale.story, &rules, date(day));
        let shown = |rule: Rule| everything || !CADENCE.contains(&rule);
        let says = match plan.standings.iter().find(|s| s.episode == tale.episode) {
            Some(standing) => {
                let findings: Vec<String> = standing
                    .findings
                    .iter()
                    .filter(|f| shown(f.rule))
                    .map(|f| format!("{} ({})", named(standing, f.rule, f.instrument), day_of(f.since)))
                    .collect();
                let desired = plan.desired.iter().filter(|d| shown(d.rule));
                let chart: Vec<String> = desired.map(|d| chart(standing, d)).collect();
                let now: BTreeMap<String, WorkItem> = plan.desired.iter().map(|d| (d.key.clone(), d.clone())).collect();
                let closed: Vec<String> = open
                    .values()
                    .filter(|d| !now.contains_key(&d.key) && shown(d.rule))
                    .map(|d| {
                        let (posture, reason) = resolve(d, &tale.story, date(day));
                        let what = match d.resource {
                            ChartResource::Flag => format!("flag {}", d.code),
                            ChartResource::Task => format!("{} for {}", d.code, named(standing, d.rule, d.instrument)),
                        };
                        format!("{what}: {posture}, {reason}")
                    })
                    .collect();
                open = now;
                [measures(standing), findings.join("; "), chart.join("; "), closed.join("; ")]
            }
            None => Default::default(),
        };
        computed.push(Row { day: row.day.clone(), happens: row.happens.clone(), says });
    }
    computed
}

fn tables() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "md"));
    files.sort();
    files
}

#[test]
fn the_planner_says_what_the_tables_for_clinicians_say() {
    let files = tables();
    assert!(files.len() >= 15, "the tables are in tests/it/golden");
    let mut differences = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = read(&text);
        assert!(!expected.is_empty(), "{} has no table", file.display());
        let computed = compute(&expected, text.contains("Shows: everything"));
        for (wanted, found) in expected.iter().zip(&computed).filter(|(w, f)| w != f) {
            writeln!(differences, "{}, day {}:", file.file_name().unwrap().display(), wanted.day).unwrap();
            for (column, (w, f)) in
                ["measures", "findings", "chart", "closed"].iter().zip(wanted.says.iter().zip(&found.says))
            {
                if w != f {
                    writeln!(differences, "  {column}\n    table:   {w}\n    planner: {f}").unwrap();
                }
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

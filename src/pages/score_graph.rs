//! Every score of an episode over time, drawn by the server: one panel for each measure with its targets, and beneath
//! them what was done, on the same days.

use askama::Template;
use chrono::NaiveDate;

use super::date_texts::day;
use super::item_texts::item;
use super::words;
use crate::domain::care::{Care, CareEntry, ContactKind, ContactOutcome};
use crate::domain::measurement::{Measurement, Quality};
use crate::domain::rules::RuleSet;
use crate::domain::standing::Standing;
use crate::domain::story::Story;
use crate::domain::target::MeasureSummary;
use crate::id::MeasurementId;

/// Sizes in the drawing's own units; it is as wide as there is room.
const WIDTH: f32 = 920.0;
const LEFT: f32 = 34.0;
const RIGHT: f32 = 96.0;
const PANEL: f32 = 150.0;
const GAP: f32 = 26.0;
const LANE: f32 = 46.0;
const TOP: f32 = 16.0;

#[derive(Template)]
#[template(path = "score_graph.html")]
pub struct ScoreGraph {
    pub height: f32,
    pub panels: Vec<GraphPanel>,
    months: Vec<GraphTick>,
    marks: Vec<GraphMark>,
    /// When the plan changed: through all panels.
    changes: Vec<(f32, String)>,
    lane_y: f32,
    bottom: f32,
    today: Option<f32>,
    /// Description of the graph in a sentence.
    summary: String,
}

impl askama::filters::HtmlSafe for ScoreGraph {}

pub struct GraphPanel {
    title: &'static str,
    y: f32,
    path: String,
    pub points: Vec<GraphPoint>,
    levels: Vec<GraphLevel>,
    bands: Vec<GraphBand>,
    /// Where the bands begin: (y, points).
    scale: Vec<(f32, u16)>,
    /// Left of the enrollment.
    enrolled: Option<f32>,
}

/// One score: a link to its row in the table of scores.
pub struct GraphPoint {
    pub measurement: MeasurementId,
    x: f32,
    y: f32,
    total: u16,
    /// Text for screen readers and for the tooltip.
    pub words: String,
    /// Its answers, for the panel beside the drawing.
    pub answers: String,
    hollow: bool,
    danger: bool,
}

struct GraphLevel {
    y: f32,
    label_y: f32,
    words: String,
    class: &'static str,
}

struct GraphBand {
    y: f32,
    height: f32,
    class: &'static str,
}

struct GraphTick {
    x: f32,
    words: String,
}

/// An event on the graph.
struct GraphMark {
    x: f32,
    y: f32,
    class: &'static str,
    shape: &'static str,
    words: String,
}

struct TimeAxis {
    from: NaiveDate,
    days: f32,
}

impl TimeAxis {
    #[expect(clippy::cast_precision_loss, reason = "days of a course of care")]
    fn x(&self, on: NaiveDate) -> f32 {
        let at = (on - self.from).num_days() as f32 / self.days;
        LEFT + at.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }
}

impl ScoreGraph {
    /// The graph of one episode; `None` without scores and events.
    pub fn of(
        story: &Story,
        standing: &Standing,
        rules: &RuleSet,
        enrolled: Option<NaiveDate>,
        today: NaiveDate,
    ) -> Option<Self> {
        let until = standing.discharged_on.unwrap_or(today).max(enrolled.unwrap_or(today));
        let look_back = chrono::Days::new(u64::from(rules.baseline.look_back_days) + 14);
        let from = enrolled.map_or(NaiveDate::MIN, |on| on.checked_sub_days(look_back).unwrap_or(on));
        let entries: Vec<&CareEntry> = story
            .standing_entries()
            .into_iter()
            .filter(|e| e.episode == Some(standing.episode) || (e.episode.is_none() && e.on >= from && e.on <= until))
            .collect();
        let measured: Vec<(&MeasureSummary, Vec<&Measurement>)> = standing
            .measures
            .iter()
            .map(|summary| {
                let scores = story.scores(summary.instrument, until);
                (summary, scores.into_iter().filter(|s| s.on >= from).map(|s| s.measurement).collect())
            })
            .collect();
        let dates = measured.iter().flat_map(|(_, scores)| scores.iter().map(|m| m.taken_on));
        let first = dates.chain(entries.iter().map(|e| e.on)).chain(enrolled).min()?;
        let days = (until - first).num_days().max(28);
        #[expect(clippy::cast_precision_loss, reason = "days of a course of care")]
        let scale = TimeAxis { from: first, days: days as f32 * 1.02 };
        let mut y = TOP;
        let mut panels = Vec::new();
        for (summary, scores) in &measured {
            panels.push(panel(summary, scores, &scale, rules, y, enrolled, today));
            y += PANEL + GAP;
        }
        let lane_y = y;
        let marks = marks(&entries, &scale, lane_y, today);
        let changes = entries
            .iter()
            .filter(|e| matches!(e.care, Care::TreatmentChange { .. }))
            .map(|e| (scale.x(e.on), day(e.on, today)))
            .collect();
        let bottom = lane_y + LANE;
        let count: usize = panels.iter().map(|p| p.points.len()).sum();
        Some(Self {
            height: bottom + 22.0,
            months: months(&scale, until),
            marks,
            changes,
            lane_y,
            bottom,
            today: (standing.discharged_on.is_none()).then(|| scale.x(today)),
            summary: format!(
                "{count} scores and {} entries from {} to {}",
                entries.len(),
                day(first, today),
                day(until, today)
            ),
            panels,
        })
    }
}

fn panel(
    summary: &MeasureSummary,
    scores: &[&Measurement],
    scale: &TimeAxis,
    rules: &RuleSet,
    top: f32,
    enrolled: Option<NaiveDate>,
    today: NaiveDate,
) -> GraphPanel {
    use std::fmt::Write as _;
    let instrument = summary.instrument;
    let max = f32::from(instrument.max_total().max(1));
    let y = |score: f32| top + PANEL * (1.0 - score.min(max) / max);
    let numbers = rules.measure(instrument);
    let points: Vec<GraphPoint> = scores.iter().filter_map(|m| Some(point(m, m.total?, scale, &y, today))).collect();
    let mut path = String::new();
    for (n, point) in points.iter().enumerate() {
        let _ = write!(path, "{}{:.1} {:.1}", if n == 0 { 'M' } else { 'L' }, point.x, point.y);
    }
    let mut levels = Vec::new();
    if let Some(baseline) = &summary.baseline {
        levels.push((baseline.score, format!("baseline {}", baseline.score), "base"));
        if summary.elevated {
            let response = (0..=baseline.score).rev().find(|s| numbers.response.reached(baseline.score, *s));
            levels.extend(response.map(|score| (score, format!("response ≤ {score}"), "half")));
        }
    }
    levels.push((numbers.remission_below, format!("remission < {}", numbers.remission_below), "remission"));
    let mut last_label = f32::MIN;
    let levels = levels
        .into_iter()
        .map(|(score, words, class)| {
            let at = y(f32::from(score));
            // Labels of lines that lie close do not lie upon each other.
            let label_y = (at + 4.0).max(last_label + 13.0);
            last_label = label_y;
            GraphLevel { y: at, label_y, words, class }
        })
        .collect();
    let bands = &instrument.definition().bands;
    let edges = bands.iter().map(|band| band.from).chain([instrument.max_total()]);
    let marks_of_scale = edges.map(|points| (y(f32::from(points)) + 3.5, points)).collect();
    let shades = ["shade0", "shade1", "shade2", "shade3", "shade4"];
    let bands = bands
        .iter()
        .enumerate()
        .map(|(n, band)| {
            let until = bands.get(n + 1).map_or(max, |next| f32::from(next.from));
            let upper = y(until);
            GraphBand { y: upper, height: y(f32::from(band.from)) - upper, class: shades[n.min(4)] }
        })
        .collect();
    let title = instrument.definition().title;
    GraphPanel {
        title,
        y: top,
        path,
        points,
        levels,
        bands,
        scale: marks_of_scale,
        enrolled: enrolled.map(|on| scale.x(on)),
    }
}

fn point(m: &Measurement, total: u16, scale: &TimeAxis, y: &impl Fn(f32) -> f32, today: NaiveDate) -> GraphPoint {
    let quality = match m.quality {
        Quality::Prorated => ", prorated: some items are missing",
        Quality::TotalOnly => ", total only: the items are not known",
        Quality::Complete | Quality::Unscorable => "",
    };
    let title = m.instrument.definition().title;
    let band = m.instrument.band(total);
    let mut words = format!("{title} {total}, {band}, {}{quality}", day(m.taken_on, today));
    if let Some(answer) = m.item9 {
        words = format!("{words}; item 9: {answer}");
    }
    GraphPoint {
        measurement: m.id,
        x: scale.x(m.taken_on),
        y: y(f32::from(total)),
        total,
        words,
        answers: answers(m),
        hollow: m.quality != Quality::Complete,
        danger: m.item9.is_some_and(|answer| answer > 0),
    }
}

/// `Little interest or pleasure 2; Feeling down 1; …`
pub fn answers(m: &Measurement) -> String {
    let one = |(n, answer): (usize, &Option<u8>)| {
        let answer = answer.map_or_else(|| "not answered".to_owned(), |a| a.to_string());
        format!("{}: {answer}", item(m.instrument, n))
    };
    m.answers.iter().enumerate().map(one).collect::<Vec<_>>().join("\n")
}

fn marks(entries: &[&CareEntry], scale: &TimeAxis, top: f32, today: NaiveDate) -> Vec<GraphMark> {
    let mark = |entry: &&CareEntry| {
        let (row, class, shape, what) = match &entry.care {
            Care::TreatmentChange { changes, summary, .. } => {
                let kinds: Vec<&str> = changes.iter().map(|k| words::change(*k)).collect();
                (0.0, "change", "◆", format!("treatment change ({}): {summary}", kinds.join(", ")))
            }
            Care::CaseReview { recommendations, .. } => {
                let said: Vec<&str> = recommendations.iter().map(|r| r.text.as_str()).collect();
                (
                    1.0,
                    "review",
                    "▣",
                    format!(
                        "case review: {}",
                        if said.is_empty() { "nothing recommended".to_owned() } else { said.join("; ") }
                    ),
                )
            }
            Care::Contact { purpose, outcome, .. } => {
                let attended = *outcome == ContactOutcome::Attended;
                let shape = match (attended, purpose) {
                    (true, ContactKind::Treatment) => "●",
                    (true, _) => "•",
                    _ => "○",
                };
                (
                    2.0,
                    if attended { "contact" } else { "missed" },
                    shape,
                    format!("{} contact, {}", words::contact_kind(*purpose).to_lowercase(), words::outcome(*outcome)),
                )
            }
            Care::SafetyAssessment { result, .. } => (0.0, "assessment", "✚", format!("safety assessment: {result}")),
            Care::RelapsePrevention { .. } => (0.0, "phase", "▷", "relapse prevention begins".to_owned()),
            Care::Hold { .. } => (0.0, "phase", "‖", "on hold".to_owned()),
            Care::Resume => (0.0, "phase", "▶", "resumed".to_owned()),
            Care::Discharge { reason, .. } => {
                (0.0, "phase", "■", format!("discharge: {}", words::discharge(*reason).to_lowercase()))
            }
            _ => return None,
        };
        Some(GraphMark {
            x: scale.x(entry.on),
            y: top + 8.0 + row * 15.0,
            class,
            shape,
            words: format!("{}, {what}", day(entry.on, today)),
        })
    };
    entries.iter().filter_map(mark).collect()
}

/// The first days of the months, no closer than can be read.
fn months(scale: &TimeAxis, until: NaiveDate) -> Vec<GraphTick> {
    use chrono::Datelike;
    let mut ticks: Vec<GraphTick> = Vec::new();
    let mut on = scale.from;
    while on <= until {
        let next = if on.month() == 12 {
            NaiveDate::from_ymd_opt(on.year() + 1, 1, 1)
        } else {
            NaiveDate::from_ymd_opt(on.year(), on.month() + 1, 1)
        };
        let Some(next) = next else { break };
        on = next;
        let x = scale.x(on);
        if on <= until && ticks.last().is_none_or(|last| x - last.x > 44.0) && x > LEFT + 20.0 {
            let words = if on.month() == 1 { on.format("%b %Y") } else { on.format("%b") };
            ticks.push(GraphTick { x, words: words.to_string() });
        }
    }
    ticks
}

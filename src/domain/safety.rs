//! R10: PHQ-9 item 9. Independent of enrollment, total, baseline and completeness; cannot be switched off.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::day;
use super::finding::{Finding, Rule};
use super::history::History;
use super::instrument::Instrument;
use super::measurement::{EvidenceStatus, Measurement};
use super::read_back;
use super::rules::RuleSet;
use super::story::Story;
use super::task::{Owner, Priority};
use crate::id::MeasurementId;

named! {
    /// How a concern stands.
    pub enum ConcernState {
        /// No assessment is documented.
        Open = "open",
        /// Assessed and documented.
        Assessed = "assessed",
    }
}

/// A step of the escalation chain of one concern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Escalation {
    /// Role to notify.
    pub to: Owner,
    /// Priority.
    pub priority: Priority,
    /// The local day of the step, unless it was assessed by then.
    pub on: NaiveDate,
}

/// A day on which item 9 was answered above 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Concern {
    /// Names it within the patient.
    pub key: String,
    /// The local day of the answer.
    pub answered_on: NaiveDate,
    /// The instant of the first answer; local midnight where only a date is known.
    pub answered_at: DateTime<Utc>,
    /// The questionnaire.
    pub instrument: Instrument,
    /// The highest answer of that day, 1–3.
    pub item9: u8,
    /// At a level that cannot wait.
    pub high: bool,
    /// The same level was assessed shortly before.
    pub repeated: bool,
    /// Priority.
    pub priority: Priority,
    /// When the assessment is due.
    pub due_on: NaiveDate,
    /// Escalation when it is past due; empty for a level assessed shortly before.
    pub escalation: Vec<Escalation>,
    /// State of the concern.
    pub state: ConcernState,
    /// When it was assessed.
    pub assessed_on: Option<NaiveDate>,
    /// Instant (RFC 3339).
    pub assessed_at: Option<DateTime<Utc>>,
    /// When somebody closed its Task in the chart, which assesses nothing: it stays open until an assessment is
    /// documented, and is escalated all the same.
    pub closed_in_chart_on: Option<NaiveDate>,
    /// Why it is at this level.
    pub reason: String,
    /// The measurements, latest first.
    pub measurements: Vec<MeasurementId>,
    /// The same as the chart names them.
    #[serde(skip)]
    pub sources: Vec<String>,
}

/// Highest level in the forms of one concern: the level that an assessment covers.
#[derive(Clone, Copy)]
struct ConcernLevel {
    item9: u8,
    severe: bool,
}

/// Every concern up to a date, in order of time. All answers of one local day are one concern, unless an assessment
/// lies between them: what was answered after it is a new one.
pub fn concerns(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> Vec<Concern> {
    concerns_in(&History::of(story), rules, as_of)
}

/// The same, of a story already in order.
pub fn concerns_in(history: &History<'_>, rules: &RuleSet, as_of: NaiveDate) -> Vec<Concern> {
    let forms = history.forms(as_of);
    let assessments = history.assessments(as_of);
    let mut concerns: Vec<Concern> = Vec::new();
    // (instant, level) of every answer above 0 so far.
    let mut answered: Vec<(DateTime<Utc>, ConcernLevel)> = Vec::new();
    for (i, form) in forms.iter().enumerate() {
        let Some(answer) = form.item9.filter(|a| *a > 0) else { continue };
        let before_it = assessments.iter().filter(|(at, on, _)| *on == form.taken_on && *at < form.taken_at).count();
        let key = match before_it {
            0 => format!("safety/{}", form.taken_on),
            n => format!("safety/{}/{n}", form.taken_on),
        };
        let previous = forms[..i].iter().rev().filter(|m| m.taken_at < form.taken_at).find_map(|m| m.item9);
        let assessed = assessments.iter().find(|(at, _, _)| *at >= form.taken_at);
        let severe = form.total.zip(rules.measure(form.instrument).severe_at).is_some_and(|(t, s)| t >= s);
        // The level that the last assessment before this answer looked at.
        let last_assessment = assessments.iter().rev().find(|(at, _, _)| *at < form.taken_at);
        let looked_at = last_assessment
            .filter(|(_, on, _)| form.taken_on <= day::after(*on, rules.safety.repeat_days))
            .and_then(|(at, _, _)| answered.iter().rev().find(|(taken_at, _)| taken_at <= at))
            .map(|(_, level)| *level);
        let repeated = looked_at.is_some_and(|level| answer <= level.item9 && (level.severe || !severe))
            && previous.is_none_or(|p| answer <= p);
        answered.push((form.taken_at, ConcernLevel { item9: answer, severe }));

        let higher = previous.is_some_and(|p| answer > p);
        let high = !repeated && (answer >= 2 || higher || severe);
        let why = [
            (answer >= 2).then(|| "2 or above".to_owned()),
            previous.filter(|p| answer > *p).map(|p| format!("higher than the previous answer, {p}")),
            severe.then(|| format!("with a total of {}", form.total.unwrap_or_default())),
            repeated.then(|| "no higher than the level assessed shortly before".to_owned()),
            (form.counting == EvidenceStatus::Partial).then(|| "on a form that was not finished".to_owned()),
        ];
        let why: Vec<String> = why.into_iter().flatten().collect();
        let mut reason = format!("{} item 9 answered {answer} on {}", form.instrument, form.taken_on);
        if !why.is_empty() {
            reason = format!("{reason}: {}", why.join("; "));
        }
        let (priority, due_days) = match (repeated, high) {
            (true, _) => (Priority::Routine, rules.safety.routine_due_days),
            (false, true) => (Priority::Stat, rules.safety.due_days),
            (false, false) => (Priority::Urgent, rules.safety.due_days),
        };
        let concern = Concern {
            key,
            answered_on: form.taken_on,
            answered_at: form.taken_at,
            instrument: form.instrument,
            item9: answer,
            high,
            repeated,
            priority,
            due_on: day::after(form.taken_on, due_days),
            escalation: Vec::new(),
            state: if assessed.is_some() { ConcernState::Assessed } else { ConcernState::Open },
            assessed_on: assessed.map(|(_, on, _)| *on),
            assessed_at: assessed.map(|(at, _, _)| *at),
            closed_in_chart_on: None,
            reason: format!("{reason}. This service is not a crisis service: assess suicide risk."),
            measurements: vec![form.id],
            sources: vec![form.source.clone()],
        };
        match concerns.iter_mut().find(|c| c.key == concern.key) {
            Some(same_day) => join(same_day, concern),
            None => concerns.push(concern),
        }
    }
    for concern in &mut concerns {
        concern.escalation = chain(concern, rules);
        concern.closed_in_chart_on = read_back::closed_on(history.entries(as_of), &concern.key);
    }
    concerns
}

/// Escalation steps of an unassessed concern: days counted from its due date.
fn chain(concern: &Concern, rules: &RuleSet) -> Vec<Escalation> {
    if concern.repeated {
        return Vec::new();
    }
    let steps = rules.safety.escalation.iter().map(|step| Escalation {
        to: step.to,
        priority: step.priority.max(concern.priority),
        on: day::after(concern.due_on, step.days_past_due),
    });
    steps.collect()
}

/// Two answers of one day: the graver one speaks.
fn join(earlier: &mut Concern, later: Concern) {
    earlier.measurements.splice(0..0, later.measurements);
    earlier.sources.splice(0..0, later.sources);
    if (later.priority, later.item9) >= (earlier.priority, earlier.item9) {
        earlier.instrument = later.instrument;
        earlier.item9 = later.item9.max(earlier.item9);
        earlier.high = later.high;
        earlier.repeated = later.repeated;
        earlier.priority = later.priority;
        earlier.due_on = later.due_on;
        earlier.reason = later.reason;
    }
    if later.state == ConcernState::Open {
        earlier.state = ConcernState::Open;
        earlier.assessed_on = None;
        earlier.assessed_at = None;
    }
}

/// The submitted forms that left item 9 open and since which nobody has answered it, the earliest first: it names the
/// cause, so that another open form later does not ask a second time.
pub fn unanswered<'a>(history: &History<'a>, as_of: NaiveDate) -> Vec<&'a Measurement> {
    let forms = history.forms(as_of);
    let assessments = history.assessments(as_of);
    forms
        .iter()
        .copied()
        .filter(|open| open.counting == EvidenceStatus::Submitted && open.item9_unknown)
        .filter(|open| {
            let answered = forms.iter().any(|m| {
                !m.item9_unknown && m.item9.is_some() && (m.taken_at >= open.taken_at || m.taken_on == open.taken_on)
            });
            !answered && !assessments.iter().any(|(at, _, _)| *at >= open.taken_at)
        })
        .collect()
}

pub fn findings(concerns: &[Concern], unanswered: &[&Measurement]) -> Vec<Finding> {
    let mut found: Vec<Finding> = concerns
        .iter()
        .filter(|c| c.state == ConcernState::Open)
        .map(|c| {
            let rule = if c.high { Rule::SafetyItem9High } else { Rule::SafetyItem9 };
            let reason = match c.closed_in_chart_on {
                Some(on) => {
                    format!("Its Task was closed in the chart on {on}, and no assessment is documented. {}", c.reason)
                }
                None => c.reason.clone(),
            };
            let mut finding = Finding::new(rule, Some(c.instrument), c.answered_on, reason)
                .against("item9", 1)
                .against("item9_high", 2);
            finding.evidence = c.measurements.iter().map(|m| m.0).collect();
            finding
        })
        .collect();
    found.extend(unanswered.first().map(|m| {
        let mut finding = Finding::new(Rule::AskItem9, Some(m.instrument), m.taken_on, ask_reason(m));
        finding.evidence.extend(unanswered.iter().rev().map(|m| m.id.0));
        finding
    }));
    found
}

/// Why item 9 has to be asked.
pub fn ask_reason(m: &Measurement) -> String {
    format!("{} of {}: item 9 was not answered, or cannot be read. Ask it.", m.instrument, m.taken_on)
}

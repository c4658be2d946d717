//! R10: PHQ-9 item 9. Independent of enrollment, total, baseline and completeness; cannot be switched off.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::care::CareEntry;
use super::conclusion::{AskReason, Conclusion, Disclosure};
use super::day;
use super::finding::Finding;
use super::history::{Assessment, History};
use super::instrument::Instrument;
use super::measurement::{EvidenceStatus, Measurement, Quality, Supplement};
use super::read_back;
use super::rules::RuleSet;
use super::sentence::{self, ConcernFacts, EarlierAnswer, NOT_A_CRISIS_SERVICE};
use super::story::Story;
use super::task::{Code, Owner, Priority};
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
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own on the wire")]
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
    /// The highest answer of that day, 1–3; 0 where only a question beside the scored ones was answered with yes.
    pub item9: u8,
    /// Nobody answered the item on paper: the total cannot be reached without it.
    #[serde(default)]
    pub implied: bool,
    /// The answer was corrected or withdrawn, and nobody has confirmed it with the patient.
    #[serde(default)]
    pub only_changed: bool,
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
#[derive(Clone, Default)]
struct ConcernLevel {
    answer: u8,
    severe: bool,
    supplements: Vec<Supplement>,
}

impl ConcernLevel {
    fn of(form: &Measurement, disclosures: &[Disclosure], rules: &RuleSet) -> Self {
        let mut level = Self { severe: severe_total(form, rules).is_some(), ..Self::default() };
        for disclosure in disclosures {
            match *disclosure {
                Disclosure::Answered(answer) | Disclosure::Implied { at_least: answer, .. } => level.answer = answer,
                // Whatever the correction says: the higher answer is what has to be confirmed.
                Disclosure::Changed { from, .. } => level.answer = level.answer.max(from),
                Disclosure::Supplement(supplement) => level.supplements.push(supplement),
            }
        }
        level
    }

    /// Nothing in it that the other has not.
    fn is_within(&self, other: &Self) -> bool {
        self.answer <= other.answer
            && self.severe <= other.severe
            && self.supplements.iter().all(|one| other.supplements.contains(one))
    }

    /// Whether it cannot wait, whatever was answered before.
    fn is_pressing(&self) -> bool {
        self.answer >= 2 || self.severe || self.supplements.iter().any(|one| one.is_pressing())
    }
}

/// The total of a form, where it is severe.
fn severe_total(form: &Measurement, rules: &RuleSet) -> Option<u16> {
    let severe_at = rules.measure(form.instrument).severe_at?;
    form.total.filter(|total| *total >= severe_at)
}

/// What a form says about suicidal thoughts: nothing where it says that there are none, and never said otherwise.
fn disclosures(form: &Measurement) -> Vec<Disclosure> {
    let withdrawn = form.counting == EvidenceStatus::Retracted;
    let now = form.item9.filter(|_| !withdrawn);
    let before = form.self_harm.highest_before.max(form.item9.filter(|_| withdrawn));
    let mut said = Vec::new();
    if !withdrawn {
        said.extend(now.filter(|answer| *answer > 0).map(Disclosure::Answered));
        let implied = |at_least| Disclosure::Implied { at_least, total: form.total.unwrap_or_default() };
        said.extend(form.implied_answer().map(implied));
        said.extend(form.self_harm.supplements.iter().copied().map(Disclosure::Supplement));
    }
    let changed = before.filter(|from| *from > now.unwrap_or(0));
    said.extend(changed.map(|from| Disclosure::Changed { from, to: now }));
    said
}

/// Every concern up to a date, in order of time. All answers of one local day are one concern, unless an assessment
/// lies between them: what was answered after it is a new one.
pub fn concerns(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> Vec<Concern> {
    concerns_in(&History::of(story), rules, as_of)
}

/// The same, of a story already in order.
pub fn concerns_in(history: &History<'_>, rules: &RuleSet, as_of: NaiveDate) -> Vec<Concern> {
    let mut forms: Vec<&Measurement> = history.forms(as_of).to_vec();
    forms.extend(history.withdrawn_forms(as_of));
    forms.sort_by_key(|m| (m.taken_on, m.taken_at, m.item9, m.id));
    let assessments = history.assessments(as_of);
    let entries = history.entries(as_of);
    let mut concerns: Vec<Concern> = Vec::new();
    // (instant, level) of every disclosure so far.
    let mut disclosed: Vec<(DateTime<Utc>, ConcernLevel)> = Vec::new();
    for (i, form) in forms.iter().enumerate() {
        let said = disclosures(form);
        if said.is_empty() {
            continue;
        }
        let level = ConcernLevel::of(form, &said, rules);
        let mut earlier = forms[..i].iter().rev().filter(|m| m.counting != EvidenceStatus::Retracted);
        let previous = earlier.find(|m| m.taken_at < form.taken_at && m.item9.is_some());
        let previous =
            previous.and_then(|m| Some(EarlierAnswer { instrument: m.instrument, answer: m.item9?, on: m.taken_on }));
        // The last assessment before this answer, and the level that it looked at.
        let last = assessments.iter().rev().find(|a| a.at < form.taken_at);
        let looked_at = last
            .filter(|a| a.found_low_risk() && form.taken_on <= day::after(a.on, rules.safety.repeat_days))
            .filter(|a| disclosed.iter().rev().find(|(at, _)| *at <= a.at).is_some_and(|(_, l)| level.is_within(l)))
            .filter(|_| previous.is_none_or(|previous| level.answer <= previous.answer));
        let concern = concern(form, &said, &level, previous, looked_at, assessments, rules);
        disclosed.push((form.taken_at, level));
        match concerns.iter_mut().find(|c| c.key == concern.key) {
            Some(same_day) => join(same_day, concern),
            None => concerns.push(concern),
        }
    }
    for concern in &mut concerns {
        concern.escalation = chain(concern, rules);
        concern.closed_in_chart_on = read_back::closed_since(entries, Code::SafetyAssessment, concern.answered_at);
        confirm(concern, &forms, entries);
    }
    concerns
}

/// Whoever completes the Task in the chart after a correction has confirmed it. That is no assessment: where an answer
/// still stands, the concern stays open.
fn confirm(concern: &mut Concern, forms: &[&Measurement], entries: &[&CareEntry]) {
    if !concern.only_changed || concern.state != ConcernState::Open {
        return;
    }
    let changed = forms.iter().filter(|m| concern.measurements.contains(&m.id)).filter_map(|m| m.self_harm.changed_at);
    let Some(changed_at) = changed.max() else { return };
    if let Some(on) = read_back::completed_since(entries, Code::SafetyAssessment, changed_at) {
        concern.state = ConcernState::Assessed;
        concern.assessed_on = Some(on);
    }
}

/// What one form makes of its day.
fn concern(
    form: &Measurement,
    said: &[Disclosure],
    level: &ConcernLevel,
    previous: Option<EarlierAnswer>,
    looked_at: Option<&Assessment<'_>>,
    assessments: &[Assessment<'_>],
    rules: &RuleSet,
) -> Concern {
    let before_it = assessments.iter().filter(|a| a.on == form.taken_on && a.at < form.taken_at).count();
    let key = match before_it {
        0 => format!("safety/{}", form.taken_on),
        n => format!("safety/{}/{n}", form.taken_on),
    };
    let only_changed = said.iter().all(|one| matches!(one, Disclosure::Changed { .. }));
    let repeated = looked_at.is_some();
    let higher_than = previous.filter(|previous| !only_changed && level.answer > previous.answer);
    let high = !repeated && !only_changed && (higher_than.is_some() || level.is_pressing());
    let facts = ConcernFacts {
        instrument: form.instrument,
        on: form.taken_on,
        disclosures: said,
        higher_than,
        severe_total: severe_total(form, rules).filter(|_| !only_changed),
        assessed_before: looked_at,
        unfinished: form.counting == EvidenceStatus::Partial,
    };
    let (priority, due_days) = match (repeated, high) {
        (true, _) => (Priority::Routine, rules.safety.routine_due_days),
        (false, true) => (Priority::Stat, rules.safety.due_days),
        (false, false) => (Priority::Urgent, rules.safety.due_days),
    };
    let assessed = assessments.iter().find(|a| a.at >= form.taken_at);
    Concern {
        key,
        answered_on: form.taken_on,
        answered_at: form.taken_at,
        instrument: form.instrument,
        item9: level.answer,
        implied: said.iter().any(|one| matches!(one, Disclosure::Implied { .. })),
        only_changed,
        high,
        repeated,
        priority,
        due_on: day::after(form.taken_on, due_days),
        escalation: Vec::new(),
        state: if assessed.is_some() { ConcernState::Assessed } else { ConcernState::Open },
        assessed_on: assessed.map(|a| a.on),
        assessed_at: assessed.map(|a| a.at),
        closed_in_chart_on: None,
        reason: format!("{} {NOT_A_CRISIS_SERVICE}", sentence::concern(&facts)),
        measurements: vec![form.id],
        sources: vec![form.source.clone()],
    }
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

/// Two answers of one day: the graver one speaks. One that was corrected is named beside it: it has to be confirmed.
fn join(earlier: &mut Concern, later: Concern) {
    earlier.measurements.splice(0..0, later.measurements);
    earlier.sources.splice(0..0, later.sources);
    if later.only_changed != earlier.only_changed {
        let first = earlier.reason.trim_end_matches(NOT_A_CRISIS_SERVICE).trim_end();
        let both = format!("{first} {}", later.reason);
        earlier.reason.clone_from(&both);
        return graver(earlier, Concern { reason: both, measurements: Vec::new(), sources: Vec::new(), ..later });
    }
    graver(earlier, Concern { measurements: Vec::new(), sources: Vec::new(), ..later });
}

fn graver(earlier: &mut Concern, later: Concern) {
    if (later.priority, later.item9) >= (earlier.priority, earlier.item9) {
        earlier.instrument = later.instrument;
        earlier.item9 = later.item9.max(earlier.item9);
        earlier.implied = later.implied;
        earlier.high = later.high;
        earlier.repeated = later.repeated;
        earlier.priority = later.priority;
        earlier.due_on = later.due_on;
        earlier.reason = later.reason;
    }
    earlier.only_changed &= later.only_changed;
    if later.state == ConcernState::Open {
        earlier.state = ConcernState::Open;
        earlier.assessed_on = None;
        earlier.assessed_at = None;
    }
}

/// A form after which somebody has to ask about self-harm.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered<'a> {
    pub form: &'a Measurement,
    pub reason: AskReason,
}

impl Unanswered<'_> {
    /// An open item waits its turn; an answer that cannot be read, or a severe total, does not.
    pub fn is_urgent(&self) -> bool {
        self.reason != AskReason::Open
    }

    /// By when it has to be asked.
    pub fn due_on(&self, rules: &RuleSet) -> NaiveDate {
        let days = if self.is_urgent() { rules.safety.due_days } else { rules.safety.routine_due_days };
        day::after(self.form.taken_on, days)
    }

    /// Why, in a sentence.
    pub fn sentence(&self) -> String {
        sentence::ask(self.form.instrument, self.form.taken_on, self.reason)
    }

    /// An answer that nobody can read stands among the open concerns: it may say anything.
    pub fn as_concern(&self, rules: &RuleSet) -> Option<Concern> {
        let form = self.form;
        (self.reason == AskReason::Unreadable).then(|| Concern {
            key: format!("ask/{}", form.taken_on),
            answered_on: form.taken_on,
            answered_at: form.taken_at,
            instrument: form.instrument,
            item9: 0,
            implied: false,
            only_changed: false,
            high: false,
            repeated: false,
            priority: Priority::Urgent,
            due_on: self.due_on(rules),
            escalation: Vec::new(),
            state: ConcernState::Open,
            assessed_on: None,
            assessed_at: None,
            closed_in_chart_on: None,
            reason: format!("{} Ask it. {NOT_A_CRISIS_SERVICE}", self.sentence()),
            measurements: vec![form.id],
            sources: vec![form.source.clone()],
        })
    }
}

/// The forms that do not say whether there are suicidal thoughts and since which nobody has answered, the earliest first:
/// it names the cause, so that another open form later does not ask a second time.
pub fn unanswered<'a>(history: &History<'a>, rules: &RuleSet, as_of: NaiveDate) -> Vec<Unanswered<'a>> {
    let forms = history.forms(as_of);
    let assessments = history.assessments(as_of);
    let last = forms.last().map(|form| form.id);
    let reason = |form: &Measurement| {
        if form.item9_unknown && form.self_harm.unreadable {
            return Some(AskReason::Unreadable);
        }
        if form.counting != EvidenceStatus::Submitted {
            return None;
        }
        if form.item9_unknown {
            return Some(AskReason::Open);
        }
        // Only the latest form: an old total is no reason to ask today.
        let total_only = form.quality == Quality::TotalOnly && form.item9.is_none() && last == Some(form.id);
        let severe = severe_total(form, rules).filter(|_| total_only && form.implied_answer().is_none());
        severe.map(AskReason::SevereTotal)
    };
    let waiting = forms.iter().filter_map(|form| reason(form).map(|reason| Unanswered { form, reason }));
    waiting
        .filter(|open| {
            let answered = forms.iter().any(|m| {
                !m.item9_unknown
                    && m.item9.is_some()
                    && (m.taken_at >= open.form.taken_at || m.taken_on == open.form.taken_on)
            });
            !answered && !assessments.iter().any(|a| a.at >= open.form.taken_at)
        })
        .collect()
}

pub fn findings(concerns: &[Concern], unanswered: &[Unanswered<'_>]) -> Vec<Finding> {
    let mut found: Vec<Finding> = concerns
        .iter()
        .filter(|c| c.state == ConcernState::Open)
        .map(|c| {
            let conclusion = Conclusion::SafetyAnswer {
                high: c.high,
                sentence: c.reason.clone(),
                closed_in_chart_on: c.closed_in_chart_on,
            };
            let mut finding = Finding::new(conclusion, c.answered_on);
            finding.instrument = Some(c.instrument);
            finding.evidence = c.measurements.iter().map(|m| m.0).collect();
            finding
        })
        .collect();
    found.extend(unanswered.first().map(|first| {
        let mut finding = Finding::new(Conclusion::AskSelfHarm { sentence: first.sentence() }, first.form.taken_on);
        finding.instrument = Some(first.form.instrument);
        finding.evidence.extend(unanswered.iter().rev().map(|open| open.form.id.0));
        finding
    }));
    found
}

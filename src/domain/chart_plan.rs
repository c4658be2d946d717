//! The chart plan: what should be in the chart, with reasons.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::episode::Phase;
use super::finding::{Rule, TaskReason};
use super::history::History;
use super::instrument::Instrument;
use super::rules::RuleSet;
use super::safety::{self, Concern};
use super::standing;
use super::story::Story;
use super::task::{ChartResource, Code, Owner, Posture, Priority};
use crate::id::EpisodeId;

mod schedule;
mod work_items;
mod withdrawal;
mod rung;
mod slot;

pub use rung::Rung;
pub use slot::Slot;
pub use withdrawal::resolve;

/// One Task or Flag that should be in the chart, and why.
///
/// The fields stand in the order of their names: the digest of a delivery is of this JSON, and the first releases sorted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Others who are asked beside the owner; whoever acts first does it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_for: Vec<Owner>,
    /// Kind of change.
    pub code: Code,
    /// When it should be done.
    pub due_on: Option<NaiveDate>,
    /// The episode; `None` for what is independent of enrollment.
    pub episode: Option<EpisodeId>,
    /// The measurements behind it, latest first, as the chart names them: `QuestionnaireResponse/123`.
    pub evidence: Vec<String>,
    /// The measure that triggered it.
    pub instrument: Option<Instrument>,
    /// Names the cause: the same cause always has the same key, within one patient.
    pub key: String,
    pub owner: Owner,
    /// Desired posture.
    pub posture: Posture,
    pub priority: Priority,
    /// A sentence a clinician would accept: why it should be there.
    pub reason: String,
    /// Every reason of it, the most pressing first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<TaskReason>,
    pub resource: ChartResource,
    /// The rule that asks for it.
    pub rule: Rule,
    /// Since when the cause holds.
    pub since: NaiveDate,
}

/// A work item with everything needed to write it into the chart: the payload of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteIntent {
    /// Unique in the chart: `{clinic}/{patient}/{key}`; goes out as `identifier.value`.
    pub identifier: String,
    /// The patient as the chart names it: `Patient/123`.
    pub patient: String,
    /// The planned resource.
    #[serde(flatten)]
    pub desired: WorkItem,
    /// Display name of the person who should act, where known.
    pub owner_display: Option<String>,
    /// Display names of those who are asked beside the owner, in the order of `also_for`, where known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_for_display: Vec<Option<String>>,
    /// When the cause was first recorded (Task.authoredOn, Flag.period.start is `since`).
    pub authored_on: chrono::DateTime<chrono::Utc>,
    /// When it ended, for everything but `Open`.
    pub ended_on: Option<NaiveDate>,
    /// Why it ended, for everything but `Open`.
    pub ended_because: Option<String>,
    /// Rule set that decided, e.g. `default/1`.
    pub rule_set: String,
}

/// The planner's answer about one patient on a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartPlan {
    /// Each episode, in order of enrollment.
    pub standings: Vec<standing::Standing>,
    /// Every safety concern up to the date, in order of time.
    pub concerns: Vec<Concern>,
    /// The complete set of Tasks and Flags that should stand open in the chart.
    pub desired: Vec<WorkItem>,
    /// The first date on which anything above changes by itself.
    pub reevaluate_on: Option<NaiveDate>,
}

/// The planner: a pure function of the story, the rule set and the date.
pub fn plan(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> ChartPlan {
    let history = History::of(story);
    let mut plan = without_outlook(&history, rules, as_of);
    plan.reevaluate_on = schedule::next_change(&history, rules, &plan, as_of);
    for standing in &mut plan.standings {
        standing.reevaluate_on = plan.reevaluate_on;
    }
    plan
}

/// The plan, without looking ahead: `reevaluate_on` stays empty. For asking about a day that is past.
pub fn plan_without_outlook(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> ChartPlan {
    without_outlook(&History::of(story), rules, as_of)
}

/// The same, of a story already in order.
pub(super) fn without_outlook(history: &History<'_>, rules: &RuleSet, as_of: NaiveDate) -> ChartPlan {
    let patient = &history.story.patient;
    let concerns = safety::concerns_in(history, rules, as_of);
    let unanswered = safety::unanswered(history, rules, as_of);
    let safety_findings = safety::findings(&concerns, &unanswered);
    let for_the_patient = match patient.deceased_on {
        Some(died) if died <= as_of => Vec::new(),
        _ => work_items::of_safety(rules, &concerns, &unanswered, as_of),
    };
    let mut previous_end = None;
    let mut standings = Vec::new();
    let mut causes = for_the_patient;
    for course in &history.courses(as_of) {
        let open = course.phase != Phase::Discharged;
        let safety = if open { safety_findings.as_slice() } else { &[] };
        let standing = standing::standing(history, rules, course, previous_end, safety);
        // A record that the chart calls inactive gets no new work, except for safety.
        if !patient.inactive {
            causes.extend(work_items::of_episode(history.story, rules, course, &standing));
        }
        standings.push(standing);
        // A referral without enrollment is no earlier episode.
        let end = course.end.filter(|_| course.start().is_some());
        previous_end = end.map(|end| end.on).max(previous_end);
    }
    let open: Vec<EpisodeId> =
        standings.iter().filter(|s| s.status != Phase::Discharged).map(|standing| standing.episode).collect();
    let desired = slot::joined(causes);
    for standing in standings.iter_mut().filter(|standing| standing.status != Phase::Discharged) {
        let mine = desired.iter().filter(|one| one.episode.is_none() || one.is_about(standing.episode));
        standing.desired = mine.map(WorkItem::summary).collect();
        standing.other_open_episodes = open.iter().copied().filter(|id| *id != standing.episode).collect();
    }
    ChartPlan { standings, concerns, desired, reevaluate_on: None }
}

impl WorkItem {
    fn summary(&self) -> standing::WorkItemSummary {
        standing::WorkItemSummary {
            key: self.key.clone(),
            resource: self.resource,
            code: self.code,
            priority: self.priority,
            rule: self.rule,
            owner: self.owner,
            since: self.since,
            due_on: self.due_on,
            reason: self.reason.clone(),
            reasons: self.reasons.clone(),
        }
    }
}

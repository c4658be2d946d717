//! R0: where an episode stands on a date, explained.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cadence;
use super::checkpoint;
use super::contacts::{NextContact, next_contact};
use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::history::History;
use super::plan_clock::{PlanClock, plan_clock};
use super::read_back;
use super::recommendation;
use super::rules::RuleSet;
use super::target::{MeasureSummary, Track};
use crate::id::EpisodeId;

/// Name of the rule set that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleSetName {
    /// Name of the series.
    pub id: String,
    /// Version, for `If-Match`.
    pub version: u32,
}

/// A Task or Flag that the plan wants open, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkItemSummary {
    /// Names the cause.
    pub key: String,
    /// `Task` or `Flag`.
    pub resource: crate::domain::task::ChartResource,
    /// Kind of change.
    pub code: crate::domain::task::Code,
    /// Priority.
    pub priority: crate::domain::task::Priority,
    /// The rule that asks for it.
    pub rule: Rule,
    /// Role that should act.
    pub owner: crate::domain::task::Owner,
    /// Since when the cause holds.
    pub since: NaiveDate,
    /// When it should be done.
    pub due_on: Option<NaiveDate>,
    /// Reason.
    pub reason: String,
}

/// Where an episode stands on a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// The episode.
    pub episode: EpisodeId,
    /// The date.
    pub as_of: NaiveDate,
    /// The thresholds used.
    pub rule_set: RuleSetName,
    /// Where the episode stands.
    pub status: Phase,
    /// Days since enrollment (to discharge, once discharged); `null` while only referred.
    pub day: Option<i64>,
    /// Days since the last treatment change, at first since enrollment.
    pub plan_day: Option<i64>,
    /// When the present plan began.
    pub plan_started_on: Option<NaiveDate>,
    /// The plan clock, explained; `null` while only referred.
    #[serde(default)]
    pub plan_clock: Option<PlanClock>,
    /// Each targeted measure; the primary one first.
    pub measures: Vec<MeasureSummary>,
    /// R12: every targeted, elevated measure is at its target (and there is one).
    pub at_target: bool,
    /// Flagged by hand for the weekly review.
    pub discussion_flag: bool,
    /// Since when it is flagged.
    #[serde(default)]
    pub discussion_flag_since: Option<NaiveDate>,
    /// The last case review of the episode.
    #[serde(default)]
    pub reviewed_on: Option<NaiveDate>,
    /// The next appointment. A past one without documentation is listed as missed.
    #[serde(default)]
    pub next_contact: Option<NextContact>,
    /// The last clinical contact of the episode.
    #[serde(default)]
    pub last_contact_on: Option<NaiveDate>,
    /// The end, once discharged.
    pub discharged_on: Option<NaiveDate>,
    /// Why it ended.
    pub discharge_reason: Option<super::care::DischargeReason>,
    /// Findings of the rules, including the patient's safety.
    pub findings: Vec<Finding>,
    /// The Tasks and Flags that should stand open.
    pub desired: Vec<WorkItemSummary>,
    /// The first date on which this changes by itself; `null` if never.
    pub reevaluate_on: Option<NaiveDate>,
}

impl Standing {
    /// Whether two standings say the same, apart from counting days.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.said() == other.said()
    }

    /// The statement, without dates. Every field by name, so that a new one cannot be forgotten here.
    fn said(&self) -> impl PartialEq + '_ {
        let Self {
            episode,
            as_of: _,
            rule_set,
            status,
            day: _,
            plan_day: _,
            plan_started_on,
            plan_clock,
            measures,
            at_target,
            discussion_flag,
            discussion_flag_since,
            reviewed_on,
            next_contact,
            last_contact_on,
            discharged_on,
            discharge_reason,
            findings,
            desired,
            reevaluate_on: _,
        } = self;
        let course = (episode, status, plan_started_on, plan_clock, next_contact, reviewed_on, last_contact_on);
        let end = (discharged_on, discharge_reason);
        let conclusions = (at_target, discussion_flag, discussion_flag_since, findings, measures, desired, rule_set);
        (course, end, conclusions)
    }
}

/// Computes one episode's standing, without `desired` and `reevaluate_on`: those follow from the findings.
pub fn standing(
    history: &History<'_>,
    rules: &RuleSet,
    course: &Course<'_>,
    previous_end: Option<NaiveDate>,
    safety: &[Finding],
) -> Standing {
    let primary = course.episode.primary_instrument;
    let mut instruments = vec![primary];
    for instrument in &course.episode.target_instruments {
        if !instruments.contains(instrument) {
            instruments.push(*instrument);
        }
    }
    let tracks: Vec<Track<'_>> = instruments
        .iter()
        .map(|i| {
            let scores = history.scores(*i, course.as_of);
            Track::through(scores, history.story, rules, course, previous_end, *i)
        })
        .collect();

    let elevated: Vec<&Track<'_>> = tracks.iter().filter(|t| t.elevated()).collect();
    let at_target =
        !elevated.is_empty() && elevated.iter().all(|t| t.latest().is_some_and(|latest| t.is_at_target(latest.total)));

    let mut findings = safety.to_vec();
    findings.extend(tracks.iter().flat_map(|t| checkpoint::findings(t, course, rules)));
    let suggestion = relapse_prevention_suggested(&findings, &elevated, course);
    findings.extend(suggestion.filter(|_| at_target));
    findings.extend(cadence::findings(course, &tracks, rules));
    findings.extend(read_back::review_undocumented(course));
    findings.extend(recommendation::overdue(course, rules));
    let until = course.end.map_or(course.as_of, |end| end.on);
    Standing {
        episode: course.episode.id,
        as_of: course.as_of,
        rule_set: RuleSetName { id: rules.id.clone(), version: rules.version },
        status: course.phase,
        day: course.start().map(|start| (until - start).num_days()),
        plan_day: course.plan_start().map(|start| (until - start).num_days()),
        plan_started_on: course.plan_start(),
        plan_clock: plan_clock(course),
        measures: tracks.iter().map(Track::summary).collect(),
        at_target,
        discussion_flag: course.discussion_flag().is_some(),
        discussion_flag_since: course.discussion_flag(),
        reviewed_on: course.reviews(false).last(),
        next_contact: next_contact(course),
        last_contact_on: course.last_contact(),
        discharged_on: course.end.map(|end| end.on),
        discharge_reason: course.end.map(|end| end.reason),
        findings,
        desired: Vec::new(),
        reevaluate_on: None,
    }
}

/// R9, R12: one measure in sustained remission, and no other one short of its target. Anxiety that is still being
/// treated is a reason not to end active treatment of a remitted depression.
fn relapse_prevention_suggested(findings: &[Finding], elevated: &[&Track<'_>], course: &Course<'_>) -> Option<Finding> {
    let sustained = findings.iter().filter(|f| f.rule == Rule::SustainedRemission).min_by_key(|f| f.since)?;
    let at_target_since = elevated
        .iter()
        .filter_map(|t| checkpoint::since(&t.followups, |s| t.is_at_target(s.total)).map(|first| first.on))
        .max();
    (course.phase == Phase::Active).then(|| Finding {
        rule: Rule::RelapsePreventionSuggested,
        since: at_target_since.map_or(sustained.since, |on| on.max(sustained.since)),
        reason: format!("{} Ready for relapse prevention.", sustained.reason),
        ..sustained.clone()
    })
}

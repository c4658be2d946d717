//! R0: where an episode stands on a date, explained.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cadence;
use super::checkpoint;
use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::rules::RuleSet;
use super::story::Story;
use super::target::{MeasureSummary, Track};

/// Which thresholds were used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleSetName {
    /// Name of the series.
    pub id: String,
    /// Its version.
    pub version: u32,
}

/// A Task or Flag that the plan wants open, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DesiredSummary {
    /// Names the cause.
    pub key: String,
    /// `Task` or `Flag`.
    pub resource: super::plan::Resource,
    /// What it is about.
    pub code: super::plan::Code,
    /// How urgent.
    pub priority: super::plan::Priority,
    /// The rule that asks for it.
    pub rule: Rule,
    /// Who should act.
    pub owner: super::plan::Owner,
    /// Since when the cause holds.
    pub since: NaiveDate,
    /// When it should be done.
    pub due_on: Option<NaiveDate>,
    /// Why.
    pub reason: String,
}

/// Where an episode stands on a date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// The episode.
    pub episode: Uuid,
    /// The date.
    pub as_of: NaiveDate,
    /// The thresholds used.
    pub rule_set: RuleSetName,
    /// Where the episode stands.
    pub status: Phase,
    /// Days since enrolment (to discharge, once discharged); `null` while only referred.
    pub day: Option<i64>,
    /// Days since the last treatment change, at first since enrolment.
    pub plan_day: Option<i64>,
    /// When the present plan began.
    pub plan_started_on: Option<NaiveDate>,
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
    /// The end, once discharged.
    pub discharged_on: Option<NaiveDate>,
    /// Why it ended.
    pub discharge_reason: Option<super::care::DischargeReason>,
    /// What the rules conclude, the patient's safety included.
    pub findings: Vec<Finding>,
    /// The Tasks and Flags that should stand open.
    pub desired: Vec<DesiredSummary>,
    /// The first date on which this changes by itself; `null` if never.
    pub reevaluate_on: Option<NaiveDate>,
}

impl Standing {
    /// Whether two standings say the same, apart from counting days.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let still =
            |s: &Self| Self { as_of: NaiveDate::MIN, day: None, plan_day: None, reevaluate_on: None, ..s.clone() };
        still(self) == still(other)
    }
}

/// Computes one episode's standing, without `desired` and `reevaluate_on`: those follow from the findings.
pub fn standing(
    story: &Story,
    rules: &RuleSet,
    course: &Course<'_>,
    previous_end: Option<NaiveDate>,
    safety: &[Finding],
) -> Standing {
    let primary = course.episode.primary_instrument;
    let mut instruments = vec![primary];
    instruments.extend(course.episode.target_instruments.iter().copied().filter(|i| *i != primary));
    let tracks: Vec<Track<'_>> =
        instruments.iter().map(|i| Track::follow(story, rules, course, previous_end, *i)).collect();

    let mut findings = safety.to_vec();
    findings.extend(tracks.iter().flat_map(|t| checkpoint::findings(t, course, rules)));
    findings.extend(cadence::findings(story, course, &tracks, rules));

    let elevated: Vec<&Track<'_>> = tracks.iter().filter(|t| t.elevated()).collect();
    let at_target =
        !elevated.is_empty() && elevated.iter().all(|t| t.latest().is_some_and(|latest| t.is_at_target(latest.total)));
    let until = course.end.map_or(course.as_of, |end| end.on);
    Standing {
        episode: course.episode.id,
        as_of: course.as_of,
        rule_set: RuleSetName { id: rules.id.clone(), version: rules.version },
        status: course.phase,
        day: course.start().map(|start| (until - start).num_days()),
        plan_day: course.plan_start().map(|start| (until - start).num_days()),
        plan_started_on: course.plan_start(),
        measures: tracks.iter().map(Track::summary).collect(),
        at_target,
        discussion_flag: course.discussion_flag().is_some(),
        discussion_flag_since: course.discussion_flag(),
        reviewed_on: course.reviews(false).last(),
        discharged_on: course.end.map(|end| end.on),
        discharge_reason: course.end.map(|end| end.reason),
        findings,
        desired: Vec::new(),
        reevaluate_on: None,
    }
}

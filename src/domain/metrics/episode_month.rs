//! An episode as seen from a month.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use uuid::Uuid;

use super::Month;
use crate::domain::care::{Care, Payer};
use crate::domain::episode::Course;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::domain::target::Track;

/// Care manager whose episodes are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CareManager {
    /// One care manager's.
    Named(String),
    /// Episodes without a care manager.
    Nobody,
}

/// Filter for the metrics of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsFilter {
    /// Episodes whose patient this payer covered on any day of the month: NYS metrics 2–8.
    pub payer: Option<Payer>,
    /// Episodes of one care manager, as of the end of the month.
    pub care_manager: Option<CareManager>,
}

impl From<CareManager> for Option<String> {
    fn from(care_manager: CareManager) -> Self {
        match care_manager {
            CareManager::Named(name) => Some(name),
            CareManager::Nobody => None,
        }
    }
}

impl MetricsFilter {
    /// Episodes of one care manager, or of none.
    pub fn to(care_manager: CareManager) -> Self {
        Self { payer: None, care_manager: Some(care_manager) }
    }
}

/// The patients of each care manager whose episodes a month sees. Whoever had two episodes may be with two.
pub fn caseloads(stories: &[Story], month: Month) -> BTreeMap<CareManager, Vec<Story>> {
    let mut all: BTreeMap<CareManager, Vec<Story>> = BTreeMap::new();
    for story in stories {
        let of_month =
            story.courses(month.last).into_iter().filter_map(|course| is_seen(&course, month).map(|_| course));
        let care_managers: BTreeSet<CareManager> = of_month.map(|course| care_manager(story, &course)).collect();
        for care_manager in care_managers {
            all.entry(care_manager).or_default().push(story.clone());
        }
    }
    all
}

/// The care manager of an episode on its last day in the month.
fn care_manager(story: &Story, course: &Course<'_>) -> CareManager {
    let name = story.care_manager(course.episode, course.last_day());
    name.map_or(CareManager::Nobody, |name| CareManager::Named(name.to_owned()))
}

/// The first day of an episode that was enrolled at any time in a month. One that ended before it began was a mistake of
/// dates, and nobody was treated.
fn is_seen(course: &Course<'_>, month: Month) -> Option<NaiveDate> {
    course.start().filter(|start| course.end.is_none_or(|end| end.on >= month.first && end.on >= *start))
}

/// One episode, as a month sees it.
pub(super) struct EpisodeMonth<'a> {
    pub(super) story: &'a Story,
    pub(super) course: Course<'a>,
    pub(super) start: NaiveDate,
    /// The last day in treatment that the month knows.
    pub(super) until: NaiveDate,
    pub(super) track: Track<'a>,
}

/// The episodes enrolled at any time in a month. A payer is not looked at here: it narrows only some metrics.
pub(super) fn seen<'a>(
    stories: &'a [Story],
    rules: &'a RuleSet,
    month: Month,
    of: &MetricsFilter,
) -> Vec<EpisodeMonth<'a>> {
    let mut all = Vec::new();
    for story in stories {
        let mut previous_end = None;
        for course in story.courses(month.last) {
            let before = previous_end;
            if course.start().is_some() {
                previous_end = previous_end.max(course.end.map(|end| end.on));
            }
            let is_of = |whom: &CareManager| care_manager(story, &course) == *whom;
            let Some(start) = is_seen(&course, month) else { continue };
            if of.care_manager.as_ref().is_none_or(is_of) {
                let track = Track::follow(story, rules, &course, before, course.episode.primary_instrument);
                all.push(EpisodeMonth { story, start, until: course.last_day(), course, track });
            }
        }
    }
    all
}

impl EpisodeMonth<'_> {
    pub(super) fn id(&self) -> Uuid {
        self.course.episode.id.0
    }

    pub(super) fn days(&self) -> i64 {
        (self.until - self.start).num_days()
    }

    pub(super) fn covered_by(&self, payer: Payer, month: Month) -> bool {
        self.story.standing_entries().iter().any(|e| match &e.care {
            Care::Coverage { payer: p, from, to } => {
                *p == payer && *from <= month.last && to.is_none_or(|to| to >= month.first)
            }
            _ => false,
        })
    }

    /// Treatment contacts that took place in a month.
    pub(super) fn contacts_in(&self, month: Month) -> usize {
        self.course.entries.iter().filter(|e| e.care.is_clinical_contact() && month.contains(e.on)).count()
    }

    pub(super) fn treated_in(&self, month: Month) -> bool {
        self.contacts_in(month) > 0
    }

    /// A scale of the episode was completed in the month, while in treatment.
    pub(super) fn measured_in(&self, month: Month) -> bool {
        let targets = &self.course.episode.target_instruments;
        self.story.measurements.iter().any(|m| {
            targets.contains(&m.instrument)
                && m.score().is_some()
                && month.contains(m.taken_on)
                && m.taken_on >= self.start
                && m.taken_on <= self.until
        })
    }

    /// Reviewed with a recommendation in the 60 days up to the last day that the month knows.
    pub(super) fn reviewed_lately(&self) -> bool {
        self.course.reviews(true).any(|on| self.is_lately(on))
    }

    /// Treatment was changed in the 60 days up to the last day that the month knows.
    pub(super) fn changed_lately(&self) -> bool {
        self.course.treatment_changes().any(|on| self.is_lately(on))
    }

    fn is_lately(&self, on: NaiveDate) -> bool {
        on >= self.until - Days::new(60) && on <= self.until
    }

    /// 70 days in treatment from an elevated baseline: so long that improvement may be expected.
    pub(super) fn should_be_improved(&self) -> bool {
        self.days() >= 70 && self.track.elevated()
    }

    pub(super) fn is_not_improved(&self) -> bool {
        self.should_be_improved() && !self.track.improved_now()
    }

    pub(super) fn in_remission_in(&self, month: Month) -> bool {
        self.track.latest().is_some_and(|s| month.contains(s.on) && self.track.is_remission(s.total))
    }
}

/// (id, whether it passes) of each.
pub(super) fn tested<'a>(among: &[&EpisodeMonth<'a>], test: impl Fn(&EpisodeMonth<'a>) -> bool) -> Vec<(Uuid, bool)> {
    among.iter().map(|s| (s.id(), test(s))).collect()
}

/// The ids of those that pass.
pub(super) fn which<'a>(among: &[&EpisodeMonth<'a>], test: impl Fn(&EpisodeMonth<'a>) -> bool) -> Vec<Uuid> {
    among.iter().filter(|s| test(s)).map(|s| s.id()).collect()
}

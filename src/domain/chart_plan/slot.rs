//! R14: at most one open Task or Flag per patient and code. Several causes are several reasons of one.

use super::WorkItem;
use crate::domain::finding::TaskReason;
use crate::domain::sentence::{self, NOT_A_CRISIS_SERVICE};
use crate::domain::task::{ChartResource, Code};
use crate::id::EpisodeId;

/// What may stand open only once for a patient: a code; of an escalation each recipient's, of a recommendation its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    code: Code,
    part: String,
}

impl Slot {
    /// The slot of something with this code and key.
    pub fn of(code: Code, key: &str) -> Self {
        let part = match code {
            Code::SafetyEscalation | Code::Recommendation => key.rsplit('/').next().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        Self { code, part }
    }
}

impl WorkItem {
    pub fn slot(&self) -> Slot {
        Slot::of(self.code, &self.key)
    }

    /// Why it is asked for, without what to do: the reasons of a Task that was stored before it had several are its own.
    pub fn why(&self) -> String {
        match self.reasons.as_slice() {
            [] => self.reason.clone(),
            reasons => reasons.iter().map(|reason| reason.reason.as_str()).collect::<Vec<_>>().join(" "),
        }
    }

    /// The keys of its causes.
    pub fn reason_keys(&self) -> Vec<String> {
        self.reasons.iter().map(|reason| reason.key.clone()).chain([self.key.clone()]).collect()
    }

    /// Whether it is about one of the measures or causes of an episode.
    pub fn is_about(&self, episode: EpisodeId) -> bool {
        self.episode == Some(episode) || self.reasons.iter().any(|reason| reason.episode == Some(episode))
    }
}

/// One for each slot, in the order in which their first causes come.
pub(super) fn joined(causes: Vec<WorkItem>) -> Vec<WorkItem> {
    let mut slots: Vec<(Slot, Vec<WorkItem>)> = Vec::new();
    for cause in causes {
        let slot = cause.slot();
        match slots.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, causes)) => causes.push(cause),
            None => slots.push((slot, vec![cause])),
        }
    }
    slots.into_iter().filter_map(|(_, causes)| join(causes)).collect()
}

/// The most pressing cause gives its name; the others add their reasons, raise the priority and bring the date forward.
fn join(mut causes: Vec<WorkItem>) -> Option<WorkItem> {
    causes.sort_by_key(|cause| (std::cmp::Reverse(cause.priority), cause.since));
    let reasons: Vec<TaskReason> = causes.iter().map(WorkItem::own_reason).collect();
    let mut causes = causes.into_iter();
    let mut one = causes.next()?;
    for other in causes {
        one.since = one.since.min(other.since);
        one.due_on = [one.due_on, other.due_on].into_iter().flatten().min();
        one.also_for
            .extend(other.also_for.into_iter().filter(|owner| !one.also_for.contains(owner)).collect::<Vec<_>>());
        one.evidence.extend(other.evidence.into_iter().filter(|id| !one.evidence.contains(id)).collect::<Vec<_>>());
    }
    if one.resource == ChartResource::Task {
        one.reason = in_words(&one, &reasons);
    }
    one.reasons = reasons;
    Some(one)
}

fn in_words(task: &WorkItem, reasons: &[TaskReason]) -> String {
    let instruments = reasons.iter().filter_map(|reason| reason.instrument);
    let why = reasons.iter().map(|reason| reason.reason.trim_end_matches(NOT_A_CRISIS_SERVICE).trim_end());
    let said = sentence::task(task.code, instruments, task.due_on, why);
    match task.code {
        Code::SafetyAssessment | Code::SafetyEscalation => format!("{said} {NOT_A_CRISIS_SERVICE}"),
        _ => said,
    }
}

impl WorkItem {
    fn own_reason(&self) -> TaskReason {
        TaskReason {
            key: self.key.clone(),
            rule: self.rule,
            instrument: self.instrument,
            episode: self.episode,
            since: self.since,
            reason: self.reason.clone(),
        }
    }
}

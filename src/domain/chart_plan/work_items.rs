//! Work items from findings: Tasks and Flags, each named by its cause.

use chrono::NaiveDate;

use super::WorkItem;
use crate::domain::day;
use crate::domain::episode::Course;
use crate::domain::finding::{Finding, Rule};
use crate::domain::measurement::Measurement;
use crate::domain::recommendation;
use crate::domain::rules::RuleSet;
use crate::domain::safety::{self, Concern, ConcernState, Escalation};
use crate::domain::standing;
use crate::domain::story::Story;
use crate::domain::task::{ChartResource, Code, Owner, Posture, Priority};

/// The safety Tasks and the one safety Flag: the patient's, whether enrolled or not.
pub(super) fn of_safety(
    rules: &RuleSet,
    concerns: &[Concern],
    unanswered: &[&Measurement],
    as_of: NaiveDate,
) -> Vec<WorkItem> {
    let open: Vec<&Concern> = concerns.iter().filter(|c| c.state == ConcernState::Open).collect();
    let mut desired: Vec<WorkItem> = Vec::new();
    for concern in &open {
        desired.push(assessment(concern));
        let fired = concern.escalation.iter().filter(|step| step.on <= as_of);
        desired.extend(fired.map(|step| escalated(concern, step)));
    }
    let high: Vec<&&Concern> = open.iter().filter(|c| c.high).collect();
    if let (Some(first), Some(last)) = (high.first(), high.last()) {
        desired.push(WorkItem {
            key: "safety-flag".to_owned(),
            resource: ChartResource::Flag,
            code: Code::CocmSafety,
            posture: Posture::Open,
            priority: Priority::Stat,
            owner: Owner::CareManager,
            also_for: Vec::new(),
            rule: Rule::SafetyItem9High,
            instrument: Some(first.instrument),
            episode: None,
            since: first.answered_on,
            due_on: None,
            reason: "A recent questionnaire needs a safety assessment; see the open Task.".to_owned(),
            evidence: last.sources.clone(),
        });
    }
    desired.extend(unanswered.first().map(|m| WorkItem {
        key: format!("ask-item9/{}", m.taken_on),
        resource: ChartResource::Task,
        code: Code::AskItem9,
        posture: Posture::Open,
        priority: Priority::Routine,
        owner: Owner::CareManager,
        also_for: Vec::new(),
        rule: Rule::AskItem9,
        instrument: Some(m.instrument),
        episode: None,
        since: m.taken_on,
        due_on: Some(day::after(m.taken_on, rules.safety.routine_due_days)),
        reason: safety::ask_reason(m),
        evidence: unanswered.iter().rev().map(|m| m.source.clone()).collect(),
    }));
    desired
}

/// R10: one Task, for the care manager and the patient's own doctor; a level assessed shortly before is the care
/// manager's alone.
fn assessment(concern: &Concern) -> WorkItem {
    WorkItem {
        key: concern.key.clone(),
        resource: ChartResource::Task,
        code: Code::SafetyAssessment,
        posture: Posture::Open,
        priority: concern.priority,
        owner: Owner::CareManager,
        also_for: if concern.repeated { Vec::new() } else { vec![Owner::PrimaryCareProvider] },
        rule: if concern.high { Rule::SafetyItem9High } else { Rule::SafetyItem9 },
        instrument: Some(concern.instrument),
        episode: None,
        since: concern.answered_on,
        due_on: Some(concern.due_on),
        reason: concern.reason.clone(),
        evidence: concern.sources.clone(),
    }
}

/// A step of the chain has been reached: a Task of its own, named by whom it tells, so that a changed chain moves the
/// date and does not tell anybody twice.
fn escalated(concern: &Concern, step: &Escalation) -> WorkItem {
    WorkItem {
        key: format!("{}/escalation/{}", concern.key, step.to),
        code: Code::SafetyEscalation,
        priority: step.priority,
        owner: step.to,
        also_for: Vec::new(),
        since: step.on,
        due_on: Some(step.on),
        reason: format!("No safety assessment is documented; it was due on {}. {}", concern.due_on, concern.reason),
        ..assessment(concern)
    }
}

/// Task for a finding: code, owner, priority, days until due, and the name of its cause.
struct TaskSpec {
    code: Code,
    owner: Owner,
    priority: Priority,
    due_days: u16,
    cause: String,
}

fn call(finding: &Finding, rules: &RuleSet, standing: &standing::Standing) -> Option<TaskSpec> {
    let plan = || format!("plan-{}", standing.plan_started_on.unwrap_or_default());
    let since = || finding.since.to_string();
    let review_due = rules.checkpoints.review_due_days;
    let (code, owner, priority, due_days, cause) = match finding.rule {
        Rule::InadequateResponse => {
            (Code::PsychiatricCaseReview, Owner::PsychiatricConsultant, Priority::Routine, review_due / 2, plan())
        }
        Rule::Nonresponse => {
            (Code::PsychiatricCaseReview, Owner::PsychiatricConsultant, Priority::Routine, review_due, plan())
        }
        Rule::Worsening | Rule::Relapse => {
            (Code::PsychiatricCaseReview, Owner::PsychiatricConsultant, Priority::Urgent, 7, since())
        }
        Rule::ReviewRequired => {
            (Code::PsychiatricCaseReview, Owner::PsychiatricConsultant, Priority::Routine, 7, since())
        }
        Rule::MeasureStale => {
            let last = finding.evidence.first().map_or_else(|| "none".to_owned(), ToString::to_string);
            (
                Code::Measure,
                Owner::CareManager,
                Priority::Routine,
                rules.checkpoints.unmeasured_after_days,
                format!("{}/after-{last}", plan()),
            )
        }
        Rule::SubthresholdWorsened => (Code::Reassess, Owner::CareManager, Priority::Routine, 14, since()),
        Rule::ContactOverdue => (Code::Contact, Owner::CareManager, Priority::Routine, 7, since()),
        Rule::RelapsePreventionSuggested => {
            (Code::RelapsePreventionPlan, Owner::CareManager, Priority::Routine, 28, since())
        }
        Rule::InactivityDischargeProposed => {
            (Code::DischargeReview, Owner::CareManager, Priority::Routine, 14, since())
        }
        _ => return None,
    };
    Some(TaskSpec { code, owner, priority, due_days, cause })
}

/// Rules that look at every measure together: which of them is named first must not change the key.
fn of_all_measures(rule: Rule) -> bool {
    matches!(rule, Rule::ReviewRequired | Rule::RelapsePreventionSuggested)
}

/// The Tasks and the one Flag of an episode.
pub(super) fn of_episode(
    story: &Story,
    rules: &RuleSet,
    course: &Course<'_>,
    standing: &standing::Standing,
) -> Vec<WorkItem> {
    let mut desired = of_recommendations(rules, course);
    if !course.in_treatment() {
        return desired;
    }
    let sources = |finding: &Finding| -> Vec<String> {
        finding
            .evidence
            .iter()
            .filter_map(|id| story.measurements.iter().find(|m| m.id.0 == *id))
            .map(|m| m.source.clone())
            .collect()
    };
    let episode = course.episode.id;
    let task = |finding: &Finding, call: TaskSpec| WorkItem {
        key: match finding.instrument.filter(|_| !of_all_measures(finding.rule)) {
            Some(instrument) => format!("{episode}/{}/{}/{}", finding.rule, instrument.id(), call.cause),
            None => format!("{episode}/{}/{}", finding.rule, call.cause),
        },
        resource: ChartResource::Task,
        code: call.code,
        posture: Posture::Open,
        priority: call.priority,
        owner: call.owner,
        also_for: Vec::new(),
        rule: finding.rule,
        instrument: finding.instrument,
        episode: Some(episode),
        since: finding.since,
        due_on: Some(day::after(finding.since, call.due_days)),
        reason: finding.reason.clone(),
        evidence: sources(finding),
    };
    for finding in &standing.findings {
        let Some(call) = call(finding, rules, standing) else { continue };
        // A review held since the cause arose has answered it, but only a recommendation answers a rule that asks for
        // one.
        let recommending = finding.rule == Rule::ReviewRequired;
        let reviewed =
            call.code == Code::PsychiatricCaseReview && course.reviews(recommending).any(|on| on >= finding.since);
        // One review answers them all, and it has been asked for already.
        let covered = desired.iter().any(|d| {
            d.code == call.code
                && d.since <= finding.since
                && (recommending || (d.rule == finding.rule && d.instrument == finding.instrument))
        });
        if !reviewed && !covered {
            desired.push(task(finding, call));
        }
    }
    desired.extend(remeasure_after_relapse(rules, standing, &task));
    let not_at_target: Vec<&Finding> = standing
        .findings
        .iter()
        .filter(|f| matches!(f.rule, Rule::Nonresponse | Rule::PersistentNonresponse | Rule::Relapse))
        // After a relapse from very far up a score can still be half of the baseline: at target, by definition.
        .filter(|f| !standing.measures.iter().any(|m| Some(m.instrument) == f.instrument && m.at_target))
        .collect();
    if let Some(first) = not_at_target.iter().min_by_key(|f| f.since) {
        desired.push(WorkItem {
            key: format!("{episode}/not-at-target"),
            resource: ChartResource::Flag,
            code: Code::CocmNotAtTarget,
            posture: Posture::Open,
            priority: Priority::Routine,
            owner: Owner::PrimaryCareProvider,
            also_for: Vec::new(),
            rule: first.rule,
            instrument: first.instrument,
            episode: Some(episode),
            since: first.since,
            due_on: None,
            reason: not_at_target.iter().map(|f| f.reason.as_str()).collect::<Vec<_>>().join(" "),
            evidence: sources(first),
        });
    }
    desired
}

/// Open recommendations of case reviews: a Task for each addressee. A person asked for it, so it outlasts a hold.
fn of_recommendations(rules: &RuleSet, course: &Course<'_>) -> Vec<WorkItem> {
    let episode = course.episode.id;
    let waiting = recommendation::waiting(course, rules).into_iter();
    waiting
        .map(|(followed, due)| WorkItem {
            key: format!("{episode}/recommendation/{}", followed.recommendation.id),
            resource: ChartResource::Task,
            code: Code::Recommendation,
            posture: Posture::Open,
            priority: Priority::Routine,
            owner: followed.owner(),
            also_for: Vec::new(),
            rule: Rule::Recommendation,
            instrument: None,
            episode: Some(episode),
            since: followed.recommended_on,
            due_on: Some(due),
            reason: followed.sentence(),
            evidence: Vec::new(),
        })
        .collect()
}

/// R9: after a relapse the scale is taken again soon; a score after the relapse has done so.
fn remeasure_after_relapse(
    rules: &RuleSet,
    standing: &standing::Standing,
    task: &impl Fn(&Finding, TaskSpec) -> WorkItem,
) -> Option<WorkItem> {
    let relapse = standing.findings.iter().find(|f| f.rule == Rule::Relapse)?;
    let latest = standing.measures.iter().find(|m| Some(m.instrument) == relapse.instrument)?.latest.as_ref()?;
    (latest.taken_on == relapse.since).then(|| {
        task(
            relapse,
            TaskSpec {
                code: Code::Measure,
                owner: Owner::CareManager,
                priority: Priority::Routine,
                due_days: rules.trajectory.remeasure_after_relapse_days,
                cause: format!("{}/measure", relapse.since),
            },
        )
    })
}

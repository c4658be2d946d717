//! What should stand in the chart, with reasons: the planner's answer.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::instrument::Instrument;
use super::measurement::Measurement;
use super::rules::RuleSet;
use super::safety::{self, Concern, ConcernState};
use super::schedule;
use super::standing;
use super::story::Story;

named! {
    /// What kind of resource the chart should hold.
    pub enum Resource {
        /// Something to do.
        Task = "Task",
        /// Something to see.
        Flag = "Flag",
    }
}

named! {
    /// What a Task or a Flag is about (our CodeSystem).
    pub enum Code {
        /// The weekly psychiatric caseload review should look at this patient.
        PsychiatricCaseReview = "psychiatric-case-review",
        /// The scale should be taken again.
        Measure = "measure",
        /// The care manager should reassess and set a new baseline.
        Reassess = "reassess",
        /// Somebody has to assess suicide risk.
        SafetyAssessment = "safety-assessment",
        /// PHQ-9 item 9 was left open: ask it.
        AskItem9 = "ask-item9",
        /// A contact is due.
        Contact = "contact",
        /// Write the relapse-prevention plan.
        RelapsePreventionPlan = "relapse-prevention-plan",
        /// Decide whether to discharge.
        DischargeReview = "discharge-review",
        /// Flag: not at target.
        CocmNotAtTarget = "cocm-not-at-target",
        /// Flag: an unassessed safety answer.
        CocmSafety = "cocm-safety",
    }
}

named! {
    /// FHIR request-priority.
    pub enum Priority {
        /// In its turn.
        Routine = "routine",
        /// Ahead of routine.
        Urgent = "urgent",
        /// At once.
        Stat = "stat",
    }
}

named! {
    /// Who should act.
    pub enum Owner {
        /// The behavioural care manager.
        CareManager = "care_manager",
        /// The psychiatric consultant.
        PsychiatricConsultant = "psychiatric_consultant",
        /// The patient's own doctor.
        PrimaryCareProvider = "primary_care_provider",
    }
}

named! {
    /// How a planned resource should stand in the chart.
    pub enum Posture {
        /// Task `requested`, Flag `active`.
        Open = "open",
        /// Done, as the registry knows: Task `completed`, Flag `inactive`.
        Fulfilled = "fulfilled",
        /// No longer called for: Task `cancelled`, Flag `inactive`.
        Withdrawn = "withdrawn",
        /// Its evidence was retracted: `entered-in-error`.
        EnteredInError = "entered-in-error",
    }
}

/// One Task or Flag that should stand in the chart, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Names the cause: the same cause always has the same key, within one patient.
    pub key: String,
    /// Task or Flag.
    pub resource: Resource,
    /// What it is about.
    pub code: Code,
    /// How it should stand.
    pub posture: Posture,
    /// How urgent.
    pub priority: Priority,
    /// Who should act.
    pub owner: Owner,
    /// The rule that asks for it.
    pub rule: Rule,
    /// The measure that triggered it.
    pub instrument: Option<Instrument>,
    /// The episode; `None` for what is independent of enrolment.
    pub episode: Option<Uuid>,
    /// Since when the cause holds.
    pub since: NaiveDate,
    /// When it should be done.
    pub due_on: Option<NaiveDate>,
    /// A sentence a clinician would accept: why it should be there.
    pub reason: String,
    /// The measurements behind it, latest first, as the chart names them: `QuestionnaireResponse/123`.
    pub evidence: Vec<String>,
}

/// A planned Task or Flag with all that is needed to write it into the chart: what the outbox carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Unique in the chart: `{clinic}/{patient}/{key}`; goes out as `identifier.value`.
    pub identifier: String,
    /// The patient as the chart names it: `Patient/123`.
    pub patient: String,
    /// The planned resource.
    #[serde(flatten)]
    pub desired: Desired,
    /// Display name of the person who should act, where known.
    pub owner_display: Option<String>,
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
pub struct Plan {
    /// Each episode, in order of enrolment.
    pub standings: Vec<standing::Standing>,
    /// Every safety concern up to the date, in order of time.
    pub concerns: Vec<Concern>,
    /// The complete set of Tasks and Flags that should stand open in the chart.
    pub desired: Vec<Desired>,
    /// The first date on which anything above changes by itself.
    pub reevaluate_on: Option<NaiveDate>,
}

/// The planner: a pure function of the story, the rule set and the date.
pub fn plan(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> Plan {
    let mut plan = plan_without_outlook(story, rules, as_of);
    plan.reevaluate_on = schedule::next_change(story, rules, &plan, as_of);
    for standing in &mut plan.standings {
        standing.reevaluate_on = plan.reevaluate_on;
    }
    plan
}

/// The plan, without looking ahead: what a simulation compares.
pub fn plan_without_outlook(story: &Story, rules: &RuleSet, as_of: NaiveDate) -> Plan {
    let concerns = safety::concerns(story, rules, as_of);
    let unanswered = safety::unanswered(story, as_of);
    let safety_findings = safety::findings(&concerns, unanswered);
    let mut desired = safety_desired(story, rules, &concerns, unanswered);

    let courses = story.courses(as_of);
    let mut previous_end = None;
    let mut standings = Vec::with_capacity(courses.len());
    for course in &courses {
        let open = course.phase != Phase::Discharged;
        let safety = if open { safety_findings.as_slice() } else { &[] };
        let mut standing = standing::standing(story, rules, course, previous_end, safety);
        let wanted = episode_desired(story, rules, course, &standing);
        let shown =
            if open { desired.iter().filter(|d| d.episode.is_none()).chain(&wanted).collect() } else { Vec::new() };
        standing.desired = shown.into_iter().map(Desired::summary).collect();
        standings.push(standing);
        desired.extend(wanted);
        previous_end = course.end.map(|end| end.on).max(previous_end);
    }
    if story.patient.deceased_on.is_some_and(|died| died <= as_of) {
        desired.clear();
    }
    if story.patient.inactive {
        desired.retain(|d| d.episode.is_none());
    }
    Plan { standings, concerns, desired, reevaluate_on: None }
}

impl Desired {
    fn summary(&self) -> standing::DesiredSummary {
        standing::DesiredSummary {
            key: self.key.clone(),
            resource: self.resource,
            code: self.code,
            priority: self.priority,
            rule: self.rule,
            owner: self.owner,
            since: self.since,
            due_on: self.due_on,
            reason: self.reason.clone(),
        }
    }
}

/// The safety Tasks and the one safety Flag: the patient's, whether enrolled or not.
fn safety_desired(
    story: &Story,
    rules: &RuleSet,
    concerns: &[Concern],
    unanswered: Option<&Measurement>,
) -> Vec<Desired> {
    let open: Vec<&Concern> = concerns.iter().filter(|c| c.state == ConcernState::Open).collect();
    let mut desired: Vec<Desired> = open
        .iter()
        .map(|c| Desired {
            key: c.key.clone(),
            resource: Resource::Task,
            code: Code::SafetyAssessment,
            posture: Posture::Open,
            priority: c.priority,
            owner: Owner::CareManager,
            rule: if c.high { Rule::SafetyItem9High } else { Rule::SafetyItem9 },
            instrument: Some(Instrument::Phq9),
            episode: None,
            since: c.answered_on,
            due_on: Some(c.due_on),
            reason: c.reason.clone(),
            evidence: c.sources.clone(),
        })
        .collect();
    let high: Vec<&&Concern> = open.iter().filter(|c| c.high).collect();
    if let (Some(first), Some(last)) = (high.first(), high.last()) {
        desired.push(Desired {
            key: "safety-flag".to_owned(),
            resource: Resource::Flag,
            code: Code::CocmSafety,
            posture: Posture::Open,
            priority: Priority::Stat,
            owner: Owner::CareManager,
            rule: Rule::SafetyItem9High,
            instrument: Some(Instrument::Phq9),
            episode: None,
            since: first.answered_on,
            due_on: None,
            reason: "A recent questionnaire needs a safety assessment; see the open Task.".to_owned(),
            evidence: last.sources.clone(),
        });
    }
    desired.extend(unanswered.map(|m| Desired {
        key: format!("ask-item9/{}", m.taken_on),
        resource: Resource::Task,
        code: Code::AskItem9,
        posture: Posture::Open,
        priority: Priority::Routine,
        owner: Owner::CareManager,
        rule: Rule::AskItem9,
        instrument: Some(m.instrument),
        episode: None,
        since: m.taken_on,
        due_on: Some(m.taken_on + Days::new(rules.safety.routine_due_days.into())),
        reason: safety::ask_reason(m),
        evidence: vec![m.source.clone()],
    }));
    let _ = story;
    desired
}

/// What one finding asks for: code, owner, priority, days until due, and what its cause is named by.
struct Call {
    code: Code,
    owner: Owner,
    priority: Priority,
    due_days: u16,
    cause: String,
}

fn call(finding: &Finding, rules: &RuleSet, standing: &standing::Standing) -> Option<Call> {
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
                format!("after-{last}"),
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
    Some(Call { code, owner, priority, due_days, cause })
}

/// The Tasks and the one Flag of an episode.
fn episode_desired(story: &Story, rules: &RuleSet, course: &Course<'_>, standing: &standing::Standing) -> Vec<Desired> {
    if !course.in_treatment() {
        return Vec::new();
    }
    let sources = |finding: &Finding| -> Vec<String> {
        finding
            .evidence
            .iter()
            .filter_map(|id| story.measurements.iter().find(|m| m.id == *id))
            .map(|m| m.source.clone())
            .collect()
    };
    let episode = course.episode.id;
    let task = |finding: &Finding, call: Call| Desired {
        key: match finding.instrument {
            Some(instrument) => format!("{episode}/{}/{}/{}", finding.rule, instrument.id(), call.cause),
            None => format!("{episode}/{}/{}", finding.rule, call.cause),
        },
        resource: Resource::Task,
        code: call.code,
        posture: Posture::Open,
        priority: call.priority,
        owner: call.owner,
        rule: finding.rule,
        instrument: finding.instrument,
        episode: Some(episode),
        since: finding.since,
        due_on: Some(finding.since + Days::new(call.due_days.into())),
        reason: finding.reason.clone(),
        evidence: sources(finding),
    };
    let mut desired: Vec<Desired> = Vec::new();
    for finding in &standing.findings {
        let Some(call) = call(finding, rules, standing) else { continue };
        // A review held since the cause arose has answered it.
        let reviewed = call.code == Code::PsychiatricCaseReview && course.reviews(false).any(|on| on >= finding.since);
        let covered =
            finding.rule == Rule::ReviewRequired && desired.iter().any(|d| d.code == Code::PsychiatricCaseReview);
        if !reviewed && !covered {
            desired.push(task(finding, call));
        }
    }
    desired.extend(remeasure_after_relapse(rules, standing, &task));
    let not_at_target: Vec<&Finding> = standing
        .findings
        .iter()
        .filter(|f| matches!(f.rule, Rule::Nonresponse | Rule::PersistentNonresponse | Rule::Relapse))
        .collect();
    if let Some(first) = not_at_target.iter().min_by_key(|f| f.since) {
        desired.push(Desired {
            key: format!("{episode}/not-at-target"),
            resource: Resource::Flag,
            code: Code::CocmNotAtTarget,
            posture: Posture::Open,
            priority: Priority::Routine,
            owner: Owner::PrimaryCareProvider,
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

/// R9: after a relapse the scale is taken again soon; a score after the relapse has done so.
fn remeasure_after_relapse(
    rules: &RuleSet,
    standing: &standing::Standing,
    task: &impl Fn(&Finding, Call) -> Desired,
) -> Option<Desired> {
    let relapse = standing.findings.iter().find(|f| f.rule == Rule::Relapse)?;
    let latest = standing.measures.iter().find(|m| Some(m.instrument) == relapse.instrument)?.latest.as_ref()?;
    (latest.taken_on == relapse.since).then(|| {
        task(
            relapse,
            Call {
                code: Code::Measure,
                owner: Owner::CareManager,
                priority: Priority::Routine,
                due_days: rules.trajectory.remeasure_after_relapse_days,
                cause: format!("{}/measure", relapse.since),
            },
        )
    })
}

/// Why something that stands open in the chart is not called for any more, and how it should end there.
pub fn resolve(open: &Desired, story: &Story, as_of: NaiveDate) -> (Posture, String) {
    let course = open.episode.and_then(|id| story.courses(as_of).into_iter().find(|c| c.episode.id == id));
    let evidence_gone = !open.evidence.is_empty() && open.evidence.iter().all(|s| !story.source_stands(s));
    let scored_since = story.measurements.iter().any(|m| {
        Some(m.instrument) == open.instrument && m.score().is_some() && m.taken_on > open.since && m.taken_on <= as_of
    });
    let course = course.as_ref();
    let fulfilled = match open.code {
        Code::SafetyAssessment | Code::CocmSafety | Code::AskItem9 => story
            .assessments(as_of)
            .iter()
            .find(|(_, on, _)| *on >= open.since)
            .map(|(_, on, _)| format!("Assessed on {on}.")),
        Code::PsychiatricCaseReview => {
            course.and_then(|c| c.reviews(false).find(|on| *on >= open.since)).map(|on| format!("Reviewed on {on}."))
        }
        Code::Measure => scored_since.then(|| "Measured since.".to_owned()),
        Code::Contact => {
            course.and_then(|c| c.last_contact().filter(|on| *on >= open.since)).map(|on| format!("Contact on {on}."))
        }
        Code::RelapsePreventionPlan => {
            course.filter(|c| c.phase == Phase::RelapsePrevention).map(|_| "Relapse prevention has begun.".to_owned())
        }
        Code::DischargeReview => course.and_then(|c| c.end).map(|end| format!("Discharged on {}.", end.on)),
        Code::Reassess | Code::CocmNotAtTarget => None,
    };
    if let Some(reason) = fulfilled {
        return (Posture::Fulfilled, reason);
    }
    if open.code == Code::AskItem9 && !evidence_gone {
        return (Posture::Fulfilled, "Item 9 was answered since.".to_owned());
    }
    if matches!(open.code, Code::SafetyAssessment | Code::CocmSafety) {
        // Never silently, and never "entered in error": a person has to confirm.
        let what = if evidence_gone { "retracted" } else { "corrected" };
        return (Posture::Withdrawn, format!("Source {what}, confirm."));
    }
    if evidence_gone {
        return (Posture::EnteredInError, "The questionnaire behind it was retracted.".to_owned());
    }
    if story.patient.deceased_on.is_some_and(|died| died <= as_of) {
        return (Posture::Withdrawn, "The patient has died.".to_owned());
    }
    let reason = match course {
        Some(c) if c.phase == Phase::Discharged => "The episode has ended.".to_owned(),
        Some(c) if c.phase == Phase::OnHold => "The episode is on hold.".to_owned(),
        Some(c) if c.treatment_changes().last().is_some_and(|on| on >= open.since) => {
            format!("Treatment was changed on {}.", c.treatment_changes().last().unwrap_or(open.since))
        }
        _ => "No longer called for by the present scores.".to_owned(),
    };
    (Posture::Withdrawn, reason)
}

//! A shared care plan for others to read: as a FHIR R4 `CarePlan`, and as a document ([`narrative`]).

pub mod narrative;

use chrono::{DateTime, NaiveDate, Utc};
use fhir_sdk::r4b::codes::{CarePlanActivityStatus, GoalLifecycleStatus, NarrativeStatus, RequestStatus};
use fhir_sdk::r4b::resources::{
    CarePlan, CarePlanActivity, CarePlanActivityDetail, CarePlanActivityDetailProduct, Condition, Goal, GoalTarget,
    GoalTargetDetail, GoalTargetDue, Resource,
};
use fhir_sdk::r4b::types::{Annotation, CodeableConcept, Meta, Narrative, Period, Quantity, Range, Reference};
use serde_json::Value;

use super::write::parts::{COMPLETE, coding, concept, fhir_date, fhir_instant, identifier, named, person, reference};
use crate::domain::care::{Care, Intervention};
use crate::domain::episode::{Episode, Phase};
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
use crate::domain::story::{CarePlanVersion, Story};

/// The namespace of our care plans' identifiers: the episode's id.
pub const CARE_PLANS: &str = "https://cocm-registry.dev/fhir/NamingSystem/care-plan";
const INTERVENTIONS: &str = "https://cocm-registry.dev/fhir/CodeSystem/intervention";
const CLINICAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const LOINC: &str = "http://loinc.org";

/// Said in every document that leaves the registry.
pub const NO_CRISIS_SERVICE: &str = "This program is not a crisis service and nobody watches it around the clock. In an \
    emergency call 911, or call or text the crisis line 988 (United States).";

/// Content of a care plan for readers outside the registry.
#[derive(Clone, Copy, Debug)]
pub struct CarePlanDocument<'a> {
    /// The patient as the chart names them: `Patient/123`.
    pub reference: &'a str,
    pub name: &'a str,
    pub birth_date: Option<&'a str>,
    /// Preferred language (BCP 47).
    pub language: Option<&'a str>,
    /// Everything known about the patient.
    pub story: &'a Story,
    pub episode: &'a Episode,
    /// Standing on the day of the document.
    pub standing: &'a Standing,
    /// The version of the plan; `None` where there is no plan.
    pub plan: Option<CarePlanVersion<'a>>,
    /// Whether that is the version that holds.
    pub holds: bool,
    /// When that version was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// The present score of a measure: (points, local date, language of the form).
type PresentScore<'a> = (u16, NaiveDate, Option<&'a str>);

impl<'a> CarePlanDocument<'a> {
    /// The latest score of a targeted measure, the baseline where there is no later one.
    fn present(&self, instrument: Instrument) -> Option<PresentScore<'a>> {
        let measure = self.standing.measures.iter().find(|m| m.instrument == instrument)?;
        let latest = measure.latest.as_ref().map(|l| (l.score, l.taken_on, l.measurement));
        let (score, on, id) =
            latest.or_else(|| measure.baseline.as_ref().map(|b| (b.score, b.taken_on, b.measurement)))?;
        let language = self.story.measurements.iter().find(|m| m.id == id).and_then(|m| m.language.as_deref());
        Some((score, on, language))
    }

    /// The relapse-prevention plan that was written last.
    fn relapse_prevention(&self) -> Option<(NaiveDate, &'a str)> {
        self.story.standing_entries().into_iter().rev().find_map(|e| match &e.care {
            Care::RelapsePrevention { plan } if e.episode == Some(self.episode.id) => Some((e.on, plan.as_str())),
            _ => None,
        })
    }

    fn team(&self) -> [(&'static str, Option<&'a str>); 3] {
        [
            ("Behavioral care manager", self.episode.care_manager.as_deref()),
            ("Primary care provider", self.episode.primary_care_provider.as_deref()),
            ("Psychiatric consultant", self.episode.psychiatric_consultant.as_deref()),
        ]
    }
}

/// Display text of an intervention: a known one by its name.
fn in_words(intervention: &str) -> String {
    let known = Intervention::named(intervention);
    known.map_or_else(|| intervention.to_owned(), |known| known.words().to_owned())
}

/// The plan as a FHIR R4 `CarePlan`: problems and goals are contained. `None` where there is no plan.
pub fn care_plan(sheet: &CarePlanDocument<'_>) -> Option<Value> {
    let CarePlanVersion { number, entry, plan, taken_back } = sheet.plan?;
    let mut contained: Vec<Resource> = Vec::new();
    let mut refer = |name: String, resource: Resource| {
        contained.push(resource);
        Some(reference(&format!("#{name}")))
    };
    let addresses = (1..).zip(&plan.problems).map(|(n, problem)| refer(format!("p{n}"), condition(sheet, n, problem)));
    let addresses: Vec<Option<Reference>> = addresses.collect();
    let mut goals: Vec<Option<Reference>> = Vec::new();
    for (n, goal) in (1..).zip(&plan.goals) {
        goals.push(refer(format!("g{n}"), own_goal(sheet, n, goal)));
    }
    for (n, target) in (1..).zip(&plan.targets) {
        goals.push(refer(format!("t{n}"), target_goal(sheet, n, target)));
    }
    let activity = activities(sheet);
    let mut resource = CarePlan::builder()
        .meta(Meta::builder().version_id(number.to_string()).build().expect(COMPLETE))
        .identifier(vec![Some(identifier(CARE_PLANS, &sheet.episode.id.to_string()))])
        .status(match sheet.standing.status {
            _ if taken_back => RequestStatus::EnteredInError,
            _ if !sheet.holds => RequestStatus::Revoked,
            Phase::Discharged => RequestStatus::Completed,
            Phase::OnHold => RequestStatus::OnHold,
            _ => RequestStatus::Active,
        })
        .intent("plan".to_owned())
        .title("Collaborative Care: shared care plan".to_owned())
        .subject(person(sheet.reference))
        .contributor(sheet.team().into_iter().filter_map(|(_, name)| Some(Some(named(name?)))).collect())
        .contained(contained)
        .addresses(addresses)
        .goal(goals)
        .activity(activity)
        .note(vec![Some(Annotation::builder().text(NO_CRISIS_SERVICE.to_owned()).build().expect(COMPLETE))])
        .author(named(&plan.by))
        .text(
            Narrative::builder()
                // The team's words and the scores beside the targets are more than the elements say.
                .status(NarrativeStatus::Additional)
                .div(narrative::fragment(sheet, narrative::NarrativeKind::Plan))
                .build()
                .expect(COMPLETE),
        );
    if let Some(note) = &plan.note {
        resource = resource.description(note.clone());
    }
    if let Some(at) = fhir_instant(sheet.recorded_at) {
        resource = resource.created(at);
    }
    if let Some(start) = fhir_date(entry.on) {
        let mut period = Period::builder().start(start);
        let end = sheet.standing.discharged_on.filter(|_| sheet.holds).map(|end| end.max(entry.on));
        if let Some(end) = end.and_then(fhir_date) {
            period = period.end(end);
        }
        resource = resource.period(period.build().expect(COMPLETE));
    }
    Some(serde_json::to_value(resource.build().expect(COMPLETE)).expect("a CarePlan is JSON"))
}

fn condition(sheet: &CarePlanDocument<'_>, n: usize, problem: &str) -> Resource {
    let condition = Condition::builder()
        .id(format!("p{n}"))
        .clinical_status(concept(Some(coding(CLINICAL_STATUS, "active", None)), ""))
        .code(concept(None, problem))
        .subject(person(sheet.reference));
    Resource::Condition(condition.build().expect(COMPLETE))
}

fn own_goal(sheet: &CarePlanDocument<'_>, n: usize, goal: &crate::domain::care::plan::Goal) -> Resource {
    let mut resource = Goal::builder()
        .id(format!("g{n}"))
        .lifecycle_status(match goal.reached_on {
            Some(_) => GoalLifecycleStatus::Completed,
            None => GoalLifecycleStatus::Active,
        })
        .description(concept(None, &goal.text))
        .subject(person(sheet.reference))
        .expressed_by(person(sheet.reference));
    if let Some(by) = goal.by.and_then(due) {
        resource = resource.target(vec![Some(GoalTarget::builder().due(by).build().expect(COMPLETE))]);
    }
    if let Some(reached) = goal.reached_on.and_then(|on| on.to_string().parse().ok()) {
        resource = resource.status_date(reached);
    }
    Resource::Goal(resource.build().expect(COMPLETE))
}

fn target_goal(
    sheet: &CarePlanDocument<'_>,
    n: usize,
    target: &crate::domain::care::plan::TreatmentTarget,
) -> Resource {
    let definition = target.instrument.definition();
    let code = definition.totals.first().map(|code| coding(LOINC, code, None));
    let most = Quantity::builder().value(f64::from(target.at_most)).unit("{score}".to_owned()).build();
    let range = Range::builder().high(most.expect(COMPLETE)).build().expect(COMPLETE);
    let mut goal =
        GoalTarget::builder().measure(concept(code, &definition.title)).detail(GoalTargetDetail::Range(range));
    if let Some(by) = target.by.and_then(due) {
        goal = goal.due(by);
    }
    let reached = sheet.present(target.instrument).is_some_and(|(score, ..)| score <= target.at_most);
    let achievement = if reached { "achieved" } else { "in-progress" };
    let resource = Goal::builder()
        .id(format!("t{n}"))
        .lifecycle_status(GoalLifecycleStatus::Active)
        .achievement_status(concept(
            Some(coding("http://terminology.hl7.org/CodeSystem/goal-achievement", achievement, None)),
            "",
        ))
        .description(concept(None, &format!("{} at most {}", definition.title, target.at_most)))
        .subject(person(sheet.reference))
        .target(vec![Some(goal.build().expect(COMPLETE))]);
    Resource::Goal(resource.build().expect(COMPLETE))
}

fn due(by: NaiveDate) -> Option<GoalTargetDue> {
    by.to_string().parse().ok().map(GoalTargetDue::Date)
}

/// A planned activity: what, who, how.
struct PlannedActivity<'a> {
    kind: &'a str,
    code: CodeableConcept,
    who: Option<&'a str>,
    how: Vec<&'a str>,
    product: Option<&'a str>,
}

fn activities(sheet: &CarePlanDocument<'_>) -> Vec<Option<CarePlanActivity>> {
    let Some(CarePlanVersion { plan, .. }) = sheet.plan else { return Vec::new() };
    let interventions = plan.interventions.iter().map(|i| PlannedActivity {
        kind: "ServiceRequest",
        code: concept(
            Intervention::named(&i.intervention).map(|known| coding(INTERVENTIONS, known.as_str(), None)),
            &in_words(&i.intervention),
        ),
        who: i.who.as_deref(),
        how: i.detail.as_deref().into_iter().collect(),
        product: None,
    });
    let medication = plan.medication.iter().map(|m| PlannedActivity {
        kind: "MedicationRequest",
        code: concept(None, &m.name),
        who: None,
        how: m.dose.as_deref().into_iter().chain(m.note.as_deref()).collect(),
        product: Some(&m.name),
    });
    let duties = plan.responsibilities.iter().map(|r| PlannedActivity {
        kind: "Task",
        code: concept(None, &r.what),
        who: Some(&r.who),
        how: Vec::new(),
        product: None,
    });
    let status = || match sheet.standing.status {
        Phase::Discharged => CarePlanActivityStatus::Stopped,
        Phase::OnHold => CarePlanActivityStatus::OnHold,
        _ => CarePlanActivityStatus::InProgress,
    };
    let activity = |act: PlannedActivity<'_>| {
        let mut detail = CarePlanActivityDetail::builder()
            .kind(act.kind.to_owned())
            .code(act.code)
            .status(status())
            .performer(act.who.map(named).into_iter().map(Some).collect());
        if !act.how.is_empty() {
            detail = detail.description(act.how.join("; "));
        }
        if let Some(product) = act.product {
            detail = detail.product(CarePlanActivityDetailProduct::CodeableConcept(concept(None, product)));
        }
        Some(CarePlanActivity::builder().detail(detail.build().expect(COMPLETE)).build().expect(COMPLETE))
    };
    interventions.chain(medication).chain(duties).map(activity).collect()
}

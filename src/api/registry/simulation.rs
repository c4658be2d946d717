//! `POST rule-sets/simulate`

use std::collections::BTreeMap;

use axum::Json;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::WriteErrors;
use super::rule_sets::complete;
use crate::api::App;
use crate::api::request::RequestContext;
use crate::domain::chart_plan::{ChartPlan, WorkItem, plan_without_outlook};
use crate::domain::finding::{Finding, Rule};
use crate::domain::instrument::Instrument;
use crate::domain::rules::RuleSet;
use crate::domain::standing::RuleSetName;
use crate::domain::task::{ChartResource, Code, Priority};
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::listener::JsonBody;
use crate::problem::Problem;
use crate::store::{patient, rule_set, story};

/// How many patients are loaded at once.
const SOME: i64 = 500;
/// How many changed episodes are listed; the counts are of all.
const LISTED: usize = 2000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(simulate))
}

/// Rule set to simulate: thresholds, or a stored version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SimulationRequest {
    /// Thresholds; what is left out stays as it is in the rule set in force.
    #[schema(value_type = Option<Object>)]
    rules: Option<Value>,
    /// A stored version; 1 is the built-in one.
    version: Option<u32>,
}

/// Result of a simulation.
#[derive(Debug, Serialize, ToSchema)]
struct Simulation {
    /// The thresholds in force.
    active: RuleSetName,
    /// Rule set that was tried.
    proposed: RuleSetName,
    /// The date.
    as_of: NaiveDate,
    /// How many patients were planned twice.
    patients: usize,
    /// How many of them something would change for.
    patients_changed: usize,
    /// Findings that would open, by rule.
    findings_opened: BTreeMap<Rule, usize>,
    /// Findings that would close, by rule.
    findings_closed: BTreeMap<Rule, usize>,
    /// Tasks and Flags that would open, by code.
    desired_opened: BTreeMap<Code, usize>,
    /// Tasks and Flags that would close, by code.
    desired_closed: BTreeMap<Code, usize>,
    /// Each episode that something would change for; `episode` is `null` for what is independent of enrollment.
    episodes: Vec<SimulatedChange>,
    /// More changed than are listed.
    truncated: bool,
}

/// Changes of one episode.
#[derive(Debug, Serialize, ToSchema)]
struct SimulatedChange {
    /// The patient.
    patient: PatientId,
    /// The episode.
    episode: Option<EpisodeId>,
    /// Findings that would open.
    findings_opened: Vec<FindingName>,
    /// Findings that would close.
    findings_closed: Vec<FindingName>,
    /// Tasks and Flags that would open.
    desired_opened: Vec<WorkItemName>,
    /// Tasks and Flags that would close.
    desired_closed: Vec<WorkItemName>,
}

impl SimulatedChange {
    fn is_none(&self) -> bool {
        self.findings_opened.is_empty()
            && self.findings_closed.is_empty()
            && self.desired_opened.is_empty()
            && self.desired_closed.is_empty()
    }
}

/// A finding.
#[derive(Debug, Serialize, ToSchema)]
struct FindingName {
    /// The rule.
    rule: Rule,
    /// The measure.
    instrument: Option<Instrument>,
    /// First day.
    since: NaiveDate,
    /// Reason.
    reason: String,
}

/// A Task or Flag.
#[derive(Debug, Serialize, ToSchema)]
struct WorkItemName {
    /// Names the cause.
    key: String,
    /// `Task` or `Flag`.
    resource: ChartResource,
    /// Kind of change.
    code: Code,
    /// Priority.
    priority: Priority,
    /// When it should be done.
    due_on: Option<NaiveDate>,
    /// Reason.
    reason: String,
}

/// Says which findings, Tasks and Flags other thresholds would open and close today. Changes nothing.
#[utoipa::path(post, path = "/rule-sets/simulate", tag = "rules", request_body = SimulationRequest,
    responses((status = 200, description = "What would change", body = Simulation), WriteErrors))]
async fn simulate(
    call: RequestContext,
    JsonBody(proposal): JsonBody<SimulationRequest>,
) -> Result<Json<Simulation>, Problem> {
    call.caller.require(&[Role::Admin, Role::PsychiatricConsultant])?;
    let proposed = proposed(&call, proposal).await?;
    let as_of = call.today();
    let mut tx = call.app.db.read().await?;
    let active = rule_set::active(&mut tx, call.clinic()).await?;
    let name = |rules: &RuleSet| RuleSetName { id: rules.id.clone(), version: rules.version };
    let mut simulation = Simulation {
        active: name(&active),
        proposed: name(&proposed),
        as_of,
        patients: 0,
        patients_changed: 0,
        findings_opened: BTreeMap::new(),
        findings_closed: BTreeMap::new(),
        desired_opened: BTreeMap::new(),
        desired_closed: BTreeMap::new(),
        episodes: Vec::new(),
        truncated: false,
    };
    let mut after = None;
    loop {
        let patients = patient::page(&mut tx, call.clinic(), after, SOME).await?;
        let Some(last) = patients.last() else { break };
        after = Some(last.id);
        let stories = story::of_page(&mut tx, call.clinic(), &patients).await?;
        for story in &stories {
            let before = plan_without_outlook(story, &active, as_of);
            let then = plan_without_outlook(story, &proposed, as_of);
            simulation.add(changes(story.patient.id, &before, &then));
        }
        tokio::task::yield_now().await;
    }
    Ok(Json(simulation))
}

async fn proposed(call: &RequestContext, proposal: SimulationRequest) -> Result<RuleSet, Problem> {
    match (proposal.rules, proposal.version) {
        (Some(rules), None) => complete(call, rules).await,
        (None, Some(version)) => {
            let mut tx = call.app.db.read().await?;
            let number = i32::try_from(version).map_err(|_| Problem::not_found("rule set"))?;
            let stored = rule_set::find(&mut tx, call.clinic(), number).await?;
            match stored {
                Some(stored) => Ok(stored.body.0),
                None if version == 1 => Ok(RuleSet::default()),
                None => Err(Problem::not_found("rule set")),
            }
        }
        _ => Err(Problem::unprocessable("exactly one of rules and version").at("rules")),
    }
}

impl Simulation {
    fn add(&mut self, changes: Vec<SimulatedChange>) {
        self.patients += 1;
        self.patients_changed += usize::from(!changes.is_empty());
        for changed in changes {
            for (counts, findings) in [
                (&mut self.findings_opened, &changed.findings_opened),
                (&mut self.findings_closed, &changed.findings_closed),
            ] {
                for finding in findings {
                    *counts.entry(finding.rule).or_default() += 1;
                }
            }
            for (counts, desired) in [
                (&mut self.desired_opened, &changed.desired_opened),
                (&mut self.desired_closed, &changed.desired_closed),
            ] {
                for one in desired {
                    *counts.entry(one.code).or_default() += 1;
                }
            }
            if self.episodes.len() < LISTED {
                self.episodes.push(changed);
            } else {
                self.truncated = true;
            }
        }
    }
}

/// Differences between two plans of one patient, by episode.
fn changes(patient: PatientId, before: &ChartPlan, then: &ChartPlan) -> Vec<SimulatedChange> {
    let mut episodes: Vec<Option<EpisodeId>> = vec![None];
    episodes.extend(then.standings.iter().map(|s| Some(s.episode)));
    let of = |episode: Option<EpisodeId>| {
        let findings = |plan: &'_ ChartPlan| -> Vec<Finding> {
            let standing = plan.standings.iter().find(|s| Some(s.episode) == episode);
            standing.map(|s| s.findings.clone()).unwrap_or_default()
        };
        let desired = |plan: &ChartPlan| -> Vec<WorkItem> {
            plan.desired.iter().filter(|d| d.episode == episode).cloned().collect()
        };
        SimulatedChange {
            patient,
            episode,
            findings_opened: new_findings(&findings(before), findings(then)),
            findings_closed: new_findings(&findings(then), findings(before)),
            desired_opened: new_desired(&desired(before), desired(then)),
            desired_closed: new_desired(&desired(then), desired(before)),
        }
    };
    episodes.into_iter().map(of).filter(|changed| !changed.is_none()).collect()
}

fn new_findings(known: &[Finding], now: Vec<Finding>) -> Vec<FindingName> {
    now.into_iter()
        .filter(|f| !known.iter().any(|k| (k.rule, k.instrument) == (f.rule, f.instrument)))
        .map(|f| FindingName { rule: f.rule, instrument: f.instrument, since: f.since, reason: f.reason })
        .collect()
}

fn new_desired(known: &[WorkItem], now: Vec<WorkItem>) -> Vec<WorkItemName> {
    now.into_iter()
        .filter(|d| !known.iter().any(|k| k.key == d.key))
        .map(|d| WorkItemName {
            key: d.key,
            resource: d.resource,
            code: d.code,
            priority: d.priority,
            due_on: d.due_on,
            reason: d.reason,
        })
        .collect()
}

//! The card: what a doctor who opens the chart should know of the patient's Collaborative Care, in a few lines.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text::{escaped, summary};
use crate::config::{CardLink, Config};
use crate::domain::attention;
use crate::domain::chart_plan::WriteIntent;
use crate::domain::episode::Phase;
use crate::domain::finding::Rule;
use crate::domain::standing::Standing;
use crate::domain::target::MeasureSummary;
use crate::domain::task::{ChartResource, Code, Owner};
use crate::fhir::write::parts::title;
use crate::id::PatientId;
use crate::store::outbox::DeliveryState;

/// Lines of each kind; the rest is counted.
const FEW: usize = 3;
/// Our code system: the rules that speak.
const RULES: &str = "https://cocm-registry.dev/fhir/CodeSystem/rule";
/// Our code system: why a card was put aside.
const OVERRIDES: &str = "https://cocm-registry.dev/fhir/CodeSystem/card-override";

/// A card (CDS Hooks 2.0).
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// The same as long as it speaks of the same cause; named in feedback.
    uuid: Uuid,
    /// One sentence of less than 140 characters.
    summary: String,
    /// Markdown.
    detail: String,
    /// How much it matters.
    indicator: Indicator,
    /// Source of the card and the rule behind it.
    source: Source,
    /// Where to go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<HookLink>,
    /// Why it may be put aside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    override_reasons: Vec<Coding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Indicator {
    /// Where the patient stands.
    Info,
    /// Not improving, ill again, or a review is overdue.
    Warning,
    /// An unassessed safety answer.
    Critical,
}

#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Source {
    label: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<Coding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Coding {
    system: &'static str,
    code: &'static str,
    display: &'static str,
}

#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HookLink {
    label: &'static str,
    url: String,
    /// `absolute`, or `smart`: then the EHR adds `iss` and `launch`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_context: Option<String>,
}

impl Card {
    /// Its name in the journal.
    pub fn name(&self) -> String {
        name_of(self.uuid)
    }
}

/// A card's name in the journal.
pub fn name_of(card: Uuid) -> String {
    format!("card/{card}")
}

/// Stored facts about a patient.
pub struct PatientFacts<'a> {
    pub clinic: &'a str,
    pub patient: PatientId,
    /// The open episodes, most pressing first.
    pub standings: &'a [Standing],
    /// Open work items, most urgent first, however the chart learns of them.
    pub intents: &'a [(WriteIntent, DeliveryState)],
    pub today: NaiveDate,
}

/// The first cause, which gives the card its id.
struct Cause {
    rule: Option<Rule>,
    evidence: Vec<String>,
}

impl PatientFacts<'_> {
    /// The episode in which the patient is treated.
    fn enrolled(&self) -> Option<&Standing> {
        let treated = |s: &&Standing| matches!(s.status, Phase::Active | Phase::OnHold | Phase::RelapsePrevention);
        self.standings.iter().find(treated)
    }

    /// Unassessed safety answers, whatever the state of their Tasks in the chart.
    fn unassessed(&self) -> impl Iterator<Item = &WriteIntent> {
        self.intents.iter().map(|(intent, _)| intent).filter(|i| i.desired.code == Code::SafetyAssessment)
    }

    /// Other open Tasks, without those that a person closed in the chart.
    fn due(&self) -> impl Iterator<Item = &WriteIntent> {
        let open =
            self.intents.iter().filter(|(_, state)| *state != DeliveryState::ClosedInChart).map(|(intent, _)| intent);
        open.filter(|i| i.desired.resource == ChartResource::Task && i.desired.code != Code::SafetyAssessment)
    }
}

/// The card of a patient; none for who is not in Collaborative Care and has no unassessed safety answer.
pub fn card(known: &PatientFacts<'_>, config: &Config, link: CardLink) -> Option<Card> {
    let enrolled = known.enrolled();
    let is_urgent = known.unassessed().next().is_some();
    if enrolled.is_none() && !is_urgent {
        return None;
    }
    let reasons = enrolled.map(said).unwrap_or_default();
    let (cause, headline) = match (known.unassessed().next(), reasons.first(), enrolled) {
        (Some(first), _, _) => {
            let evidence = std::iter::once(first.desired.key.clone()).chain(first.desired.evidence.iter().cloned());
            let cause = Cause { rule: Some(first.desired.rule), evidence: evidence.collect() };
            (cause, format!("Not assessed: {}", first.desired.reason))
        }
        (None, Some(first), _) => (first.cause(), first.reason.to_owned()),
        (None, None, Some(standing)) => (of_the_latest_score(standing), where_it_stands(standing, known.today)),
        (None, None, None) => return None,
    };
    let indicator = match reasons.iter().any(|reason| reason.rule.is_some_and(warns)) {
        _ if is_urgent => Indicator::Critical,
        true => Indicator::Warning,
        false => Indicator::Info,
    };
    Some(Card {
        uuid: name(known, &cause),
        summary: summary(&headline),
        detail: detail(known, &reasons),
        indicator,
        source: source(config, cause.rule),
        links: vec![to_the_patient(config, link, known.patient)],
        override_reasons: overrides(),
    })
}

/// In place of a card while the registry cannot be read: no card would say that there is nothing.
pub fn unreadable(config: &Config) -> Card {
    let sentence =
        "The Collaborative Care registry cannot be read at the moment; this chart may lack its safety answers.";
    Card {
        uuid: Uuid::new_v5(&Uuid::NAMESPACE_URL, b"cocm-registry/unreadable"),
        summary: summary(sentence),
        detail: sentence.to_owned(),
        indicator: Indicator::Info,
        source: source(config, None),
        links: Vec::new(),
        override_reasons: Vec::new(),
    }
}

/// One conclusion, in the words of the rules.
struct Conclusion<'a> {
    rule: Option<Rule>,
    reason: &'a str,
    evidence: &'a [Uuid],
}

impl Conclusion<'_> {
    fn cause(&self) -> Cause {
        Cause { rule: self.rule, evidence: self.evidence.iter().map(Uuid::to_string).collect() }
    }
}

/// Findings of an episode without safety: in the order of the review queue, then the rest.
fn said(standing: &Standing) -> Vec<Conclusion<'_>> {
    let order: Vec<_> = attention::reasons(standing).into_iter().map(|r| (r.rule, r.instrument, r.since)).collect();
    let mut findings: Vec<_> = standing.findings.iter().filter(|f| !is_safety(f.rule)).collect();
    findings.sort_by_key(|f| {
        let key = (Some(f.rule), f.instrument, f.since);
        // One whose wait began later than itself is found by its rule.
        let exact = order.iter().position(|known| *known == key);
        exact.or_else(|| order.iter().position(|known| known.0 == key.0)).unwrap_or(usize::MAX)
    });
    findings.into_iter().map(|f| Conclusion { rule: Some(f.rule), reason: &f.reason, evidence: &f.evidence }).collect()
}

fn is_safety(rule: Rule) -> bool {
    matches!(rule, Rule::SafetyItem9 | Rule::SafetyItem9High)
}

/// Whether a doctor should not overlook this rule.
fn warns(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::InadequateResponse
            | Rule::Nonresponse
            | Rule::PersistentNonresponse
            | Rule::Worsening
            | Rule::Relapse
            | Rule::SubthresholdWorsened
            | Rule::ReviewRequired
            | Rule::ReviewOverdue
            | Rule::RecommendationOverdue
    )
}

fn of_the_latest_score(standing: &Standing) -> Cause {
    let latest = standing.measures.iter().filter_map(|m| m.latest.as_ref().map(|l| l.measurement.to_string()));
    Cause { rule: None, evidence: std::iter::once(standing.episode.to_string()).chain(latest).collect() }
}

fn name(known: &PatientFacts<'_>, cause: &Cause) -> Uuid {
    let rule = cause.rule.map_or("standing", Rule::as_str);
    let words = [known.clinic, &known.patient.to_string(), rule, &cause.evidence.join(",")].join("\n");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, words.as_bytes())
}

fn detail(known: &PatientFacts<'_>, reasons: &[Conclusion<'_>]) -> String {
    let mut lines = Vec::new();
    let unassessed: Vec<_> = known.unassessed().collect();
    few(&mut lines, &unassessed, |intent| {
        let due = due(intent, known.today).map(|due| format!(" Assessment {due}.")).unwrap_or_default();
        format!("**{}:** {}{due}", title(intent.desired.code), escaped(&intent.desired.reason))
    });
    if let Some(standing) = known.enrolled() {
        lines.push(escaped(&where_it_stands(standing, known.today)));
        lines.extend(standing.measures.iter().map(|measure| escaped(&measured(measure))));
    }
    few(&mut lines, reasons, |said| escaped(said.reason));
    let waiting: Vec<_> = known.due().collect();
    few(&mut lines, &waiting, |intent| {
        let desired = &intent.desired;
        let who = intent.owner_display.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        let due = due(intent, known.today).map(|due| format!(", {due}")).unwrap_or_default();
        // A reason that stands above already is not said twice.
        let is_said = desired.code == Code::SafetyEscalation
            || reasons.iter().take(FEW).any(|said| said.reason == desired.reason);
        let why = if is_said || desired.reason.is_empty() { String::new() } else { format!(": {}", desired.reason) };
        format!("**Asked:** {}", escaped(&format!("{}, {}{who}{due}{why}", title(desired.code), owner(desired.owner))))
    });
    lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n")
}

/// A few lines, and how many there are besides.
fn few<T>(lines: &mut Vec<String>, all: &[T], line: impl Fn(&T) -> String) {
    lines.extend(all.iter().take(FEW).map(line));
    if all.len() > FEW {
        lines.push(format!("and {} more in the registry", all.len() - FEW));
    }
}

fn where_it_stands(standing: &Standing, today: NaiveDate) -> String {
    let phase = match standing.status {
        Phase::Referred => "referred",
        Phase::Active => "active treatment",
        Phase::OnHold => "on hold",
        Phase::RelapsePrevention => "relapse prevention",
        Phase::Discharged => "discharged",
    };
    let target = if standing.at_target { ", at target" } else { "" };
    // The row is of the day on which it changed last.
    let week = standing.day.map(|day| (day + (today - standing.as_of).num_days()).max(0) / 7);
    match week {
        Some(week) => format!("Collaborative Care, week {week} of treatment: {phase}{target}."),
        None => format!("Collaborative Care: {phase}{target}."),
    }
}

fn measured(measure: &MeasureSummary) -> String {
    let name = measure.instrument;
    let from = measure.baseline.as_ref().map(|b| format!("{} on {}", b.score, b.taken_on));
    let to = measure.latest.as_ref().map(|l| format!("{} on {}", l.score, l.taken_on));
    let change = match measure.percent_change {
        Some(0) => ", unchanged".to_owned(),
        Some(percent) => format!(" ({percent:+}%)"),
        None => String::new(),
    };
    match (from, to) {
        (Some(from), Some(to)) => format!("{name}: baseline {from}, latest {to}{change}."),
        (Some(from), None) => format!("{name}: baseline {from}, not measured since."),
        (None, _) => format!("{name}: no baseline yet."),
    }
}

fn due(intent: &WriteIntent, today: NaiveDate) -> Option<String> {
    let due = intent.desired.due_on?;
    Some(if due < today { format!("was due {due}") } else { format!("due {due}") })
}

fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::CareManager => "care manager",
        Owner::PsychiatricConsultant => "psychiatric consultant",
        Owner::PrimaryCareProvider => "primary care provider",
    }
}

fn source(config: &Config, rule: Option<Rule>) -> Source {
    let topic = rule.map(|rule| Coding { system: RULES, code: rule.as_str(), display: rule.as_str() });
    let url = Some(config.public_base()).filter(|base| !base.is_empty()).map(str::to_owned);
    Source { label: "Collaborative Care registry", url, topic }
}

fn to_the_patient(config: &Config, link: CardLink, patient: PatientId) -> HookLink {
    let base = config.public_base();
    let label = "Open in the Collaborative Care registry";
    match link {
        CardLink::Absolute => {
            HookLink { label, url: format!("{base}/patients/{patient}"), kind: "absolute", app_context: None }
        }
        CardLink::Smart => {
            HookLink { label, url: format!("{base}/launch"), kind: "smart", app_context: Some(patient.to_string()) }
        }
    }
}

fn overrides() -> Vec<Coding> {
    let reasons = [
        ("known", "I know, it is being taken care of"),
        ("not-now", "Not the reason for this visit"),
        ("disagree", "I do not agree with this"),
    ];
    reasons.map(|(code, display)| Coding { system: OVERRIDES, code, display }).to_vec()
}

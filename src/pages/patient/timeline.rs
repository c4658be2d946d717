//! Timeline in sentences, newest first.

use chrono::NaiveDate;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::care::{Care, DischargeReason, Intervention};
use crate::domain::measurement::Measurement;
use crate::pages::date_texts::{day, in_sentence};
use crate::pages::words;
use crate::store::event_log::EventRow;

/// An event of the timeline.
pub struct TimelineItem {
    pub id: Uuid,
    pub on: String,
    pub what: &'static str,
    pub words: String,
    /// Changes: (opened, rule or status).
    pub changes: Vec<(bool, String)>,
    pub by: String,
    pub recorded: Option<String>,
    /// May be taken back.
    pub is_entry: bool,
    pub taken_back: bool,
}

pub fn of(facts: &[EventRow], today: NaiveDate) -> Vec<TimelineItem> {
    let taken_back: Vec<Uuid> = facts
        .iter()
        .filter(|f| f.is_care)
        .filter_map(|f| match serde_json::from_value(f.body.0.clone()) {
            Ok(Care::TakenBack { entry, .. }) => Some(entry),
            _ => None,
        })
        .collect();
    facts.iter().rev().map(|fact| happening(fact, today, &taken_back)).collect()
}

fn happening(fact: &EventRow, today: NaiveDate, taken_back: &[Uuid]) -> TimelineItem {
    let care: Option<Care> = fact.is_care.then(|| serde_json::from_value(fact.body.0.clone()).ok()).flatten();
    let (what, words) = match &care {
        Some(care) => of_care(care),
        None => of_kind(&fact.kind, &fact.body.0, today),
    };
    let recorded_on = fact.recorded_at.date_naive();
    TimelineItem {
        id: fact.id,
        on: day(fact.happened_on, today),
        what,
        words: in_sentence(&words, today),
        changes: changes(&fact.changes.0),
        by: fact.recorded_by.clone(),
        recorded: ((recorded_on - fact.happened_on).num_days().abs() > 1).then(|| day(recorded_on, today)),
        is_entry: care.as_ref().is_some_and(|care| !matches!(care, Care::TakenBack { .. })),
        taken_back: taken_back.contains(&fact.id),
    }
}

fn of_care(care: &Care) -> (&'static str, String) {
    match care {
        Care::Contact {
            purpose, modality, outcome, minutes, performer, interventions, next_contact_on, note, ..
        } => {
            let mut said = vec![format!("{}, {}", words::contact_kind(*purpose), words::outcome(*outcome))];
            said.extend(modality.map(|m| words::modality(m).to_owned()));
            said.extend(minutes.map(|m| format!("{m} min")));
            said.extend(performer.clone());
            said.extend(interventions.iter().map(|words| {
                Intervention::named(words).map_or_else(|| words.clone(), |known| known.words().to_owned())
            }));
            said.extend(next_contact_on.map(|on| format!("next appointment {on}")));
            let said = said.join(", ");
            ("Contact", with_note(said, note.as_deref()))
        }
        Care::TreatmentChange { changes, summary, medication, .. } => {
            let kinds: Vec<&str> = changes.iter().map(|kind| words::change(*kind)).collect();
            let taken: String = medication.iter().flat_map(|m| [" ".to_owned(), m.phrase(), ".".to_owned()]).collect();
            ("Treatment change", format!("{}: {summary}{taken}", kinds.join(", ")))
        }
        Care::CaseReview { reviewer, summary, recommendations, .. } => {
            let said: Vec<String> = recommendations
                .iter()
                .map(|r| format!("{} (to {}): {}", words::change(r.kind), words::addressee(r.to), r.text))
                .collect();
            let mut text = format!("By {reviewer}. {}", summary.as_deref().unwrap_or_default());
            if !said.is_empty() {
                text = format!("{} Recommended: {}", text.trim_end(), said.join("; "));
            }
            ("Case review", text)
        }
        Care::RecommendationDecision { decision, by, reason, .. } => {
            let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            ("Recommendation", with_note(format!("{}{by}", words::decision(*decision)), reason.as_deref()))
        }
        Care::RecommendationProgress { progress, scheduled_for, by, reason, .. } => {
            let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let when = scheduled_for.map(|on| format!(" for {on}")).unwrap_or_default();
            ("Recommendation", with_note(format!("{progress}{when}{by}"), reason.as_deref()))
        }
        Care::BaselineOverride { instrument, reason, .. } => ("Baseline chosen", format!("{instrument}: {reason}")),
        Care::Hold { reason } => ("On hold", reason.clone()),
        Care::Resume => ("Resumed", String::new()),
        Care::RelapsePrevention { plan } => ("Relapse prevention", plan.clone()),
        Care::Discharge { reason, note } => {
            ("Discharge", with_note(words::discharge(*reason).to_owned(), note.as_deref()))
        }
        Care::Duplicate { .. } => ("Discharge", words::discharge(DischargeReason::Duplicate).to_owned()),
        Care::DiscussionFlag { raised, note } => {
            let said = if *raised { "for the weekly review" } else { "taken down" };
            ("Flag", with_note(said.to_owned(), note.as_deref()))
        }
        Care::SafetyAssessment { instrument, result, risk, disposition, assessor, note } => {
            let risk = risk.map(|risk| format!(" ({risk} risk)")).unwrap_or_default();
            let said = format!("{instrument} by {assessor}: {result}{risk}. {disposition}");
            ("Safety assessment", with_note(said, note.as_deref()))
        }
        Care::Coverage { payer, .. } => ("Coverage", payer.to_string()),
        Care::FitCheck(fit) => ("Fit check", words::spaced(fit.decision.as_str())),
        Care::CarePlan(plan) => {
            let parts = [
                (plan.problems.len(), "problems"),
                (plan.goals.len(), "goals"),
                (plan.interventions.len(), "interventions"),
                (plan.medication.len(), "medications"),
            ];
            let said: Vec<String> =
                parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
            ("Care plan", with_note(said.join(", "), plan.note.as_deref()))
        }
        Care::CandidateDismissal { reason, .. } => ("Not offered an episode", reason.clone()),
        Care::SetInChart { resource, code, status, owner, reason, note, .. } => {
            let owner = owner.as_deref().map(|owner| format!(" (assigned to {owner})")).unwrap_or_default();
            let said = format!("{resource} “{}” is {}{owner}", words::code(*code), status.replace('-', " "));
            ("In the chart", [reason, note].into_iter().flatten().fold(said, |said, more| format!("{said}. {more}")))
        }
        Care::TakenBack { reason, .. } => ("Taken back", reason.clone().unwrap_or_default()),
    }
}

fn with_note(said: String, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{said}. {note}"),
        None => said,
    }
}

fn of_kind(kind: &str, body: &Value, today: NaiveDate) -> (&'static str, String) {
    match kind {
        "measurement" | "retraction" => {
            let scores: Vec<Measurement> = serde_json::from_value(body["measurements"].clone()).unwrap_or_default();
            let one = |m: &Measurement| match m.total {
                Some(total) => format!("{} {total} on {}", m.instrument, day(m.taken_on, today)),
                None => format!("{} that cannot be scored, {}", m.instrument, day(m.taken_on, today)),
            };
            let what = if kind == "retraction" { "Retracted" } else { "Score" };
            (what, scores.iter().map(one).collect::<Vec<_>>().join("; "))
        }
        "enrolment" => ("Enrolled", String::new()),
        "referral" => ("Referred", String::new()),
        "amendment" => ("Particulars changed", String::new()),
        "transfer" => ("Transferred", transferred(body)),
        "import" => ("Imported", "Taken over from the clinic’s spreadsheet".to_owned()),
        "patient" => {
            let mut said = vec!["Demographics updated from the EHR"];
            if body["inactive"] == true {
                said.push("it is marked inactive");
            }
            if body["deceased"].is_string() || body["deceased"] == true {
                said.push("the patient has died");
            }
            ("Patient", said.join("; "))
        }
        _ => ("Received", words::spaced(kind)),
    }
}

/// From whom to whom, and why: `From Kim Ortiz to Lee Park: on leave`.
fn transferred(body: &Value) -> String {
    let change = &body["changed"]["care_manager"];
    let named = |name: &Value| name.as_str().unwrap_or("no care manager").to_owned();
    let said = format!("From {} to {}", named(&change["from"]), named(&change["to"]));
    body["reason"].as_str().map_or(said.clone(), |reason| format!("{said}: {reason}"))
}

/// Findings that opened and closed, and statuses that changed.
fn changes(changes: &Value) -> Vec<(bool, String)> {
    let mut said = Vec::new();
    for episode in changes["episodes"].as_array().into_iter().flatten() {
        let change = &episode["changes"];
        for (name, opened) in [("findings_opened", true), ("findings_closed", false)] {
            for finding in change[name].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let (measure, rule) = finding.split_once(':').map_or(("", finding), |(measure, rule)| (measure, rule));
                let words = rule.parse().map_or_else(|_| words::spaced(rule), |rule| words::rule(rule).0.to_owned());
                let measure = measure.parse::<crate::domain::instrument::Instrument>();
                said.push((opened, measure.map_or(words.clone(), |measure| format!("{measure}: {words}"))));
            }
        }
        if let (Some(from), Some(to)) = (change["status"]["from"].as_str(), change["status"]["to"].as_str()) {
            said.push((true, format!("{} → {}", words::spaced(from), words::spaced(to))));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(kind: &str, body: &Value) -> (&'static str, String) {
        of_kind(kind, body, NaiveDate::default())
    }

    #[test]
    fn a_transfer_says_from_whom_to_whom_and_why() {
        let body = |from: Value, reason: Value| json!({"care_manager": "Lee Park", "changed": {"care_manager": {"from": from, "to": "Lee Park"}}, "reason": reason});
        let kim = said("transfer", &body(json!("Kim Ortiz"), json!("on leave from May")));
        assert_eq!(kim, ("Transferred", "From Kim Ortiz to Lee Park: on leave from May".to_owned()));
        assert_eq!(said("transfer", &body(Value::Null, Value::Null)).1, "From no care manager to Lee Park");
    }

    #[test]
    fn what_was_imported_is_not_said_to_have_been_received() {
        assert_eq!(said("import", &json!({"scores": 3})).0, "Imported");
    }
}

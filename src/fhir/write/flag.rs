//! A planned Flag, written as R4 and brought into what the chart holds.

use fhir_sdk::r4b::codes::FlagStatus;
use fhir_sdk::r4b::resources::Flag;
use fhir_sdk::r4b::types::Period;
use serde_json::Value;

use super::parts::{
    COMPLETE, ChartState, FLAG_CODES, Merge, WrittenPostures, coding, concept, fhir_date, identifier, mend, ourselves,
    person, put, restricted, take, title,
};
use crate::domain::chart_plan::WriteIntent;
use crate::domain::sentence::with_spoken_dates;
use crate::domain::task::{Code, Posture};

const CATEGORIES: &str = "http://terminology.hl7.org/CodeSystem/flag-category";

/// Flag.status for a posture.
pub fn status(posture: Posture) -> &'static str {
    match posture {
        Posture::Open => "active",
        Posture::Fulfilled | Posture::Withdrawn => "inactive",
        Posture::EnteredInError => "entered-in-error",
    }
}

/// What the Flag says. The safety Flag's words are the clinic's: who opens the chart at night has to know what is missing.
fn text(intent: &WriteIntent) -> String {
    match intent.desired.code {
        Code::CocmSafety => with_spoken_dates(&intent.desired.reason),
        code => title(code).to_owned(),
    }
}

/// The Flag as the plan wants it. It carries no score: a Flag is seen across the whole chart.
pub fn flag(intent: &WriteIntent, system: &str) -> Value {
    let plan = &intent.desired;
    let (category, category_title) = match plan.code {
        Code::CocmSafety => ("safety", "Safety"),
        _ => ("clinical", "Clinical"),
    };
    let mut period = Period::builder();
    if let Some(since) = fhir_date(plan.since) {
        period = period.start(since);
    }
    if plan.posture != Posture::Open
        && let Some(ended) = intent.ended_on.and_then(|ended| fhir_date(ended.max(plan.since)))
    {
        period = period.end(ended);
    }
    let mut flag = Flag::builder()
        .identifier(vec![Some(identifier(system, &intent.identifier))])
        .status(match plan.posture {
            Posture::Open => FlagStatus::Active,
            Posture::Fulfilled | Posture::Withdrawn => FlagStatus::Inactive,
            Posture::EnteredInError => FlagStatus::EnteredInError,
        })
        .category(vec![Some(concept(Some(coding(CATEGORIES, category, Some(category_title))), ""))])
        .code(concept(Some(coding(FLAG_CODES, plan.code.as_str(), None)), &text(intent)))
        .subject(person(&intent.patient))
        .period(period.build().expect(COMPLETE))
        .author(ourselves());
    if plan.code == Code::CocmSafety {
        flag = flag.meta(restricted());
    }
    serde_json::to_value(flag.build().expect(COMPLETE)).expect("a Flag is JSON")
}

/// How the Flag stands in the chart. Nobody works *on* a Flag: it is ours, or somebody closed it.
pub fn state(current: &Value, written: &WrittenPostures) -> ChartState {
    let is_it = |posture: Posture| current["status"] == status(posture);
    if is_it(Posture::Open) || written.any(is_it) { ChartState::Ours } else { ChartState::ClosedThere }
}

/// Brings our change into the chart's present version; never reopens what a person closed.
pub fn merge(current: &Value, intent: &WriteIntent, system: &str, written: &WrittenPostures) -> Merge {
    let state = state(current, written);
    if state == ChartState::ClosedThere {
        return Merge { state, body: None, only_noted: false };
    }
    let wanted = flag(intent, system);
    let mut body = current.clone();
    take(&mut body, &wanted, "status");
    mend(&mut body, &wanted, "subject", &["category", "code", "author"]);
    if intent.desired.posture == Posture::Open {
        // The safety Flag's words name a date, which moves with the oldest open answer.
        put(&mut body, &["code", "text"], wanted["code"].get("text").cloned());
    }
    // The chart may know an exact time of day, which is not ours to coarsen.
    let day = |flag: &Value| flag["period"]["start"].as_str().map(|start| start.chars().take(10).collect::<String>());
    let moved = intent.desired.posture == Posture::Open && day(&body) != day(&wanted);
    if moved || body["period"].get("start").is_none() {
        put(&mut body, &["period", "start"], wanted["period"].get("start").cloned());
    }
    let end = wanted["period"]["end"].as_str();
    // per-1: a period does not end before it starts.
    let end = end.map(|end| body["period"]["start"].as_str().map_or(end, |start| start.max(end)).to_owned());
    put(&mut body, &["period", "end"], end.map(Value::String));
    Merge::of(state, current, body)
}

#[cfg(test)]
pub(super) mod tests;

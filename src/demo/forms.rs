//! The resources that the demo's EHR sends.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::cast::DemoPatient;
use crate::domain::instrument::Instrument;

const ANSWERS: [(&str, &str); 4] = [
    ("LA6568-5", "Not at all"),
    ("LA6569-3", "Several days"),
    ("LA6570-1", "More than half the days"),
    ("LA6571-9", "Nearly every day"),
];

pub fn patient(person: &DemoPatient) -> Value {
    let (given, family) = person.name;
    let year = 1950 + (person.number * 13) % 54;
    json!({
        "resourceType": "Patient",
        "id": person.id,
        "meta": {"versionId": "1"},
        "identifier": [{"system": "https://ehr.example/mrn", "value": format!("M{:05}", 41_000 + person.number)}],
        "active": true,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "gender": if person.number.is_multiple_of(2) { "female" } else { "male" },
        "birthDate": format!("{year}-{:02}-{:02}", 1 + person.number % 12, 1 + person.number % 28),
    })
}

/// A day at ten in the morning.
pub fn at(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(8)
}

/// A filled-in form whose items sum to `total`.
pub fn form(person: &DemoPatient, instrument: Instrument, nth: usize, day: NaiveDate, total: u16, item9: u8) -> Value {
    let definition = instrument.definition();
    let last = u16::from(item9);
    let mut answers = vec![0_u8; definition.item_count];
    let mut rest = total.max(last);
    if instrument == Instrument::Phq9 {
        answers[8] = item9;
        rest -= last;
    }
    let spread = if instrument == Instrument::Phq9 { 8 } else { definition.item_count };
    let mut i = person.number % spread;
    while rest > 0 && answers[..spread].iter().any(|a| *a < 3) {
        if answers[i] < 3 {
            answers[i] += 1;
            rest -= 1;
        }
        i = (i + 1) % spread;
    }
    let mut items: Vec<Value> = definition
        .items
        .iter()
        .zip(&answers)
        .map(|(code, answer)| {
            let (code_of_answer, display) = ANSWERS[usize::from(*answer).min(3)];
            json!({"linkId": format!("/{code}"), "answer": [
                {"valueCoding": {"system": "http://loinc.org", "code": code_of_answer, "display": display}}]})
        })
        .collect();
    let sum: u16 = answers.iter().copied().map(u16::from).sum();
    items.push(json!({"linkId": format!("/{}", definition.totals[0]), "answer": [{"valueInteger": sum}]}));
    json!({
        "resourceType": "QuestionnaireResponse",
        "id": format!("{}-{}-{nth}", person.id, instrument.id()),
        "meta": {"versionId": "1", "lastUpdated": at(day).to_rfc3339()},
        "questionnaire": format!("http://loinc.org/q/{}", definition.panel),
        "status": "completed",
        "subject": {"reference": format!("Patient/{}", person.id)},
        "authored": at(day).to_rfc3339(),
        "item": items,
    })
}

/// A later version of a form.
pub fn corrected(form: &Value, status: &str) -> Value {
    let mut next = form.clone();
    next["meta"]["versionId"] = json!("2");
    next["status"] = json!(status);
    next
}

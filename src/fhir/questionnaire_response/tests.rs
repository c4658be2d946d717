//! Forms of strangers: every linkId style, every way to answer, and the traps.

mod answering;
mod any_form;
mod finding;
mod suicidal;

use chrono::DateTime;
use serde_json::{Value, json};

use super::super::content::{Content, Evidence, InstrumentReading, ReadingContext};
use crate::domain::score::{Scored, score};
use crate::fhir::arrival::read;
use crate::fhir::mapping::{CodeMapping, MappingConfig};

/// The PHQ-9's codes and questions, in order.
pub(super) const PHQ9: [(&str, &str); 9] = [
    ("44250-9", "Little interest or pleasure in doing things"),
    ("44255-8", "Feeling down, depressed, or hopeless"),
    ("44259-0", "Trouble falling or staying asleep, or sleeping too much"),
    ("44254-1", "Feeling tired or having little energy"),
    ("44251-7", "Poor appetite or overeating"),
    ("44258-2", "Feeling bad about yourself, or that you are a failure"),
    ("44252-5", "Trouble concentrating on things, such as reading"),
    ("44253-3", "Moving or speaking so slowly, or being so fidgety or restless"),
    ("44260-8", "Thoughts that you would be better off dead, or of hurting yourself"),
];
pub(super) const GAD7: [(&str, &str); 7] = [
    ("69725-0", "Feeling nervous, anxious, or on edge"),
    ("68509-9", "Not being able to stop or control worrying"),
    ("69733-4", "Worrying too much about different things"),
    ("69734-2", "Trouble relaxing"),
    ("69735-9", "Being so restless that it is hard to sit still"),
    ("69689-8", "Becoming easily annoyed or irritable"),
    ("69736-7", "Feeling afraid, as if something awful might happen"),
];
/// Answers that sum to 12, with 1 at the suicide item.
pub(super) const VALUES: [usize; 9] = [2, 2, 1, 1, 0, 3, 1, 1, 1];

pub(super) fn loinc(value: usize) -> Value {
    json!({"valueCoding": {"code": (["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"][value])}})
}

pub(super) fn item(link_id: &str, answer: &Value) -> Value {
    json!({"linkId": link_id, "answer": [answer]})
}

pub(super) fn asked(link_id: &str, text: &str, answer: &Value) -> Value {
    json!({"linkId": link_id, "text": text, "answer": [answer]})
}

/// The nine items with linkIds made by `link` and answers made by `answer`.
pub(super) fn nine(link: impl Fn(usize) -> String, answer: impl Fn(usize) -> Value) -> Vec<Value> {
    VALUES.iter().enumerate().map(|(at, value)| item(&link(at), &answer(*value))).collect()
}

pub(super) fn coded_nine() -> Vec<Value> {
    nine(|at| format!("/{}", PHQ9[at].0), loinc)
}

#[expect(clippy::needless_pass_by_value, reason = "the tests make their items on the spot")]
pub(super) fn form(questionnaire: Option<&str>, items: Vec<Value>) -> Value {
    json!({"resourceType": "QuestionnaireResponse", "id": "f", "status": "completed", "questionnaire": questionnaire,
        "subject": {"reference": "Patient/1"}, "authored": "2026-03-04T10:00:00Z", "item": items})
}

pub(super) fn read_with(config: &MappingConfig, form: &Value) -> Evidence {
    let mapping = CodeMapping::from_config(config);
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    let bases = crate::fhir::base::Bases::default();
    let context = ReadingContext { zone: chrono_tz::America::New_York, now, mapping: &mapping, bases: &bases };
    let Content::Evidence(evidence) = read(&form.to_string(), &context).unwrap().content else { panic!("evidence") };
    evidence
}

pub(super) fn evidence(form: &Value) -> Evidence {
    read_with(&MappingConfig::default(), form)
}

/// The only reading of a form that nothing is wrong with.
pub(super) fn only(form: &Value) -> (InstrumentReading, Scored) {
    let evidence = evidence(form);
    assert_eq!(evidence.doubt, None, "{form}");
    let [reading] = evidence.readings.as_slice() else { panic!("not one reading: {evidence:?} {form}") };
    let scored = score(reading.instrument, &reading.answers).unwrap();
    (reading.clone(), scored)
}

pub(super) fn issues(scored: &Scored) -> Vec<&str> {
    scored.issues.iter().map(|issue| issue.code.as_str()).collect()
}

/// Nothing of ours, and nothing to ask.
pub(super) fn assert_ignored(form: &Value) {
    let evidence = evidence(form);
    assert_eq!((evidence.readings.as_slice(), &evidence.doubt), (&[][..], &None), "{form}");
}

/// Waits for somebody to say how to read it. What is identified meanwhile is for safety alone: a form in doubt is never
/// a score.
pub(super) fn assert_needs_mapping(form: &Value) -> Evidence {
    let evidence = evidence(form);
    assert_eq!(evidence.doubt.as_ref().map(|doubt| doubt.code), Some("mapping_needed"), "{form}");
    evidence
}

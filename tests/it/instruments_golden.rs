//! Each instrument's golden table, `golden/instruments/{id}.md`: a form as it arrives, and what it comes to. An item is
//! sent with its code, else with its words, else with its number. Answers are figures, or words between slashes; a dash
//! is an item left open.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::score::score;
use cocm_registry::fhir::arrival::read;
use cocm_registry::fhir::base::Bases;
use cocm_registry::fhir::content::{Content, ReadingContext};
use cocm_registry::fhir::mapping::CodeMapping;
use serde_json::{Value, json};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/instruments")
}

fn answers(cell: &str) -> Vec<Option<Value>> {
    let in_words = cell.contains('/');
    let parts: Vec<&str> = if in_words { cell.split('/').collect() } else { cell.split_whitespace().collect() };
    let answer = |part: &str| match part.parse::<i64>() {
        Ok(figure) => json!({"valueInteger": figure}),
        Err(_) => json!({"valueString": part}),
    };
    parts.into_iter().map(str::trim).map(|part| (part != "-").then(|| answer(part))).collect()
}

fn form(instrument: Instrument, answers: &[Option<Value>]) -> Value {
    let items = &instrument.definition().items;
    // Where a number has to tell an item, the numbers of the others have to agree with it.
    let are_numbered = items.iter().any(|item| item.code.is_none() && item.phrases.is_empty());
    let items = items.iter().zip(answers).enumerate();
    let items: Vec<Value> = items
        .filter_map(|(n, (item, answer))| {
            let number = format!("{}-{}", instrument.id(), n + 1);
            let (link_id, text) = match (&item.code, item.phrases.first()) {
                (Some(code), _) => (format!("/{code}"), None),
                (None, Some(phrase)) if !are_numbered => (format!("x{}", n * 7), Some(phrase)),
                (None, phrase) => (number, phrase),
            };
            Some(json!({"linkId": link_id, "text": text, "answer": [answer.clone()?]}))
        })
        .collect();
    json!({"resourceType": "QuestionnaireResponse", "id": "f", "status": "completed", "item": items,
        "questionnaire": format!("https://clinic.example/Questionnaire/{}", instrument.id()),
        "subject": {"reference": "Patient/1"}, "authored": "2026-03-04T10:00:00Z"})
}

/// Total, quality, band, answer to the self-harm item.
fn outcome(instrument: Instrument, cell: &str) -> [String; 4] {
    let now: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().unwrap();
    let mapping = CodeMapping::default();
    let context = ReadingContext { zone: chrono_tz::UTC, now, mapping: &mapping, bases: &Bases::default() };
    let form = form(instrument, &answers(cell)).to_string();
    let Content::Evidence(evidence) = read(&form, &context).unwrap().content else { panic!("no evidence") };
    let reading = evidence.readings.iter().find(|reading| reading.instrument == instrument);
    let Some(reading) = reading.filter(|_| evidence.doubt.is_none()) else {
        return [
            "–".into(),
            evidence.doubt.map_or("not found".into(), |doubt| format!("{}: {}", doubt.code, doubt.detail)),
            "–".into(),
            "–".into(),
        ];
    };
    let scored = score(instrument, &reading.answers).unwrap();
    let shown = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let band = scored.total.map(|total| instrument.band(total).to_owned());
    let total = scored.total.map(|total| total.to_string());
    let self_harm = scored.item9.map(|answer| answer.to_string());
    [shown(total), scored.quality.to_string(), shown(band), shown(self_harm)]
}

#[test]
fn every_instrument_comes_to_what_its_table_says() {
    for instrument in Instrument::all().iter().copied() {
        let path = folder().join(format!("{}.md", instrument.id()));
        let table = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let rows = table.lines().filter(|line| line.starts_with("| ") && !line.contains("| total |"));
        let mut count = 0;
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(outcome(instrument, cells[0]).as_slice(), &cells[1..], "{instrument}: {}", cells[0]);
            count += 1;
        }
        assert!(count >= 3, "{instrument}: too few rows");
    }
}

//! Real resources of strangers, with what they must be read as. The corpus itself stays outside the project.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::EvidenceStatus;
use cocm_registry::domain::score::{Scored, score};
use cocm_registry::fhir::arrival::{Arrival, read};
use cocm_registry::fhir::base::Bases;
use cocm_registry::fhir::content::{Content, Evidence, InstrumentReading, ReadingContext, Subject};
use cocm_registry::fhir::mapping::CodeMapping;

/// `COCM_SHARED`, or a `shared` beside the project or above it.
fn folder(name: &str) -> Option<PathBuf> {
    let beside =
        [concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"), concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")];
    let places = std::env::var("COCM_SHARED").into_iter().chain(beside.map(str::to_owned));
    let found = places.map(|place| PathBuf::from(place).join("corpus").join(name)).find(|path| path.is_dir());
    if found.is_none() {
        eprintln!("\n!!! SKIPPED: no corpus/{name}; set COCM_SHARED to the folder that holds `corpus`\n");
    }
    found
}

/// A file's name, its row of `index.tsv` as column → value, and its content.
type Row = (String, HashMap<String, String>, String);

fn index(name: &str) -> Option<Vec<Row>> {
    let folder = folder(name)?;
    let table = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let rows = lines.map(|line| {
        let row: HashMap<String, String> =
            columns.iter().map(ToString::to_string).zip(line.split('\t').map(str::to_owned)).collect();
        let file = row["file"].clone();
        let raw = fs::read_to_string(folder.join(&file)).unwrap();
        (file, row, raw)
    });
    Some(rows.collect())
}

fn arrival(raw: &str) -> Arrival {
    let now: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().unwrap();
    let mapping = CodeMapping::default();
    read(raw, &ReadingContext { zone: chrono_tz::America::New_York, now, mapping: &mapping, bases: &Bases::default() })
        .unwrap()
}

fn evidence(raw: &str) -> Evidence {
    let Content::Evidence(evidence) = arrival(raw).content else { panic!("no evidence") };
    evidence
}

fn only(evidence: &Evidence) -> (&InstrumentReading, Scored) {
    let [reading] = evidence.readings.as_slice() else { panic!("not one reading: {evidence:?}") };
    (reading, score(reading.instrument, &reading.answers).unwrap())
}

fn instrument(text: &str) -> Option<Instrument> {
    match text.split_whitespace().next() {
        Some("PHQ-9") => Some(Instrument::PHQ9),
        Some("GAD-7") => Some(Instrument::GAD7),
        _ => None,
    }
}

#[test]
fn every_form_of_the_corpus_is_read_as_its_index_says() {
    let Some(rows) = index("qr") else { return };
    assert!(rows.len() >= 16);
    for (file, row, raw) in rows {
        let evidence = evidence(&raw);
        let Some(expected) = instrument(&row["instrument"]) else {
            let depression = evidence.readings.iter().find(|reading| reading.instrument.measures_depression());
            assert_eq!((depression, &evidence.doubt), (None, &None), "{file}");
            continue;
        };
        let (reading, scored) = only(&evidence);
        assert_eq!(reading.instrument, expected, "{file}");
        let items: Vec<Option<u8>> = row["item_scores_in_order"].split(' ').map(|item| item.parse().ok()).collect();
        assert_eq!(reading.answers.items, items, "{file}");
        assert_eq!(reading.answers.unreadable, Vec::<usize>::new(), "{file}");
        let answered = items.iter().flatten().count();
        assert_eq!(answered.to_string(), row["items_answered"], "{file}");
        let sum: u16 = items.iter().flatten().copied().map(u16::from).sum();
        assert_eq!(sum.to_string(), row["expected_sum_of_answered_items"], "{file}");
        if answered == items.len() {
            assert_eq!(scored.total, Some(sum), "{file}");
        }
        let item9 = row["expected_item9"].parse().ok();
        assert_eq!(scored.item9, item9, "{file}");
        assert_eq!(scored.item9_unknown, expected == Instrument::PHQ9 && item9.is_none(), "{file}");
        let stated: Option<u16> = row["stated_total_in_resource"].parse().ok();
        if stated.is_some() {
            assert_eq!(reading.answers.stated_total, stated, "{file}");
        }
        let has_mismatch = scored.issues.iter().any(|issue| issue.code == "total_mismatch");
        assert_eq!(has_mismatch, stated.is_some_and(|stated| stated != sum), "{file}: {:?}", scored.issues);

        let doubt = evidence.doubt.as_ref().map(|doubt| doubt.code);
        let expected = if row["oddities"].contains("no subject") || row["oddities"].contains("NO subject") {
            Some("no_subject")
        } else {
            None
        };
        assert_eq!(doubt, expected, "{file}");
        assert_eq!(evidence.counting == EvidenceStatus::Partial, raw.contains("in-progress"), "{file}");
    }
}

#[test]
fn every_observation_of_the_corpus_is_read_as_its_index_says() {
    let Some(rows) = index("obs") else { return };
    assert!(rows.len() >= 10);
    for (file, row, raw) in rows {
        let evidence = evidence(&raw);
        assert_eq!(evidence.doubt, None, "{file}");
        let expected = &row["expected_total_or_value"];
        if row["instrument"] == "AUDIT-C" || row["oddities"] == "difficulty" {
            assert!(!evidence.readings.iter().any(|reading| reading.instrument.measures_depression()), "{file}");
            continue;
        }
        let (reading, scored) = only(&evidence);
        assert_eq!(Some(reading.instrument), instrument(&row["instrument"]), "{file}");
        if let Some((_, value)) = expected.split_once("=> ") {
            assert!(reading.is_single_item, "{file}");
            assert_eq!(
                reading.answers.items.iter().flatten().collect::<Vec<_>>(),
                [&value.parse::<u8>().unwrap()],
                "{file}"
            );
            assert_eq!(scored.item9.is_some(), expected.contains("item9"), "{file}");
        } else {
            assert_eq!((reading.is_single_item, scored.total), (false, expected.parse().ok()), "{file}");
        }
    }
}

#[test]
fn every_patient_of_the_corpus_is_read() {
    let Some(rows) = index("patient") else { return };
    assert!(rows.len() >= 13);
    for (file, row, raw) in rows {
        let arrival = arrival(&raw);
        let Content::Patient(person) = &arrival.content else { panic!("{file}") };
        let traits = &row["traits"];
        assert_eq!(person.deceased, row["expected_handling"].contains("deceased"), "{file}");
        assert_eq!(person.deceased_on.is_some(), traits.contains("deceasedDateTime"), "{file}");
        assert_eq!(person.display_name.is_none(), traits.contains("NO NAME"), "{file}");
        assert_eq!(person.birth_date.is_none(), traits.contains("birthDate=MISSING"), "{file}");
        assert!(!person.inactive && person.links.is_empty(), "{file}");
        assert!(!arrival.identifiers.is_empty(), "{file}");
    }
}

#[test]
fn a_contained_patient_with_an_identifier_is_that_patient() {
    let Some(folder) = folder("qr") else { return };
    let raw = fs::read_to_string(folder.join("hl7-r4-questionnaireresponse-example-negative.json")).unwrap();
    let subject = evidence(&raw).subject;
    assert!(matches!(subject, Some(Subject::Identifiers(all)) if all[0].value == "A34442332"));
}

//! Observations of strangers.

use chrono::DateTime;
use serde_json::{Value, json};

use super::super::content::{Content, Evidence, ReadingContext};
use crate::domain::instrument::Instrument::{Gad7, Phq2, Phq9};
use crate::domain::measurement::{EvidenceStatus, Quality};
use crate::domain::score::score;
use crate::fhir::arrival::read;
use crate::fhir::mapping::{CodeMapping, MappingConfig};

fn evidence(observation: &Value) -> Evidence {
    let config: MappingConfig = toml::from_str(r#"items = { "EPIC-77" = "phq9/total" }"#).unwrap();
    let mapping = CodeMapping::from_config(&config);
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    let context = ReadingContext { zone: chrono_tz::America::New_York, now, mapping: &mapping };
    let Content::Evidence(evidence) = read(&observation.to_string(), &context).unwrap().content else { panic!() };
    evidence
}

fn code(code: &str) -> Value {
    json!({"coding": [{"system": "urn:local", "code": "x"}, {"system": "http://loinc.org", "code": code}]})
}

fn observation(which: &str, more: &Value) -> Value {
    let mut observation = json!({"resourceType": "Observation", "id": "o", "status": "final", "code": code(which),
        "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-03-04T10:00:00Z"});
    observation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    observation
}

#[test]
fn a_total_is_read_from_every_kind_of_value_on_the_total_or_the_panel() {
    for which in ["44261-6", "44249-1", "720433000", "EPIC-77"] {
        for value in [
            json!({"valueInteger": 12}),
            json!({"valueDecimal": 12.0}),
            json!({"valueString": "12"}),
            json!({"valueQuantity": {"value": 12, "unit": "{score}"}}),
            json!({"valueCodeableConcept": {"coding": [{"code": "mod", "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 12}]}]}}),
        ] {
            let evidence = evidence(&observation(which, &value));
            assert_eq!((evidence.readings.len(), &evidence.doubt), (1, &None), "{which} {value}");
            let reading = &evidence.readings[0];
            let scored = score(reading.instrument, &reading.answers).unwrap();
            assert_eq!(
                (reading.instrument, scored.total, scored.quality),
                (Phq9, Some(12), Quality::TotalOnly),
                "{value}"
            );
            assert!(!reading.is_single_item);
        }
    }
}

#[test]
fn a_total_that_is_none_is_unscorable_with_the_reason() {
    for (value, issue) in [
        (json!({"valueInteger": 28}), "total_out_of_range"),
        (json!({"valueDecimal": 12.5}), "unreadable_total"),
        (json!({"valueString": "moderate"}), "unreadable_total"),
        (json!({"valueInteger": -1}), "unreadable_total"),
    ] {
        let reading = &evidence(&observation("44261-6", &value)).readings[0];
        let scored = score(reading.instrument, &reading.answers).unwrap();
        assert_eq!((scored.total, scored.issues[0].code.as_str()), (None, issue), "{value}");
    }
}

#[test]
fn an_item_is_one_item_and_the_difficulty_is_nothing() {
    let answer = json!({"valueCodeableConcept": {"coding": [{"code": "LA6570-1"}]}});
    let reading = &evidence(&observation("44260-8", &answer)).readings[0];
    assert_eq!((reading.instrument, reading.is_single_item, reading.answers.items[8]), (Phq9, true, Some(2)));
    assert_eq!(reading.answers.items.iter().flatten().count(), 1);
    let words = json!({"valueCodeableConcept": {"text": "Several days"}});
    assert_eq!(evidence(&observation("69736-7", &words)).readings[0].answers.items[6], Some(1));
    for (which, value) in [
        ("69722-7", json!({"valueInteger": 1})),
        ("44249-1", json!({})),
        ("44261-6", json!({"dataAbsentReason": {"text": "declined"}})),
        ("75626-2", json!({"valueInteger": 1})),
        ("70272-0", json!({"valueInteger": 1})),
        ("44250-9", json!({"valueCodeableConcept": {"coding": [{"code": "LA10997-7"}]}})),
    ] {
        let evidence = evidence(&observation(which, &value));
        assert_eq!((evidence.readings.len(), evidence.doubt), (0, None), "{which}");
    }
}

#[test]
fn a_form_in_components_is_a_whole_reading() {
    let items = ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"];
    let component = |which: &str, value: u8| json!({"code": code(which), "valueInteger": value});
    let mut components: Vec<Value> = items.iter().map(|item| component(item, 1)).collect();
    components.push(component("70274-6", 9));
    let reading = &evidence(&observation("69737-5", &json!({"component": components}))).readings[0];
    let scored = score(reading.instrument, &reading.answers).unwrap();
    assert_eq!((reading.instrument, reading.is_single_item, scored.total), (Gad7, false, Some(7)));
    assert_eq!(scored.issues[0].code, "total_mismatch");
    let two = json!({"component": [component("44250-9", 1), component("44255-8", 2)]});
    assert_eq!(evidence(&observation("55757-9", &two)).readings[0].instrument, Phq2);
}

#[test]
fn the_status_says_whether_it_counts() {
    for (status, counting) in [
        ("final", EvidenceStatus::Submitted),
        ("amended", EvidenceStatus::Submitted),
        ("corrected", EvidenceStatus::Submitted),
        ("preliminary", EvidenceStatus::Partial),
        ("registered", EvidenceStatus::Partial),
        ("unknown", EvidenceStatus::Partial),
        ("cancelled", EvidenceStatus::Retracted),
        ("entered-in-error", EvidenceStatus::Retracted),
    ] {
        let found = evidence(&observation("44261-6", &json!({"valueInteger": 3, "status": status})));
        assert_eq!(found.counting, counting, "{status}");
    }
}

#[test]
fn the_date_is_when_it_was_taken_and_never_when_it_was_filed() {
    let at = |more: &Value| {
        let mut observation = observation("44261-6", &json!({"valueInteger": 3, "issued": "2026-05-05T10:00:00Z"}));
        observation.as_object_mut().unwrap().remove("effectiveDateTime");
        observation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let evidence = evidence(&observation);
        evidence.taken.map(|taken| taken.on.to_string()).ok_or(evidence.doubt.map(|doubt| doubt.code))
    };
    assert_eq!(at(&json!({"effectiveInstant": "2026-03-04T10:00:00Z"})).as_deref(), Ok("2026-03-04"));
    assert_eq!(
        at(&json!({"effectivePeriod": {"start": "2026-03-01", "end": "2026-03-02"}})).as_deref(),
        Ok("2026-03-02")
    );
    assert_eq!(at(&json!({"effectivePeriod": {"start": "2026-03-01"}})).as_deref(), Ok("2026-03-01"));
    assert_eq!(at(&json!({})), Err(Some("no_authored")));
}

//! Observations of strangers.

use chrono::DateTime;
use serde_json::{Value, json};

use super::super::content::{Content, Evidence, ReadingContext};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{EvidenceStatus, Quality};
use crate::domain::score::score;
use crate::fhir::arrival::read;
use crate::fhir::mapping::{CodeMapping, MappingConfig};

fn evidence(observation: &Value) -> Evidence {
    let config: MappingConfig = toml::from_str(r#"items = { "EPIC-77" = "phq9/total" }"#).unwrap();
    let mapping = CodeMapping::from_config(&config);
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    let bases = crate::fhir::base::Bases::default();
    let context = ReadingContext { zone: chrono_tz::America::New_York, now, mapping: &mapping, bases: &bases };
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
                (Instrument::PHQ9, Some(12), Quality::TotalOnly),
                "{value}"
            );
            assert!(!reading.is_single_item);
        }
    }
}

#[test]
fn a_value_beside_the_reason_why_there_is_none_is_no_score() {
    let absent = json!({"valueInteger": 0, "dataAbsentReason": {"coding": [{"code": "not-performed"}]}});
    let total = evidence(&observation("44261-6", &absent));
    assert_eq!(total.doubt.map(|doubt| doubt.code), Some("not_a_score"));
    let item = evidence(&observation("44260-8", &absent));
    let scored = score(item.readings[0].instrument, &item.readings[0].answers).unwrap();
    assert_eq!((scored.item9, scored.item9_unreadable), (None, true));
}

#[test]
fn a_total_that_is_none_is_unscorable_with_the_reason() {
    for (value, issue) in [
        (json!({"valueInteger": 28}), "total_out_of_range"),
        (json!({"valueDecimal": 12.5}), "unreadable_total"),
        (json!({"valueString": "moderate"}), "unreadable_total"),
        (json!({"valueInteger": -1}), "unreadable_total"),
        (json!({"valueQuantity": {"value": 10, "comparator": "<"}}), "compared_total"),
        (json!({"valueQuantity": {"value": 18, "unit": "%"}}), "percentage_for_total"),
        (json!({"valueQuantity": {"value": 18, "code": "{T-score}"}}), "percentage_for_total"),
        (json!({"valueString": "12/27"}), "unreadable_total"),
        (json!({"valueString": "10-14"}), "unreadable_total"),
        (json!({"valueRange": {"low": {"value": 10}, "high": {"value": 14}}}), "unreadable_total"),
        (
            json!({"valueCodeableConcept": {"coding": [{"system": "urn:severity", "code": "3"}], "text": "Severe"}}),
            "category_for_total",
        ),
    ] {
        let found = evidence(&observation("44261-6", &value));
        assert_eq!(found.doubt.as_ref().map(|doubt| doubt.code), Some("not_a_score"), "{value}");
        let reading = &found.readings[0];
        let scored = score(reading.instrument, &reading.answers).unwrap();
        assert_eq!((scored.total, scored.issues[0].code.as_str()), (None, issue), "{value}");
    }
}

#[test]
fn an_item_is_one_item_and_the_difficulty_is_nothing() {
    let answer = json!({"valueCodeableConcept": {"coding": [{"code": "LA6570-1"}]}});
    let reading = &evidence(&observation("44260-8", &answer)).readings[0];
    assert_eq!(
        (reading.instrument, reading.is_single_item, reading.answers.items[8]),
        (Instrument::PHQ9, true, Some(2))
    );
    assert_eq!(reading.answers.items.iter().flatten().count(), 1);
    let words = json!({"valueCodeableConcept": {"text": "Several days"}});
    assert_eq!(evidence(&observation("69736-7", &words)).readings[0].answers.items[6], Some(1));
    for (which, value) in [
        ("69722-7", json!({"valueInteger": 1})),
        ("44249-1", json!({})),
        ("44261-6", json!({"dataAbsentReason": {"text": "declined"}})),
        ("54635-8", json!({"valueInteger": 1})),
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
    assert_eq!((reading.instrument, reading.is_single_item, scored.total), (Instrument::GAD7, false, Some(7)));
    assert_eq!(scored.issues[0].code, "total_mismatch");
    let two = json!({"component": [component("44250-9", 1), component("44255-8", 2)]});
    assert_eq!(evidence(&observation("55757-9", &two)).readings[0].instrument, Instrument::PHQ2);
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

fn local(text: &str, more: &Value) -> Evidence {
    let mut observation = observation("x", more);
    observation["code"] = json!({"coding": [{"system": "urn:oid:1.2.840.114350", "code": "1570000003"}], "text": text});
    evidence(&observation)
}

#[test]
fn a_local_code_with_telling_words_waits_and_names_itself() {
    for (text, value) in [
        ("PHQ-9 Total Score", json!({"valueQuantity": {"value": 18}})),
        ("GAD-7 score", json!({"valueString": "11"})),
        ("Little interest or pleasure in doing things", json!({"valueString": "Several days"})),
        ("Mood question 3", json!({"valueCodeableConcept": {"coding": [{"code": "LA6570-1"}]}})),
        ("PHQ-9 question 4", json!({"valueInteger": 2})),
        ("Depression screening total score (PHQ)", json!({"valueInteger": 18})),
        ("PHQ score", json!({"valueInteger": 18})),
    ] {
        let found = local(text, &value);
        let doubt = found.doubt.unwrap();
        assert!(doubt.code == "mapping_needed" && doubt.detail.contains("1570000003"), "{text}: {doubt:?}");
        assert!(found.readings.iter().all(|reading| reading.answers.items.is_empty()), "{text}: no score");
    }
}

#[test]
fn laboratory_and_vital_signs_are_nothing() {
    for (text, value) in [
        ("Heart rate", json!({"valueQuantity": {"value": 72}})),
        ("Glutamic acid decarboxylase 65 Ab (GAD65)", json!({"valueQuantity": {"value": 5}})),
        ("Total cholesterol score", json!({"valueInteger": 3})),
        ("Stress level", json!({"valueCodeableConcept": {"coding": [{"code": "LA6568-5", "display": "Not at all"}]}})),
        ("Patient Health Questionnaire 15 item (PHQ-15) total", json!({"valueInteger": 3})),
    ] {
        let found = local(text, &value);
        assert_eq!((found.readings.len(), found.doubt), (0, None), "{text}");
    }
}

#[test]
fn the_words_of_the_self_harm_item_are_seen_under_any_code() {
    let text = "Thoughts that you would be better off dead, or of hurting yourself";
    for (value, items, unreadable) in [
        (json!({"valueString": "Nearly every day"}), Some(3), 0),
        (json!({"valueInteger": 2}), Some(2), 0),
        (json!({"valueString": "sometimes"}), None, 1),
    ] {
        let found = local(text, &value);
        assert_eq!(found.doubt.unwrap().code, "mapping_needed");
        let answers = &found.readings[0].answers;
        assert_eq!((answers.items[8], answers.unreadable.len()), (items, unreadable), "{value}");
    }
    let no = local(text, &json!({"valueBoolean": false}));
    assert_eq!((no.readings.len(), no.doubt.unwrap().code), (0, "mapping_needed"));
}

#[test]
fn an_observation_about_somebody_else_is_nobodys_score() {
    let inside = json!([{"resourceType": "RelatedPerson", "id": "mother"}, {"resourceType": "Device", "id": "device"}]);
    let score = |focus: Value| {
        evidence(&observation("44261-6", &json!({"valueInteger": 12, "focus": [focus], "contained": inside.clone()})))
    };
    for focus in [
        json!({"reference": "Patient/child"}),
        json!({"reference": "RelatedPerson/1"}),
        json!({"type": "Patient"}),
        json!({"reference": "#mother"}),
        json!({"reference": "urn:uuid:0b3c"}),
        json!({"display": "Baby Ann"}),
        json!({"reference": "https://other.example/Patient/2"}),
    ] {
        let found = score(focus);
        assert_eq!((found.readings.len(), found.doubt.unwrap().code), (0, "about_somebody_else"));
    }
    for focus in [
        json!({"reference": "Patient/1"}),
        json!({"reference": "https://ehr.example/fhir/Patient/1"}),
        json!({"reference": "Observation/1"}),
        json!({"reference": "#device"}),
    ] {
        assert_eq!(score(focus).doubt, None);
    }
}

#[test]
fn an_unknown_modifier_makes_it_wait() {
    let modified = json!({"valueInteger": 3, "modifierExtension": [{"url": "urn:not-done", "valueBoolean": true}]});
    assert_eq!(evidence(&observation("44261-6", &modified)).doubt.unwrap().code, "unknown_modifier");
    assert_eq!(evidence(&observation("8867-4", &modified)).doubt, None);
}

#[test]
fn components_in_words_are_items_of_a_known_panel_and_wait_under_an_unknown_one() {
    let words =
        [("Little interest or pleasure", 2), ("Feeling down, depressed, or hopeless", 1), ("Better off dead", 2)];
    let components: Vec<Value> =
        words.iter().map(|(text, value)| json!({"code": {"text": text}, "valueInteger": value})).collect();
    let known = evidence(&observation("44249-1", &json!({"component": components})));
    let items = &known.readings[0].answers.items;
    assert_eq!((known.doubt.as_ref(), items[0], items[1], items[8]), (None, Some(2), Some(1), Some(2)));
    let unknown = local("Mood", &json!({"component": components}));
    assert_eq!(unknown.doubt.unwrap().code, "mapping_needed");
    assert_eq!(unknown.readings[0].answers.items[8], Some(2), "safety sees it");
    let mut with_code = components.clone();
    with_code.push(json!({"code": code("44259-0"), "valueInteger": 3}));
    let half_known = local("Mood", &json!({"component": with_code}));
    assert_eq!((half_known.doubt, half_known.readings[0].answers.items[8]), (None, Some(2)));
    let more = json!({"code": {"text": "Cigarettes a day"}, "valueInteger": 20});
    let beside = evidence(&observation("44249-1", &json!({"component": [components[0], more]})));
    assert_eq!((beside.doubt, beside.readings.len()), (None, 1));
}

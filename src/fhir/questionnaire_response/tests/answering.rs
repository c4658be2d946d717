//! How an answer may be written, and what it must not be taken for.

use super::*;

const ORDINAL: &str = "http://hl7.org/fhir/StructureDefinition/ordinalValue";
const WEIGHT: &str = "http://hl7.org/fhir/StructureDefinition/itemWeight";
const WORDS: [&str; 4] = ["Not at all", "Several days", "More than half the days", "Nearly every day"];

/// A PHQ-9 with one item answered as given and 1 for all others.
fn with(position: usize, answers: &Value) -> Value {
    let mut items: Vec<Value> = PHQ9.iter().map(|(code, _)| item(&format!("/{code}"), &loinc(1))).collect();
    items[position]["answer"] = answers.clone();
    form(None, items)
}

#[test]
fn every_way_to_answer_is_understood() {
    let ways: [fn(usize) -> Value; 21] = [
        loinc,
        |v| json!({"valueCoding": {"system": "http://loinc.org", "code": loinc(v)["valueCoding"]["code"], "display": WORDS[v]}}),
        |v| json!({"valueCoding": {"system": "http://x", "code": v.to_string()}}),
        |v| json!({"valueCoding": {"code": v}}),
        |v| json!({"valueCoding": {"code": WORDS[v]}}),
        |v| json!({"valueCoding": {"system": "http://hl7.org/fhir/uv/sdc/CodeSystem/CSPHQ9", "code": WORDS[v].replace(' ', "-")}}),
        |v| json!({"valueCoding": {"display": WORDS[v].to_uppercase()}}),
        |v| json!({"valueCoding": {"code": (["a", "b", "c", "d"][v]), "extension": [{"url": ORDINAL, "valueDecimal": v}]}}),
        |v| json!({"valueCoding": {"code": "zz", "extension": [{"url": WEIGHT, "valueDecimal": v}]}}),
        |v| json!({"valueCoding": {"code": "zz"}, "extension": [{"url": ORDINAL, "valueDecimal": v}]}),
        |v| json!({"valueString": "whatever", "extension": [{"url": ORDINAL, "valueInteger": v}]}),
        |v| json!({"valueString": "whatever", "_valueString": {"extension": [{"url": ORDINAL, "valueInteger": v}]}}),
        |v| json!({"extension": [{"url": WEIGHT, "valueDecimal": v}]}),
        |v| json!({"valueInteger": v}),
        |v| json!({"valueDecimal": f64::from(u32::try_from(v).unwrap())}),
        |v| json!({"valueString": format!(" {v} ")}),
        |v| json!({"valueString": format!("{v} - {}", WORDS[v])}),
        |v| json!({"valueString": (["Para nada", "Varios días", "Más de la mitad de los días", "Casi todos los días"][v])}),
        |v| json!({"valueString": (["Überhaupt nicht", "An einzelnen Tagen", "An mehr als der Hälfte der Tage", "Beinahe jeden Tag"][v])}),
        |v| json!({"valueCoding": {"display": (["Jamais", "Plusieurs jours", "Plus de la moitié du temps", "Presque tous les jours"][v])}}),
        |v| json!({"valueQuantity": {"value": v}}),
    ];
    for way in ways {
        let (_, scored) = only(&form(None, nine(|at| PHQ9[at].0.to_owned(), way)));
        assert_eq!((scored.total, scored.item9, scored.issues.len()), (Some(12), Some(1), 0), "{}", way(2));
    }
}

#[test]
fn an_answer_that_nobody_knows_is_unreadable_and_never_0() {
    for answer in [
        json!({"valueCoding": {"system": "http://x", "code": "B"}}),
        json!({"valueString": "sometimes"}),
        json!({"valueBoolean": false}),
        json!({"valueDecimal": 1.5}),
        json!({"valueCoding": {"code": "LA6573-5"}}),
        json!({"valueCoding": {"system": "http://x", "code": "LA10998-X"}}),
        json!({"valueInteger": 1, "valueString": "2"}),
    ] {
        let (reading, scored) = only(&with(2, &json!([answer])));
        assert_eq!((reading.answers.items[2], reading.answers.unreadable), (None, vec![2]), "{answer}");
        assert_eq!(scored.total, None, "{answer}");
    }
}

#[test]
fn a_value_out_of_range_is_remarked_and_unreadable() {
    for answer in [json!({"valueInteger": 4}), json!({"valueInteger": -1}), json!({"valueString": "99"})] {
        let (_, scored) = only(&with(8, &json!([answer])));
        assert_eq!((scored.total, scored.item9, scored.item9_unknown), (None, None, true), "{answer}");
        assert!(issues(&scored).contains(&"out_of_range"), "{answer}");
    }
}

#[test]
fn nothing_said_is_unanswered_and_not_unreadable() {
    for answers in [
        json!([]),
        json!([{}]),
        json!(null),
        json!([{"valueString": " "}]),
        json!([{"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "asked-declined"}]}]),
        json!([{"valueCoding": {"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}}]),
    ] {
        let (reading, scored) = only(&with(8, &answers));
        assert_eq!((reading.answers.items[8], reading.answers.unreadable.len()), (None, 0), "{answers}");
        assert_eq!((scored.total, scored.item9, scored.item9_unknown), (Some(9), None, true), "{answers}");
    }
}

#[test]
fn a_known_code_is_trusted_before_an_ordinal_and_a_display() {
    let answer = json!([{"valueCoding": {"code": "LA6571-9", "display": "Nearly every day",
        "extension": [{"url": ORDINAL, "valueDecimal": 4}]}}]);
    assert_eq!(only(&with(0, &answer)).0.answers.items[0], Some(3), "the SDC example weighs it 4");
    let answer = json!([{"valueCoding": {"code": "1", "display": "Nearly every day",
        "extension": [{"url": ORDINAL, "valueDecimal": 2}]}, "extension": [{"url": ORDINAL, "valueDecimal": 0}]}]);
    assert_eq!(only(&with(0, &answer)).0.answers.items[0], Some(2));
}

#[test]
fn a_code_and_words_that_disagree_are_remarked_and_the_code_wins() {
    let answer = json!([{"valueCoding": {"code": "LA6568-5", "display": "Nearly every day"}}]);
    let (_, scored) = only(&with(2, &answer));
    assert_eq!((scored.total, scored.item9_unknown, issues(&scored)), (Some(8), false, vec!["code_display_mismatch"]));
    let (_, scored) = only(&with(8, &answer));
    assert_eq!((scored.total, scored.item9, scored.item9_unknown), (Some(8), Some(0), true), "somebody has to ask");
}

#[test]
fn local_codes_that_count_from_1_are_not_taken_as_values() {
    let from_one =
        |v: usize| json!({"valueCoding": {"system": "http://x", "code": (v + 1).to_string(), "display": WORDS[v]}});
    let evidence = assert_needs_mapping(&form(None, nine(|at| PHQ9[at].0.to_owned(), from_one)));
    assert_eq!(evidence.readings[0].answers.items[8], Some(1), "safety listens to the words");
}

#[test]
fn an_item_answered_twice_counts_once_or_not_at_all() {
    let (_, scored) = only(&with(2, &json!([loinc(1), loinc(1)])));
    assert_eq!((scored.total, issues(&scored)), (Some(9), vec!["duplicate_item"]));
    let (reading, scored) = only(&with(2, &json!([loinc(0), loinc(3)])));
    assert_eq!((reading.answers.items[2], scored.total), (None, None));
    let mut twice = coded_nine();
    twice.push(item("/44260-8", &loinc(3)));
    twice.push(item("/44260-8", &loinc(0)));
    let (_, scored) = only(&form(None, twice));
    assert_eq!((scored.total, scored.item9, scored.item9_unknown), (None, Some(3), true), "safety sees the highest");
}

#[test]
fn a_number_in_quotes_is_tolerated_and_remarked() {
    let (reading, scored) = only(&with(2, &json!([{"valueInteger": "1"}])));
    assert_eq!((reading.answers.items[2], scored.total, issues(&scored)), (Some(1), Some(9), vec!["number_as_string"]));
}

#[test]
fn the_difficulty_never_counts() {
    let weighed = json!({"valueCoding": {"code": "LA6573-5", "display": "Somewhat difficult",
        "extension": [{"url": ORDINAL, "valueDecimal": 1}]}});
    for link in ["/69722-7", "q10", "phq9-difficulty", "10"] {
        let mut items = nine(|at| format!("q{}", at + 1), loinc);
        items.push(item(link, &weighed));
        assert_eq!(only(&form(Some("phq-9"), items)).1.total, Some(12), "{link}");
    }
    let mut numeric = nine(|at| format!("q{}", at + 1), |value| json!({"valueInteger": value}));
    numeric.push(item("q10", &json!({"valueInteger": 2})));
    assert_eq!(only(&form(Some("phq-9"), numeric)).1.total, Some(12));
}

#[test]
fn a_completed_form_with_two_of_nine_items_has_no_score() {
    let items = coded_nine().drain(4..6).collect();
    let (_, scored) = only(&form(None, items));
    assert_eq!((scored.total, scored.item9_unknown), (None, true));
}

#[test]
fn remarks_never_repeat_what_was_written() {
    let (_, scored) = only(&with(2, &json!([{"valueString": "Secret sorrow"}, loinc(2)])));
    assert!(!scored.issues.is_empty() && !format!("{:?}", scored.issues).contains("Secret"));
}

//! Rejected and accepted resources, with the place of the error.

use super::*;
use crate::fhir::mapping::CodeMapping;

fn attempt(raw: &str) -> Result<Arrival, Problem> {
    let mapping = CodeMapping::default();
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    read(raw, &ReadingContext { zone: chrono_tz::America::New_York, now, mapping: &mapping })
}

fn form(members: &str) -> String {
    format!(r#"{{"resourceType":"QuestionnaireResponse","status":"completed"{members}}}"#)
}

#[test]
fn what_violates_the_specification_is_refused_with_its_place() {
    for (raw, status, place) in [
        ("nonsense".to_owned(), 400, "Resource"),
        ("[]".to_owned(), 400, "Resource"),
        ("{}".to_owned(), 400, "Resource.resourceType"),
        (r#"{"resourceType":"Encounter"}"#.to_owned(), 422, "Resource.resourceType"),
        (r#"{"resourceType":"QuestionnaireResponse"}"#.to_owned(), 400, "QuestionnaireResponse.status"),
        (form(r#","status":"done""#), 400, "QuestionnaireResponse.status"),
        (form(r#","status":1"#), 400, "QuestionnaireResponse.status"),
        (form(r#","id":"a/b""#), 400, "QuestionnaireResponse.id"),
        (form(r#","authored":"2026-02-30""#), 400, "QuestionnaireResponse.authored"),
        (form(r#","authored":20260302"#), 400, "QuestionnaireResponse.authored"),
        (form(r#","subject":"Patient/1""#), 400, "QuestionnaireResponse.subject"),
        (form(r#","subject":{"reference":"Jane Doe"}"#), 400, "QuestionnaireResponse.subject.reference"),
        (form(r#","meta":{"lastUpdated":"2026-02-30T00:00:00Z"}"#), 400, "QuestionnaireResponse.meta.lastUpdated"),
        (r#"{"resourceType":"Observation"}"#.to_owned(), 400, "Observation.status"),
        (
            r#"{"resourceType":"Observation","status":"final","effectiveDateTime":"2026-13-01"}"#.to_owned(),
            400,
            "Observation.effectiveDateTime",
        ),
    ] {
        let problem = attempt(&raw).unwrap_err();
        assert_eq!((problem.category.status(), problem.expression.as_deref()), (status, Some(place)), "{raw}");
        assert!(!problem.detail.contains("Jane") && !problem.detail.contains("2026"), "{problem}");
    }
}

#[test]
fn the_envelope_is_read() {
    let raw = r#"{"resourceType":"Patient","id":"p1","meta":{"versionId":3,"lastUpdated":"2026-03-04T10:00:00.5-05:00"},
        "identifier":[{"system":"s","value":"1"},{"use":"old","value":"0"},{"system":"s"},{"system":"s","value":"1"}]}"#;
    let arrival = attempt(raw).unwrap();
    assert_eq!(
        (arrival.kind, arrival.id.as_deref(), arrival.version_id.as_deref()),
        (ResourceType::Patient, Some("p1"), Some("3"))
    );
    assert_eq!(arrival.last_updated.unwrap().to_rfc3339(), "2026-03-04T15:00:00.500+00:00");
    assert_eq!(arrival.identifiers, [Identifier { system: Some("s".into()), value: "1".into() }]);
    assert_eq!(arrival.raw, raw);
}

#[test]
fn odd_elements_anywhere_else_never_fail() {
    for members in [
        r#","item":{"linkId":5,"answer":"x","text":["y"]}"#,
        r#","item":[null,1,"a",[],{"item":[[]],"answer":[1,null,{"valueCoding":"x","item":7}]}]"#,
        r#","extension":"none","questionnaire":[1],"contained":{},"identifier":"7","meta":[]"#,
        r#","item":[{"linkId":"44250-9-é/ü-","definition":"--1-","text":"é"},{"linkId":"99999999999999999999"}]"#,
    ] {
        let arrival = attempt(&form(members));
        assert!(arrival.is_ok(), "{members} {arrival:?}");
    }
}

#[test]
fn a_form_of_ours_without_a_usable_patient_waits() {
    let item =
        r#","authored":"2026-03-04","item":[{"linkId":"/44260-8","answer":[{"valueCoding":{"code":"LA6571-9"}}]}]"#;
    for (subject, doubt) in [
        ("", "no_subject"),
        (r#","subject":{"reference":"{{patient}}"}"#, "unusable_subject"),
        (r#","subject":{"reference":"Group/1"}"#, "subject_not_a_patient"),
        (r##","subject":{"reference":"#p"}"##, "contained_subject"),
    ] {
        let Content::Evidence(evidence) = attempt(&form(&format!("{item}{subject}"))).unwrap().content else {
            panic!()
        };
        assert_eq!(evidence.doubt.unwrap().code, doubt);
        assert_eq!(evidence.readings[0].answers.items[8], Some(3), "the answer is there for whoever looks");
    }
}

mod any_input {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::instrument::Instrument;
    use crate::fhir::mapping::CodeMapping;

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            (-5..40_i32).prop_map(|n| n.to_string()),
            proptest::sample::select(vec![
                "\"\"",
                "\"/44250-9\"",
                "\"44260-8\"",
                "\"LA6571-9\"",
                "\"phq-9\"",
                "\"q9\"",
                "\"completed\"",
                "\"é-1\"",
                "\"2026-03-08T02:30:00\"",
                "\"Patient/1\"",
                "\"urn:uuid:\"",
                "\"better off dead\"",
                "1e300",
                "\"#a\"",
            ])
            .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let name = proptest::sample::select(vec![
                "item",
                "answer",
                "linkId",
                "text",
                "valueCoding",
                "valueInteger",
                "valueString",
                "code",
                "display",
                "extension",
                "url",
                "reference",
                "subject",
                "authored",
                "questionnaire",
                "component",
                "coding",
                "definition",
                "contained",
                "identifier",
                "value",
                "status",
                "name",
                "link",
                "other",
                "type",
            ]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(|list| format!("[{}]", list.join(","))),
                proptest::collection::vec((name, inner), 0..7).prop_map(|members| {
                    let members: Vec<String> =
                        members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn never_panics_and_never_computes_from_what_it_refuses(
            kind in proptest::sample::select(vec!["Patient", "QuestionnaireResponse", "Observation"]),
            values in proptest::collection::vec(json(), 8),
        ) {
            let names = ["item", "subject", "questionnaire", "component", "code", "contained", "valueQuantity", "identifier"];
            let members: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let status = if kind == "Observation" { "final" } else { "completed" };
            let raw = format!(r#"{{"resourceType":"{kind}","status":"{status}",{}}}"#, members.join(","));
            if let Ok(Arrival { content: Content::Evidence(evidence), .. }) = attempt(&raw) {
                for reading in &evidence.readings {
                    let count = reading.instrument.definition().item_count;
                    prop_assert!(reading.answers.items.is_empty() || reading.answers.items.len() == count);
                    let max = reading.instrument.definition().item_max;
                    prop_assert!(reading.answers.items.iter().flatten().all(|value| *value <= max));
                }
                prop_assert!(evidence.subject.is_some() || evidence.doubt.is_some() || evidence.readings.is_empty());
            }
        }

        #[test]
        fn no_text_is_too_strange_for_the_small_readers(text in "\\PC{0,40}") {
            let _ = FhirDate::parse(&text);
            let _ = crate::fhir::mapping::names::loinc_in(&text);
            let _ = crate::fhir::mapping::names::named(&text);
            let _ = CodeMapping::default().worded(&text, Instrument::Phq9);
        }
    }
}

use super::*;

fn mapping(toml: &str) -> CodeMapping {
    CodeMapping::from_config(&toml::from_str(toml).unwrap())
}

fn scale(instrument: Instrument) -> &'static Scale {
    &instrument.definition().items[0].scale
}

fn worded(mapping: &CodeMapping, text: &str, instrument: Instrument) -> Option<u8> {
    mapping.worded(text, instrument, scale(instrument))
}

#[test]
fn a_questionnaire_is_found_by_canonical_name_or_pattern() {
    let mapping = mapping(
        r#"[questionnaires]
        "https://ehr.example/dep*" = "phq9"
        "https://ehr.example/deposit" = "ignore"
        "*/anx" = "gad7"
        "mood" = "phq9+gad7""#,
    );
    let found = |canonical: &str| mapping.form(canonical).cloned();
    assert_eq!(found("https://ehr.example/dep-7|3"), Some(QuestionnaireMapping::Ours(vec![Instrument::PHQ9])));
    assert_eq!(found("https://ehr.example/deposit|1"), Some(QuestionnaireMapping::Ignore));
    assert_eq!(found("Questionnaire/anx"), Some(QuestionnaireMapping::Ours(vec![Instrument::GAD7])));
    assert_eq!(found("Questionnaire/Mood"), Some(QuestionnaireMapping::Ours(vec![Instrument::PHQ9, Instrument::GAD7])));
    assert_eq!(found("https://other.example/x"), None);
}

#[test]
fn answers_are_known_by_code_and_in_four_languages() {
    let (mapping, phq9) = (CodeMapping::default(), Instrument::PHQ9);
    assert_eq!(mapping.coded(None, "LA6571-9", phq9, scale(phq9)), Some(3));
    assert_eq!(mapping.coded(Some("http://loinc.org"), "LA6569-3", phq9, scale(phq9)), Some(1));
    for (text, value) in [
        ("Not at all", 0),
        ("  MORE than half the days. ", 2),
        ("Nearly-every-day", 3),
        ("Nearly everyday", 3),
        ("Varios días", 1),
        ("MÁS DE LA MITAD DE LOS DIAS", 2),
        ("Überhaupt nicht", 0),
        ("An mehr als der Hälfte der Tage", 2),
        ("Presque tous les jours", 3),
        ("2 - More than half the days", 2),
        ("More than half the days (2)", 2),
    ] {
        assert_eq!(worded(&mapping, text, phq9), Some(value), "{text}");
    }
    for text in ["Quite a bit", "3 - Several days", "Somewhat difficult", "", "Yes", "1"] {
        assert_eq!(worded(&mapping, text, phq9), None, "{text}");
    }
    assert_eq!(worded(&mapping, "Quite a bit", Instrument::PCL5), Some(3));
    assert_eq!(worded(&mapping, "Several days", Instrument::PCL5), None);
}

#[test]
fn configuration_adds_to_the_defaults_and_overrides_them() {
    let mapping = mapping(
        r#"items = { FLO-1 = "phq9/1", "44261-6" = "ignore" }
        answers = [{ system = "urn:x", code = "B", value = 1 }, { code = "LA6569-3", instrument = "gad7", value = 2 },
                   { text = "Alcuni giorni", value = 1 }]"#,
    );
    let coded = |system, code, instrument| mapping.coded(system, code, instrument, scale(instrument));
    assert_eq!(mapping.configured("FLO-1"), Some(Meaning::Item(Instrument::PHQ9, 0)));
    assert_eq!(mapping.code("44261-6").as_ref(), [Meaning::Ignore]);
    assert_eq!(coded(Some("urn:x"), "B", Instrument::PHQ9), Some(1));
    assert_eq!(coded(None, "B", Instrument::PHQ9), Some(1));
    assert_eq!(coded(Some("urn:y"), "B", Instrument::PHQ9), None);
    assert_eq!(coded(None, "LA6569-3", Instrument::GAD7), Some(2));
    assert_eq!(coded(None, "LA6569-3", Instrument::PHQ9), Some(1));
    assert_eq!(worded(&mapping, "alcuni  GIORNI", Instrument::PHQ9), Some(1));
}

#[test]
fn a_configured_meaning_must_exist() {
    for wrong in [r#"items = { a = "phq9/10" }"#, r#"items = { a = "phq9/0" }"#, r#"items = { a = "phq7/1" }"#] {
        assert!(toml::from_str::<MappingConfig>(wrong).is_err(), "{wrong}");
    }
    assert!(toml::from_str::<MappingConfig>(r#"questionnaires = { a = "phq99" }"#).is_err());
    assert!(toml::from_str::<MappingConfig>(r#"questionaires = { a = "phq9" }"#).is_err());
}

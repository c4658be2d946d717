//! Suicidal answers in places and words where they were missed.

use rstest::rstest;

use super::*;
use crate::domain::instrument::Instrument;

/// The nine coded items with another one in place of the last.
fn with_last(last: Value) -> Value {
    let mut items = coded_nine();
    items[8] = last;
    form(Some("http://loinc.org/q/44249-1"), items)
}

#[rstest]
#[case("Have you actually had any thoughts about killing yourself?", json!({"valueString": "Yes, within the past 3 months"}), false)]
#[case("Have you actually had any thoughts about killing yourself?", json!({"valueString": "often"}), true)]
#[case("Have you done anything to do anything to end your life?", json!({"valueString": "no answer"}), true)]
fn an_answer_to_the_screener_is_heard_or_asked_for(
    #[case] text: &str,
    #[case] answer: Value,
    #[case] unreadable: bool,
) {
    let evidence = evidence(&form(Some("http://loinc.org/q/93373-9"), vec![asked("2", text, &answer)]));
    let [reading] = evidence.readings.as_slice() else { panic!("{evidence:?}") };
    let scored = score(reading.instrument, &reading.answers).unwrap();
    let is_said = !reading.answers.all_supplements(reading.instrument).is_empty();
    assert_eq!((scored.item9_unreadable, is_said), (unreadable, !unreadable), "{answer}");
}

#[test]
fn a_text_about_suicide_under_another_items_code_is_asked_for() {
    let mut items = nine(|at| format!("/{}", PHQ9[at].0), |_| loinc(0));
    items[0] = asked("/44250-9", PHQ9[8].1, &loinc(3));
    let (reading, scored) = only(&form(Some("http://loinc.org/q/44249-1"), items));
    assert_eq!((reading.answers.items[0], scored.item9, scored.item9_unreadable), (Some(3), Some(0), true));
}

#[test]
fn a_code_on_the_item_itself_says_what_it_is() {
    let coding = json!([{"system": "http://loinc.org", "code": "44260-8"}]);
    let (reading, scored) = {
        let form = form(None, vec![json!({"linkId": "z", "code": coding, "answer": [loinc(3)]})]);
        let evidence = evidence(&form);
        let [reading] = evidence.readings.as_slice() else { panic!("{evidence:?}") };
        (reading.clone(), score(reading.instrument, &reading.answers).unwrap())
    };
    assert_eq!((reading.instrument, scored.item9), (Instrument::PHQ9, Some(3)));
}

#[rstest]
#[case("value")]
#[case("score")]
fn an_answer_in_an_item_below_is_that_of_the_item(#[case] link_id: &str) {
    let below = item(link_id, &json!({"valueInteger": 2}));
    let last = json!({"linkId": "/44260-8", "text": PHQ9[8].1, "item": [below]});
    let (_, scored) = only(&with_last(last));
    assert_eq!((scored.total, scored.item9), (Some(13), Some(2)));
}

#[test]
fn an_ordinal_that_disagrees_with_the_code_is_asked_for() {
    let ordinal = json!([{"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 3}]);
    let answer = json!({"valueCoding": {"code": "LA6568-5", "extension": ordinal}});
    let (_, scored) = only(&with_last(item("/44260-8", &answer)));
    assert_eq!((scored.item9, scored.item9_unreadable), (Some(0), true));
    assert!(issues(&scored).contains(&"code_display_mismatch"));
}

#[rstest]
#[case("Вас посещали мысли о том, что Вам лучше было бы умереть, или о том, чтобы причинить себе какой-нибудь вред")]
#[case("Myśli, że lepiej byłoby umrzeć, albo chęć zrobienia sobie krzywdy")]
#[case("차라리 죽는 것이 더 낫겠다고 생각했다. 혹은 자해할 생각을 했다")]
#[case("死んだ方がましだ、あるいは自分を何らかの方法で傷つけようと思ったことがある")]
#[case("أفكار بأنه من الأفضل لو كنت ميتاً أو بإيذاء نفسك بطريقة ما")]
fn the_question_is_known_in_languages_without_a_translation_of_the_form(#[case] text: &str) {
    for answer in [loinc(3), json!({"valueInteger": 3})] {
        let evidence = evidence(&form(None, vec![asked("q9", text, &answer)]));
        let [reading] = evidence.readings.as_slice() else { panic!("{text}: {evidence:?}") };
        assert_eq!(score(reading.instrument, &reading.answers).unwrap().item9, Some(3), "{text}");
    }
}

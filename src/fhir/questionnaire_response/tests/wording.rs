//! Words of answers and questions: offered, translated, about suicide, in several places.

use super::*;

#[test]
fn an_offered_answer_says_what_a_bare_code_means() {
    let ordinal = "http://hl7.org/fhir/StructureDefinition/ordinalValue";
    let words = ["Not at all", "Several days", "More than half the days", "Nearly every day"];
    let worded = |value: usize| json!({"valueCoding": {"code": format!("opt{value}"), "display": words[value]}});
    let weighed = |value: usize| {
        json!({"extension": [{"url": ordinal, "valueDecimal": value}],
            "valueCoding": {"code": format!("opt{value}"), "display": "x"}})
    };
    let concepts: Vec<Value> =
        (0..4).map(|value| json!({"code": format!("opt{value}"), "display": words[value]})).collect();
    let set = json!({"resourceType": "ValueSet", "id": "s", "compose": {"include": [{"concept": concepts}]}});
    let bare = |value: usize| json!({"valueCoding": {"code": format!("opt{value}")}});
    for offered in [
        json!({"answerOption": (0..4).map(worded).collect::<Vec<_>>()}),
        json!({"option": (0..4).map(worded).collect::<Vec<_>>()}),
        json!({"answerOption": (0..4).map(weighed).collect::<Vec<_>>()}),
        json!({"answerValueSet": "#s"}),
    ] {
        let question = |at: usize| {
            let mut question = json!({"linkId": format!("r{at}x"), "code": [{"code": PHQ9[at].0}]});
            question.as_object_mut().unwrap().extend(offered.as_object().unwrap().clone());
            question
        };
        let mut form = form(Some("#q"), nine(|at| format!("r{at}x"), bare));
        let questions: Vec<Value> = (0..9).map(question).collect();
        form["contained"] = json!([{"resourceType": "Questionnaire", "id": "q", "item": questions}, set]);
        assert_eq!((only(&form).1.total, only(&form).1.item9), (Some(12), Some(1)), "{offered}");
    }
}

#[test]
fn every_way_to_ask_about_suicide_is_seen_on_any_form() {
    for text in [
        "Suicidal ideation",
        "Are you having thoughts of suicide?",
        "Have you thought about killing yourself?",
        "Pensamientos suicidas",
        "Suizidgedanken",
        "Idées suicidaires",
        "有没有自杀的念头",
        "PHQ-9 Question 9",
        "R PHQ-9 Q9",
        "EPDS item 10",
        "Thoughts of death or self-harm",
    ] {
        for answer in [json!({"valueBoolean": true}), json!({"valueString": "yes"}), json!({"valueInteger": 2})] {
            let asks = asked("z", text, &answer);
            let found = assert_needs_mapping(&form(Some("https://x/Questionnaire/intake"), vec![asks]));
            let fires = |reading: &InstrumentReading| {
                let item = reading.instrument.self_harm_item().unwrap();
                let answers = &reading.answers;
                answers.items[item] > Some(0) || answers.unreadable.contains(&item) || !answers.supplements.is_empty()
            };
            assert!(found.readings.iter().any(fires), "{text}: {answer} {:?}", found.readings);
        }
        let no = asked("z", text, &json!({"valueString": "Denies"}));
        let found = assert_needs_mapping(&form(Some("https://x/Questionnaire/intake"), vec![no]));
        assert_eq!(found.readings, [], "{text}");
    }
}

#[test]
fn a_second_question_about_suicide_leaves_item_9_as_it_is_and_is_asked_about() {
    for text in ["Suicidal ideation", "Thoughts of hurting yourself, past year"] {
        for (style, link) in [("coded", true), ("worded", false)] {
            let mut items: Vec<Value> = (0..9)
                .map(|at| {
                    let id = if link { format!("/{}", PHQ9[at].0) } else { format!("r{at}x") };
                    asked(&id, PHQ9[at].1, &loinc(VALUES[at]))
                })
                .collect();
            items.insert(3, asked("s", text, &json!({"valueCoding": {"code": "Y", "display": "Yes"}})));
            let (reading, scored) = only(&form(Some("phq-9"), items.clone()));
            let doubtful = (scored.total, scored.item9, reading.answers.item9_doubtful);
            assert_eq!(doubtful, (Some(12), Some(1), true), "{style} {text}");
            items[3] = asked("s", text, &json!({"valueCoding": {"code": "N", "display": "No"}}));
            let (reading, scored) = only(&form(Some("phq-9"), items));
            assert_eq!((scored.total, reading.answers.item9_doubtful), (Some(12), false), "{style} {text}");
        }
    }
    let labelled = nine(|at| format!("q{}", at + 1), loinc).into_iter().enumerate().map(|(at, mut item)| {
        item["text"] = json!(if at == 8 { "Suicidal ideation" } else { "Symptom" });
        item
    });
    assert_eq!(only(&form(Some("phq-9"), labelled.collect())).1.item9, Some(1), "a short label in its place");
}

#[test]
fn every_language_that_the_files_speak_is_read() {
    let chinese = [
        ["做事时提不起劲或没有兴趣", "感到心情低落、沮丧或绝望", "入睡困难、睡不安稳或睡眠过多"],
        ["感觉疲倦或没有活力", "食欲不振或吃太多", "觉得自己很糟——或觉得自己很失败"],
        ["对事物专注有困难，例如阅读报纸", "动作或说话速度缓慢到别人已经觉察", "有不如死掉或用某种方式伤害自己的念头"],
    ];
    let italian = [
        [
            "Scarso interesse o piacere nel fare le cose",
            "Sentirsi giù, depresso/a o disperato/a",
            "Problemi ad addormentarsi",
        ],
        [
            "Sentirsi stanco/a o avere poca energia",
            "Scarso appetito o mangiare troppo",
            "Avere una scarsa opinione di sé",
        ],
        [
            "Difficoltà a concentrarsi su qualcosa",
            "Muoversi o parlare così lentamente",
            "Pensare che sarebbe meglio morire",
        ],
    ];
    for (questions, words) in [
        (chinese.concat(), ["完全不会", "好几天", "一半以上的天数", "几乎每天"]),
        (italian.concat(), ["Mai", "Alcuni giorni", "Più della metà dei giorni", "Quasi ogni giorno"]),
    ] {
        let answered = VALUES.iter().enumerate();
        let items =
            answered.map(|(at, v)| asked(&format!("r{at}x"), questions[at], &json!({"valueString": words[*v]})));
        let scored = only(&form(None, items.collect())).1;
        assert_eq!((scored.total, scored.item9), (Some(12), Some(1)), "{}", words[0]);
    }
}

#[test]
fn a_name_that_several_instruments_share_asks_which() {
    let numbered = nine(|at| format!("q{}", at + 1), loinc);
    let found = assert_needs_mapping(&form(Some("https://x/Questionnaire/PHQ"), numbered));
    assert!(found.doubt.unwrap().detail.contains("PHQ-9 or a relative"));
}

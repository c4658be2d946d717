//! Finding instruments, items and totals.

use super::*;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{EvidenceStatus, Quality, Supplement};

const PHQ: Instrument = Instrument::PHQ9;
const GAD: Instrument = Instrument::GAD7;
const TEENS: Instrument = Instrument::PHQ9_MODIFIED;

#[test]
fn every_style_of_link_id_is_placed() {
    let styles: [fn(usize) -> String; 14] = [
        |at| format!("/{}", PHQ9[at].0),
        |at| PHQ9[at].0.to_owned(),
        |at| format!("/44249-1/{}", PHQ9[at].0),
        |at| format!("http://loinc.org|{}", PHQ9[at].0),
        |at| format!("H1/T1/Q{}", at + 1),
        |at| format!("g1.q{}", at + 1),
        |at| format!("PHQ.{}", at + 1),
        |at| format!("phq9-{}", at + 1),
        |at| format!("phq9_{:02}", at + 1),
        |at| format!("{}", at + 1),
        |at| format!("q{}", at + 1),
        |at| format!("1.{}", at + 1),
        |at| format!("depression question {}", at + 1),
        |at| PHQ9[at].0.replace('-', "_"),
    ];
    for style in styles {
        let (reading, scored) = only(&form(Some("https://ehr.example/Questionnaire/phq-9|2.0"), nine(style, loinc)));
        assert_eq!((reading.instrument, scored.total, scored.item9), (PHQ, Some(12), Some(1)), "{}", style(0));
        assert_eq!(reading.answers.items, VALUES.map(|value| u8::try_from(value).ok()), "{}", style(0));
    }
}

#[test]
fn a_form_names_itself_in_many_ways() {
    for name in [
        "http://loinc.org/q/44249-1",
        "http://loinc.org/Questionnaire/44249-1|2.78",
        "Questionnaire/PHQ-9",
        "phq9",
        "https://x.example/patient-health-questionnaire-9",
        "https://x.example/phq-9/v3",
    ] {
        let named = form(Some(name), nine(|at| format!("q{}", at + 1), loinc));
        assert_eq!(only(&named).1.total, Some(12), "{name}");
    }
    let mut stu3 = form(None, nine(|at| format!("q{}", at + 1), loinc));
    stu3["questionnaire"] = json!({"reference": "Questionnaire/phq-9", "display": "x"});
    assert_eq!(only(&stu3).1.total, Some(12));
    let mut titled = form(Some("https://ehr.example/Questionnaire/e7Xy"), nine(|at| format!("q{}", at + 1), loinc));
    titled["_questionnaire"] = json!({"extension": [{"url": "http://x/display", "valueString": "PHQ-9"}]});
    assert_eq!(only(&titled).1.total, Some(12));
    titled["questionnaire"] = json!("#c");
    titled["_questionnaire"] = json!(null);
    titled["contained"] = json!([{"resourceType": "Questionnaire", "id": "c", "title": "PHQ-9 screening"}]);
    assert_eq!(only(&titled).1.total, Some(12));
}

#[test]
fn items_are_found_at_any_depth_and_below_answers() {
    let mut items = coded_nine();
    let last = items.pop().unwrap();
    let mut parent = items.pop().unwrap();
    parent["answer"][0]["item"] = json!([last]);
    items.push(parent);
    for _ in 0..8 {
        items = vec![json!({"linkId": "group", "item": items})];
    }
    assert_eq!(only(&form(None, items)).1.total, Some(12));
}

#[test]
fn items_are_found_by_definition_and_by_what_they_ask() {
    let defined = nine(|at| format!("x{}", at * 7), loinc).into_iter().enumerate().map(|(at, mut item)| {
        item["definition"] = json!(format!("http://loinc.org/q/44249-1#{}", PHQ9[at].0));
        item
    });
    assert_eq!(only(&form(None, defined.collect())).1.total, Some(12));
    let questions = |link: fn(usize) -> String| -> Vec<Value> {
        VALUES.iter().enumerate().map(|(at, value)| asked(&link(at), PHQ9[at].1, &loinc(*value))).collect()
    };
    let worded = only(&form(None, questions(|at| format!("f{}", 900 - at))));
    assert_eq!((worded.1.total, worded.1.item9), (Some(12), Some(1)));
    let mut shuffled = questions(|at| format!("row-{at}x"));
    shuffled.reverse();
    assert_eq!(only(&form(Some("phq-9"), shuffled)).1.item9, Some(1));
}

#[test]
fn the_teens_form_is_told_apart() {
    for name in ["phq-a", "phq9-modified", "PHQ-9-modified-for-teens", "http://loinc.org/q/89206-7"] {
        let (reading, scored) = only(&form(Some(name), nine(|at| format!("q{}", at + 1), loinc)));
        assert_eq!((reading.instrument, scored.total, scored.item9), (TEENS, Some(12), Some(1)), "{name}");
    }
    let (reading, _) = only(&form(Some("phq-a"), coded_nine()));
    assert_eq!(reading.answers.items[..5], [Some(2), Some(2), Some(1), Some(0), Some(1)], "appetite before energy");
}

#[test]
fn the_teens_forms_own_questions_about_suicide_are_supplements_and_not_item_9() {
    let mut items = nine(|at| format!("q{}", at + 1), loinc);
    items.push(asked(
        "q10",
        "How difficult have these problems made it",
        &json!({"valueString": "Somewhat difficult"}),
    ));
    items.push(asked("q11", "In the past year have you felt depressed most days", &json!({"valueBoolean": true})));
    items.push(asked("q12", "Have you ever made a suicide attempt?", &json!({"valueCoding": {"display": "Yes"}})));
    let (reading, scored) = only(&form(Some("phq-9-modified"), items));
    assert_eq!((reading.instrument, scored.total, scored.item9), (TEENS, Some(12), Some(1)));
    assert_eq!(reading.answers.supplements, [Supplement::Attempt]);
}

#[test]
fn two_instruments_in_one_form_are_two_readings_with_their_own_totals() {
    let mut items = coded_nine();
    items.extend(GAD7.map(|(code, _)| item(&format!("/{code}"), &loinc(1))));
    items.push(asked("/44261-6", "PHQ-9 total score", &json!({"valueInteger": 12})));
    items.push(asked("/70274-6", "GAD-7 total score", &json!({"valueInteger": 9})));
    items.push(item("score", &json!({"valueInteger": 21})));
    let evidence = evidence(&form(None, items));
    let found: Vec<_> = evidence.readings.iter().map(|r| (r.instrument, r.answers.stated_total)).collect();
    assert_eq!(found, [(PHQ, Some(12)), (GAD, Some(9))]);

    let both: Vec<Value> = (1..=9)
        .map(|n| item(&format!("phq9-{n}"), &loinc(1)))
        .chain((1..=7).map(|n| item(&format!("gad7_{n}"), &loinc(2))))
        .collect();
    let evidence = super::evidence(&form(Some("phq9-gad7"), both));
    let totals: Vec<_> = evidence.readings.iter().map(|r| score(r.instrument, &r.answers).unwrap().total).collect();
    assert_eq!(totals, [Some(9), Some(14)]);
}

#[test]
fn the_first_two_items_alone_are_a_phq2_and_never_both() {
    let two = coded_nine()[..2].to_vec();
    assert_eq!(only(&form(None, two.clone())).0.instrument, Instrument::PHQ2);
    let (reading, scored) = only(&form(Some("phq-9"), two));
    assert_eq!((reading.instrument, scored.quality, scored.item9_unknown), (PHQ, Quality::Unscorable, true));
    assert_eq!(only(&form(Some("phq-2"), coded_nine())).0.instrument, PHQ);
}

#[test]
fn what_only_calls_itself_like_ours_is_ignored() {
    // The minimum data set's interview says "never or 1 day" to item 9 here.
    let mds = |at: usize| asked(&format!("D0200{at}2"), PHQ9[at].1, &json!({"valueCoding": {"code": "LA10997-7"}}));
    assert_ignored(&form(Some("mds-phq-9"), (0..8).map(mds).collect()));
    assert_ignored(&form(None, (0..8).map(mds).collect()));
    let fifteen = (1..=15)
        .map(|n| asked(&format!("phq15-{n}"), "Feeling tired or having low energy", &json!({"valueInteger": 1})));
    assert_ignored(&form(Some("https://x.example/phq-15"), fifteen.collect()));
    let stress = json!({"valueCoding": {"code": "LA6568-5", "display": "Not at all"}});
    assert_ignored(&form(
        None,
        vec![item("1", &stress), item("1.1", &json!({"valueDecimal": 2})), item("2.1", &stress)],
    ));
    assert_ignored(&form(None, vec![]));
}

#[test]
fn a_stranger_that_asks_about_self_harm_is_no_score_and_is_seen() {
    let mds = |at: usize| asked(&format!("D0200{at}2"), PHQ9[at].1, &json!({"valueCoding": {"code": "LA10999-3"}}));
    let evidence = evidence(&form(Some("mds-phq-9"), (0..9).map(mds).collect()));
    let [reading] = evidence.readings.as_slice() else { panic!("{evidence:?}") };
    assert_eq!(reading.answers.items.iter().flatten().collect::<Vec<_>>(), [&2], "nothing but item 9");
}

#[test]
fn a_total_on_a_form_that_is_not_that_instrument_is_no_score() {
    for items in [item("phq9_total_score", &json!({"valueInteger": 0})), item("/44261-6", &json!({"valueDecimal": 0}))]
    {
        assert_needs_mapping(&form(Some("intake"), vec![items]));
    }
    let high = assert_needs_mapping(&form(None, vec![item("phq9_total", &json!({"valueInteger": 27}))]));
    assert_eq!(high.readings[0].answers.stated_total, Some(27), "safety sees what it proves");
    let mut gad: Vec<Value> = GAD7.iter().map(|(code, _)| item(&format!("/{code}"), &loinc(1))).collect();
    gad.push(item("/44261-6", &json!({"valueDecimal": 20})));
    gad.push(item("phq9_total_score", &json!({"valueInteger": 0})));
    let (reading, scored) = only(&form(None, gad));
    assert_eq!((reading.instrument, reading.answers.stated_total, scored.total), (GAD, None, Some(7)));
}

#[test]
fn a_stated_total_is_found_in_every_form() {
    let totals = [
        item("/44261-6", &json!({"valueDecimal": 13.0})),
        item("/44261-6", &json!({"valueInteger": "13"})),
        item("x", &json!({"valueQuantity": {"value": 13, "unit": "{score}"}})),
        item("PHQ.Score", &json!({"valueString": "13"})),
        asked("/442649-1", "Patient health questionnaire 9 item total score", &json!({"valueDecimal": 13})),
        json!({"linkId": "total", "extension": [{"url": "https://vendor.example/total-score", "valueInteger": 13}]}),
        json!({"linkId": "total", "answer": [{"extension": [{"url": "https://vendor.example/s", "valueDecimal": 13}]}]}),
    ];
    for mut total in totals {
        if total["linkId"] == "x" {
            total["text"] = json!("Total Score:");
        }
        let mut items = coded_nine();
        items.insert(0, total.clone());
        let (reading, scored) = only(&form(Some("phq-9"), items));
        assert_eq!((reading.answers.stated_total, scored.total), (Some(13), Some(12)), "{total}");
        assert!(issues(&scored).contains(&"total_mismatch"), "{total}");
    }
    let mut items = coded_nine();
    items.extend([item("/44261-6", &json!({"valueInteger": 12})), item("/44261-6", &json!({"valueInteger": 9}))]);
    let (reading, scored) = only(&form(None, items));
    assert_eq!((reading.answers.stated_total, issues(&scored)), (None, vec!["duplicate_total"]));
}

#[test]
fn a_total_without_items_counts_only_in_a_form_that_names_itself() {
    let (_, scored) = only(&form(Some("gad-7"), vec![item("/70274-6", &json!({"valueInteger": 11}))]));
    assert_eq!((scored.total, scored.quality), (Some(11), Quality::TotalOnly));
    let open = PHQ9.iter().map(|(code, _)| json!({"linkId": format!("/{code}")}));
    let blank: Vec<Value> = open.chain([item("/44261-6", &json!({"valueInteger": 0}))]).collect();
    let (_, scored) = only(&form(Some("phq-9"), blank));
    assert_eq!((scored.total, scored.quality, scored.item9_unknown), (None, Quality::Unscorable, true));
}

#[test]
fn numbers_that_are_contradicted_are_not_believed() {
    let shifted: Vec<Value> = (2..=10).map(|n| item(&format!("q{n}"), &loinc(1))).collect();
    assert_needs_mapping(&form(Some("phq-9"), shifted));
    let from_zero: Vec<Value> = (0..9).map(|n| item(&format!("q{n}"), &loinc(1))).collect();
    assert_needs_mapping(&form(Some("phq-9"), from_zero));
    let mut suicide_at_8 = nine(|at| format!("q{}", at + 1), loinc);
    suicide_at_8[7]["text"] = json!("Suicidal thoughts");
    assert_needs_mapping(&form(Some("phq-9"), suicide_at_8));
    let mut ten = nine(|at| format!("q{}", at + 1), loinc);
    ten.push(item("q10", &loinc(1)));
    assert_needs_mapping(&form(Some("phq-9"), ten));
    let gad = (1..=7).map(|n| item(&format!("gad7_{n}"), &loinc(1))).collect();
    assert_needs_mapping(&form(Some("phq-9"), gad));
}

#[test]
fn a_form_that_looks_like_ours_and_cannot_be_mapped_waits() {
    let opaque: Vec<Value> =
        (0..9).map(|n| item(&format!("FLO-{}", n * 13 + 100), &json!({"valueInteger": 1}))).collect();
    assert_needs_mapping(&form(Some("phq-9"), opaque.clone()));
    assert_ignored(&form(None, opaque));
    assert_needs_mapping(&form(None, nine(|at| format!("phq9-{}", at + 1), loinc)));
    assert_needs_mapping(&form(Some("https://x/Questionnaire/8f1c"), nine(|at| format!("u{}", at + 1), loinc)));
    let alone = assert_needs_mapping(&form(None, vec![asked("a", PHQ9[8].1, &loinc(2))]));
    assert_eq!(alone.readings[0].answers.items[8], Some(2), "safety sees it");
    let mut one_unknown = coded_nine();
    one_unknown[3]["linkId"] = json!("energy");
    assert_needs_mapping(&form(Some("phq-9"), one_unknown));
}

#[test]
fn configuration_maps_what_the_defaults_cannot() {
    let config: MappingConfig = toml::from_str(
        r#"questionnaires = { "https://ehr.example/dep*" = "phq9", "phq9-consent" = "ignore" }
        items = { FLO-1 = "gad7/1", FLO-2 = "gad7/2", FLO-3 = "gad7/3", FLO-4 = "gad7/4", FLO-5 = "gad7/5", FLO-6 = "gad7/6",
            FLO-7 = "gad7/7", FLO-8 = "gad7/total", FLO-9 = "difficulty", "1" = "phq9/2", "2" = "phq9/1" }
        answers = [{ system = "urn:x", code = "A", value = 0 }, { system = "urn:x", code = "B", value = 1 }]"#,
    )
    .unwrap();
    let letter = json!({"valueCoding": {"system": "urn:x", "code": "B"}});
    let mut items: Vec<Value> = (1..=7).map(|n| item(&format!("FLO-{n}"), &letter)).collect();
    items.push(item("FLO-8", &json!({"valueInteger": 7})));
    items.push(item("FLO-9", &letter));
    let evidence = read_with(&config, &form(None, items));
    assert_eq!((evidence.readings[0].answers.stated_total, evidence.readings[0].instrument), (Some(7), GAD));
    assert_eq!(score(GAD, &evidence.readings[0].answers).unwrap().total, Some(7));

    let swapped = nine(|at| format!("{}", at + 1), |value| json!({"valueInteger": value.min(1)}));
    let evidence = read_with(&config, &form(Some("https://ehr.example/dep-3"), swapped.clone()));
    assert_eq!(evidence.readings[0].answers.items.len(), 9);
    assert_eq!(read_with(&config, &form(None, swapped)).readings, [], "a bare number names no form");
    let consent = form(Some("phq9-consent"), vec![item("agree", &json!({"valueBoolean": true}))]);
    assert_eq!(read_with(&config, &consent).doubt, None);
}

#[test]
fn a_pcl5_is_read_by_number() {
    let answer = json!({"valueString": "Quite a bit"});
    let (reading, scored) = only(&form(Some("pcl-5"), (1..=20).map(|n| item(&format!("pcl5_{n}"), &answer)).collect()));
    assert_eq!((reading.instrument, scored.total), (Instrument::PCL5, Some(60)));
}

#[test]
fn the_status_says_whether_a_form_counts() {
    let mut form = form(None, coded_nine());
    for (status, counting) in [
        ("completed", EvidenceStatus::Submitted),
        ("amended", EvidenceStatus::Submitted),
        ("in-progress", EvidenceStatus::Partial),
        ("stopped", EvidenceStatus::Partial),
    ] {
        form["status"] = json!(status);
        let evidence = evidence(&form);
        assert_eq!((evidence.counting, evidence.readings.len()), (counting, 1), "{status}");
    }
    let retracted = json!({"resourceType": "QuestionnaireResponse", "id": "f", "status": "entered-in-error"});
    let evidence = evidence(&retracted);
    assert_eq!((evidence.counting, evidence.doubt), (EvidenceStatus::Retracted, None));
}

#[test]
fn the_date_is_never_guessed() {
    let mut form = form(None, coded_nine());
    for (authored, doubt) in [
        (json!(null), Some("no_authored")),
        (json!("2026"), Some("imprecise_authored")),
        (json!("2026-03"), Some("imprecise_authored")),
        (json!("2031-01-01"), Some("future_authored")),
        (json!("2026-03-04"), None),
        (json!("2026-03-04T10:00:00"), None),
    ] {
        form["authored"] = authored.clone();
        let evidence = evidence(&form);
        assert_eq!(evidence.doubt.as_ref().map(|doubt| doubt.code), doubt, "{authored}");
        let has_no_offset = evidence.readings[0].answers.issues.iter().any(|issue| issue.code == "no_offset");
        assert_eq!(has_no_offset, authored == "2026-03-04T10:00:00");
    }
}

/// Questions that stand on the same form in real clinics, with the linkIds that they have there.
fn strangers() -> Vec<Value> {
    let coded = |code: &str, display: &str| json!({"valueCoding": {"system": "http://loinc.org", "code": code, "display": display}});
    vec![
        asked("q10", "Do you feel safe at home?", &json!({"valueBoolean": true})),
        asked("q10", "Would you like to talk to somebody?", &coded("LA33-6", "Yes")),
        asked("heart_rate3", "Heart rate", &json!({"valueQuantity": {"value": 72, "unit": "/min"}})),
        asked("smoking1", "Do you smoke?", &coded("LA18978-9", "Never smoker")),
        asked("consent0", "I agree to answer", &json!({"valueBoolean": true})),
        asked("auditc-1", "How often do you have a drink containing alcohol?", &coded("LA6270-8", "Never")),
        asked("cssrs_1", "Have you wished you were dead?", &coded("LA32-8", "No")),
        asked("234668637437", "Number of admissions", &json!({"valueInteger": 2})),
        item("2", &json!({"valueInteger": 2})),
        asked("remark9", "Anything else?", &json!({"valueString": "0"})),
        asked("/442649-1", "Patient health questionnaire 9 item total score", &json!({"valueDecimal": 12})),
    ]
}

#[test]
fn one_more_question_takes_nothing_away() {
    for name in [None, Some("phq-9"), Some("http://loinc.org/q/44249-1")] {
        for stranger in strangers() {
            for at in [0, 4, 9] {
                let mut items = coded_nine();
                items.insert(at, stranger.clone());
                let (reading, scored) = only(&form(name, items));
                assert_eq!((reading.instrument, scored.total, scored.item9), (PHQ, Some(12), Some(1)), "{stranger}");
            }
        }
    }
}

#[test]
fn an_item_without_identity_makes_the_form_wait_and_hides_no_other_item() {
    let mut typo = coded_nine();
    typo[3]["linkId"] = json!("/44254-l");
    let evidence = assert_needs_mapping(&form(Some("http://loinc.org/q/44249-1"), typo));
    assert_eq!(evidence.readings[0].answers.items[8], Some(1));
    let mut gap = coded_nine();
    gap.remove(4);
    gap.push(item("q5", &json!({"valueInteger": 3})));
    let (_, scored) = only(&form(Some("phq-9"), gap));
    assert_eq!(scored.quality, Quality::Prorated, "a stranger with the number of the gap does not fill it");
}

#[test]
fn linkids_that_count_from_0_shift_nothing() {
    let mut from_zero: Vec<Value> = (1..9).map(|n| item(&format!("phq9_{n}"), &json!({"valueInteger": 1}))).collect();
    from_zero.insert(0, json!({"linkId": "phq9_0", "answer": []}));
    assert_needs_mapping(&form(Some("phq9"), from_zero));
}

#[test]
fn the_words_of_the_self_harm_item_are_seen_on_any_form() {
    let mut gad: Vec<Value> = GAD7.iter().map(|(code, _)| item(&format!("/{code}"), &loinc(1))).collect();
    gad.push(asked("x", PHQ9[8].1, &loinc(2)));
    let evidence = evidence(&form(Some("gad-7"), gad));
    assert_eq!(evidence.doubt, None);
    let found: Vec<_> = evidence.readings.iter().map(|r| (r.instrument, r.answers.items.last().copied())).collect();
    assert_eq!(found, [(GAD, Some(Some(1))), (PHQ, Some(Some(2)))]);
}

#[test]
fn a_contained_questionnaire_names_the_items_whatever_their_numbers() {
    let questions: Vec<Value> = (0..9)
        .map(|at| json!({"linkId": format!("1.{at}"), "code": [{"system": "http://loinc.org", "code": PHQ9[at].0}]}))
        .collect();
    let mut contained = form(Some("#q"), nine(|at| format!("1.{at}"), loinc));
    contained["contained"] =
        json!([{"resourceType": "Questionnaire", "id": "q", "item": [{"linkId": "g", "item": questions}]}]);
    assert_eq!((only(&contained).1.total, only(&contained).1.item9), (Some(12), Some(1)));
}

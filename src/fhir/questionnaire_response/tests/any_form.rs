//! Whatever stands beside the items, however they are nested, ordered, named or translated: the score stays, and no
//! answer about self-harm is lost. `PROPTEST_CASES` asks for more cases.

use proptest::prelude::*;

use super::*;
use crate::domain::instrument::Instrument;
use crate::fhir::content::InstrumentReading;

const CODES: [&str; 4] = ["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"];

/// How the items of a form say what they are.
#[derive(Clone, Copy, Debug)]
enum Style {
    Code,
    Definition,
    Words,
    Spanish,
    Contained,
}

const STYLES: [Style; 5] = [Style::Code, Style::Definition, Style::Words, Style::Spanish, Style::Contained];

const SPANISH: [&str; 9] = [
    "Poco interés o placer en hacer las cosas",
    "Se ha sentido decaído(a), deprimido(a) o sin esperanzas",
    "Ha tenido dificultad para quedarse o permanecer dormido(a), o ha dormido demasiado",
    "Se ha sentido cansado(a) o con poca energía",
    "Sin apetito o ha comido en exceso",
    "Se ha sentido mal con usted mismo(a), o que es un fracaso",
    "Ha tenido dificultad para concentrarse en ciertas actividades",
    "¿Se ha movido o hablado tan lento que otras personas podrían haberlo notado?",
    "Pensamientos de que estaría mejor muerto(a) o de lastimarse de alguna manera",
];

/// One item in a style, under a linkId that carries no identity where the style does not need it.
fn one(style: Style, position: usize, link_id: &str, answer: &Value) -> Value {
    match style {
        Style::Code => item(&format!("/{}", PHQ9[position].0), answer),
        Style::Definition => {
            let mut defined = item(link_id, answer);
            defined["definition"] = json!(format!("http://loinc.org/q/44249-1#{}", PHQ9[position].0));
            defined
        }
        Style::Words => asked(link_id, PHQ9[position].1, answer),
        Style::Spanish => asked(link_id, SPANISH[position], answer),
        Style::Contained => item(link_id, answer),
    }
}

fn whole(style: Style, link_ids: &[String], items: Vec<Value>, name: Option<&str>) -> Value {
    let mut form = form(name, items);
    if matches!(style, Style::Contained) {
        let questions: Vec<Value> = (0..9)
            .map(|at| json!({"linkId": link_ids[at], "code": [{"system": "http://loinc.org", "code": PHQ9[at].0}]}))
            .collect();
        form["questionnaire"] = json!("#q");
        form["contained"] = json!([{"resourceType": "Questionnaire", "id": "q", "item": questions}]);
    }
    form
}

fn stranger() -> impl Strategy<Value = Value> {
    let texts =
        ["", "Do you smoke?", "Heart rate", "I agree to answer", "Have you wished you were dead?", "Anything else?"];
    let answers = [
        json!({"valueBoolean": true}),
        json!({"valueInteger": 72}),
        json!({"valueString": "worse since May 3"}),
        json!({"valueCoding": {"system": "http://loinc.org", "code": "LA32-8", "display": "No"}}),
        json!({"valueCoding": {"system": "http://loinc.org", "code": "LA6270-8", "display": "Never"}}),
        json!({"valueInteger": 2}),
    ];
    let texts = proptest::sample::select(texts.to_vec());
    (texts, proptest::sample::select(answers.to_vec()), "[a-z]{1,8}[0-9]{0,2}|/?[0-9]{1,12}|/442649-1").prop_map(
        |(text, answer, link_id)| {
            // A wish to be dead that is confirmed is an answer about self-harm, and not a stranger.
            let answer = if text.contains("dead") { json!({"valueBoolean": false}) } else { answer };
            asked(&link_id, text, &answer)
        },
    )
}

fn answer() -> impl Strategy<Value = (u8, Value)> {
    let displays = ["", "Not at all", "Vários dias", "Quase todos os dias", "whatever"];
    (0..4_u8, proptest::sample::select(displays.to_vec())).prop_map(|(value, display)| {
        let code = CODES[usize::from(value)];
        (value, json!({"valueCoding": {"system": "http://loinc.org", "code": code, "display": display}}))
    })
}

/// Groups of one or two levels around some of the items.
fn nested(items: Vec<Value>, depth: usize, at: usize) -> Vec<Value> {
    let mut items = items;
    let tail = items.split_off(at.min(items.len()));
    let mut group = tail;
    for level in 0..depth {
        group = vec![json!({"linkId": format!("group-{level}-1"), "text": "Mood", "item": group})];
    }
    items.extend(group);
    items
}

fn self_harm(readings: &[InstrumentReading]) -> bool {
    readings.iter().any(|reading| {
        let item = reading.instrument.self_harm_item();
        item.is_some_and(|item| {
            reading.answers.items.get(item).copied().flatten().is_some_and(|value| value > 0)
                || reading.answers.unreadable.contains(&item)
        })
    })
}

proptest! {
    #[test]
    fn other_questions_names_places_and_languages_change_no_score(
        style in proptest::sample::select(STYLES.to_vec()),
        answers in proptest::collection::vec(answer(), 9),
        link_ids in proptest::collection::hash_set("[a-z]{2,6}-[a-z]{2,6}", 9),
        strangers in proptest::collection::vec((stranger(), 0..14_usize), 0..5),
        order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle(),
        (depth, at) in (0..3_usize, 0..9_usize),
        name in proptest::sample::select(vec![None, Some("phq-9"), Some("https://x/Questionnaire/8f1c")]),
    ) {
        let link_ids: Vec<String> = link_ids.into_iter().collect();
        let mut items: Vec<Value> =
            order.iter().map(|position| one(style, *position, &link_ids[*position], &answers[*position].1)).collect();
        for (stranger, at) in strangers {
            items.insert(at.min(items.len()), stranger);
        }
        let form = whole(style, &link_ids, nested(items, depth, at), name);
        let evidence = evidence(&form);
        prop_assert_eq!(&evidence.doubt, &None, "{}", form);
        let reading = evidence.readings.iter().find(|reading| reading.instrument == Instrument::PHQ9);
        let Some(reading) = reading else { return Err(TestCaseError::fail(format!("no PHQ-9: {form}"))) };
        let values: Vec<Option<u8>> = answers.iter().map(|(value, _)| Some(*value)).collect();
        prop_assert_eq!(&reading.answers.items, &values, "{}", form);
        prop_assert!(reading.answers.unreadable.is_empty(), "{}", form);
    }

    #[test]
    fn an_answer_about_self_harm_is_seen_on_any_form(
        style in proptest::sample::select(STYLES.to_vec()),
        value in 1..4_usize,
        said in 0..4_usize,
        others in proptest::collection::vec((0..8_usize, answer()), 0..8),
        strangers in proptest::collection::vec((stranger(), 0..14_usize), 0..5),
        place in 0..14_usize,
        depth in 0..3_usize,
        name in proptest::sample::select(vec![
            None, Some("phq-9"), Some("gad-7"), Some("phq-15"), Some("mds-phq-9"), Some("https://x/Questionnaire/8f1c"),
        ]),
        status in proptest::sample::select(vec!["completed", "amended", "in-progress", "stopped"]),
    ) {
        let link_ids: Vec<String> = (0..9).map(|at| format!("r{}x", at * 7)).collect();
        let words = ["Several days", "More than half the days", "Nearly every day"][value - 1];
        let answer = [
            json!({"valueCoding": {"code": CODES[value]}}),
            json!({"valueInteger": value}),
            json!({"valueString": words}),
            json!({"valueString": "often, at night"}),
        ][said].clone();
        let mut items: Vec<Value> =
            others.iter().map(|(at, (_, answer))| one(style, *at, &link_ids[*at], answer)).collect();
        for (stranger, at) in strangers {
            items.insert(at.min(items.len()), stranger);
        }
        items.insert(place.min(items.len()), one(style, 8, &link_ids[8], &answer));
        let mut form = whole(style, &link_ids, nested(items, depth, 0), name);
        form["status"] = json!(status);
        let evidence = evidence(&form);
        prop_assert!(self_harm(&evidence.readings), "{} {:?}", form, evidence);
    }
}

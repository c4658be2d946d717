//! A form names a Questionnaire that says nothing here: the EHR is asked for it once, and its item codes say what was
//! answered.

use cocm_registry::store::measurement;
use rstest::rstest;
use serde_json::{Value, json};

use crate::connect_world::{Connected, replica};
use crate::world::{CLINIC, Engine, patient};

const CODES: [&str; 9] =
    ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
const CANONICAL: &str = "https://ehr.example/Questionnaire/8f1c_a%";

fn form(id: &str, canonical: &str) -> Value {
    let items: Vec<Value> =
        (0..9).map(|n| json!({"linkId": format!("row-{n}x"), "answer": [{"valueInteger": 2}]})).collect();
    json!({"resourceType": "QuestionnaireResponse", "id": id, "status": "completed", "questionnaire": canonical,
        "authored": "2026-03-01T10:00:00Z", "subject": {"reference": "Patient/p1"}, "item": items})
}

fn questionnaire() -> Value {
    let item =
        |n: usize| json!({"linkId": format!("row-{n}x"), "code": [{"system": "http://loinc.org", "code": CODES[n]}]});
    json!({"resourceType": "Questionnaire", "id": "q1", "url": CANONICAL, "status": "active",
        "item": (0..9).map(item).collect::<Vec<_>>()})
}

async fn scores(world: &Connected, id: &str) -> usize {
    let mut tx = world.app.db.read().await.unwrap();
    measurement::of_source(&mut tx, CLINIC, &format!("QuestionnaireResponse/{id}")).await.unwrap().len()
}

fn questions(world: &Connected) -> usize {
    let is_question = |path: &str| path.split('?').next().is_some_and(|path| path.ends_with("Questionnaire"));
    world.chart.log().iter().filter(|call| is_question(&call.path)).count()
}

#[rstest]
#[tokio::test]
async fn an_unknown_canonical_is_asked_for_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = Connected::on(engine, |_| {}).await else { return };
    world.chart.put(patient("p1"));
    world.chart.put(questionnaire());
    world.chart.put(form("known", &format!("{CANONICAL}|1.0")));
    world.chart.put(form("unknown", "https://ehr.example/Questionnaire/elsewhere"));
    world.chart.put(form("named", "https://ehr.example/Questionnaire/gad-7"));
    world.sweep().await;
    assert_eq!((scores(&world, "known").await, scores(&world, "unknown").await), (1, 0));
    assert_eq!(questions(&world), 2, "a name that says what it is needs no question");
    world.chart.put(form("next", CANONICAL));
    world.sweep().await;
    assert_eq!((scores(&world, "next").await, questions(&world)), (1, 2));

    // What was learned is known after a restart.
    let restarted = replica(&world.database, &world.clock, world.chart.url(), |_| {}).await;
    world.chart.put(form("later", CANONICAL));
    restarted.fetch_due(true).await.unwrap();
    assert_eq!((scores(&world, "later").await, questions(&world)), (1, 2));
}

#[tokio::test]
async fn an_ehr_without_questionnaires_is_asked_once_and_the_sweep_is_not_disturbed() {
    let world = Connected::new(|_| {}).await;
    world.chart.put(patient("p1"));
    world.chart.put(form("known", CANONICAL));
    world.misbehave(|how| how.refuse_parameters = vec!["url".to_owned()]);
    for _ in 0..2 {
        let visit = world.sweep().await;
        assert!(visit.swept.iter().all(|one| one.failed.is_none()), "{visit:?}");
    }
    assert_eq!((scores(&world, "known").await, questions(&world)), (0, 1));
}

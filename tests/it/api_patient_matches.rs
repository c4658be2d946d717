//! Records that are perhaps one person: shown side by side, joined or kept apart by somebody, never by the machine.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::{CLINIC, World};
use super::world::{Engine, patient, phq9};

async fn id_of(world: &World, reference: &str) -> String {
    let found = world.get(&format!("patients?reference={reference}")).await.expect(200).body;
    found["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn matches(world: &World, state: &str) -> Vec<Value> {
    world.get(&format!("patient-matches?state={state}")).await.expect(200).body["items"].as_array().unwrap().clone()
}

async fn decide(world: &World, id: &str, body: Value) -> Value {
    world.post(&format!("patient-matches/{id}/decision"), body).await.expect(200).body
}

fn of_number(id: &str, number: &str) -> Value {
    let mut patient = patient(id);
    patient["identifier"] = json!([{"system": "urn:mrn", "value": number}]);
    patient
}

const QUIET: [u8; 9] = [1, 1, 1, 1, 1, 0, 0, 0, 0];

#[rstest]
#[tokio::test]
async fn two_records_of_one_number_are_joined_by_somebody_and_parted_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    for id in ["a", "b"] {
        world.arrives(of_number(id, "7")).await;
        world.arrives(phq9(&format!("q{id}"), id, "2026-02-10T10:00:00Z", QUIET)).await;
    }
    let (a, b) = (id_of(&world, "Patient/a").await, id_of(&world, "Patient/b").await);
    assert_ne!(a, b, "the machine joins nobody");
    let open = matches(&world, "open").await;
    assert_eq!((open.len(), &open[0]["reasons"]), (1, &json!(["shared_identifier"])), "{open:?}");
    let sides = [open[0]["one"]["id"].as_str().unwrap(), open[0]["other"]["id"].as_str().unwrap()];
    assert!(sides.contains(&a.as_str()) && sides.contains(&b.as_str()));
    let shown = world.get(&format!("patients/{a}")).await.expect(200).body;
    assert_eq!(shown["possible_matches"][0]["id"], open[0]["id"], "{shown}");

    let id = open[0]["id"].as_str().unwrap();
    let joined = decide(&world, id, json!({"decision": "join", "survivor": a, "reason": "Same address"})).await;
    assert_eq!(joined["state"], "joined", "{joined}");
    assert_eq!(id_of(&world, "Patient/b").await, a);
    let shown = world.get(&format!("patients/{a}")).await.expect(200).body;
    assert_eq!(
        (shown["measurements"].as_array().unwrap().len(), &shown["possible_matches"]),
        (2, &json!([])),
        "{shown}"
    );
    assert!(matches(&world, "open").await.is_empty());
    // The chart's next word about either does not undo what somebody decided.
    world
        .arrives({
            let mut again = of_number("b", "7");
            again["meta"]["versionId"] = json!("2");
            again
        })
        .await;
    assert_eq!(id_of(&world, "Patient/b").await, a);

    let path = format!("patient-matches/{id}/decision");
    world.post(&path, json!({"decision": "keep_apart", "reason": "x"})).await.expect(409);
    let parted = decide(&world, id, json!({"decision": "reopen", "reason": "Two sisters"})).await;
    assert_eq!(parted["state"], "open");
    assert_eq!(id_of(&world, "Patient/b").await, b);
    let shown = world.get(&format!("patients/{b}")).await.expect(200).body;
    assert_eq!(shown["measurements"].as_array().unwrap().len(), 1, "{shown}");
    decide(&world, id, json!({"decision": "keep_apart", "reason": "Two sisters"})).await;
    assert_eq!((matches(&world, "open").await.len(), matches(&world, "kept_apart").await.len()), (0, 1));
    world.post(&path, json!({"decision": "join", "reason": "x"})).await.expect(422);
    world
        .ask((CLINIC, Role::Admin), "POST", &path, Some(json!({"decision": "reopen", "reason": "x"})), &[])
        .await
        .expect(403);
    world
        .ask(("elsewhere", Role::CareManager), "POST", &path, Some(json!({"decision": "reopen", "reason": "x"})), &[])
        .await
        .expect(404);
}

#[tokio::test]
async fn a_number_that_many_carry_is_no_reason_but_a_name_with_a_birthday_and_a_link_are() {
    let world = World::on("2026-03-02").await;
    for n in 0..8 {
        world.arrives(of_number(&format!("x{n}"), "999-99-9999")).await;
    }
    assert!(matches(&world, "open").await.len() <= 10, "a placeholder makes no pairs without end");
    let before = matches(&world, "open").await.len();
    let mut twin = of_number("y", "1");
    twin["name"] = json!([{"family": "Family-x0", "given": ["Given"]}]);
    twin["link"] = json!([{"type": "seealso", "other": {"reference": "Patient/x1"}}]);
    world.arrives(twin).await;
    let open = matches(&world, "open").await;
    let reasons: Vec<&Value> = open[before..].iter().map(|found| &found["reasons"][0]).collect();
    assert!(
        reasons.contains(&&json!("same_name_and_birth_date")) && reasons.contains(&&json!("linked_in_chart")),
        "{open:?}"
    );
    // Somebody may name two on their own.
    let (one, other) = (id_of(&world, "Patient/y").await, id_of(&world, "Patient/x5").await);
    let named = world.post("patient-matches", json!({"one": one, "other": other})).await.expect(201).body;
    assert_eq!(named["reasons"], json!(["named_by_hand"]));
    world.post("patient-matches", json!({"one": one, "other": one})).await.expect(409);
}

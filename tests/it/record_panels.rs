//! Items of one form that arrive one by one, joined by the panel or the total that names them.

use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::World;
use super::world::Engine;

const CODES: [&str; 9] =
    ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"];
const ANSWERS: [u8; 9] = [2, 3, 1, 2, 0, 1, 3, 1, 1];

fn observation(id: &str, code: &str, at: &str, more: &Value) -> Value {
    let mut observation = json!({"resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/1"}, "effectiveDateTime": at});
    observation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    observation
}

/// The items, five minutes apart.
fn items() -> Vec<Value> {
    let one = |n: usize| {
        let at = format!("2026-03-02T08:{:02}:00Z", n * 5);
        observation(&format!("i{n}"), CODES[n], &at, &json!({"valueInteger": ANSWERS[n]}))
    };
    (0..9).map(one).collect()
}

fn naming(list: &str) -> Value {
    let members: Vec<Value> = (0..9).map(|n| json!({"reference": format!("Observation/i{n}")})).collect();
    json!({list: members})
}

async fn scores(world: &World, patient: &str) -> Vec<(Value, Value, Value)> {
    let whole = world.get(&format!("patients/{patient}")).await.expect(200).body;
    let all = whole["measurements"].as_array().unwrap().iter();
    let counted = all.filter(|m| m["retracted"] == false && !m["total"].is_null());
    counted.map(|m| (m["total"].clone(), m["quality"].clone(), m["item9"].clone())).collect()
}

fn whole() -> (Value, Value, Value) {
    (json!(14), json!("complete"), json!(1))
}

#[rstest]
#[tokio::test]
async fn a_panel_joins_its_items_whichever_comes_first(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] panel_first: bool,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let panel = observation("p", "44249-1", "2026-03-02T08:00:00Z", &naming("hasMember"));
    if panel_first {
        world.arrives(panel.clone()).await;
    }
    for item in items() {
        world.arrives(item).await;
    }
    if !panel_first {
        assert_eq!(scores(&world, &patient).await, [], "five minutes apart");
        world.arrives(panel.clone()).await;
    }
    assert_eq!(scores(&world, &patient).await, [whole()]);
    assert_eq!(world.get("safety-concerns").await.body["items"].as_array().unwrap().len(), 1);

    // One of them is corrected, then the panel names none of them any more.
    let mut corrected = items().swap_remove(8);
    corrected["valueInteger"] = json!(3);
    corrected["meta"] = json!({"versionId": "2"});
    world.arrives(corrected).await;
    assert_eq!(scores(&world, &patient).await, [(json!(16), json!("complete"), json!(3))]);
    let mut emptied = panel;
    emptied.as_object_mut().unwrap().remove("hasMember");
    emptied["meta"] = json!({"versionId": "2"});
    world.arrives(emptied).await;
    assert_eq!(scores(&world, &patient).await, []);
    assert_ne!(world.get("safety-concerns").await.body["items"], json!([]), "the answer was given");
}

#[tokio::test]
async fn items_beat_a_total_that_is_filed_beside_them() {
    let world = World::on("2026-03-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-01").await;
    let mut total = naming("derivedFrom");
    total["valueInteger"] = json!(20);
    world.arrives(observation("t", "44261-6", "2026-03-02T08:41:00Z", &total)).await;
    for item in items() {
        world.arrives(item).await;
    }
    let standing = world.standing(&episode).await;
    assert_eq!(standing["measures"][0]["baseline"]["score"], 14, "{standing}");
}

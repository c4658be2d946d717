//! Keys for programs that have no tokens: made by an admin, shown once, good until they expire or are revoked.

use chrono::TimeDelta;
use cocm_registry::identity::Role;
use serde_json::{Value, json};

use crate::fhir_world::{Answer, FhirWorld, patient};

async fn made(world: &FhirWorld, new: Value) -> Value {
    let answer = world.ask("POST", "/api/v1/api-keys").of("demo", Role::Admin).json(&new).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

async fn put(world: &FhirWorld, header: (&str, &str)) -> Answer {
    world.ask("PUT", "/fhir/Patient/1").nobody().header(header.0, header.1).json(&patient("1", "7")).await
}

#[tokio::test]
async fn a_key_lets_an_engine_in_until_it_is_revoked_or_expires() {
    let world = FhirWorld::new().await;
    let receipt = made(&world, json!({"name": "Mirth 1"})).await;
    let key = receipt["key"].as_str().unwrap();
    assert_eq!(put(&world, ("x-api-key", key)).await.status, 201);
    assert_eq!(put(&world, ("authorization", &format!("Bearer {key}"))).await.status, 200);
    let listed = world.ask("GET", "/api/v1/api-keys").of("demo", Role::Admin).send("").await;
    assert!(!listed.text.contains(key.rsplit('.').next().unwrap()), "the secret is shown once");
    let id = receipt["id"].as_str().unwrap();
    assert_eq!((&listed.json()["items"][0]["id"], &listed.json()["items"][0]["role"]), (&json!(id), &json!("ehr")));

    // Another clinic's admin finds no such key; nobody but an admin may look.
    let path = format!("/api/v1/api-keys/{id}");
    assert_eq!(world.ask("DELETE", &path).of("other", Role::Admin).send("").await.status, 404);
    assert_eq!(world.ask("GET", "/api/v1/api-keys").of("demo", Role::CareManager).send("").await.status, 403);
    assert_eq!(world.ask("DELETE", &path).of("demo", Role::Admin).send("").await.status, 204);
    assert_eq!(put(&world, ("x-api-key", key)).await.status, 401);

    let short = made(&world, json!({"name": "short", "days": 1})).await;
    let short = short["key"].as_str().unwrap();
    world.clock.set(world.clock.now() + TimeDelta::hours(23));
    assert_eq!(put(&world, ("x-api-key", short)).await.status, 200);
    world.clock.set(world.clock.now() + TimeDelta::hours(2));
    assert_eq!(put(&world, ("x-api-key", short)).await.status, 401);
}

#[tokio::test]
async fn a_key_may_what_its_scopes_say_and_nothing_clinical() {
    let world = FhirWorld::new().await;
    let reader = made(&world, json!({"name": "reader", "scopes": "system/*.rs"})).await;
    let header = ("x-api-key", reader["key"].as_str().unwrap());
    assert_eq!(put(&world, header).await.status, 403);
    let read = world.ask("GET", "/fhir/Patient?_id=1").nobody().header(header.0, header.1).send("").await;
    assert_eq!(read.status, 200);
    for bad in [
        json!({"name": ""}),
        json!({"name": "x", "days": 0}),
        json!({"name": "x", "days": 400}),
        json!({"name": "x", "scopes": "everything"}),
        json!({"name": "x", "role": "care_manager"}),
    ] {
        let answer = world.ask("POST", "/api/v1/api-keys").of("demo", Role::Admin).json(&bad).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{bad}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_key_that_is_wrong_in_any_part_is_refused() {
    let world = FhirWorld::new().await;
    let receipt = made(&world, json!({"name": "engine"})).await;
    let key = receipt["key"].as_str().unwrap();
    let parts: Vec<&str> = key.split('.').collect();
    let with = |n: usize, text: &str| {
        let mut parts = parts.clone();
        parts[n] = text;
        parts.join(".")
    };
    for wrong in [
        with(1, "other"),
        with(2, "00000000000000000000000000000001"),
        with(3, &"A".repeat(43)),
        with(3, ""),
        format!("{key}.x"),
        "cocm.".to_owned(),
        "rubbish".to_owned(),
    ] {
        assert_eq!(put(&world, ("x-api-key", &wrong)).await.status, 401, "{wrong}");
        assert_eq!(put(&world, ("authorization", &format!("Bearer {wrong}"))).await.status, 401, "{wrong}");
    }
}

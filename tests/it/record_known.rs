//! What was known on a day: the story told by the log up to an instant.

use chrono::{DateTime, TimeDelta, Utc};
use cocm_registry::domain::care::Care;
use cocm_registry::domain::story::Story;
use cocm_registry::identity::Role;
use cocm_registry::record::Command;
use cocm_registry::store::{patient, story, story_as_known};
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world;
use crate::world::{self, CLINIC, Engine, World, date, phq9, version};

fn in_order(mut story: Story) -> Story {
    story.measurements.sort_by_key(|m| m.id);
    story.episodes.sort_by_key(|e| e.id);
    story.entries.sort_by_key(|e| e.id);
    story
}

/// Everybody's story told by the log up to now is the story that is stored.
async fn the_log_tells_what_is_stored(world: &World) {
    let mut tx = world.read().await;
    let now = world.clock.now();
    for patient in patient::page(&mut tx, CLINIC, None, 100).await.unwrap() {
        let stored = story::of(&mut tx, CLINIC, &patient).await.unwrap();
        let told = story_as_known::story_at(&mut tx, CLINIC, &patient, now).await.unwrap();
        assert_eq!(in_order(told), in_order(stored), "{}", patient.reference);
    }
}

fn item(id: &str, patient: &str, code: &str, answer: u8) -> Value {
    json!({"resourceType": "Observation", "id": id, "meta": {"versionId": "1"}, "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueInteger": answer,
        "subject": {"reference": format!("Patient/{patient}")}, "effectiveDateTime": "2026-03-01T08:00:00Z"})
}

#[rstest]
#[tokio::test]
async fn the_log_tells_the_story_that_is_stored(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    for id in ["1", "2", "3"] {
        world.send(&world::patient(id)).await.unwrap();
    }
    let episode = world.enroll("1", "2026-03-02").await;
    let form = phq9("q", "1", "2026-03-02T08:00:00Z", [2; 9]);
    world.send(&form).await.unwrap();
    the_log_tells_what_is_stored(&world).await;
    let mut steps: Vec<Value> = Vec::new();
    steps.push(version(phq9("q", "1", "2026-03-02T08:00:00Z", [1; 9]), 2));
    // It was somebody else's; and then it was a mistake.
    steps.push(version(phq9("q", "2", "2026-03-02T08:00:00Z", [1; 9]), 3));
    let mut retracted = version(phq9("q", "2", "2026-03-02T08:00:00Z", [1; 9]), 4);
    retracted["status"] = json!("entered-in-error");
    steps.push(retracted);
    for (n, code) in ["44250-9", "44255-8", "44260-8"].iter().enumerate() {
        steps.push(item(&format!("o{n}"), "3", code, 2));
    }
    let mut gone = version(item("o1", "3", "44255-8", 2), 2);
    gone["status"] = json!("entered-in-error");
    steps.push(gone);
    steps.push(version(item("o0", "2", "44250-9", 2), 2));
    // A suicidal answer in a form that cannot be dated.
    let mut undated = phq9("u", "1", "2026-03-02T08:00:00Z", [3; 9]);
    undated.as_object_mut().unwrap().remove("authored");
    steps.push(undated);
    let mut dead = version(world::patient("2"), 2);
    dead["deceasedDateTime"] = json!("2026-03-04");
    steps.push(dead);
    let mut replaced = version(world::patient("3"), 2);
    replaced["link"] = json!([{"other": {"reference": "Patient/1"}, "type": "replaced-by"}]);
    steps.push(replaced);
    for step in steps {
        world.clock.set(world.clock.now() + TimeDelta::hours(9));
        world.send(&step).await.unwrap();
        the_log_tells_what_is_stored(&world).await;
    }
    for care in [Care::Resume, Care::Hold { reason: "Away".into() }] {
        world.clock.set(world.clock.now() + TimeDelta::hours(9));
        let fact = Command::RecordCare { episode, on: date("2026-03-03"), at: None, care, if_match: None };
        // An active episode has nothing to resume.
        let _ = world.record(fact).await;
        the_log_tells_what_is_stored(&world).await;
    }
}

fn baseline(standing: &Value) -> &Value {
    &standing["measures"][0]["baseline"]["score"]
}

#[rstest]
#[tokio::test]
async fn a_standing_is_read_as_it_was_known(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = api_world::World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    let form = |n: u32, items| version(phq9("q", "1", "2026-03-02T08:00:00Z", items), n);
    world.arrives(form(1, [2; 9])).await;
    let standing = async |query: &str| world.get(&format!("episodes/{episode}/standing?{query}")).await;

    world.go_to("2026-03-20").await;
    world.arrives(form(2, [1; 9])).await;
    let contact = json!({"on": "2026-03-05", "kind": "treatment"});
    world.post(&format!("episodes/{episode}/contacts"), contact).await.expect(201);
    assert_eq!(baseline(&standing("").await.expect(200).body), 9);
    let then = standing("known_at=2026-03-10T12:00:00Z").await.expect(200).body;
    assert_eq!((baseline(&then), &then["as_of"], &then["day"]), (&json!(18), &json!("2026-03-10"), &json!(8)));
    assert_eq!(then["known_at"], "2026-03-10T12:00:00Z");
    assert!(!then["cannot_be_known"].as_array().unwrap().is_empty());
    assert_eq!(standing("").await.body["cannot_be_known"], Value::Null);
    let later = standing("known_at=2026-03-10T12:00:00Z&as_of=2026-03-18").await.expect(200).body;
    assert_eq!((baseline(&later), &later["day"]), (&json!(18), &json!(16)));
    standing("known_at=2026-03-02T08:59:59Z").await.expect(404);
    standing("known_at=yesterday").await.expect(400);
    let kinds = async |query: &str| -> Vec<String> {
        let body = world.get(&format!("episodes/{episode}/timeline?{query}")).await.expect(200).body;
        body["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("").await.iter().filter(|kind| *kind == "contact").count(), 1);
    assert_eq!(kinds("known_at=2026-03-10T12:00:00Z").await.iter().filter(|kind| *kind == "contact").count(), 0);

    // The thresholds of then, too.
    let admin = async |path: &str, body: Value| world.post_as(Role::Admin, path, body).await;
    world.go_to("2026-03-22").await;
    admin("rule-sets", json!({"rules": {"checkpoints": {"nonresponse_day": 44}}})).await.expect(201);
    admin("rule-sets/2/activate", json!({})).await.expect(200);
    world.go_to("2026-03-24").await;
    admin("rule-sets/1/activate", json!({})).await.expect(200);
    let of = async |at: &str| standing(&format!("known_at={at}")).await.expect(200).body["rule_set"]["version"].clone();
    assert_eq!(of("2026-03-22T08:59:59Z").await, 1);
    assert_eq!(of("2026-03-22T09:00:00Z").await, 2);
    assert_eq!(of("2026-03-24T10:00:00Z").await, 1);
    let sets = world.get("rule-sets").await.expect(200).body;
    let in_force = |version: u64| {
        let set = sets["items"].as_array().unwrap().iter().find(|set| set["version"] == version).unwrap();
        let span = |s: &Value| (s["from"].as_str().map(str::to_owned), s["until"].as_str().map(str::to_owned));
        set["in_force"].as_array().unwrap().iter().map(span).collect::<Vec<_>>()
    };
    let on = |day: &str| Some(format!("{day}T09:00:00Z"));
    assert_eq!(in_force(1), [(None, on("2026-03-22")), (on("2026-03-24"), None)]);
    assert_eq!(in_force(2), [(on("2026-03-22"), on("2026-03-24"))]);

    let contacts = world.get(&format!("episodes/{episode}/timeline")).await.expect(200).body;
    assert!(contacts["items"].as_array().unwrap().iter().all(|item| item["rule_set"] == 1), "{contacts}");

    // Taken back, and dead: neither was known before.
    let mut retracted = form(3, [1; 9]);
    retracted["status"] = json!("entered-in-error");
    world.arrives(retracted).await;
    world.go_to("2026-03-26").await;
    world
        .arrives(json!({"resourceType": "Patient", "id": "1", "meta": {"versionId": "2"},
            "name": [{"family": "Lovelace"}], "deceasedDateTime": "2026-03-21"}))
        .await;
    let now = standing("").await.expect(200).body;
    assert_eq!((baseline(&now), &now["status"]), (&Value::Null, &json!("discharged")));
    let then = standing("known_at=2026-03-23T12:00:00Z").await.expect(200).body;
    assert_eq!((baseline(&then), &then["status"]), (&json!(9), &json!("active")));
    let path = format!("episodes/{episode}/standing?known_at=2026-03-23T12:00:00Z");
    world.ask(("elsewhere", Role::Admin), "GET", &path, None, &[]).await.expect(404);
    let _: DateTime<Utc> = then["known_at"].as_str().unwrap().parse().unwrap();
}

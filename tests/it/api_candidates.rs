//! Who might be offered collaborative care.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

async fn listed(world: &World, query: &str) -> Vec<Value> {
    world.get(&format!("candidates{query}")).await.expect(200).body["items"].as_array().unwrap().clone()
}

async fn scored(world: &World, patient: &str, instrument: &str, on: &str, total: u16) -> String {
    let body = json!({"instrument": instrument, "taken_at": format!("{on}T08:00:00Z"), "total": total});
    world.post(&format!("patients/{patient}/measurements"), body).await.expect(201).id()
}

#[rstest]
#[tokio::test]
async fn who_screened_positive_is_listed_until_an_episode_opens(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let ada = world.patient("1", "Lovelace").await;
    let grace = world.patient("2", "Hopper").await;
    scored(&world, &ada, "phq9", "2026-03-01", 9).await;
    assert_eq!(listed(&world, "").await, Vec::<Value>::new(), "9 is below 10");
    scored(&world, &grace, "gad7", "2026-02-20", 10).await;
    let id = scored(&world, &ada, "phq9", "2026-03-02", 10).await;
    let all = listed(&world, "").await;
    let who: Vec<&str> = all.iter().map(|one| one["patient"]["id"].as_str().unwrap()).collect();
    assert_eq!(who, [&grace, &ada], "longest waiting first");
    assert_eq!(
        all[1]["scores"],
        json!([{"instrument": "phq9", "score": 10, "elevated_at": 10, "taken_on": "2026-03-02", "measurement": id}])
    );
    assert_eq!((&all[0]["waiting_days"], &all[0]["until"]), (&json!(10), &json!("2026-04-21")));
    assert_eq!(all[1]["reason"], "PHQ-9 10 on 2026-03-02 (10 or more is positive); not enrolled.");
    let first = world.get("candidates?limit=1").await.expect(200).body;
    let second = world.get(&format!("candidates?limit=1&cursor={}", first["next"].as_str().unwrap())).await.expect(200);
    assert_eq!((&second.body["items"][0]["patient"]["id"], &second.body["next"]), (&json!(ada), &Value::Null));
    let elsewhere = world.ask(("elsewhere", Role::CareManager), "GET", "candidates", None, &[]).await.expect(200);
    assert_eq!(elsewhere.body["items"], json!([]));
    world.ask((CLINIC, Role::Ehr), "GET", "candidates", None, &[]).await.expect(403);

    let referral = world.post("episodes", json!({"patient": {"id": ada}})).await.expect(201).id();
    assert_eq!(listed(&world, "").await.len(), 1, "a referral is an open episode");
    let end = json!({"discharged_on": "2026-03-02", "reason": "withdrew"});
    world.post(&format!("episodes/{referral}/discharge"), end).await.expect(201);
    let again = listed(&world, "").await;
    assert_eq!(
        again[1]["earlier"],
        json!({"episode": referral, "ended_on": "2026-03-02", "reason": "withdrew", "was_enrolled": false}),
        "who declined is shown with that, not hidden"
    );
    let person = world.get(&format!("patients/{ada}")).await.expect(200).body;
    assert_eq!(person["candidate"]["since"], "2026-03-02");

    // Scores grow old by themselves: 60 days, and the sweep touches who is due.
    world.go_to("2026-04-21").await;
    assert_eq!(listed(&world, "").await.len(), 2);
    world.go_to("2026-04-22").await;
    assert_eq!(listed(&world, "").await.len(), 1);
    world.go_to("2026-05-02").await;
    assert_eq!(listed(&world, "").await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn a_screener_counts_until_the_whole_scale_was_taken_and_the_dead_are_left_out(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let ada = world.patient("1", "Lovelace").await;
    scored(&world, &ada, "phq2", "2026-03-01", 2).await;
    assert_eq!(listed(&world, "").await.len(), 0);
    scored(&world, &ada, "phq2", "2026-03-02", 3).await;
    assert_eq!(listed(&world, "").await[0]["scores"][0]["instrument"], "phq2");
    scored(&world, &ada, "phq9", "2026-03-02", 8).await;
    assert_eq!(listed(&world, "").await.len(), 0, "the PHQ-9 of that day says otherwise");

    let grace = world.patient("2", "Hopper").await;
    scored(&world, &grace, "phq9", "2026-03-02", 20).await;
    assert_eq!(listed(&world, "").await.len(), 1);
    world
        .arrives(
            json!({"resourceType": "Patient", "id": "2", "name": [{"family": "Hopper"}], "meta": {"versionId": "2"},
            "deceasedDateTime": "2026-03-02"}),
        )
        .await;
    assert_eq!(listed(&world, "").await.len(), 0);
}

#[rstest]
#[tokio::test]
async fn a_dismissed_candidate_comes_back_with_the_next_positive_score(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let ada = world.patient("1", "Lovelace").await;
    let path = format!("patients/{ada}/candidate-dismissal");
    let because = json!({"reason": "in therapy elsewhere"});
    world.post(&path, because.clone()).await.expect(409);
    scored(&world, &ada, "phq9", "2026-03-02", 14).await;
    world.post(&path, json!({})).await.expect(422);
    world.ask(("elsewhere", Role::CareManager), "POST", &path, Some(because.clone()), &[]).await.expect(404);
    let key = [("idempotency-key", "once")];
    let kim = (CLINIC, Role::CareManager);
    let dismissed = world.ask(kim, "POST", &path, Some(because.clone()), &key).await.expect(201);
    let replayed = world.ask(kim, "POST", &path, Some(because.clone()), &key).await.expect(201);
    assert_eq!(dismissed.body, replayed.body);
    assert_eq!(listed(&world, "").await.len(), 0);
    let aside = listed(&world, "?dismissed=true").await;
    assert_eq!(aside[0]["dismissed"]["reason"], "in therapy elsewhere");
    world.post(&path, because.clone()).await.expect(409);

    // Not a worse one, and not the same one again: the next positive one.
    world.go_to("2026-03-09").await;
    scored(&world, &ada, "phq9", "2026-03-09", 12).await;
    assert_eq!(listed(&world, "").await[0]["scores"][0]["score"], 12);
    assert_eq!(listed(&world, "?dismissed=true").await.len(), 0);

    // Taken back, the older score speaks again.
    let other = world.patient("2", "Hopper").await;
    scored(&world, &other, "gad7", "2026-03-09", 15).await;
    let entry = world.post(&format!("patients/{other}/candidate-dismissal"), because).await.expect(201).id();
    assert_eq!(listed(&world, "").await.len(), 1);
    let back = format!("patients/{other}/entries/{entry}/take-back");
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(201);
    assert_eq!(listed(&world, "").await.len(), 2);
    world.post(&back, json!({"reason": "again"})).await.expect(409);
}

#[rstest]
#[tokio::test]
async fn a_clinic_may_look_back_less_far(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let ada = world.patient("1", "Lovelace").await;
    scored(&world, &ada, "phq9", "2026-02-01", 14).await;
    assert_eq!(listed(&world, "").await.len(), 1);
    let admin = (CLINIC, Role::Admin);
    let rules = json!({"rules": {"candidates": {"look_back_days": 14}}});
    world.ask(admin, "POST", "rule-sets", Some(rules), &[]).await.expect(201);
    world.ask(admin, "POST", "rule-sets/2/activate", None, &[]).await.expect(200);
    assert_eq!(listed(&world, "").await.len(), 0);
}

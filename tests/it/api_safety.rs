//! Item 9 through the API: escalated while nobody assesses, and the time it took.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

async fn answers(world: &World, patient: &str, at: &str, item9: u8) {
    let body = json!({"instrument": "phq9", "taken_at": at, "answers": [1, 1, 1, 1, 1, 1, 1, 1, item9]});
    world.post(&format!("patients/{patient}/measurements"), body).await.expect(201);
}

async fn assessed(world: &World, patient: &str, at: &str) {
    let body = json!({"assessed_at": at, "instrument": "C-SSRS", "result": "low", "disposition": "safety plan"});
    world.post_as(Role::PrimaryCare, &format!("patients/{patient}/safety-assessments"), body).await.expect(201);
}

async fn open_tasks(world: &World, code: &str) -> Vec<Value> {
    let all = world.ask((CLINIC, Role::Admin), "GET", "deliveries?limit=500", None, &[]).await.expect(200).body;
    let all = all["items"].as_array().unwrap().iter();
    all.filter(|one| one["code"] == code && one["posture"] == "open").cloned().collect()
}

#[rstest]
#[tokio::test]
async fn an_answer_that_nobody_assesses_reaches_the_doctor_and_then_the_consultant(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    answers(&world, &patient, "2026-03-02T08:00:00Z", 1).await;
    assert_eq!(open_tasks(&world, "safety-assessment").await.len(), 1);
    for (day, steps) in [("2026-03-03", 1), ("2026-03-04", 2), ("2026-03-09", 2)] {
        world.go_to(day).await;
        assert_eq!(open_tasks(&world, "safety-escalation").await.len(), steps, "{day}");
        let listed = world.get("safety-concerns").await.expect(200).body;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "one row for one cause: {listed}");
        let row = &listed["items"][0];
        assert_eq!(
            (&row["overdue"], &row["state"], &row["to_assessment"]),
            (&json!(true), &json!("open"), &Value::Null)
        );
        assert_eq!(
            row["escalation"][0],
            json!({"to": "primary_care_provider", "priority": "urgent", "on": "2026-03-03"})
        );
        assert_eq!(
            row["escalation"][1],
            json!({"to": "psychiatric_consultant", "priority": "stat", "on": "2026-03-04"})
        );
    }
    // A later 0 changes nothing, an assessment ends all of it.
    answers(&world, &patient, "2026-03-09T08:00:00Z", 0).await;
    assert_eq!(open_tasks(&world, "safety-escalation").await.len(), 2);
    assessed(&world, &patient, "2026-03-09T08:30:00Z").await;
    assert!(open_tasks(&world, "safety-escalation").await.is_empty());
    assert_eq!(world.get("safety-concerns").await.body["items"], json!([]));
    let done = world.get("safety-concerns?state=assessed").await.expect(200).body;
    assert_eq!(done["items"][0]["to_assessment"], json!({"minutes": 7 * 24 * 60 + 30, "days": 7}));
    world.get("safety-concerns?state=forgotten").await.expect(400);
    let elsewhere =
        world.ask(("other", Role::Admin), "GET", "safety-concerns?state=assessed", None, &[]).await.expect(200);
    assert_eq!(elsewhere.body["items"], json!([]));
}

#[rstest]
#[tokio::test]
async fn the_month_says_how_long_patients_waited(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-20").await else { return };
    let ids = ["1", "2", "3", "4", "5"];
    let mut patients = Vec::new();
    for id in ids {
        patients.push(world.patient(id, "Lovelace").await);
    }
    // 20 minutes; 90 minutes; two days and ten minutes; known only as a date; nobody yet.
    answers(&world, &patients[0], "2026-03-02T08:00:00Z", 1).await;
    assessed(&world, &patients[0], "2026-03-02T08:20:00Z").await;
    answers(&world, &patients[1], "2026-03-03T08:00:00Z", 2).await;
    assessed(&world, &patients[1], "2026-03-03T09:30:00Z").await;
    answers(&world, &patients[2], "2026-03-04T08:00:00Z", 1).await;
    assessed(&world, &patients[2], "2026-03-06T08:10:00Z").await;
    answers(&world, &patients[3], "2026-03-05", 1).await;
    assessed(&world, &patients[3], "2026-03-06").await;
    answers(&world, &patients[4], "2026-03-10T08:00:00Z", 1).await;
    // Another month's.
    answers(&world, &patients[0], "2026-02-10T08:00:00Z", 1).await;
    let march = world.get("metrics/safety?month=2026-03").await.expect(200).body;
    assert_eq!(
        march,
        json!({"month": "2026-03", "concerns": 5, "high": 1, "repeated": 0, "assessed": 4, "assessed_same_day": 2,
            "open": 1, "overdue": 1, "escalated": 3, "median_minutes": 90, "longest_minutes": 2 * 24 * 60 + 10, "timed": 3,
            "longest_days": 2, "open_since": "2026-03-10"})
    );
    assert_eq!(world.get("metrics/safety?month=2026-01").await.expect(200).body["median_minutes"], Value::Null);
    world.get("metrics/safety?month=March").await.expect(400);
    world.ask((CLINIC, Role::Ehr), "GET", "metrics/safety", None, &[]).await.expect(403);
    let dated = world.get("safety-concerns?state=assessed&limit=500").await.body;
    let of_four =
        dated["items"].as_array().unwrap().iter().find(|row| row["patient"]["id"] == json!(patients[3])).unwrap();
    assert_eq!(of_four["to_assessment"], json!({"minutes": null, "days": 1}));
    let first = world.get("safety-concerns?state=assessed&limit=2").await.body;
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("safety-concerns?state=assessed&limit=2&cursor={next}")).await.expect(200).body;
    let mut keys: Vec<&Value> =
        [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap()).map(|r| &r["delivery"]).collect();
    keys.sort_by_key(ToString::to_string);
    keys.dedup();
    assert_eq!(keys.len(), 4, "no gap and no double between the pages");
}

#[rstest]
#[case::low(json!("low"), "routine")]
#[case::none(json!("none"), "routine")]
#[case::moderate(json!("moderate"), "urgent")]
#[case::high(json!("high"), "urgent")]
#[case::not_recorded(Value::Null, "urgent")]
#[tokio::test]
async fn the_same_answer_again_is_routine_only_after_an_assessment_of_low_risk(
    #[case] risk: Value,
    #[case] priority: &str,
) {
    let world = World::on("2026-03-02").await;
    let patient = world.patient("1", "Lovelace").await;
    answers(&world, &patient, "2026-03-02T08:00:00Z", 1).await;
    let mut body = json!({"assessed_at": "2026-03-02T08:30:00Z", "instrument": "C-SSRS", "result": "seen",
        "disposition": "safety plan"});
    if !risk.is_null() {
        body["risk"] = risk;
    }
    let path = format!("patients/{patient}/safety-assessments");
    world.post(&path, body.clone()).await.expect(201);
    world.go_to("2026-03-05").await;
    answers(&world, &patient, "2026-03-05T08:00:00Z", 1).await;
    let listed = world.get("safety-concerns").await.expect(200).body;
    assert_eq!(listed["items"][0]["priority"], priority, "{listed}");
    body["risk"] = json!("medium");
    world.post(&path, body).await.expect(422);
}

#[rstest]
#[tokio::test]
async fn the_safety_list_counts_the_forms_that_could_not_be_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    world.patient("1", "Lovelace").await;
    let unreadable =
        async |world: &World| world.get("safety-concerns").await.expect(200).body["unreadable_forms"].clone();
    assert_eq!(unreadable(&world).await, json!(0));
    let form = |id: &str, authored: Value, answer: u8| {
        json!({"resourceType": "QuestionnaireResponse", "id": id, "status": "completed", "authored": authored,
            "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": "Patient/1"},
            "item": [{"linkId": "/44260-8", "answer": [{"valueInteger": answer}]}]})
    };
    world.arrives(form("undated", json!("2026-03"), 0)).await;
    world.arrives(form("dated", json!("2026-03-01"), 0)).await;
    assert_eq!(unreadable(&world).await, json!(1), "what could be read is not counted");
    // A form in quarantine is unread, and its answer about suicide is not.
    world.arrives(form("positive", Value::Null, 2)).await;
    assert_eq!(unreadable(&world).await, json!(2));
    assert_eq!(world.get("safety-concerns").await.body["items"].as_array().unwrap().len(), 1);
    let elsewhere = world.ask(("other", Role::Admin), "GET", "safety-concerns", None, &[]).await.expect(200);
    assert_eq!(elsewhere.body["unreadable_forms"], json!(0));
}

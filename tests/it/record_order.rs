//! Whatever the order in which the same events arrive, the registry and the chart end the same.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use cocm_registry::domain::measurement::EvidenceStatus;
use cocm_registry::record::{Command, PatientKey};
use cocm_registry::sandbox::misbehavior::Dice;
use cocm_registry::store::{measurement, outbox, patient, quarantine, resource, standing};
use futures_util::StreamExt;
use rstest::rstest;
use serde_json::{Value, json};

use super::world::{Engine, World, episode, patient, phq9, version};

/// Everything that must not depend on the order, with the ids that differ from run to run replaced.
async fn outcome(world: &World, clinic: &str) -> String {
    let mut tx = world.read().await;
    let person = patient::by_key(&mut tx, clinic, "Patient/1").await.unwrap().remove(0);
    let mut measurements: Vec<_> = measurement::of_patient(&mut tx, clinic, person.id)
        .await
        .unwrap()
        .into_iter()
        .filter(|m| m.counting != EvidenceStatus::Retracted)
        .map(|m| json!([m.source, m.instrument, m.taken_at, m.total, m.counting, m.item9]))
        .collect();
    measurements.sort_by_key(Value::to_string);
    let standings =
        standing::by_attention(&mut tx, clinic, &standing::StandingFilter::default(), None, None, 10).await.unwrap();
    let standings: Vec<Value> = standings.iter().map(|row| serde_json::from_str(row.body.get()).unwrap()).collect();
    let mut intents: Vec<Value> = outbox::page(&mut tx, clinic, outbox::DeliveryFilter::default(), None, 100)
        .await
        .unwrap()
        .into_iter()
        .filter(|d| d.posture == cocm_registry::domain::task::Posture::Open)
        .map(|d| {
            let mut intent = json!(d.intent.0);
            // Both name the cause for which it was opened first: the only thing that the order decides.
            intent["identifier"] = json!("");
            intent["key"] = json!("");
            intent
        })
        .collect();
    intents.sort_by_key(Value::to_string);
    let mut resources = Vec::new();
    for kind in ["Patient", "QuestionnaireResponse", "Observation"] {
        for found in
            resource::changed(&mut tx, clinic, kind, resource::ChangeWindow::always(), None, 100).await.unwrap()
        {
            resources.push(json!([found.kind, found.id, found.source_version, found.body, found.patient_id]));
        }
    }
    resources.sort_by_key(Value::to_string);
    let kept: Vec<_> = quarantine::page(&mut tx, clinic, None, 100).await.unwrap();
    let kept: Vec<Value> = kept.iter().map(|k| json!([k.code, k.resource_id])).collect();
    let all = json!({"measurements": measurements, "standings": standings, "intents": intents, "resources": resources,
        "kept": kept});
    let mut text = serde_json::to_string_pretty(&all).unwrap().replace(&person.id.to_string(), "PATIENT");
    for row in &standings {
        text = text.replace(row["episode"].as_str().unwrap_or("no episode"), "EPISODE");
    }
    for m in measurement::of_patient(&mut tx, clinic, person.id).await.unwrap() {
        text = text.replace(&m.id.to_string(), &format!("{} {}", m.source, m.taken_at));
    }
    text.replace(clinic, "CLINIC")
}

/// What stands open in the chart for each clinic, without what differs from run to run.
fn charts(world: &World) -> HashMap<String, Vec<String>> {
    let mut charts: HashMap<String, Vec<String>> = HashMap::new();
    for mut one in ["Task", "Flag"].iter().flat_map(|kind| world.chart.all(kind)) {
        let clinic = one["identifier"][0]["value"].as_str().unwrap().split('/').next().unwrap().to_owned();
        if ["requested", "active"].contains(&one["status"].as_str().unwrap()) {
            for field in ["id", "meta", "identifier"] {
                one.as_object_mut().unwrap().remove(field);
            }
            charts.entry(clinic).or_default().push(format!("{one:#}"));
        }
    }
    for chart in charts.values_mut() {
        chart.sort();
    }
    charts
}

/// Fails with the lines that differ.
fn assert_same(expected: &str, found: &str, of: &str) {
    if expected != found {
        let lines = |one: &str, other: &str, sign: &str| -> Vec<String> {
            one.lines().filter(|line| !other.contains(line)).take(12).map(|line| format!("{sign} {line}")).collect()
        };
        let differs = [lines(expected, found, "-"), lines(found, expected, "+")].concat().join("\n");
        panic!("{of} ends differently:\n{differs}");
    }
}

async fn play(world: &World, clinic: &str, events: &[&Value]) {
    for event in events {
        world.send_to(clinic, event).await.unwrap();
    }
}

async fn enroll(world: &World, clinic: &str) {
    let fact = Command::Enroll {
        whom: PatientKey::Key("Patient/1".into()),
        episode: Box::new(episode("2026-01-05")),
        fit: None,
    };
    world.app.recorder.one(clinic, "test", fact).await.unwrap();
}

fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    shorter.iter().flat_map(|order| (0..n).map(move |at| [&order[..at], &[n - 1], &order[at..]].concat())).collect()
}

/// Six events: a person, two forms, a correction, a form that names the person by record number, a retraction.
fn six() -> Vec<Value> {
    let mut by_number = phq9("c", "1", "2026-03-01T15:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, 2]);
    by_number["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "mrn-1"}});
    let mut mistaken = version(phq9("b", "1", "2026-02-02T15:00:00Z", [0; 9]), 2);
    mistaken["status"] = json!("entered-in-error");
    vec![
        patient("1"),
        phq9("a", "1", "2026-01-05T15:00:00Z", [3, 3, 3, 3, 3, 3, 2, 0, 1]),
        version(phq9("a", "1", "2026-01-05T15:00:00Z", [3, 3, 3, 3, 3, 3, 2, 0, 0]), 2),
        phq9("b", "1", "2026-02-02T15:00:00Z", [0; 9]),
        mistaken,
        by_number,
    ]
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_720_orders_of_six_events_end_in_the_same_registry(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let (events, orders, world) = (six(), orders(6), &world);
    futures_util::stream::iter(orders.iter().enumerate())
        .for_each_concurrent(48, |(n, order)| {
            let events: Vec<&Value> = order.iter().map(|i| &events[*i]).collect();
            async move {
                let clinic = format!("order-{n}-");
                play(world, &clinic, &events).await;
                enroll(world, &clinic).await;
            }
        })
        .await;
    let expected = outcome(world, "order-0-").await;
    assert!(expected.contains("safety") && expected.contains("not-at-target"), "{expected}");
    for (n, order) in orders.iter().enumerate() {
        assert_same(&expected, &outcome(world, &format!("order-{n}-")).await, &format!("{order:?}"));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_end_in_the_same_chart_also_when_it_is_written_in_between(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let events = six();
    let orders: Vec<Vec<usize>> = orders(6).into_iter().step_by(18).collect();
    for step in 0..=6 {
        for (n, order) in orders.iter().enumerate() {
            let clinic = format!("order-{n}-");
            match order.get(step) {
                Some(event) => play(&world, &clinic, &[&events[*event]]).await,
                None => enroll(&world, &clinic).await,
            }
        }
        world.deliver().await;
    }
    let mut charts = charts(&world);
    let expected = charts.remove("order-0-").unwrap();
    assert!(expected.len() > 2, "{expected:?}");
    assert_eq!(charts.len(), orders.len() - 1);
    for (clinic, chart) in charts {
        let order = &orders[clinic.split('-').nth(1).unwrap().parse::<usize>().unwrap()];
        assert_same(&expected.join("\n"), &chart.join("\n"), &format!("{order:?}"));
    }
}

/// Fifty events about one person who is enrolled: forms, their corrections and retractions, single answers, the person.
fn fifty() -> Vec<Value> {
    let mut dice = Dice::new(50);
    let mut events = Vec::new();
    let begin: DateTime<Utc> = "2026-01-05T15:00:00Z".parse().unwrap();
    for n in 0..12_u8 {
        let at = (begin + TimeDelta::days(i64::from(n) * 4)).to_rfc3339();
        let mut answers = || {
            let mut items = [0_u8; 9];
            for item in &mut items {
                *item = u8::try_from(dice.roll() % 4).unwrap();
            }
            items
        };
        let id = format!("form-{n}");
        events.push(phq9(&id, "1", &at, answers()));
        if n % 2 == 0 {
            events.push(version(phq9(&id, "1", &at, answers()), 2));
        }
        if n % 4 == 0 {
            let mut gone = version(phq9(&id, "1", &at, answers()), 3);
            gone["status"] = json!("entered-in-error");
            events.push(gone);
        }
        if n % 3 == 0 {
            for (item, code) in ["44250-9", "44255-8", "44260-8"].iter().enumerate() {
                events.push(json!({
                    "resourceType": "Observation", "id": format!("item-{n}-{item}"), "status": "final",
                    "meta": {"versionId": "1"}, "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                    "subject": {"reference": "Patient/1"}, "effectiveDateTime": at.replace("T15", "T09"),
                    "valueInteger": dice.roll() % 4,
                }));
            }
        }
        if n % 6 == 0 {
            let mut gone = version(events.last().unwrap().clone(), 2);
            gone["status"] = json!("entered-in-error");
            events.push(gone);
        }
    }
    for n in 2..(52 - events.len()) {
        events.push(version(patient("1"), u32::try_from(n).unwrap()));
    }
    assert_eq!(events.len(), 50);
    events
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffles_of_fifty_events_with_repeats_end_the_same(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let events = fifty();
    let shuffles: u64 = std::env::var("COCM_SHUFFLES").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let world = &world;
    futures_util::stream::iter(0..shuffles)
        .for_each_concurrent(16, |n| {
            let mut order: Vec<&Value> = events.iter().collect();
            let mut dice = Dice::new(n);
            let mut upto = |n: usize| usize::try_from(dice.roll() % (n as u64)).unwrap();
            if n > 0 {
                (1..order.len()).for_each(|i| order.swap(i, upto(i + 1)));
                // Some arrive again.
                for _ in 0..10 {
                    let (again, at) = (order[upto(order.len())], upto(order.len()));
                    order.insert(at, again);
                }
            }
            async move {
                let clinic = format!("shuffle-{n}-");
                world.send_to(&clinic, &patient("1")).await.unwrap();
                enroll(world, &clinic).await;
                play(world, &clinic, &order).await;
            }
        })
        .await;
    let expected = outcome(world, "shuffle-0-").await;
    for n in 1..shuffles {
        assert_same(&expected, &outcome(world, &format!("shuffle-{n}-")).await, &format!("shuffle {n}"));
    }
}

#[rstest]
#[tokio::test]
async fn the_same_again_does_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use cocm_registry::record::CommandEffect;
    let Some(world) = World::on(engine).await else { return };
    let clinic = super::world::CLINIC;
    for event in six() {
        world.send(&event).await.unwrap();
    }
    enroll(&world, clinic).await;
    world.deliver().await;
    let before = outcome(&world, clinic).await;
    let calls = world.chart.log().len();
    for event in six() {
        assert_eq!(world.send(&event).await.unwrap().effect, CommandEffect::Unchanged, "{event}");
    }
    world.deliver().await;
    assert_same(&before, &outcome(&world, clinic).await, "a repetition");
    assert_eq!(calls, world.chart.log().len());
}

#[rstest]
#[tokio::test]
async fn a_correction_and_a_retraction_heal_the_chart(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let status = |code: &str| {
        let all = world.standing_in_chart();
        all.into_iter().find(|(_, c, _)| c == code).map(|(_, _, status)| status)
    };
    world.send(&patient("1")).await.unwrap();
    world.send(&phq9("a", "1", "2026-03-01T15:00:00Z", [1, 1, 0, 0, 0, 0, 0, 0, 3])).await.unwrap();
    world.deliver().await;
    assert_eq!(status("safety-assessment").as_deref(), Some("requested"));
    assert_eq!(status("cocm-safety").as_deref(), Some("active"));
    // The 3 was a slip of the pen.
    world.send(&version(phq9("a", "1", "2026-03-01T15:00:00Z", [1, 1, 0, 0, 0, 0, 0, 0, 0]), 2)).await.unwrap();
    world.deliver().await;
    // Somebody has to confirm that with the patient: the Task stays, the Flag goes.
    assert_eq!(status("safety-assessment").as_deref(), Some("requested"));
    assert_eq!(status("cocm-safety").as_deref(), Some("inactive"));
    // It was not.
    world.send(&version(phq9("a", "1", "2026-03-01T15:00:00Z", [1, 1, 0, 0, 0, 0, 0, 0, 3]), 3)).await.unwrap();
    world.deliver().await;
    assert_eq!(status("safety-assessment").as_deref(), Some("requested"));
    assert_eq!(status("cocm-safety").as_deref(), Some("active"));
    // It was somebody else's form.
    let mut gone = version(phq9("a", "1", "2026-03-01T15:00:00Z", [1, 1, 0, 0, 0, 0, 0, 0, 3]), 4);
    gone["status"] = json!("entered-in-error");
    world.send(&gone).await.unwrap();
    world.deliver().await;
    assert_eq!(status("safety-assessment").as_deref(), Some("requested"), "to be confirmed");
    assert_ne!(status("cocm-safety").as_deref(), Some("active"));
}

//! From the outbox into a chart that misbehaves: once, in order, at the right time.

use std::collections::HashMap;

use chrono::TimeDelta;
use cocm_registry::domain::chart_plan::Rung;
use cocm_registry::domain::task::Posture;
use cocm_registry::sandbox::misbehavior::Misbehavior;
use cocm_registry::service::Service;
use cocm_registry::store::lease::LEASE;
use cocm_registry::store::outbox::{self, Delivery, DeliveryState};
use rstest::rstest;
use serde_json::{Value, json};

use super::world::{CLINIC, Engine, World, monday, patient, phq9, service, version};

/// A person with an alarming form: a Task and a Flag.
/// Of the same day, so that nothing is past due and escalates.
async fn alarm(world: &World, person: &str) {
    world.send(&patient(person)).await.unwrap();
    world.send(&phq9(&format!("form-{person}"), person, "2026-03-02T13:00:00Z", [2; 9])).await.unwrap();
}

async fn ledger(world: &World) -> Vec<Delivery> {
    outbox::page(&mut world.read().await, CLINIC, outbox::DeliveryFilter::default(), None, 1000).await.unwrap()
}

/// How many Tasks and Flags that count each cause has in the chart.
fn live(world: &World) -> HashMap<String, usize> {
    let mut live = HashMap::new();
    for one in ["Task", "Flag"].iter().flat_map(|kind| world.chart.all(kind)) {
        if one["status"] != "entered-in-error" {
            *live.entry(one["identifier"][0]["value"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    live
}

fn posts(world: &World) -> usize {
    world.chart.log().iter().filter(|call| call.method == "POST").count()
}

fn task(world: &World) -> Value {
    world.chart.all("Task").remove(0)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chart_that_loses_requests_and_answers_ends_with_one_of_each_cause(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(1, 2, 3)] seed: u64,
) {
    let Some(world) = World::on(engine).await else { return };
    world.chart.misbehave(Misbehavior {
        seed,
        drop_request: 0.15,
        drop_response: 0.25,
        unavailable: 0.05,
        ignore_conditional_create: 0.5,
        ..Misbehavior::default()
    });
    for person in 0..15 {
        alarm(&world, &person.to_string()).await;
    }
    world.deliver().await;
    for wait in [6, 33, 330, 1_980, 7_920] {
        world.advance(TimeDelta::seconds(wait)).await;
    }
    world.chart.behave();
    world.advance(TimeDelta::seconds(19_800)).await;
    // The later look for doubles finds none.
    world.advance(TimeDelta::hours(11)).await;
    let (ledger, live) = (ledger(&world).await, live(&world));
    assert!(ledger.len() >= 30);
    for delivery in &ledger {
        assert_eq!(delivery.state, DeliveryState::Settled, "{:?}", delivery.last_error);
        let identifier = &delivery.intent.identifier;
        let kind = delivery.intent.desired.resource.as_str();
        assert_eq!(world.chart.creations(kind, identifier), 1, "{identifier}");
        assert!(delivery.posture != Posture::Open || live[identifier] == 1);
    }
}

#[rstest]
#[tokio::test]
async fn an_answer_that_was_lost_is_looked_for_before_anything_is_sent_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.chart.misbehave(Misbehavior { drop_response: 1.0, only_writes: true, ..Misbehavior::default() });
    alarm(&world, "1").await;
    world.deliver().await;
    assert!(
        ledger(&world).await.iter().all(|d| d.state == DeliveryState::Pending && d.outcome_unknown && d.attempts == 1)
    );
    world.chart.behave();
    world.chart.clear_log();
    world.advance(TimeDelta::seconds(4)).await;
    assert!(world.chart.log().is_empty(), "too early");
    world.advance(TimeDelta::seconds(2)).await;
    assert!(ledger(&world).await.iter().all(|d| d.state == DeliveryState::Settled && !d.outcome_unknown));
    assert_eq!(posts(&world), 0);
    assert!(live(&world).values().all(|n| *n == 1));
}

#[rstest]
#[case("120", 119, 2)]
#[case("Mon, 02 Mar 2026 14:10:00 GMT", 599, 2)]
#[tokio::test]
async fn a_chart_that_asks_for_a_pause_gets_it_and_it_costs_no_attempt(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[case] retry_after: &str,
    #[case] early: i64,
    #[case] rest: i64,
) {
    let Some(world) = World::on(engine).await else { return };
    let retry_after = retry_after.to_owned();
    world.chart.misbehave(Misbehavior { throttle: 1.0, retry_after, ..Misbehavior::default() });
    for person in ["1", "2", "3"] {
        alarm(&world, person).await;
    }
    world.deliver().await;
    assert!(ledger(&world).await.iter().all(|d| d.attempts == 0 && d.state == DeliveryState::Pending));
    assert!(world.chart.log().len() <= 3, "one write each was under way when it asked: {:?}", world.chart.log());
    world.chart.clear_log();
    world.advance(TimeDelta::seconds(early)).await;
    assert!(world.chart.log().is_empty(), "{:?}", world.chart.log());
    world.chart.behave();
    world.advance(TimeDelta::seconds(rest)).await;
    assert!(ledger(&world).await.iter().all(|d| d.state == DeliveryState::Settled));
}

#[rstest]
#[tokio::test]
async fn what_the_chart_refuses_is_parked_with_its_reason_and_can_be_sent_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let refuses = Misbehavior { refuse_conditional_create: 1.0, refuse_with: 422, ..Misbehavior::default() };
    world.chart.misbehave(refuses);
    alarm(&world, "1").await;
    world.deliver().await;
    let parked = ledger(&world).await;
    assert!(parked.iter().all(|d| d.state == DeliveryState::Parked && d.last_error.as_ref().unwrap().contains("422")));
    world.chart.behave();
    world.advance(TimeDelta::hours(9)).await;
    assert!(live(&world).is_empty(), "nobody sent it again");
    for delivery in &parked {
        let mut tx = world.app.db.begin("test").await.unwrap();
        assert!(!outbox::retry(&mut tx, "elsewhere", delivery.id, world.clock.now()).await.unwrap());
        assert!(outbox::retry(&mut tx, CLINIC, delivery.id, world.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
    }
    world.deliver().await;
    assert_eq!(live(&world).len(), parked.len());
    let attempts = outbox::attempts(&mut world.read().await, CLINIC, parked[0].id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|a| (a.outcome.as_str(), a.http_status)).collect();
    assert_eq!(outcomes, [("refused", Some(422)), ("created", None)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_work_and_do_nothing_twice(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let other: Service = service(&world.database, &world.clock, Some(world.chart.url())).await;
    for person in 0..40 {
        alarm(&world, &person.to_string()).await;
    }
    let (here, there) = tokio::join!(world.service.deliver_due(), other.deliver_due());
    here.unwrap();
    there.unwrap();
    let ledger = ledger(&world).await;
    let mut tx = world.read().await;
    for delivery in &ledger {
        assert_eq!(delivery.state, DeliveryState::Settled);
        assert_eq!(outbox::attempts(&mut tx, CLINIC, delivery.id).await.unwrap().len(), 1);
    }
    assert_eq!(posts(&world), ledger.len());
}

#[rstest]
#[tokio::test]
async fn what_a_person_closed_in_the_chart_is_theirs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    alarm(&world, "1").await;
    world.deliver().await;
    let mut closed = task(&world);
    closed["status"] = json!("completed");
    world.chart.put(closed);
    // The form is corrected, and still alarming: what the Task says would change.
    let form =
        |n: u32, last: u8| version(phq9("form-1", "1", "2026-03-02T13:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, last]), n);
    world.send(&form(2, 3)).await.unwrap();
    world.deliver().await;
    assert_eq!(task(&world)["status"], "completed");
    let row = |ledger: Vec<Delivery>| ledger.into_iter().find(|d| d.intent.desired.key.starts_with("safety/")).unwrap();
    assert_eq!(row(ledger(&world).await).state, DeliveryState::ClosedInChart);
    // What is planned for it from now on is kept for reading, and the chart is not even asked.
    world.chart.clear_log();
    world.send(&form(3, 1)).await.unwrap();
    world.advance(TimeDelta::hours(9)).await;
    let row = row(ledger(&world).await);
    assert_eq!(row.state, DeliveryState::ClosedInChart);
    assert!(row.revision > row.settled_revision);
    let asked = world.chart.log().into_iter().any(|call| call.path.starts_with("/Task"));
    assert!(!asked, "{:?}", world.chart.log());
}

#[rstest]
#[tokio::test]
async fn a_replica_that_died_while_writing_is_taken_over_after_its_lease(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    alarm(&world, "1").await;
    // Another replica claims the lane, says that it is about to send, and is never heard of again.
    let (now, until) = (world.clock.now(), world.clock.now() + LEASE);
    let mut tx = world.app.db.begin("test").await.unwrap();
    let lane = outbox::claim(&mut tx, CLINIC, world.clock.id(), now, until, 8).await.unwrap().remove(0);
    for delivery in outbox::pending(&mut tx, CLINIC, lane.patient_id, now).await.unwrap() {
        assert!(
            outbox::sending(&mut tx, &lane, &delivery.key, Rung::TaskAndFlag, &[Posture::Open], now).await.unwrap()
        );
    }
    tx.commit().await.unwrap();
    world.advance(LEASE - TimeDelta::seconds(1)).await;
    assert!(world.chart.log().is_empty(), "the lane is somebody else's");
    world.advance(TimeDelta::seconds(2)).await;
    assert!(world.chart.log()[0].method == "GET", "what may be there is looked for first");
    assert!(live(&world).values().all(|n| *n == 1) && live(&world).len() == 2);
    // Comes back, and may not write any more.
    let mut tx = world.app.db.begin("test").await.unwrap();
    let delivery = ledger(&world).await.remove(0);
    assert!(!outbox::sending(&mut tx, &lane, &delivery.key, Rung::TaskAndFlag, &[], monday()).await.unwrap());
    assert!(!outbox::prolong(&mut tx, &lane, monday()).await.unwrap());
    assert!(!outbox::give_back(&mut tx, &lane).await.unwrap());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chart_that_hangs_holds_up_nobody_elses(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    world.chart.misbehave(Misbehavior { hang: 1.0, ..Misbehavior::default() });
    for person in 0..30 {
        alarm(&world, &person.to_string()).await;
    }
    let loops = world.service.start();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // While eight calls hang, what arrives is recorded all the same.
    let begun = std::time::Instant::now();
    world.send(&phq9("later", "1", "2026-03-02T13:30:00Z", [1; 9])).await.unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(1));
    let begun = std::time::Instant::now();
    loops.stop().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(6), "only what was in flight was finished");
}

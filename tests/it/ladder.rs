//! What the plan asks for reaches charts that take neither Task nor Flag, or only one of them: on its rung, once,
//! whatever breaks on the way.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use cocm_registry::clock::Clock;
use cocm_registry::config;
use cocm_registry::domain::chart_plan::Rung;
use cocm_registry::domain::task::ChartResource;
use cocm_registry::ehr::{EhrClient, EhrConfig};
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::events::{BUDGET, Events};
use cocm_registry::sandbox::misbehavior::Misbehavior;
use cocm_registry::sandbox::profile::Profile;
use cocm_registry::store::outbox::DeliveryState;
use rstest::rstest;
use serde_json::{Value, json};

use crate::ladder_world::{Loop, carriers, observation};
use crate::world::{Engine, monday, patient, phq9};

const PEOPLE: usize = 6;

/// An alarming form each, entered there.
async fn forms(world: &Loop) {
    for n in 0..PEOPLE {
        world.chart.put(patient(&format!("p{n}")));
        let mut form = phq9("", &format!("p{n}"), "2026-03-02T13:00:00Z", [2; 9]);
        form.as_object_mut().unwrap().remove("id");
        assert_eq!(world.enter(&form).await, 201);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epic_like_ehr_gets_one_note_for_each_cause(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(1, 2)] seed: u64,
) {
    let settings = |ehr: &mut config::EhrConnection| {
        // What it offers is asked while answers are lost.
        (ehr.conditional_create, ehr.poll.deletions) = (false, Duration::ZERO);
    };
    let Some(mut world) = Loop::on(engine, Profile::like_epic(), settings).await else { return };
    let at = monday() - TimeDelta::hours(1);
    for n in 0..PEOPLE {
        world.chart.put(patient(&format!("p{n}")));
        for (code, value) in [("44261-6", 18), ("44260-8", 2)] {
            assert_eq!(world.enter(&observation(n, code, value, at)).await, 201);
        }
        // Nothing of the kind that people work on is taken there, and the refusal has no word.
        if n == 0 {
            assert_eq!(
                world.enter(&json!({"resourceType": "Task", "status": "requested", "intent": "order"})).await,
                403
            );
        }
        if n == PEOPLE / 2 {
            world.fetch().await;
            world.start_anew().await;
        }
    }
    world.fetch().await;
    assert_eq!(world.arrived("Observation").await, 2 * i64::try_from(PEOPLE).unwrap());
    world.survive(seed).await;

    world.all_settled().await;
    let open = world.open().await;
    assert!(open.len() >= 2 * PEOPLE, "{}", open.len());
    for delivery in &open {
        assert_eq!(delivery.rung(), Some(Rung::DocumentReference));
        assert_eq!(carriers(&world.chart, "DocumentReference", &delivery.intent.identifier), 1, "{}", delivery.key);
    }
    let lost = world.chart.log().iter().filter(|call| call.outcome == "response dropped").count();
    assert!(lost > 0, "answers were lost");

    // What is done with is said once, beside the note that can never be changed.
    world.assess_everybody().await;
    world.survive(seed + 10).await;
    world.all_settled().await;
    let ended: Vec<_> = world.ledger().await.into_iter().filter(|d| d.follow_ups == 1).collect();
    assert!(ended.len() >= 2 * PEOPLE, "{}", ended.len());
    for delivery in &ended {
        let identifier = &delivery.intent.identifier;
        assert_eq!(carriers(&world.chart, "DocumentReference", identifier), 1);
        assert_eq!(carriers(&world.chart, "DocumentReference", &format!("{identifier}/1")), 1, "{}", delivery.key);
    }
    let notes = world.chart.all("DocumentReference");
    let first = format!("DocumentReference/{}", ended[0].chart_id.as_ref().unwrap());
    assert!(notes.iter().any(|note| note["relatesTo"][0]["target"]["reference"] == first));
    let told = world.told().await;
    assert!(told.iter().all(|one| one["rung"] == "document-reference"), "{told:?}");
    assert!(told.iter().any(|one| one["chart_resource"] == first && one["follow_ups"] == 1));
    assert!(world.chart.all("Task").is_empty() && world.chart.all("Flag").is_empty());
    assert_eq!(
        world.checked().await[0],
        "writing: what a Task says goes into the chart as a note (DocumentReference): the server does not offer to \
         create, change and find a Task, only to read it, nor to create and find a Communication; what is no longer \
         called for is said in a follow-up"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_athenahealth_like_ehr_loses_no_form_and_is_written_to_once_it_lets_us(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let profile = Profile::like_athenahealth();
    let hears = |ehr: &mut cocm_registry::config::EhrConnection| ehr.notify.hmac_secret = Some("key".into());
    let Some(mut world) = Loop::on(engine, profile.clone(), hears).await else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = |app: cocm_registry::api::App, listener| {
        tokio::spawn(async move { axum::serve(listener, cocm_registry::api::router(app)).await.unwrap() })
    };
    let server = serving(world.service().app.clone(), listener);
    let events = Events {
        url: format!("http://{address}/api/v1/connections/ehr/notifications"),
        secret: "key".into(),
        kinds: &["Patient", "QuestionnaireResponse"],
        twice: 0.4,
        lost: 0.2,
    };
    world.fetch().await;
    let _telling = world.chart.tell(events).unwrap();
    forms(&world).await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.service().fetch_due(false).await.unwrap();
        if world.chart.told().len() >= PEOPLE {
            break;
        }
    }
    let told = world.chart.told();
    assert!(told.iter().any(|one| one.status == Some(200)), "{told:?}");
    assert!(told.iter().all(|one| one.took < BUDGET), "{told:?}");
    let numbers: HashSet<usize> = told.iter().map(|one| one.number).collect();
    assert!(numbers.len() < told.len() || numbers.len() < 2 * PEOPLE, "some came twice, or never: {told:?}");
    // By notifications alone most is there; nobody hears the next ones.
    assert!(world.arrived("QuestionnaireResponse").await > 0);
    server.abort();
    world.chart.put(patient("late"));
    let mut late = phq9("", "late", "2026-03-02T13:30:00Z", [2; 9]);
    late.as_object_mut().unwrap().remove("id");
    assert_eq!(world.enter(&late).await, 201);
    world.start_anew().await;
    world.fetch().await;
    assert_eq!(world.arrived("QuestionnaireResponse").await, 1 + i64::try_from(PEOPLE).unwrap());

    // Nothing can be written: our own list has it, and nobody says otherwise.
    world.survive(3).await;
    world.all_settled().await;
    let open = world.open().await;
    assert!(open.len() >= 2 * (PEOPLE + 1), "{}", open.len());
    assert!(open.iter().all(|d| d.rung() == Some(Rung::Worklist) && d.chart_id.is_none() && !d.outcome_unknown));
    assert!(world.told().await.iter().all(|one| one["chart_resource"].is_null() && one["rung"] == "worklist"));
    let written =
        world.chart.log().iter().filter(|call| call.method != "GET" && call.path != "/QuestionnaireResponse").count();
    assert_eq!(written, 0, "nothing is even tried");

    // It lets us send messages from now on: what still stands is sent, and what is over is not.
    world.assess_everybody().await;
    world.deliver().await;
    let over = world.ledger().await.len() - world.open().await.len();
    assert!(over > 0);
    world.chart.play(profile.taking_once("Communication"));
    // Two more, so that something alarming stands.
    for n in 0..2 {
        let mut form = phq9("", &format!("p{n}"), "2026-03-02T23:00:00Z", [3; 9]);
        form.as_object_mut().unwrap().remove("id");
        assert_eq!(world.enter(&form).await, 201);
    }
    world.clock.set(monday() + TimeDelta::hours(13));
    world.fetch().await;
    world.survive(4).await;
    world.all_settled().await;
    let open = world.open().await;
    assert!(open.len() >= 4, "{}", open.len());
    for delivery in &open {
        assert_eq!(delivery.rung(), Some(Rung::Communication), "{}", delivery.key);
        assert_eq!(carriers(&world.chart, "Communication", &delivery.intent.identifier), 1, "{}", delivery.key);
    }
    assert_eq!(world.chart.all("Communication").len(), open.len());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ehr_with_tasks_and_without_flags_gets_each_in_its_way(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let profile = Profile::default().only_showing("Flag");
    let Some(mut world) = Loop::on(engine, profile, |_| {}).await else { return };
    forms(&world).await;
    world.fetch().await;
    world.survive(5).await;
    world.all_settled().await;
    let told = world.told().await;
    assert!(told.len() >= 2 * PEOPLE);
    for one in &told {
        let (rung, kind) =
            if one["resource"] == "Task" { ("task-and-flag", "Task/") } else { ("communication", "Communication/") };
        assert_eq!(one["rung"], rung);
        let place = one["chart_resource"].as_str().unwrap();
        assert!(place.starts_with(kind), "{one}");
        // Together with what says where it comes from.
        let papers = world.chart.all("Provenance");
        assert!(papers.iter().any(|p| p["target"][0]["reference"] == place || p["entity"].is_array()), "{one}");
    }
    for delivery in world.open().await {
        let kind = if delivery.intent.desired.resource == ChartResource::Task { "Task" } else { "Communication" };
        assert_eq!(carriers(&world.chart, kind, &delivery.intent.identifier), 1, "{}", delivery.key);
    }
    // A message that can be changed is changed when it is over.
    world.assess_everybody().await;
    world.survive(6).await;
    world.all_settled().await;
    assert!(world.ledger().await.iter().all(|d| d.follow_ups == 0));
    let messages = world.chart.all("Communication");
    assert!(!messages.is_empty() && messages.iter().all(|one| one["status"] != "in-progress"), "{messages:?}");
    assert!(world.chart.all("Flag").is_empty());
}

#[rstest]
#[tokio::test]
async fn what_an_operator_sets_goes_before_what_the_ehr_offers_and_what_stands_stays_where_it_is(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let nothing = |ehr: &mut cocm_registry::config::EhrConnection| {
        (ehr.write.task, ehr.write.flag) = (Some(Rung::Worklist), Some(Rung::CdsCard));
    };
    let Some(mut world) = Loop::on(engine, Profile::default(), nothing).await else { return };
    forms(&world).await;
    world.fetch().await;
    world.deliver().await;
    world.all_settled().await;
    let rungs: HashSet<_> = world.open().await.iter().map(|d| (d.intent.desired.resource, d.rung().unwrap())).collect();
    assert_eq!(rungs, [(ChartResource::Task, Rung::Worklist), (ChartResource::Flag, Rung::CdsCard)].into());
    assert!(world.chart.all("Task").is_empty() && world.chart.all("Flag").is_empty());

    world.change = |ehr| ehr.write.flag = Some(Rung::DocumentReference);
    world.start_anew().await;
    world.deliver().await;
    let count = world.open().await.len();
    assert_eq!(world.chart.all("Task").len() + world.chart.all("DocumentReference").len(), count);

    // Back again: what stands is still looked after where it stands.
    world.change = nothing;
    world.start_anew().await;
    world.assess_everybody().await;
    world.deliver().await;
    world.all_settled().await;
    assert!(world.chart.all("Task").iter().all(|task| task["status"] == "completed"));
    assert!(world.chart.all("DocumentReference").iter().all(|note| note["status"] == "superseded"));
}

#[rstest]
#[tokio::test]
async fn what_was_refused_goes_another_way_when_the_operator_says_which(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let insists = |ehr: &mut cocm_registry::config::EhrConnection| ehr.write.task = Some(Rung::TaskAndFlag);
    let Some(mut world) = Loop::on(engine, Profile::like_epic().taking_once("QuestionnaireResponse"), insists).await
    else {
        return;
    };
    forms(&world).await;
    world.fetch().await;
    world.deliver().await;
    let parked: Vec<_> = world.open().await.into_iter().filter(|d| d.state == DeliveryState::Parked).collect();
    assert!(parked.len() >= PEOPLE && parked.iter().all(|d| d.last_error.as_ref().unwrap().contains("403")));
    assert!(world.checked().await[0].contains("but the server does not offer to create and find a Task"));
    world.change = |_| {};
    world.start_anew().await;
    world.deliver().await;
    world.all_settled().await;
    assert_eq!(world.chart.all("DocumentReference").len(), world.open().await.len());
}

#[tokio::test]
async fn a_provenance_names_what_was_written_and_from_what() {
    let world = Loop::on(Engine::Sqlite, Profile::default(), |_| {}).await.unwrap();
    forms(&world).await;
    world.fetch().await;
    world.deliver().await;
    let papers = world.chart.all("Provenance");
    let written: HashSet<String> =
        papers.iter().map(|p| p["target"][0]["reference"].as_str().unwrap().to_owned()).collect();
    let stands: HashSet<String> =
        world.told().await.iter().map(|one| one["chart_resource"].as_str().unwrap().to_owned()).collect();
    assert_eq!((papers.len(), &written), (stands.len(), &stands));
    assert!(papers.iter().all(|p| p["entity"][0]["what"]["reference"].as_str().unwrap().starts_with("Questionnaire")));
    // One call for both.
    let log = world.chart.log();
    assert_eq!(log.iter().filter(|call| call.method == "POST" && call.path == "/").count(), stands.len());
    assert!(!log.iter().any(|call| call.path.starts_with("/Provenance")));
}

#[rstest]
#[case::without_transactions(true, true)]
#[case::where_it_is_refused(false, true)]
#[case::switched_off(true, false)]
#[tokio::test]
async fn a_task_never_fails_for_its_provenance(#[case] apart: bool, #[case] wanted: bool) {
    let profile = Profile::default();
    let profile = if apart { Profile { bundles: &[], takes_anything: false, ..profile } } else { profile };
    let change: fn(&mut cocm_registry::config::EhrConnection) =
        if wanted { |_| {} } else { |ehr| ehr.write.provenance = false };
    let world = Loop::on(Engine::Sqlite, profile.clone(), change).await.unwrap();
    forms(&world).await;
    world.fetch().await;
    if !apart {
        // It says that it takes one, as servers do, and then does not.
        world.service().deliver_due().await.unwrap();
        world.chart.play(profile.only_showing("Provenance"));
        world.chart.put(patient("more"));
        let mut form = phq9("", "more", "2026-03-02T13:00:00Z", [2; 9]);
        form.as_object_mut().unwrap().remove("id");
        world.enter(&form).await;
        world.fetch().await;
    }
    world.deliver().await;
    world.all_settled().await;
    let open = world.open().await;
    let (tasks, flags) = (world.chart.all("Task").len(), world.chart.all("Flag").len());
    assert_eq!(tasks + flags, open.len());
    let papers = world.chart.all("Provenance").len();
    match (apart, wanted) {
        (true, true) => assert_eq!(papers, open.len()),
        (_, false) => assert_eq!(papers, 0),
        (false, true) => assert!(papers < open.len()),
    }
}

#[tokio::test]
async fn a_limit_of_calls_in_a_second_is_kept() {
    let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), Clock::standing_at(monday())).await.unwrap();
    let mut config = EhrConfig::at(chart.url());
    config.per_second = NonZeroU32::new(20);
    let ehr = EhrClient::new(config, Clock::standing_at(monday())).unwrap();
    let begun = Instant::now();
    let calls = (0..60).map(|_| ehr.search("Task", &[("identifier", "urn:a|1")]));
    let answered = futures_util::future::join_all(calls).await;
    assert!(answered.iter().all(Result::is_ok));
    // Twenty at once, and then twenty in each second.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    assert_eq!(chart.log().len(), 60);
    let unlimited = EhrClient::new(EhrConfig::at(chart.url()), Clock::standing_at(monday())).unwrap();
    let begun = Instant::now();
    futures_util::future::join_all((0..60).map(|_| unlimited.search("Task", &[("identifier", "urn:a|1")]))).await;
    assert!(begun.elapsed() < took);
}

#[tokio::test]
async fn an_ehr_that_shows_no_statement_is_written_to_as_before() {
    let world = Loop::on(Engine::Sqlite, Profile::default().with("metadata", &[]), |_| {}).await.unwrap();
    forms(&world).await;
    world.fetch().await;
    world.deliver().await;
    world.all_settled().await;
    assert!(world.open().await.iter().all(|d| d.rung() == Some(Rung::TaskAndFlag)));
    assert!(!world.chart.all("Task").is_empty());
}

#[tokio::test]
async fn an_ehr_that_cannot_be_asked_what_it_offers_is_asked_again() {
    // Nobody has asked it before: not even whether it shows what was deleted.
    let never = |ehr: &mut config::EhrConnection| ehr.poll.deletions = Duration::ZERO;
    let world = Loop::on(Engine::Sqlite, Profile::default(), never).await.unwrap();
    forms(&world).await;
    world.fetch().await;
    world.chart.misbehave(Misbehavior { unavailable: 1.0, ..Misbehavior::default() });
    world.deliver().await;
    let waiting = world.open().await;
    assert!(waiting.iter().all(|d| d.state == DeliveryState::Pending && !d.outcome_unknown && d.rung.is_none()));
    world.chart.behave();
    world.advance(6).await;
    world.all_settled().await;
    let all: Vec<Value> = world.chart.all("Task");
    assert!(all.len() >= PEOPLE);
}

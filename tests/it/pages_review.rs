//! The weekly review on the pages: sessions whose agenda stays as it was drawn.

use rstest::rstest;
use serde_json::json;

use super::api_world::World;
use super::pages_world::{Browser, Seen};
use super::world::Engine;

/// Two patients who do not improve: (patient, episode), as the queue has them.
async fn two(world: &World) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (id, family) in [("a", "Byron"), ("b", "Hopper")] {
        let patient = world.patient(id, family).await;
        let episode = world.enroll(&patient, "2026-01-05").await;
        world.phq9(&patient, "2026-01-05", 18).await;
        world.phq9(&patient, "2026-03-10", 18).await;
        all.push((patient, episode));
    }
    all
}

fn link(seen: &Seen, before: &str) -> String {
    let found = seen.text.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {}", seen.text));
    found.split('"').next().unwrap().replace("&#38;", "&")
}

#[rstest]
#[tokio::test]
async fn a_review_is_saved_with_its_recommendations_and_turns_to_the_next_patient(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    two(&world).await;
    let consultant = Browser::as_role(&world.app, "psychiatric_consultant").await;
    assert!(consultant.get("/review").await.expect(200).text.contains("2 in the queue today"));
    let session = consultant.review_of("Okafor").await;
    let agenda = consultant.get(&session).await.expect(200);
    assert!(agenda.text.contains("2 to review, 0 reviewed"), "{}", agenda.text);
    let first = link(&agenda, "class=\"go\" href=\"");
    assert!(first.starts_with(&session));
    let case = consultant.get(&first).await.expect(200);
    assert!(case.text.contains("1 of 2") && case.text.contains("rel=\"next\""));
    let half = [("text1", "Sertraline 100 mg"), ("to1", "primary_care"), ("summary", "No change.")];
    let refused = consultant.post(&first, &half).await.expect(422).text;
    assert!(refused.contains("say what kind of recommendation it is") && refused.contains("Sertraline 100 mg"));
    let whole = [
        ("summary", "No change in eight weeks."),
        ("kind1", "medication"),
        ("text1", "Sertraline 100 mg"),
        ("to1", "primary_care"),
        ("due1", "2026-03-30"),
        ("kind2", "continue"),
        ("to2", "care_manager"),
        ("minutes", "6"),
    ];
    let saved = consultant.post(&first, &whole).await.expect(303);
    let next = saved.header("location").to_owned();
    assert!(next.starts_with(&session) && !next.starts_with(&first), "{next}");
    assert!(consultant.get(&next).await.expect(200).text.contains("The review of the last patient was saved."));
    let summary = consultant.get(&format!("{session}/summary")).await.expect(200).text;
    assert!(
        summary.contains("1 reviewed, 2 recommendations, 6 min") && summary.contains("Sertraline 100 mg"),
        "{summary}"
    );
    // Undone on the agenda, it is no review any more.
    let agenda = consultant.get(&session).await.expect(200);
    assert!(agenda.text.contains("1 to review, 1 reviewed"));
    let undo = link(&agenda, "<form method=\"post\" action=\"");
    let fields = [("reason", "Wrong patient."), ("to", session.as_str())];
    assert_eq!(consultant.post(&undo, &fields).await.expect(303).header("location"), session);
    assert!(consultant.get(&session).await.text.contains("2 to review, 0 reviewed"));
    // What stands in `to` leads nowhere but back.
    let elsewhere = consultant.post(&undo, &[("reason", "Again."), ("to", "https://evil.example")]).await;
    assert!(!elsewhere.header("location").contains("evil"));
}

#[rstest]
#[tokio::test]
async fn the_agenda_stays_as_it_was_drawn_and_a_session_of_this_week_is_gone_on_with(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patients = two(&world).await;
    let consultant = Browser::as_role(&world.app, "psychiatric_consultant").await;
    let session = consultant.review_of("Okafor").await;
    assert_eq!(consultant.review_of("Okafor").await, session, "begun twice, it is one session");
    assert_ne!(consultant.review_of("Lindqvist").await, session, "another consultant has another one");
    // Somebody gets well meanwhile, and somebody else comes to stand in the queue.
    world.phq9(&patients[0].0, "2026-03-16", 3).await;
    let late = world.patient("c", "Franklin").await;
    let episode = world.enroll(&late, "2026-01-05").await;
    world.phq9(&late, "2026-01-05", 10).await;
    world.phq9(&late, "2026-03-15", 20).await;
    let agenda = consultant.get(&session).await.expect(200).text;
    assert!(agenda.contains("Byron") && agenda.contains("2 to review") && !agenda.contains("Franklin"), "{agenda}");
    // Reviewed all the same, beside the agenda.
    let case = format!("{session}/{episode}");
    assert!(consultant.get(&case).await.expect(200).text.contains("not on the agenda"));
    consultant.post(&case, &[("kind1", "continue"), ("to1", "primary_care")]).await.expect(303);
    assert!(consultant.get(&session).await.text.contains("Reviewed beside the agenda"));
    // Closed: one was put off, one was not reached, and nothing more is taken.
    let because = format!("because.{}", patients[1].1);
    let closed = consultant.post(&format!("{session}/close"), &[(because.as_str(), "No labs yet.")]).await.expect(303);
    let summary = consultant.get(closed.header("location")).await.expect(200).text;
    assert!(summary.contains("deferred, No labs yet.") && summary.contains("not reached"), "{summary}");
    let shut = consultant.get(&format!("{session}/{}", patients[1].1)).await.expect(200).text;
    assert!(!shut.contains("id=\"recommend\""));
    let late = consultant.post(&case, &[("kind1", "continue"), ("to1", "primary_care")]).await;
    assert!([409, 422].contains(&late.status), "{}", late.status);
    consultant.post(&format!("{session}/close"), &[]).await.expect(409);
    assert!(consultant.get("/review").await.text.contains(&format!("{session}/summary")));
}

#[rstest]
#[tokio::test]
async fn a_form_that_arrives_while_one_reviews_changes_no_order(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patients = two(&world).await;
    let consultant = Browser::as_role(&world.app, "psychiatric_consultant").await;
    let session = consultant.review_of("Okafor").await;
    let before = consultant.get(&session).await.text;
    let first = before.find(patients[0].1.as_str()) < before.find(patients[1].1.as_str());
    let body =
        json!({"instrument": "phq9", "taken_at": "2026-03-16T07:00:00Z", "answers": [3, 3, 3, 3, 3, 3, 3, 3, 3]});
    world.post(&format!("patients/{}/measurements", patients[1].0), body).await.expect(201);
    let after = consultant.get(&session).await.text;
    assert_eq!(first, after.find(patients[0].1.as_str()) < after.find(patients[1].1.as_str()));
}

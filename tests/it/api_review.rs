//! The weekly review through the API: sessions, recommendations, what became of them, and what came after.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, Said, World};
use crate::world::Engine;

const CONSULTANT: (&str, Role) = (CLINIC, Role::PsychiatricConsultant);
const ELSEWHERE: (&str, Role) = ("other", Role::CareManager);

/// Somebody in week six who is not better.
async fn not_better(world: &World, id: &str) -> (String, String) {
    let patient = world.patient(id, "Lovelace").await;
    let body = json!({"patient": {"id": patient}, "enrolled_on": "2026-01-05", "care_manager": "Kim",
        "primary_care_provider": "Dr. A. Brandt"});
    let episode = world.post("episodes", body).await.expect(201).id();
    world.phq9(&patient, "2026-01-05", 18).await;
    world.phq9(&patient, "2026-02-16", 17).await;
    (patient, episode)
}

async fn reviewed(world: &World, episode: &str, on: &str, kind: &str, to: &str) -> (String, String) {
    let body = json!({"reviewed_on": on, "reviewer": "Dr. Berg",
        "recommendations": [{"kind": kind, "text": "Sertraline 100 mg", "to": to}]});
    let said = world.post(&format!("episodes/{episode}/case-reviews"), body).await.expect(201);
    (said.id(), said.body["recommendations"][0]["id"].as_str().unwrap().to_owned())
}

async fn listed(world: &World, query: &str) -> Vec<Value> {
    let body = world.get(&format!("recommendations?{query}")).await.expect(200).body;
    body["items"].as_array().unwrap().clone()
}

/// How the Tasks for recommendations stand: (posture, owner).
async fn tasks(world: &World) -> Vec<(String, String)> {
    let all = world.ask((CLINIC, Role::Admin), "GET", "deliveries?limit=500", None, &[]).await.expect(200).body;
    let all = all["items"].as_array().unwrap().iter().filter(|one| one["code"] == "recommendation");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|one| (text(&one["posture"]), text(&one["owner"]))).collect()
}

async fn postures(world: &World) -> Vec<String> {
    let mut all: Vec<String> = tasks(world).await.into_iter().map(|(posture, _)| posture).collect();
    all.sort();
    all
}

#[rstest]
#[tokio::test]
async fn a_recommendation_is_decided_done_and_shows_the_scores_before_and_after(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let (patient, episode) = not_better(&world, "1").await;
    let (_, id) = reviewed(&world, &episode, "2026-03-03", "medication", "primary_care").await;
    assert_eq!(postures(&world).await, ["open"]);
    let waiting = listed(&world, "state=undecided").await;
    assert_eq!(
        (waiting.len(), &waiting[0]["due_by"], &waiting[0]["overdue"]),
        (1, &json!("2026-03-17"), &json!(false))
    );
    assert_eq!((&waiting[0]["id"], &waiting[0]["patient"]["id"]), (&json!(id), &json!(patient)));
    assert_eq!(waiting[0]["outcomes"][0]["before"]["score"], 17);

    let decision = format!("recommendations/{id}/decision");
    let say = |what: &str, on: &str| json!({"decision": what, "decided_on": on, "by": "Dr. Who", "reason": "prefers to wait"});
    world.post(&decision, say("accepted", "2026-03-05")).await.expect(422);
    world.post(&decision, say("accepted", "2026-03-02")).await.expect(422);
    world.ask(ELSEWHERE, "POST", &decision, Some(say("accepted", "2026-03-03")), &[]).await.expect(404);
    world.ask((CLINIC, Role::Ehr), "POST", &decision, Some(say("accepted", "2026-03-03")), &[]).await.expect(403);
    world.post(&decision, say("declined", "2026-03-03")).await.expect(201);
    assert_eq!(
        (postures(&world).await, listed(&world, "state=declined").await.len()),
        (vec!["withdrawn".to_owned()], 1)
    );
    let refused = world.post(&decision, say("done", "2026-03-03")).await.expect(409);
    assert_eq!(refused.body["allowed"], json!(["accepted", "modified"]));
    world.post(&decision, say("modified", "2026-03-03")).await.expect(201);
    assert_eq!((postures(&world).await, listed(&world, "state=open").await.len()), (vec!["open".to_owned()], 1));

    world.go_to("2026-03-18").await;
    let late = listed(&world, "state=overdue").await;
    assert_eq!((late.len(), &late[0]["overdue"]), (1, &json!(true)));
    let queue = world.get("review-queue").await.expect(200).body;
    let reasons = queue["items"][0]["reasons"].as_array().unwrap();
    let overdue = reasons.iter().find(|r| r["rule"] == "recommendation_overdue").unwrap();
    assert_eq!((&overdue["place"], &overdue["since"]), (&json!("review_overdue"), &json!("2026-03-18")));
    let key = [("idempotency-key", "done-1")];
    let done = || world.ask((CLINIC, Role::PrimaryCare), "POST", &decision, Some(say("done", "2026-03-18")), &key);
    let (first, again) = (done().await.expect(201), done().await.expect(201));
    assert_eq!((first.body["treatment_change"].is_string(), first.id()), (true, again.id()));
    assert_eq!(postures(&world).await, ["fulfilled"]);
    assert!(listed(&world, "state=overdue").await.is_empty());

    world.go_to("2026-04-20").await;
    world.phq9(&patient, "2026-04-14", 12).await;
    world.phq9(&patient, "2026-04-15", 9).await;
    let done = listed(&world, "state=done").await;
    let outcome = &done[0]["outcomes"][0];
    assert_eq!(
        (&outcome["before"]["score"], &outcome["after"]["score"], &outcome["change"], &outcome["latest"]["score"]),
        (&json!(17), &json!(9), &json!(-8), &json!(9)),
        "28 days after it was done, and not 27: {outcome}"
    );
    let of_episode = world.get(&format!("episodes/{episode}/recommendations")).await.expect(200).body;
    assert_eq!(of_episode["items"][0]["outcomes"], done[0]["outcomes"]);
    world.ask(ELSEWHERE, "GET", &format!("episodes/{episode}/recommendations"), None, &[]).await.expect(404);
    let elsewhere = world.ask(ELSEWHERE, "GET", "recommendations", None, &[]).await.expect(200);
    assert_eq!(elsewhere.body["items"], json!([]));
    world.get("recommendations?state=forgotten").await.expect(400);

    let timeline = world.get(&format!("episodes/{episode}/timeline?limit=500")).await.expect(200).body;
    let review = timeline["items"].as_array().unwrap().iter().find(|i| i["kind"] == "case_review").unwrap();
    let planned: Vec<&str> =
        review["changes"]["planned"].as_array().unwrap().iter().map(|k| k.as_str().unwrap()).collect();
    assert_eq!(planned, [format!("{episode}/recommendation/{id}")]);
}

#[rstest]
#[tokio::test]
async fn a_referral_is_followed_to_its_end_even_after_discharge(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let (_, episode) = not_better(&world, "1").await;
    let (_, medication) = reviewed(&world, &episode, "2026-03-03", "medication", "care_manager").await;
    let (_, referral) = reviewed(&world, &episode, "2026-03-03", "specialty_referral", "primary_care").await;
    let path = format!("recommendations/{referral}/progress");
    let on = |progress: &str| json!({"progress": progress, "on": "2026-03-03"});
    let unknown = format!("recommendations/{}/progress", uuid::Uuid::nil());
    world.post(&unknown, on("ordered")).await.expect(404);
    world.ask(ELSEWHERE, "POST", &path, Some(on("ordered")), &[]).await.expect(404);
    let wrong = world.post(&format!("recommendations/{medication}/progress"), on("ordered")).await.expect(422);
    assert_eq!(wrong.body["expression"], "progress");
    let why = world.post(&path, on("closed")).await.expect(422);
    assert_eq!(why.body["expression"], "reason");
    let early = json!({"progress": "scheduled", "on": "2026-03-03", "scheduled_for": "2026-03-01"});
    assert_eq!(world.post(&path, early).await.expect(422).body["expression"], "scheduled_for");
    let odd = json!({"progress": "ordered", "on": "2026-03-03", "scheduled_for": "2026-03-09"});
    assert_eq!(world.post(&path, odd).await.expect(422).body["expression"], "scheduled_for");
    world.post(&path, json!({"progress": "ordered", "on": "2026-03-05"})).await.expect(422);

    world.post(&path, on("ordered")).await.expect(201);
    let again = world.post(&path, on("ordered")).await.expect(409);
    assert_eq!(again.body["allowed"], json!(["scheduled", "completed", "declined", "closed"]));
    let appointment = json!({"progress": "scheduled", "on": "2026-03-03", "scheduled_for": "2026-04-20"});
    let scheduled = world.post_as(Role::PrimaryCare, &path, appointment).await.expect(201);
    let open = listed(&world, "state=open&to=primary_care").await;
    assert_eq!(
        (open.len(), &open[0]["progress"], &open[0]["due_by"], &open[0]["decision"]),
        (1, &json!("scheduled"), &json!("2026-04-20"), &json!("accepted"))
    );
    let back = format!("episodes/{episode}/entries/{}/take-back", scheduled.id());
    world.post(&back, json!({"reason": "another patient"})).await.expect(201);
    let open = listed(&world, "state=open").await;
    assert_eq!((&open[0]["progress"], &open[0]["due_by"]), (&json!("ordered"), &json!("2026-03-31")));

    let discharge = json!({"discharged_on": "2026-03-03", "reason": "transferred_higher_level_of_care"});
    world.post(&format!("episodes/{episode}/discharge"), discharge).await.expect(201);
    assert_eq!(postures(&world).await, ["withdrawn", "withdrawn"]);
    assert_eq!(listed(&world, "state=closed").await.len(), 2);
    let done = world.post(&path, on("completed")).await.expect(201);
    assert!(done.body["treatment_change"].is_null(), "there is no plan to restart");
    assert_eq!(listed(&world, "state=done").await[0]["progress"], "completed");
    let over = world.post(&path, json!({"progress": "closed", "on": "2026-03-03", "reason": "x"})).await.expect(409);
    assert_eq!(over.body.get("allowed"), None);
}

#[rstest]
#[tokio::test]
async fn an_evaluation_by_the_consultant_is_theirs_and_a_review_taken_back_takes_its_tasks_with_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let (_, episode) = not_better(&world, "1").await;
    let (review, evaluation) =
        reviewed(&world, &episode, "2026-03-03", "direct_evaluation", "psychiatric_consultant").await;
    let start = world.standing(&episode).await["plan_started_on"].clone();
    let key = format!("{episode}/recommendation/{evaluation}");
    let wanted = world.standing(&episode).await["desired"].as_array().unwrap().clone();
    let task = wanted.iter().find(|d| d["key"] == json!(key)).unwrap();
    assert_eq!((&task["owner"], &task["due_on"]), (&json!("psychiatric_consultant"), &json!("2026-03-31")));
    let back = format!("episodes/{episode}/entries/{review}/take-back");
    world.post(&back, json!({"reason": "another patient"})).await.expect(201);
    assert_eq!((postures(&world).await, listed(&world, "").await), (vec!["entered-in-error".to_owned()], vec![]));
    let path = format!("recommendations/{evaluation}/progress");
    world.post(&path, json!({"progress": "completed", "on": "2026-03-03"})).await.expect(404);

    let (_, evaluation) = reviewed(&world, &episode, "2026-03-03", "direct_evaluation", "psychiatric_consultant").await;
    let path = format!("recommendations/{evaluation}/progress");
    let seen = json!({"progress": "completed", "on": "2026-03-03"});
    let seen = world.ask(CONSULTANT, "POST", &path, Some(seen), &[]).await.expect(201);
    assert!(seen.body["treatment_change"].is_null());
    assert_eq!(world.standing(&episode).await["plan_started_on"], start, "to see the patient changes no treatment");
    let change = json!({"changed_on": "2026-03-03", "kinds": ["direct_evaluation"], "summary": "Seen"});
    world.post(&format!("episodes/{episode}/treatment-changes"), change).await.expect(422);
}

#[rstest]
#[tokio::test]
async fn a_session_keeps_its_agenda_and_says_what_became_of_each(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let mut episodes = Vec::new();
    for id in ["1", "2", "3"] {
        episodes.push(not_better(&world, id).await.1);
    }
    // Another consultant's, and somebody who gives no reason for a review.
    let (_, others) = not_better(&world, "4").await;
    let patch = json!({"psychiatric_consultant": "Dr. Jung"});
    let path = format!("episodes/{others}");
    world.ask((CLINIC, Role::CareManager), "PATCH", &path, Some(patch), &[]).await.expect(200);
    let quiet = not_better(&world, "5").await.1;
    reviewed(&world, &quiet, "2026-03-02", "continue", "care_manager").await;
    let quiet_patient =
        world.get(&format!("episodes/{quiet}")).await.body["patient"]["id"].as_str().unwrap().to_owned();
    world.phq9(&quiet_patient, "2026-03-03", 4).await;

    let queue = async || world.get("review-queue").await.expect(200).body["items"].as_array().unwrap().clone();
    let of = |rows: &[Value], episode: &str| rows.iter().find(|row| row["episode"] == json!(episode)).cloned();
    let before = queue().await;
    assert_eq!((before.len(), of(&before, &quiet)), (4, None));
    let jung = world.get("review-queue?psychiatric_consultant=Dr.%20Jung").await.expect(200).body;
    assert_eq!(jung["items"].as_array().unwrap().len(), 1);
    let jung = world.get("review-queue?on=2026-03-04&psychiatric_consultant=Dr.%20Jung").await.expect(200).body;
    assert_eq!(jung["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("review-queue?care_manager=Nobody").await.expect(200).body["items"], json!([]));

    let new = |on: &str| json!({"held_on": on, "consultant": "Dr. Berg", "note": "by video"});
    world.ask(CONSULTANT, "POST", "review-sessions", Some(new("2026-03-05")), &[]).await.expect(422);
    world.post_as(Role::PrimaryCare, "review-sessions", new("2026-03-03")).await.expect(403);
    let key = [("idempotency-key", "weekly")];
    let open = || world.ask(CONSULTANT, "POST", "review-sessions", Some(new("2026-03-03")), &key);
    let (opened, again) = (open().await.expect(201), open().await.expect(201));
    let session = opened.id();
    assert_eq!(session, again.id());
    assert_eq!(world.get("review-sessions").await.expect(200).body["items"].as_array().unwrap().len(), 1);
    let agenda: Vec<&Value> = opened.body["agenda"].as_array().unwrap().iter().map(|i| &i["episode"]).collect();
    let expected: Vec<&Value> = before.iter().map(|row| &row["episode"]).filter(|e| **e != json!(others)).collect();
    assert_eq!(agenda, expected, "the consultant's and nobody's, in the queue's order");
    assert_eq!(opened.body["agenda"][0]["reasons"], of(&before, agenda[0].as_str().unwrap()).unwrap()["reasons"]);

    let review = |session: &str| {
        json!({"reviewed_on": "2026-03-03", "session": session,
        "recommendations": [{"kind": "continue", "text": "Go on", "to": "care_manager"}]})
    };
    let reviews = |episode: &str| format!("episodes/{episode}/case-reviews");
    let nowhere = review(&uuid::Uuid::nil().to_string());
    assert_eq!(world.post(&reviews(&episodes[0]), nowhere).await.expect(422).body["expression"], "session");
    let early = json!({"reviewed_on": "2026-03-02", "session": session, "summary": "Talked about"});
    assert_eq!(world.post(&reviews(&episodes[0]), early).await.expect(422).body["expression"], "reviewed_on");
    let made = world.post(&reviews(&episodes[0]), review(&session)).await.expect(201);
    world.post(&reviews(&quiet), review(&session)).await.expect(201);
    let read = async || world.get(&format!("review-sessions/{session}")).await.expect(200).body;
    let state =
        |whole: &Value, episode: &str| of(whole["agenda"].as_array().unwrap(), episode).unwrap()["state"].clone();
    let now = read().await;
    assert_eq!((state(&now, &episodes[0]), state(&now, &episodes[1])), (json!("reviewed"), json!("waiting")));
    assert_eq!((now["added"].as_array().unwrap().len(), &now["added"][0]["episode"]), (1, &json!(quiet)));
    assert_ne!(of(&queue().await, &episodes[0]), of(&before, &episodes[0]));

    // Undone: the queue's row and the agenda's item are what they were.
    let back = format!("episodes/{}/entries/{}/take-back", episodes[0], made.id());
    world.post(&back, json!({"reason": "clicked too early"})).await.expect(201);
    assert_eq!(of(&queue().await, &episodes[0]), of(&before, &episodes[0]));
    assert_eq!(state(&read().await, &episodes[0]), "waiting");
    let made = world.post(&reviews(&episodes[0]), review(&session)).await.expect(201);

    let close = format!("review-sessions/{session}/close");
    let put_off = |episode: &str| json!({"deferred": [{"episode": episode, "reason": "the form comes tomorrow"}]});
    let closing = async |body: Value| -> Said { world.ask(CONSULTANT, "POST", &close, Some(body), &[]).await };
    assert_eq!(closing(put_off(&others)).await.expect(422).body["expression"], "deferred[0].episode");
    assert_eq!(closing(put_off(&episodes[0])).await.expect(422).body["expression"], "deferred[0].episode");
    world.ask(ELSEWHERE, "POST", &close, Some(json!({})), &[]).await.expect(404);
    world.ask(ELSEWHERE, "GET", &format!("review-sessions/{session}"), None, &[]).await.expect(404);
    let closed = closing(put_off(&episodes[1])).await.expect(200).body;
    let states: Vec<Value> = episodes.iter().map(|episode| state(&closed, episode)).collect();
    assert_eq!(states, ["reviewed", "deferred", "not_reached"]);
    assert_eq!(of(closed["agenda"].as_array().unwrap(), &episodes[0]).unwrap()["review"], json!(made.id()));
    assert!(closed["closed_at"].is_string());
    closing(json!({})).await.expect(409);
    world.post(&reviews(&episodes[2]), review(&session)).await.expect(409);
    let elsewhere = world.ask(ELSEWHERE, "GET", "review-sessions", None, &[]).await.expect(200);
    assert_eq!(elsewhere.body["items"], json!([]));
    assert_eq!(world.get("review-sessions?consultant=Dr.%20Jung").await.expect(200).body["items"], json!([]));
}

#[tokio::test]
async fn an_agenda_has_a_size_and_is_trimmed_by_hand() {
    let world = World::on("2026-03-03").await;
    let mut episodes = Vec::new();
    for id in ["1", "2", "3"] {
        episodes.push(not_better(&world, id).await.1);
    }
    let new = json!({"held_on": "2026-03-03", "consultant": "Dr. Berg", "size": 2});
    let opened = world.ask(CONSULTANT, "POST", "review-sessions", Some(new), &[]).await.expect(201);
    let states = |whole: &Value| -> Vec<(String, String)> {
        let items = whole["agenda"].as_array().unwrap().iter();
        items.map(|i| (i["episode"].as_str().unwrap().to_owned(), i["state"].as_str().unwrap().to_owned())).collect()
    };
    let folded = |whole: &Value| states(whole).into_iter().filter(|(_, state)| state == "folded").collect::<Vec<_>>();
    assert_eq!((states(&opened.body).len(), folded(&opened.body).len()), (3, 1), "{}", opened.body);
    let last = folded(&opened.body)[0].0.clone();
    let path = format!("review-sessions/{}/agenda", opened.id());
    let taken = world.ask(CONSULTANT, "POST", &path, Some(json!({"episode": last, "folded": false})), &[]).await;
    assert_eq!(folded(&taken.expect(200).body), []);
    let trimmed = world.ask(CONSULTANT, "POST", &path, Some(json!({"episode": last, "folded": true})), &[]).await;
    assert_eq!(folded(&trimmed.expect(200).body).len(), 1);
    let absent = json!({"episode": "7c0c3d2e-9a51-4b7e-8f06-2b1d5e9ac0c4", "folded": true});
    let absent = world.ask(CONSULTANT, "POST", &path, Some(absent), &[]).await;
    assert!(matches!(absent.status, 404 | 422), "{}", absent.body);
    world.post_as(Role::PrimaryCare, &path, json!({"episode": last, "folded": false})).await.expect(403);
}

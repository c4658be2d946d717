//! A whole course of care through the API.

use cocm_registry::identity::Role;
use serde_json::json;

use crate::api_world::{World, rules};

#[tokio::test]
async fn a_course_of_care_from_enrolment_to_enrolment() {
    let world = World::on("2026-01-05").await;
    let patient = world.patient("1", "Lovelace").await;
    let enrolled = world
        .post(
            "episodes",
            json!({"patient": {"identifier": "urn:mrn|1"}, "enrolled_on": "2026-01-05", "consent_on": "2026-01-05",
                "target_instruments": ["phq9", "gad7"], "care_manager": "Kim"}),
        )
        .await
        .expect(201);
    let episode = enrolled.id();
    assert_eq!(enrolled.header("location"), format!("/api/v1/episodes/{episode}"));
    assert_eq!((enrolled.header("etag"), &enrolled.body["status"]), ("W/\"1\"", &json!("active")));
    let again = world.post("episodes", json!({"patient": {"id": patient}})).await.expect(409);
    assert_eq!(again.body["allowed"], json!(["discharge"]));

    world.phq9(&patient, "2026-01-05", 18).await;
    world.go_to("2026-02-20").await;
    world.phq9(&patient, "2026-02-20", 16).await;
    assert!(rules(&world.standing(&episode).await).contains(&"inadequate_response"));
    let past = world.get(&format!("episodes/{episode}/standing?as_of=2026-01-20")).await.expect(200).body;
    assert_eq!((&past["day"], &past["measures"][0]["status"]), (&json!(15), &json!("awaiting_followup")));

    world.go_to("2026-03-03").await;
    let standing = world.standing(&episode).await;
    assert!(rules(&standing).contains(&"nonresponse"), "{standing}");
    let queue = world.get("review-queue").await.expect(200).body;
    assert_eq!(queue["items"][0]["place"], "nonresponse_without_review", "{queue}");
    let row = &world.get("caseload").await.expect(200).body["items"][0];
    assert_eq!((&row["day"], &row["week"], &row["attention"]), (&json!(57), &json!(8), &json!(4)));

    let review = world
        .post_as(
            Role::PsychiatricConsultant,
            &format!("episodes/{episode}/case-reviews"),
            json!({"reviewed_on": "2026-03-03", "reviewer": "Dr Freud", "summary": "No response.", "minutes": 10,
                "recommendations": [
                    {"kind": "medication", "text": "Sertraline 100 mg", "to": "primary_care", "due_on": "2026-03-17"},
                    {"kind": "continue", "text": "Go on", "to": "care_manager"}]}),
        )
        .await
        .expect(201);
    let recommendation = review.body["recommendations"][0]["id"].as_str().unwrap().to_owned();
    let decision = format!("recommendations/{recommendation}/decision");
    let decide = |what: &'static str, on: &'static str| json!({"decision": what, "decided_on": on, "by": "Dr Who"});
    world.post_as(Role::PrimaryCare, &decision, decide("accepted", "2026-03-02")).await.expect(422);
    world.post_as(Role::PrimaryCare, &decision, decide("declined", "2026-03-03")).await.expect(201);
    let illegal = world.post(&decision, decide("done", "2026-03-03")).await.expect(409);
    assert_eq!(illegal.body["allowed"], json!(["accepted", "modified"]));
    world.post_as(Role::PrimaryCare, &decision, decide("accepted", "2026-03-03")).await.expect(201);
    assert_eq!(world.standing(&episode).await["plan_day"], 57, "accepted is not done");
    let done = world.post(&decision, decide("done", "2026-03-03")).await.expect(201);
    assert!(done.body["treatment_change"].is_string());
    let twice = world.post(&decision, decide("done", "2026-03-03")).await.expect(409);
    assert_eq!(twice.body.get("allowed"), None, "nothing is allowed any more");
    let standing = world.standing(&episode).await;
    assert_eq!((&standing["day"], &standing["plan_day"]), (&json!(57), &json!(0)), "the plan clock restarts");
    assert!(!rules(&standing).contains(&"nonresponse"));
    let go_on = review.body["recommendations"][1]["id"].as_str().unwrap();
    let done = world.post(&format!("recommendations/{go_on}/decision"), decide("done", "2026-03-03")).await.expect(201);
    assert!(done.body["treatment_change"].is_null(), "continuing changes nothing");
    let whole = world.get(&format!("episodes/{episode}")).await.expect(200);
    assert_eq!(whole.body["recommendations"][0]["decision"], "done");
    assert_eq!(whole.header("etag"), format!("W/\"{}\"", whole.body["revision"]));

    world.go_to("2026-05-04").await;
    world.phq9(&patient, "2026-05-04", 4).await;
    let prevention = json!({"on": "2026-05-04", "plan": "Walk, call, come back."});
    world.post(&format!("episodes/{episode}/relapse-prevention"), prevention).await.expect(201);
    assert_eq!(world.standing(&episode).await["status"], "relapse_prevention");
    world.go_to("2026-06-01").await;
    let discharge = json!({"discharged_on": "2026-06-01", "reason": "graduated"});
    let left = world.post(&format!("episodes/{episode}/discharge"), discharge).await.expect(201);
    assert!(left.body.get("warnings").is_none());
    let late = json!({"on": "2026-06-01", "kind": "treatment"});
    let refused = world.post(&format!("episodes/{episode}/contacts"), late).await.expect(409);
    assert_eq!(refused.body["allowed"], json!(["recommendation_decision", "recommendation_progress", "taken_back"]));
    assert_eq!(world.get("caseload").await.body["items"], json!([]));

    let second = world.enroll(&patient, "2026-06-01").await;
    assert_eq!(world.standing(&second).await["measures"][0]["status"], "no_baseline", "a new episode, a new baseline");
    let list = world.get(&format!("episodes?patient={patient}")).await.expect(200).body;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);

    let timeline = world.get(&format!("episodes/{episode}/timeline?limit=500")).await.expect(200).body;
    let kinds: Vec<&str> =
        timeline["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    let expected = [
        "enrolment",
        "measurement",
        "measurement",
        "case_review",
        "recommendation_decision",
        "recommendation_decision",
        "recommendation_decision",
        "treatment_change",
        "recommendation_decision",
        "relapse_prevention",
        "measurement",
        "discharge",
    ];
    let relevant: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "patient").collect();
    assert_eq!(relevant, expected);
}

#[tokio::test]
async fn holding_resuming_flagging_and_taking_back() {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    let path = |what: &str| format!("episodes/{episode}/{what}");
    world.post(&path("resume"), json!({"on": "2026-02-02"})).await.expect(409);
    world.post(&path("hold"), json!({"from": "2026-01-01", "reason": "away"})).await.expect(422);
    let hold = world.post(&path("hold"), json!({"from": "2026-02-01", "reason": "away"})).await.expect(201);
    assert_eq!(world.standing(&episode).await["status"], "on_hold");
    let back = path(&format!("entries/{}/take-back", hold.id()));
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(201);
    assert_eq!(world.standing(&episode).await["status"], "active");
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(409);

    let place = async || world.get("review-queue").await.body["items"][0]["place"].clone();
    assert_eq!(place().await, "new_without_review");
    world.post(&path("discussion-flag"), json!({"raised": true, "note": "please"})).await.expect(201);
    assert_eq!(place().await, "flagged_for_discussion");
    world.post(&path("discussion-flag"), json!({"raised": false})).await.expect(201);
    assert_eq!(place().await, "new_without_review");

    let at = json!({"occurred_at": "2026-02-02T08:00:00Z", "kind": "treatment", "modality": "phone", "scheduled": true,
        "outcome": "attended", "minutes": 30, "performer": "Kim", "interventions": ["activation"], "note": "well"});
    world.post(&path("contacts"), at).await.expect(201);
    let neither = world.post(&path("contacts"), json!({"kind": "outreach"})).await.expect(422);
    assert_eq!(neither.body["expression"], "on");
    let apart = json!({"on": "2026-02-01", "occurred_at": "2026-02-02T08:00:00Z", "kind": "outreach"});
    world.post(&path("contacts"), apart).await.expect(422);
    let low = world.phq9(&patient, "2026-01-20", 20).await;
    let baseline = json!({"instrument": "phq9", "measurement": low, "reason": "the first was a mistake"});
    world.post(&path("baseline-override"), baseline).await.expect(201);
    assert_eq!(world.standing(&episode).await["measures"][0]["baseline"]["basis"], "override");
    let graduate = json!({"discharged_on": "2026-02-02", "reason": "graduated"});
    let left = world.post(&path("discharge"), graduate).await.expect(201);
    assert_eq!(left.body["warnings"].as_array().unwrap().len(), 2, "no relapse-prevention plan, and no response");
}

#[tokio::test]
async fn a_safety_answer_is_listed_until_it_is_assessed_enrolled_or_not() {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let form = json!({"instrument": "phq9", "taken_at": "2026-02-02T08:00:00Z", "answers": [1, 1, 1, 1, 0, 0, null, 0, 2],
        "recorded_by": "Kim"});
    let measured = world.post(&format!("patients/{patient}/measurements"), form).await.expect(201).body;
    assert_eq!(
        (&measured["quality"], &measured["item9"], &measured["total"]),
        (&json!("prorated"), &json!(2), &json!(7))
    );
    let concerns = world.get("safety-concerns").await.expect(200).body;
    assert_eq!(
        (&concerns["items"][0]["rule"], &concerns["items"][0]["due_on"], &concerns["items"][0]["overdue"]),
        (&json!("safety_item9_high"), &json!("2026-02-02"), &json!(false))
    );
    let person = world.get(&format!("patients/{patient}")).await.expect(200).body;
    assert_eq!(person["safety"]["open"].as_array().unwrap().len(), 1);
    assert_eq!(person["measurements"][0]["severity"], "mild");
    assert!(person["keys"].as_array().unwrap().contains(&json!("urn:mrn|1")));
    world.go_to("2026-02-03").await;
    assert_eq!(world.get("safety-concerns").await.body["items"][0]["overdue"], true);
    let assessment = json!({"assessed_at": "2026-02-03T08:30:00Z", "instrument": "C-SSRS", "result": "low risk",
        "disposition": "safety plan", "assessor": "Dr Who"});
    world.post_as(Role::PrimaryCare, &format!("patients/{patient}/safety-assessments"), assessment).await.expect(201);
    assert_eq!(world.get("safety-concerns").await.body["items"], json!([]));
    let person = world.get(&format!("patients/{patient}")).await.expect(200).body;
    assert_eq!(person["safety"]["open"], json!([]));
    assert_eq!(person["safety"]["last_assessment"]["result"], "low risk");
}

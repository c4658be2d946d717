//! Transfers, corrections, contacts and treatment changes of an episode.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

const KIM: (&str, Role) = (CLINIC, Role::CareManager);

async fn happenings(world: &World, episode: &str, kind: &str) -> Vec<Value> {
    let timeline = world.get(&format!("episodes/{episode}/timeline?limit=500")).await.expect(200).body;
    timeline["items"].as_array().unwrap().iter().filter(|item| item["kind"] == kind).cloned().collect()
}

#[rstest]
#[tokio::test]
async fn a_field_that_may_be_empty_is_emptied_by_null_and_the_timeline_says_from_what(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-01").await;
    let path = format!("episodes/{episode}");
    let patch = async |body: Value| world.ask(KIM, "PATCH", &path, Some(body), &[]).await;
    patch(json!({"primary_care_provider": "Dr Who", "consent_on": "2026-03-01"})).await.expect(200);
    let emptied = patch(json!({"care_manager": null, "consent_on": null, "reason": "on leave"})).await.expect(200);
    assert_eq!((&emptied.body["care_manager"], &emptied.body["consent_on"]), (&Value::Null, &Value::Null));
    assert_eq!(emptied.body["primary_care_provider"], "Dr Who", "what is left out stays");
    let row = &world.get("caseload").await.expect(200).body["items"][0];
    assert_eq!(row["care_manager"], Value::Null);
    for field in ["enrolled_on", "target_instruments"] {
        let refused = patch(json!({field: null})).await.expect(422);
        assert_eq!(refused.body["expression"], field);
    }
    patch(json!({"primary_instrument": null})).await.expect(422);
    patch(json!({"care_manager": ""})).await.expect(422);
    let last = happenings(&world, &episode, "amendment").await.pop().unwrap();
    assert_eq!(
        last["body"]["changed"],
        json!({"care_manager": {"from": "Kim", "to": null}, "consent_on": {"from": "2026-03-01", "to": null}})
    );
    assert_eq!(last["body"]["reason"], "on leave");
}

#[rstest]
#[tokio::test]
async fn a_patient_is_handed_over_to_another_care_manager(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-02-01").await;
    let path = format!("episodes/{episode}/transfer");
    let to = |who: &str, on: &str| json!({"on": on, "to_care_manager": who, "reason": "Kim is on leave"});
    world.post(&path, json!({"on": "2026-03-02", "reason": "x"})).await.expect(422);
    world
        .post(&path, json!({"on": "2026-03-02", "reason": "x", "to_clinic": "b", "to_care_manager": "c"}))
        .await
        .expect(422);
    let refused = world.post(&path, to("Lee", "2026-04-01")).await.expect(422);
    assert_eq!(refused.body["expression"], "on");
    world.post(&path, to("Lee", "2026-01-31")).await.expect(422);
    world.post(&path, to("Kim", "2026-03-02")).await.expect(409);
    world.ask(("elsewhere", Role::CareManager), "POST", &path, Some(to("Lee", "2026-03-02")), &[]).await.expect(404);
    world.ask(KIM, "POST", &path, Some(to("Lee", "2026-03-02")), &[("if-match", "W/\"9\"")]).await.expect(412);
    let key = [("idempotency-key", "once")];
    let handed = world.ask(KIM, "POST", &path, Some(to("Lee", "2026-03-01")), &key).await.expect(201);
    assert_eq!((&handed.body["revision"], handed.body.get("handover")), (&json!(2), None));
    world.ask(KIM, "POST", &path, Some(to("Lee", "2026-03-01")), &key).await.expect(201);
    let events = happenings(&world, &episode, "transfer").await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["id"], &events[0]["happened_on"], &events[0]["body"]["reason"], &events[0]["body"]["changed"]),
        (
            &handed.body["id"],
            &json!("2026-03-01"),
            &json!("Kim is on leave"),
            &json!({"care_manager": {"from": "Kim", "to": "Lee"}})
        )
    );
    let row = &world.get("caseload?care_manager=Lee").await.expect(200).body["items"][0];
    assert_eq!((&row["episode"], &row["status"]), (&json!(episode), &json!("active")));
    let end = json!({"discharged_on": "2026-03-02", "reason": "other"});
    world.post(&format!("episodes/{episode}/discharge"), end).await.expect(201);
    let late = world.post(&path, to("Ray", "2026-03-02")).await.expect(409);
    assert_eq!(late.body["allowed"], json!(["recommendation_decision", "recommendation_progress", "taken_back"]));
}

#[rstest]
#[tokio::test]
async fn a_transfer_to_another_clinic_ends_the_episode_here_and_takes_nothing_there(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-02-01").await;
    world.phq9(&patient, "2026-02-01", 17).await;
    let change = json!({"changed_on": "2026-02-20", "kinds": ["medication"], "summary": "More.",
        "medication": [{"name": "Sertraline", "change": "dose_increased", "dose": "100 mg"}]});
    world.post(&format!("episodes/{episode}/treatment-changes"), change).await.expect(201);
    let path = format!("episodes/{episode}/transfer");
    let to = |clinic: &str| json!({"on": "2026-03-02", "to_clinic": clinic, "reason": "she moved"});
    let here = world.post(&path, to(CLINIC)).await.expect(422);
    assert_eq!(here.body["expression"], "to_clinic");
    let left = world.post(&path, to("uptown")).await.expect(201);
    let whole = world.get(&format!("episodes/{episode}")).await.expect(200).body;
    assert_eq!(
        (&whole["status"], &whole["discharge_reason"], &whole["discharged_on"]),
        (&json!("discharged"), &json!("transferred_other"), &json!("2026-03-02"))
    );
    let ends = happenings(&world, &episode, "discharge").await;
    assert_eq!((ends.len(), &ends[0]["body"]["note"]), (1, &json!("Transferred to clinic uptown: she moved")));
    let address = left.body["handover"].as_str().unwrap().trim_start_matches("/api/v1/");
    let (headers, page) = world.read_as("*/*", address).await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    for said in [
        "No care plan has been written.",
        "Enrolled on 2026-02-01.",
        "Ended on 2026-03-02: transferred other.",
        "PHQ-9: 17 on 2026-02-01 at the start",
        "Treatment changed on 2026-02-20: More. Sertraline, dose increased: 100 mg.",
        "not a crisis service",
    ] {
        assert!(page.contains(said), "{said}\n{page}");
    }
    let there = world.ask(("uptown", Role::CareManager), "GET", "patients", None, &[]).await.expect(200);
    assert_eq!(there.body["items"], json!([]));
    world.ask(("uptown", Role::CareManager), "GET", address, None, &[]).await.expect(404);
    world.post(&path, to("uptown")).await.expect(409);
}

#[rstest]
#[tokio::test]
async fn a_safety_assessment_is_taken_back_without_any_episode(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let form =
        json!({"instrument": "phq9", "taken_at": "2026-03-02T07:00:00Z", "answers": [1, 1, 1, 1, 0, 0, 0, 0, 1]});
    world.post(&format!("patients/{patient}/measurements"), form).await.expect(201);
    let assessment =
        json!({"assessed_at": "2026-03-02T08:00:00Z", "instrument": "C-SSRS", "result": "low", "disposition": "plan"});
    let entry = world.post(&format!("patients/{patient}/safety-assessments"), assessment).await.expect(201).id();
    let open = async || world.get("safety-concerns").await.expect(200).body["items"].as_array().unwrap().len();
    assert_eq!(open().await, 0);
    let back = format!("patients/{patient}/entries/{entry}/take-back");
    let because = json!({"reason": "the wrong patient"});
    world.post(&back, json!({})).await.expect(422);
    world.ask(("elsewhere", Role::CareManager), "POST", &back, Some(because.clone()), &[]).await.expect(404);
    world.post(&format!("patients/{patient}/entries/{patient}/take-back"), because.clone()).await.expect(404);
    let taken = world.post(&back, because.clone()).await.expect(201);
    assert_eq!(open().await, 1, "it stands open again");
    world.post(&back, because.clone()).await.expect(409);
    let again = format!("patients/{patient}/entries/{}/take-back", taken.id());
    world.post(&again, because.clone()).await.expect(404);
    // What belongs to an episode is taken back there.
    let episode = world.enroll(&patient, "2026-03-02").await;
    let flag =
        world.post(&format!("episodes/{episode}/discussion-flag"), json!({"raised": true})).await.expect(201).id();
    world.post(&format!("patients/{patient}/entries/{flag}/take-back"), because).await.expect(404);
}

#[rstest]
#[tokio::test]
async fn the_next_appointment_is_shown_and_one_that_nobody_documented_stays(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    let path = format!("episodes/{episode}/contacts");
    let contact = |on: &str, more: Value| {
        let mut body = json!({"on": on, "kind": "treatment", "scheduled": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for next in ["2026-03-02", "2027-03-04"] {
        let refused = world.post(&path, contact("2026-03-02", json!({"next_contact_on": next}))).await.expect(422);
        assert_eq!(refused.body["expression"], "next_contact_on");
    }
    let entry =
        world.post(&path, contact("2026-03-02", json!({"next_contact_on": "2026-03-09"}))).await.expect(201).id();
    let next = async || world.get("caseload").await.expect(200).body["items"][0]["next_contact"].clone();
    assert_eq!(next().await, json!({"on": "2026-03-09", "entry": entry, "missed": false}));
    world.go_to("2026-03-09").await;
    assert_eq!(next().await["missed"], false, "the day itself");
    world.go_to("2026-03-10").await;
    assert_eq!(next().await["missed"], true, "by the passing of the day alone");
    let call = json!({"on": "2026-03-10", "kind": "outreach", "outcome": "not_reached"});
    world.post(&path, call).await.expect(201);
    assert_eq!(next().await["missed"], true, "an attempt does not say what became of it");
    world.post(&path, contact("2026-03-09", json!({"outcome": "no_show"}))).await.expect(201);
    assert_eq!(next().await, Value::Null, "documented");
    assert_eq!(world.standing(&episode).await["next_contact"], Value::Null);
}

#[rstest]
#[tokio::test]
async fn a_course_of_brief_treatment_is_complete_with_its_sixth_session_within_twelve_weeks(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    let courses = async || world.get(&format!("episodes/{episode}")).await.expect(200).body["brief_treatments"].clone();
    assert_eq!(courses().await, json!([]));
    let session = async |on: &str, what: &str, outcome: &str| {
        let body = json!({"on": on, "kind": "treatment", "modality": "video", "outcome": outcome, "interventions": [what, "a walk"]});
        world.post(&format!("episodes/{episode}/contacts"), body).await.expect(201);
    };
    world.go_to("2026-06-30").await;
    session("2026-03-02", "Behavioral Activation", "attended").await;
    for on in ["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"] {
        session(on, "behavioural_activation", "attended").await;
    }
    session("2026-04-06", "behavioural_activation", "no_show").await;
    session("2026-03-30", "behavioural_activation", "attended").await;
    session("2026-04-08", "problem_solving_treatment", "attended").await;
    let now = courses().await;
    assert_eq!(
        (&now[0]["sessions"], &now[0]["status"], &now[0]["due_on"]),
        (&json!(5), &json!("not_completed"), &json!("2026-05-25")),
        "2026-03-02 + 84 days; no-shows and a second one on a day are no sessions"
    );
    assert_eq!(
        (&now[1]["intervention"], &now[1]["status"]),
        (&json!("problem_solving_treatment"), &json!("in_progress"))
    );
    session("2026-05-25", "BA", "attended").await;
    let now = courses().await;
    assert_eq!((&now[0]["status"], &now[0]["completed_on"]), (&json!("completed"), &json!("2026-05-25")));
    session("2026-05-26", "BA", "attended").await;
    assert_eq!(courses().await.as_array().unwrap().len(), 3, "a session after the last day begins another course");
}

#[rstest]
#[tokio::test]
async fn the_standing_says_what_the_plan_clock_counts_from(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-02-01").await;
    let clock = async || world.standing(&episode).await["plan_clock"].clone();
    assert_eq!(
        clock().await,
        json!({"started_on": "2026-02-01", "basis": "enrolment", "entry": null,
            "reason": "Counts from enrollment on 2026-02-01: no treatment change has been documented since."})
    );
    let path = format!("episodes/{episode}/treatment-changes");
    let medication = json!([{"name": "Sertraline", "change": "switched", "instead_of": "Citalopram", "dose": "50 mg", "note": "QT"}]);
    let change = |kinds: Value, medication: Value| json!({"changed_on": "2026-03-01", "kinds": kinds, "summary": "QT prolonged", "medication": medication});
    let refused = world.post(&path, change(json!(["other"]), medication.clone())).await.expect(422);
    assert_eq!(refused.body["expression"], "kinds");
    let wrong = json!([{"name": "Sertraline", "change": "started", "instead_of": "Citalopram"}]);
    let refused = world.post(&path, change(json!(["medication"]), wrong)).await.expect(422);
    assert_eq!(refused.body["expression"], "medication[0].instead_of");
    world.post(&path, change(json!(["medication"]), json!([{"name": "x", "change": "doubled"}]))).await.expect(422);
    let entry = world.post(&path, change(json!(["medication"]), medication.clone())).await.expect(201).id();
    let said = happenings(&world, &episode, "treatment_change").await.remove(0);
    assert_eq!(said["body"]["medication"], medication);
    assert_eq!(
        clock().await,
        json!({"started_on": "2026-03-01", "basis": "treatment_change", "entry": entry,
            "reason": "Counts from the treatment change of 2026-03-01 (medication): QT prolonged. Sertraline, switched from Citalopram: 50 mg."})
    );
    let back = format!("episodes/{episode}/entries/{entry}/take-back");
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(201);
    assert_eq!(clock().await["basis"], "enrolment");
}

#[tokio::test]
async fn a_relapse_prevention_plan_that_was_taken_back_is_none_at_graduation() {
    let world = World::on("2026-03-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-02-01").await;
    let plan = json!({"on": "2026-03-02", "plan": "Walk."});
    let entry = world.post(&format!("episodes/{episode}/relapse-prevention"), plan).await.expect(201).id();
    let back = format!("episodes/{episode}/entries/{entry}/take-back");
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(201);
    let end = json!({"discharged_on": "2026-03-02", "reason": "graduated"});
    let left = world.post(&format!("episodes/{episode}/discharge"), end).await.expect(201);
    assert_eq!(left.body["warnings"].as_array().unwrap().len(), 2, "no plan, and no response either");
}

#[rstest]
#[tokio::test]
async fn names_without_end_are_taken_and_listed_by_their_beginning(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let part = |n: u32| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &n.to_be_bytes()).simple().to_string();
    let long: String = (0..300).map(part).collect();
    let patient = world.patient("1", &long).await;
    let body = json!({"patient": {"id": patient}, "enrolled_on": "2026-02-01", "care_manager": long});
    world.post("episodes", body).await.expect(201);
    let listed = world.get("caseload").await.expect(200).body.to_string();
    assert!(listed.contains(&long[..190]) && !listed.contains(&long[..201]), "{} bytes", listed.len());
}

#[rstest]
#[tokio::test]
async fn two_open_episodes_of_one_person_are_marked_until_one_is_ended_as_a_duplicate(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let (one, other) = (world.patient("1", "Lovelace").await, world.patient("2", "Lovelace").await);
    let (stays, ends) = (world.enroll(&one, "2026-02-01").await, world.enroll(&other, "2026-02-10").await);
    let contact = json!({"on": "2026-02-20", "kind": "treatment", "modality": "phone", "outcome": "attended"});
    world.post(&format!("episodes/{ends}/contacts"), contact).await.expect(201);
    world
        .arrives(json!({"resourceType": "Patient", "id": "2", "active": false,
            "link": [{"other": {"reference": "Patient/1"}, "type": "replaced-by"}]}))
        .await;
    let rows = async || world.get("caseload").await.expect(200).body["items"].as_array().unwrap().clone();
    let marked = rows().await;
    assert_eq!(marked.len(), 2, "both stay visible");
    assert!(marked.iter().all(|row| row["other_open_episodes"].as_array().unwrap().len() == 1), "{marked:?}");
    let path = format!("episodes/{ends}/discharge");
    let duplicate = |of: &str| json!({"discharged_on": "2026-03-02", "reason": "duplicate", "duplicate_of": of});
    world.post(&path, json!({"discharged_on": "2026-03-02", "reason": "duplicate"})).await.expect(422);
    let wrong = json!({"discharged_on": "2026-03-02", "reason": "withdrew", "duplicate_of": stays});
    world.post(&path, wrong).await.expect(422);
    let itself = world.post(&path, duplicate(&ends)).await;
    assert!((400..500).contains(&itself.status), "{}", itself.body);
    world.post(&path, duplicate(&stays)).await.expect(201);
    let left = rows().await;
    assert_eq!((left.len(), &left[0]["episode"], &left[0]["other_open_episodes"]), (1, &json!(stays), &json!([])));
    let standing = world.standing(&stays).await;
    assert!(
        !crate::api_world::rules(&standing).contains(&"contact_overdue"),
        "the duplicate's contact counts: {standing}"
    );
    let again = world.post(&path, duplicate(&stays)).await;
    assert!((400..500).contains(&again.status), "{}", again.body);
}

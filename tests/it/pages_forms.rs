//! Enrollment, the fit check, hand-over, baselines, candidates and care plans, as they are typed into the pages.

use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::World;
use super::pages_world::Browser;
use super::world::Engine;

async fn episodes(world: &World, patient: &str) -> Value {
    world.get(&format!("episodes?patient={patient}")).await.expect(200).body["items"].clone()
}

#[rstest]
#[tokio::test]
async fn a_candidate_is_dismissed_undone_and_enrolled(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patient = world.patient("p", "Byron").await;
    world.phq9(&patient, "2026-03-02", 18).await;
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let listed = browser.get("/candidates").await.expect(200).text;
    assert!(listed.contains("Byron") && listed.contains("PHQ-9 18, Mar 2"), "{listed}");
    assert!(listed.contains(&format!("/patients/{patient}?form=enrolment")));
    let page = format!("/patients/{patient}");
    let done =
        browser.post(&format!("{page}/candidate-dismissal"), &[("reason", "Declined for now.")]).await.expect(303);
    assert!(!browser.get("/candidates").await.text.contains("Byron"));
    assert!(browser.get("/candidates?dismissed=true").await.text.contains("Declined for now."));
    let entry = done.header("location").rsplit_once("entry=").unwrap().1.to_owned();
    browser.post(&format!("{page}/take-back?entry={entry}"), &[("reason", "Wrong patient.")]).await.expect(303);
    assert!(browser.get("/candidates").await.text.contains("Byron"));
    let enrollment = [
        ("enrolled_on", "2026-03-16"),
        ("consent_on", "2026-03-16"),
        ("target_instruments", "phq9"),
        ("target_instruments", "gad7"),
        ("care_manager", "Kim"),
        ("psychiatric_consultant", "Okafor"),
        ("fit.concerns", "mania"),
        ("fit.decision", "suitable"),
    ];
    let refused = browser.post(&format!("{page}/enrolment"), &enrollment).await.expect(422).text;
    assert!(
        refused.contains("id=\"enrolment-fit.reason-problem\""),
        "the API's words stand beside the field: {refused}"
    );
    assert!(refused.contains("value=\"Okafor\""), "nothing typed is lost");
    let whole: Vec<(&str, &str)> = enrollment.into_iter().chain([("fit.reason", "In remission for years.")]).collect();
    browser.post(&format!("{page}/enrolment"), &whole).await.expect(303);
    let of = &episodes(&world, &patient).await[0];
    assert_eq!((&of["status"], &of["psychiatric_consultant"]), (&json!("active"), &json!("Okafor")));
    assert_eq!(of["target_instruments"], json!(["phq9", "gad7"]));
    assert!(!browser.get("/candidates").await.text.contains("Byron"));
    let again = browser.post(&format!("{page}/enrolment"), &whole).await;
    assert_eq!(again.status, 422, "who is in care is not enrolled once more");
}

#[rstest]
#[tokio::test]
async fn who_was_referred_is_checked_and_then_enrolled(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patient = world.patient("p", "Byron").await;
    let page = format!("/patients/{patient}");
    let browser = Browser::as_role(&world.app, "care_manager").await;
    browser
        .post(&format!("{page}/enrolment"), &[("target_instruments", "phq9"), ("care_manager", "Kim")])
        .await
        .expect(303);
    assert_eq!(episodes(&world, &patient).await[0]["status"], "referred");
    let elsewhere = [("on", "2026-03-16"), ("decision", "specialty_care"), ("reason", "Acute psychosis.")];
    browser.post(&format!("{page}/fit-check"), &elsewhere).await.expect(303);
    let particulars = [("enrolled_on", "2026-03-16"), ("target_instruments", "phq9"), ("primary_care_provider", "Roy")];
    let refused = browser.post(&format!("{page}/particulars"), &particulars).await.expect(422).text;
    assert!(refused.contains("specialty care") && refused.contains("particulars-enrolled_on-problem"), "{refused}");
    browser.post(&format!("{page}/fit-check"), &[("on", "2026-03-16"), ("decision", "suitable")]).await.expect(303);
    browser.post(&format!("{page}/particulars"), &particulars).await.expect(303);
    let of = &episodes(&world, &patient).await[0];
    assert_eq!((&of["status"], &of["primary_care_provider"]), (&json!("active"), &json!("Roy")));
    assert_eq!(of["care_manager"], Value::Null, "what was emptied is emptied");
}

#[rstest]
#[tokio::test]
async fn a_patient_is_handed_over_gets_another_baseline_and_changes_medication(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    world.phq9(&patient, "2026-01-05", 18).await;
    let second = world.phq9(&patient, "2026-01-20", 21).await;
    let page = format!("/patients/{patient}");
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let shown = browser.get(&page).await.expect(200).text;
    assert!(shown.contains("PHQ-9 21, Jan 20") && shown.contains("Choose another baseline"));
    let baseline = [("measurement", second.as_str()), ("reason", "The first one was taken in a hurry.")];
    browser.post(&format!("{page}/baseline-override"), &baseline).await.expect(303);
    assert_eq!(world.standing(&episode).await["measures"][0]["baseline"]["score"], 21);
    let change = [
        ("changed_on", "2026-03-16"),
        ("kinds", "medication"),
        ("summary", "More sertraline."),
        ("medication.0.name", "Sertraline"),
        ("medication.0.change", "dose_increased"),
        ("medication.0.dose", "100 mg"),
    ];
    browser.post(&format!("{page}/treatment-changes"), &change).await.expect(303);
    assert!(browser.get(&page).await.text.contains("Sertraline, dose increased: 100 mg"));
    let both = [("on", "2026-03-16"), ("to_care_manager", "Lee"), ("to_clinic", "elsewhere"), ("reason", "Moves.")];
    browser.post(&format!("{page}/transfer"), &both).await.expect(422);
    browser.post(&format!("{page}/transfer"), &[both[0], both[1], both[3]]).await.expect(303);
    assert_eq!(episodes(&world, &patient).await[0]["care_manager"], "Lee");
    browser.post(&format!("{page}/transfer"), &[both[0], both[2], both[3]]).await.expect(303);
    assert_eq!(episodes(&world, &patient).await[0]["status"], "discharged");
    let document = browser.get(&format!("{page}/handover")).await.expect(200);
    assert!(document.text.contains("Handover") && document.text.contains("Byron"));
}

#[rstest]
#[tokio::test]
async fn a_care_plan_has_versions_and_nobody_overwrites_what_they_did_not_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-16").await else { return };
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    world.phq9(&patient, "2026-03-02", 18).await;
    let page = format!("/patients/{patient}/care-plan");
    let browser = Browser::as_role(&world.app, "care_manager").await;
    assert!(browser.get(&page).await.expect(200).text.contains("No care plan has been written"));
    let first = [
        ("read", ""),
        ("problems.0.text", "Low mood"),
        ("problems.1.text", ""),
        ("goals.1.text", "Walk to the lake"),
        ("goals.1.by", "2026-05-01"),
        ("targets.0.instrument", "phq9"),
        ("targets.0.at_most", "4"),
        ("interventions.0.intervention", "behavioral activation"),
        ("medication.0.name", "Sertraline"),
        ("medication.0.dose", "50 mg"),
        ("responsibilities.0.who", "Kim"),
        ("responsibilities.0.what", "calls on Fridays"),
        ("note", "Shared with the daughter."),
    ];
    browser.post(&page, &first).await.expect(303);
    let plan = world.get(&format!("episodes/{episode}/care-plan")).await.expect(200).body;
    assert_eq!((&plan["version"], &plan["problems"]), (&json!(1), &json!(["Low mood"])));
    assert_eq!(plan["goals"], json!([{"text": "Walk to the lake", "by": "2026-05-01", "reached_on": null}]));
    assert_eq!(plan["interventions"][0]["intervention"], "behavioural_activation");
    let shown = browser.get(&page).await.expect(200);
    assert!(shown.text.contains("PHQ-9 at most 4: now 18") && shown.text.contains("value=\"Walk to the lake\""));
    assert_eq!(shown.hidden("read"), "1");
    let document = browser.get(&format!("{page}/document")).await.expect(200);
    assert!(document.text.contains("Shared care plan") && document.text.contains("Low mood"));
    // Wrong in the second row of those that were typed, which is the fourth on the page.
    let far = [("read", "1"), ("goals.0.text", "A"), ("goals.3.text", "B"), ("goals.3.by", "1066-10-14")];
    let refused = browser.post(&page, &far).await.expect(422).text;
    assert!(refused.contains("id=\"care-plan-goals.3.by-problem\""), "{refused}");
    let half = [("read", "1"), ("targets.0.instrument", "gad7")];
    let refused = browser.post(&page, &half).await.expect(422).text;
    assert!(refused.contains("id=\"care-plan-targets.0.at_most-problem\">this is needed in this row"), "{refused}");
    // Two write at once: the second is told, loses nothing, and may go on from what stands now.
    let (kim, lee) = ([("read", "1"), ("note", "Kim’s.")], [("read", "1"), ("note", "Lee’s.")]);
    browser.post(&page, &kim).await.expect(303);
    let told = browser.post(&page, &lee).await.expect(422);
    assert!(told.text.contains("somebody wrote version 2 meanwhile") && told.text.contains("Lee’s.</textarea>"));
    assert!(told.text.contains("Kim’s."), "what stands now is shown");
    assert_eq!(told.hidden("read"), "2");
    browser.post(&page, &[("read", "2"), ("note", "Both.")]).await.expect(303);
    let versions = browser.get(&format!("{page}?version=1")).await.expect(200).text;
    assert!(versions.contains("Low mood") && versions.contains("was replaced"));
    browser.get(&format!("{page}?version=9")).await.expect(404);
}

/// Pages that read through the API and pages that read the store: each shows somebody, and each is in the journal.
#[tokio::test]
async fn whoever_is_shown_on_a_new_page_stands_in_the_journal() {
    let world = World::on("2026-03-16").await;
    let (candidate, patient) = (world.patient("c", "Franklin").await, world.patient("p", "Byron").await);
    world.phq9(&candidate, "2026-03-02", 18).await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    world.phq9(&patient, "2026-01-05", 18).await;
    world.post(&format!("episodes/{episode}/care-plan"), json!({"problems": ["Low mood"]})).await.expect(201);
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let session = browser.review_of("Okafor").await;
    let paths = [
        ("/candidates".to_owned(), &candidate),
        (format!("/patients/{patient}/care-plan"), &patient),
        (format!("/patients/{patient}/care-plan/document"), &patient),
        (format!("/patients/{patient}/handover"), &patient),
        (session.clone(), &patient),
        (format!("{session}/{episode}"), &patient),
        (format!("{session}/summary"), &patient),
    ];
    for (path, shown) in paths {
        world.clock.set(world.clock.now() + chrono::TimeDelta::minutes(1));
        let since = world.clock.now();
        browser.get(&path).await.expect(200);
        world.app.journal.flush().await;
        world.app.journal.seal().await.unwrap();
        let query = format!("audit?patient={shown}&limit=50");
        let admin = ("demo", cocm_registry::identity::Role::Admin);
        let lines = world.ask(admin, "GET", &query, None, &[]).await.expect(200).body;
        let told = lines["items"].as_array().unwrap().iter().any(|line| {
            let at: chrono::DateTime<chrono::Utc> = line["at"].as_str().unwrap().parse().unwrap();
            at >= since && line["by"] == "development-care_manager"
        });
        assert!(told, "{path}: {lines}");
    }
}

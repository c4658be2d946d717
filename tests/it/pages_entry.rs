//! What is typed into the pages goes through the API, once, and nothing typed is lost.

use serde_json::json;

use super::api_world::{World, rules};
use super::pages_world::Browser;

#[tokio::test]
async fn a_contact_is_logged_once_and_can_be_undone() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    assert!(rules(&world.standing(&episode).await).contains(&"contact_overdue"));
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let page = format!("/patients/{patient}");
    let once = browser.get(&page).await.expect(200).hidden("once");
    let fields = [
        ("once", once.as_str()),
        ("on", "2026-03-16"),
        ("kind", "treatment"),
        ("modality", "phone"),
        ("outcome", "attended"),
        ("minutes", "25"),
        ("scheduled", "yes"),
        ("note", "Talked about sleep."),
    ];
    let first = browser.post(&format!("{page}/contacts"), &fields).await.expect(303);
    let again = browser.post(&format!("{page}/contacts"), &fields).await.expect(303);
    assert_eq!(first.header("location"), again.header("location"), "sent twice, it is one contact");
    let shown = browser.get(first.header("location")).await.expect(200).text;
    assert!(shown.contains("The contact was logged.") && shown.contains("Talked about sleep."));
    assert!(!rules(&world.standing(&episode).await).contains(&"contact_overdue"));
    let entry = first.header("location").rsplit_once("entry=").unwrap().1.to_owned();
    let undo = format!("{page}/take-back?entry={entry}");
    assert!(shown.contains(&undo), "undo is one click away");
    browser.post(&undo, &[("reason", "")]).await.expect(422);
    browser.post(&undo, &[("reason", "Somebody else's.")]).await.expect(303);
    assert!(rules(&world.standing(&episode).await).contains(&"contact_overdue"));
    assert!(browser.get(&page).await.text.contains("taken back"), "it stays in the timeline");
}

#[tokio::test]
async fn what_the_api_refuses_is_said_beside_the_field_and_nothing_typed_is_lost() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let post = |form: &str, fields: Vec<(&'static str, &'static str)>| {
        let path = format!("/patients/{patient}/{form}");
        let browser = &browser;
        async move { browser.post(&path, &fields).await }
    };
    let long = vec![
        ("on", "2026-03-16"),
        ("kind", "treatment"),
        ("outcome", "attended"),
        ("minutes", "9000"),
        ("note", "A long one."),
    ];
    let refused = post("contacts", long).await.expect(422).text;
    assert!(refused.contains("id=\"contacts-minutes-problem\">at most the minutes of a day"), "{refused}");
    assert!(refused.contains("value=\"9000\"") && refused.contains("A long one."));
    assert!(refused.contains("id=\"enter-contacts\" open"), "the form stands open");
    let empty = post("treatment-changes", vec![("changed_on", "2026-03-16")]).await.expect(422).text;
    assert!(empty.contains("id=\"treatment-changes-kinds-problem\">choose at least one"), "{empty}");
    assert!(empty.contains("id=\"treatment-changes-summary-problem\">this is needed"));
    let future =
        post("discharge", vec![("discharged_on", "2199-01-01"), ("reason", "graduated"), ("note", "Well.")]).await;
    let future = future.expect(422).text;
    assert!(future.contains("class=\"problem") && future.contains("Well."), "{future}");
    assert_eq!(world.standing(&episode).await["status"], "active");
}

#[tokio::test]
async fn a_safety_answer_stands_on_every_page_until_it_is_assessed() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let body =
        json!({"instrument": "phq9", "taken_at": "2026-03-16T07:00:00Z", "answers": [1, 1, 1, 1, 1, 1, 1, 1, 2]});
    world.post(&format!("patients/{patient}/measurements"), body).await.expect(201);
    world.clock.set(world.clock.now() + chrono::TimeDelta::minutes(25));
    let browser = Browser::as_role(&world.app, "primary_care").await;
    for path in ["/caseload", "/review", "/programme", "/safety"] {
        let text = browser.get(path).await.expect(200).text;
        assert!(text.contains("1 not assessed") && text.contains("data-minutes=\"25\">25 min"), "{path}");
        assert!(text.contains("due today"), "{path}");
    }
    let fields = [
        ("assessed_at", "2026-03-16"),
        ("instrument", "C-SSRS"),
        ("result", "No plan."),
        ("disposition", "Safety plan."),
    ];
    browser.post(&format!("/patients/{patient}/safety-assessment"), &fields).await.expect(303);
    let text = browser.get("/caseload").await.text;
    assert!(text.contains("No unassessed safety answers."));
}

//! The fit check, and the plan that patient and team share.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

async fn kinds(world: &World, episode: &str) -> Vec<String> {
    let timeline = world.get(&format!("episodes/{episode}/timeline?limit=500")).await.expect(200).body;
    let items = timeline["items"].as_array().unwrap().iter();
    items.map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
}

#[rstest]
#[tokio::test]
async fn a_fit_check_keeps_who_decided_and_why(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    let path = format!("episodes/{episode}/fit-check");
    let whole = async || world.get(&format!("episodes/{episode}")).await.expect(200).body;
    assert_eq!(whole().await["fit_check"], Value::Null, "enrolled, and none is documented");

    let refused = world.post(&path, json!({"concerns": ["mania"], "decision": "suitable"})).await.expect(422);
    assert_eq!(refused.body["expression"], "reason", "{}", refused.body);
    world.post(&path, json!({"concerns": ["anger"], "decision": "suitable"})).await.expect(422);
    world.post(&path, json!({"decision": "suitable", "on": "2026-04-02"})).await.expect(422);
    world.post(&path, json!({"decision": "suitable", "what": 1})).await.expect(422);
    world
        .ask(("elsewhere", Role::CareManager), "POST", &path, Some(json!({"decision": "suitable"})), &[])
        .await
        .expect(404);
    world.post_as(Role::Admin, &path, json!({"decision": "suitable"})).await.expect(403);
    let fit =
        json!({"concerns": ["mania", "mania"], "decision": "suitable", "reason": "One episode, 1999.", "by": "Dr Who"});
    world.post_as(Role::PsychiatricConsultant, &path, fit).await.expect(201);
    assert_eq!(
        whole().await["fit_check"],
        json!({"concerns": ["mania"], "decision": "suitable", "reason": "One episode, 1999.", "by": "Dr Who"})
    );
    let other =
        json!({"decision": "specialty_care", "reason": "Psychosis since yesterday.", "concerns": ["psychosis"]});
    let entered = world.post(&path, other).await.expect(201);
    assert_eq!(entered.body["warnings"].as_array().unwrap().len(), 1, "nothing happens by itself");
    assert_eq!(whole().await["status"], "active");
    let back = format!("episodes/{episode}/entries/{}/take-back", entered.id());
    world.post(&back, json!({"reason": "the wrong patient"})).await.expect(201);
    assert_eq!(whole().await["fit_check"]["decision"], "suitable", "the one before counts again");
    assert_eq!(kinds(&world, &episode).await.iter().filter(|kind| *kind == "fit_check").count(), 2);
    assert!(crate::api_world::rules(&world.standing(&episode).await).iter().all(|rule| !rule.contains("fit")));

    let end = json!({"discharged_on": "2026-03-02", "reason": "other"});
    world.post(&format!("episodes/{episode}/discharge"), end).await.expect(201);
    let late = world.post(&path, json!({"decision": "suitable"})).await.expect(409);
    assert_eq!(late.body["allowed"], json!(["recommendation_decision", "recommendation_progress", "taken_back"]));
}

#[rstest]
#[tokio::test]
async fn who_belongs_into_specialty_care_is_not_enrolled_until_somebody_decides_otherwise(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let with =
        |enrolled: Option<&str>, fit: Value| json!({"patient": {"id": patient}, "enrolled_on": enrolled, "fit": fit});
    let no = json!({"concerns": ["acute_risk"], "decision": "specialty_care", "reason": "Plans to end her life."});
    let refused = world.post("episodes", with(Some("2026-03-02"), no.clone())).await.expect(422);
    assert_eq!(refused.body["expression"], "fit.decision");
    let refused = world.post("episodes", with(None, json!({"decision": "specialty_care"}))).await.expect(422);
    assert_eq!(refused.body["expression"], "fit.reason");
    let referred = world.post("episodes", with(None, no)).await.expect(201);
    let (episode, path) = (referred.id(), format!("episodes/{}", referred.id()));
    assert_eq!(referred.header("etag"), "W/\"2\"", "the referral and its fit check");
    let enroll = json!({"enrolled_on": "2026-03-02"});
    let refused = world.ask((CLINIC, Role::CareManager), "PATCH", &path, Some(enroll.clone()), &[]).await.expect(409);
    assert_eq!(refused.body["allowed"], json!(["fit_check", "discharge"]));
    let yes = json!({"concerns": ["acute_risk"], "decision": "suitable", "reason": "Seen in the clinic, safe."});
    world.post(&format!("{path}/fit-check"), yes).await.expect(201);
    let enrolled = world.ask((CLINIC, Role::CareManager), "PATCH", &path, Some(enroll), &[]).await.expect(200);
    assert_eq!(
        (&enrolled.body["status"], &enrolled.body["fit_check"]["decision"]),
        (&json!("active"), &json!("suitable"))
    );
    assert_eq!(kinds(&world, &episode).await.iter().filter(|kind| *kind == "fit_check").count(), 2);
}

fn plan() -> Value {
    json!({"on": "2026-03-02", "problems": ["Depression <since the birth>"],
        "goals": [{"text": "Play the piano & sing again", "by": "2026-05-01"}],
        "targets": [{"instrument": "phq9", "at_most": 4, "by": "2026-06-01"}],
        "interventions": [{"intervention": "Behavioral activation", "detail": "weekly", "who": "Kim"}, {"intervention": "Knitting"}],
        "medication": [{"name": "Sertraline", "dose": "50 mg in the morning"}],
        "responsibilities": [{"who": "Dr Who", "what": "prescribes"}], "note": "Call after six.", "by": "Kim"})
}

#[rstest]
#[tokio::test]
async fn a_care_plan_has_versions_and_two_writers_do_not_overwrite_each_other(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    let referred = world.post("episodes", json!({"patient": {"id": patient}})).await.expect(201).id();
    let path = format!("episodes/{referred}/care-plan");
    let early = world.post(&path, plan()).await.expect(409);
    assert!(!early.body["allowed"].as_array().unwrap().contains(&json!("care_plan")));
    let enroll = json!({"enrolled_on": "2026-03-02", "care_manager": "Kim"});
    world
        .ask((CLINIC, Role::CareManager), "PATCH", &format!("episodes/{referred}"), Some(enroll), &[])
        .await
        .expect(200);
    world.phq9(&patient, "2026-03-02", 16).await;
    world.get(&path).await.expect(404);
    world.post(&path, json!({})).await.expect(422);
    let future = world.post(&path, json!({"on": "2026-03-09", "note": "x"})).await.expect(422);
    assert_eq!(future.body["expression"], "on");
    let target = json!({"targets": [{"instrument": "phq9", "at_most": 28}]});
    assert_eq!(world.post(&path, target).await.expect(422).body["expression"], "targets[0].at_most");
    let nobody = ("elsewhere", Role::CareManager);
    world.ask(nobody, "POST", &path, Some(plan()), &[]).await.expect(404);
    world.ask(nobody, "GET", &path, None, &[]).await.expect(404);

    let first = world.post(&path, plan()).await.expect(201);
    assert_eq!((first.header("etag"), &first.body["version"]), ("W/\"1\"", &json!(1)));
    assert_eq!(first.header("location"), format!("/api/v1/{path}?version=1"));
    assert_eq!(first.body["interventions"][0]["intervention"], "behavioural_activation");
    assert_eq!(first.body["interventions"][1]["intervention"], "Knitting");
    assert_eq!(
        first.body["targets_now"][0],
        json!({"instrument": "phq9", "at_most": 4, "by": "2026-06-01", "score": 16, "taken_on": "2026-03-02", "reached": false})
    );
    let kim = (CLINIC, Role::CareManager);
    let next = |note: &str| Some(json!({"note": note, "problems": ["Depression"]}));
    let read = [("if-match", first.header("etag")), ("idempotency-key", "k")];
    let second = world.ask(kim, "POST", &path, next("mine"), &read).await.expect(201);
    let replayed = world.ask(kim, "POST", &path, next("mine"), &read).await.expect(201);
    assert_eq!((second.header("etag"), second.header("idempotency-replayed")), ("W/\"2\"", ""));
    assert_eq!(replayed.body, second.body);
    world.ask(kim, "POST", &path, next("and mine"), &[("if-match", "W/\"1\"")]).await.expect(412);

    let now = world.get(&path).await.expect(200);
    assert_eq!((now.header("etag"), &now.body["note"], &now.body["holds"]), ("W/\"2\"", &json!("mine"), &json!(true)));
    let then = world.get(&format!("{path}?version=1")).await.expect(200);
    assert_eq!((&then.body["note"], &then.body["holds"]), (&json!("Call after six."), &json!(false)));
    world.get(&format!("{path}?version=3")).await.expect(404);
    let back = format!("episodes/{referred}/entries/{}/take-back", second.body["id"].as_str().unwrap());
    world.post(&back, json!({"reason": "a draft"})).await.expect(201);
    assert_eq!(world.get(&path).await.expect(200).body["version"], 1, "the one before holds again");
    let third = world.ask(kim, "POST", &path, next("final"), &[("if-match", "\"1\"")]).await.expect(201);
    assert_eq!(third.body["version"], 3, "a number is used once");
    let list = world.get(&format!("episodes/{referred}/care-plans")).await.expect(200).body;
    let named: Vec<Value> =
        list["items"].as_array().unwrap().iter().map(|v| json!([v["version"], v["holds"], v["taken_back"]])).collect();
    assert_eq!(named, [json!([3, true, false]), json!([2, false, true]), json!([1, false, false])]);
    assert_eq!(list["items"][2]["by"], "Kim");
    assert_eq!(list["items"][0]["recorded_by"], list["items"][0]["by"], "who wrote it, where nobody else is named");
    let whole = world.get(&format!("episodes/{referred}")).await.expect(200).body;
    assert_eq!(whole["care_plan"]["version"], 3);
    assert_eq!(kinds(&world, &referred).await.iter().filter(|kind| *kind == "care_plan").count(), 3);
    let timeline = world.get(&format!("episodes/{referred}/timeline?limit=500")).await.expect(200).body;
    let items = timeline["items"].as_array().unwrap().iter();
    let versions: Vec<Value> =
        items.map(|item| item["changes"]["care_plan_version"].clone()).filter(|c| !c.is_null()).collect();
    assert_eq!(
        versions.iter().map(|c| json!([c["from"], c["to"]])).collect::<Vec<_>>(),
        [json!([null, 1]), json!([1, 2]), json!([2, 1]), json!([1, 3])]
    );
    let end = json!({"discharged_on": "2026-03-02", "reason": "other"});
    world.post(&format!("episodes/{referred}/discharge"), end).await.expect(201);
    world.post(&path, plan()).await.expect(409);
    world.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_care_plan_reads_as_a_fhir_care_plan_and_as_a_document() {
    let world = World::on("2026-03-02").await;
    let patient = world.patient("1", "O'Brien <b>").await;
    world
        .arrives(json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed", "language": "es",
            "authored": "2026-03-02T08:00:00Z", "questionnaire": "http://loinc.org/q/44249-1",
            "subject": {"reference": "Patient/1"},
            "item": [{"linkId": "/44261-6", "answer": [{"valueInteger": 16}]}]}))
        .await;
    let person = world.get(&format!("patients/{patient}")).await.expect(200).body;
    assert_eq!(person["measurements"][0]["language"], "es", "{}", person["measurements"]);
    let episode = world.enroll(&patient, "2026-03-02").await;
    let path = format!("episodes/{episode}/care-plan");
    world.post(&path, plan()).await.expect(201);
    world.post(&path, plan()).await.expect(201);

    let (headers, text) = world.read_as("application/fhir+json", &path).await;
    assert_eq!(
        (&headers["content-type"], &headers["etag"]),
        (&"application/fhir+json".parse().unwrap(), &"W/\"2\"".parse().unwrap())
    );
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&plan["resourceType"], &plan["status"], &plan["intent"], &plan["subject"]["reference"]),
        (&json!("CarePlan"), &json!("active"), &json!("plan"), &json!("Patient/1"))
    );
    let contained: Vec<String> = plan["contained"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}", one["resourceType"].as_str().unwrap(), one["id"].as_str().unwrap()))
        .collect();
    assert_eq!(contained, ["Condition p1", "Goal g1", "Goal t1"]);
    assert_eq!(plan["addresses"], json!([{"reference": "#p1"}]));
    assert_eq!(plan["goal"], json!([{"reference": "#g1"}, {"reference": "#t1"}]));
    let target = &plan["contained"][2]["target"][0];
    assert_eq!(
        (&target["measure"]["coding"][0]["code"], &target["dueDate"]),
        (&json!("44261-6"), &json!("2026-06-01"))
    );
    assert_eq!(target["detailRange"]["high"]["value"], json!(4.0));
    assert_eq!(plan["activity"].as_array().unwrap().len(), 4);
    assert_eq!(plan["activity"][2]["detail"]["productCodeableConcept"]["text"], "Sertraline");
    assert!(plan["text"]["div"].as_str().unwrap().starts_with("<div xmlns=\"http://www.w3.org/1999/xhtml\">"));
    let (_, before) = world.read_as("application/fhir+json", &format!("{path}?version=1")).await;
    assert_eq!(serde_json::from_str::<Value>(&before).unwrap()["status"], "revoked");

    let (headers, page) = world.read_as("text/html", &path).await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for said in [
        "Ada O&#39;Brien &lt;b&gt;",
        "Depression &lt;since the birth&gt;",
        "Play the piano &amp; sing again, by 2026-05-01",
        "<td>PHQ-9</td><td>at most 4</td><td>2026-06-01</td><td>16 on 2026-03-02, taken in es</td>",
        "behavioral activation, weekly, Kim",
        "Sertraline: 50 mg in the morning",
        "Behavioral care manager: Kim",
        "not a crisis service",
    ] {
        assert!(page.contains(said), "{said}\n{page}");
    }
    assert!(!page.contains("<b>") && !page.contains("<since"));
}

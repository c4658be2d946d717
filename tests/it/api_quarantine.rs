//! What waits in quarantine, completed by a person.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::{CLINIC, World};
use super::world::Engine;

fn form(more: &Value) -> Value {
    let mut form = json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1",
        "item": [{"linkId": "/44261-6", "answer": [{"valueInteger": 18}]}]});
    form.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    form
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_form_without_patient_and_date_is_completed_by_a_person(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-10").await else { return };
    let patient = world.patient("1", "Lovelace").await;
    world.arrives(form(&json!({}))).await;
    let waiting = world.get("quarantine").await.expect(200).body["items"][0].clone();
    assert_eq!(waiting["code"], "no_subject", "{waiting}");
    let path = format!("quarantine/{}/completion", waiting["id"].as_str().unwrap());
    for (wrong, status) in [
        (json!({}), 422),
        (json!({"taken_on": "2026-02-11"}), 422),
        (json!({"taken_on": "2026-02-01", "taken_at": "2026-02-01T08:00:00Z"}), 422),
        (json!({"patient": "7c0c3d2e-9a51-4b7e-8f06-2b1d5e9ac0c4"}), 404),
        (json!({"patient": patient, "date": "2026-02-01"}), 422),
    ] {
        world.post(&path, wrong).await.expect(status);
    }
    world.ask((CLINIC, Role::Admin), "POST", &path, Some(json!({"patient": patient})), &[]).await.expect(403);
    let dated = world.post(&path, json!({"taken_on": "2026-02-01"})).await.expect(200).body;
    assert_eq!((&dated["released"], &dated["code"]), (&json!(false), &json!("no_subject")), "{dated}");
    let done = world.post(&path, json!({"patient": patient})).await.expect(200).body;
    assert_eq!((&done["released"], done["measurements"].as_array().unwrap().len()), (&json!(true), 1), "{done}");
    let score = world.get(&format!("patients/{patient}")).await.expect(200).body["measurements"][0].clone();
    assert_eq!((&score["total"], &score["taken_on"]), (&json!(18), &json!("2026-02-01")), "{score}");
    world.post(&path, json!({"patient": patient})).await.expect(404);

    // A later version does not say it either.
    let items = json!([{"linkId": "/44261-6", "answer": [{"valueInteger": 12}]}]);
    world.arrives(form(&json!({"meta": {"versionId": "2"}, "item": items}))).await;
    let score = world.get(&format!("patients/{patient}")).await.body["measurements"][0].clone();
    assert_eq!((&score["total"], &score["taken_on"]), (&json!(12), &json!("2026-02-01")), "{score}");
    assert_eq!(world.get("quarantine").await.body["items"], json!([]));
}

#[tokio::test]
async fn only_a_patient_or_a_date_can_be_completed() {
    let world = World::on("2026-02-10").await;
    let patient = world.patient("1", "Lovelace").await;
    let category = json!([{"linkId": "/44261-6", "answer": [{"valueCoding": {"code": "3", "display": "Severe"}}]}]);
    let subject = json!({"reference": "Patient/1"});
    let more = json!({"subject": subject, "authored": "2026-02-01T08:00:00Z", "item": category});
    world.arrives(form(&more)).await;
    let waiting = world.get("quarantine").await.expect(200).body["items"][0].clone();
    assert_eq!(waiting["code"], "mapping_needed");
    let path = format!("quarantine/{}/completion", waiting["id"].as_str().unwrap());
    world.post(&path, json!({"patient": patient})).await.expect(409);
}

#[tokio::test]
async fn a_date_in_the_future_is_corrected_by_a_person() {
    let world = World::on("2026-02-10").await;
    let patient = world.patient("1", "Lovelace").await;
    let more = json!({"subject": {"reference": "Patient/1"}, "authored": "2027-02-01"});
    world.arrives(form(&more)).await;
    let waiting = world.get("quarantine").await.expect(200).body["items"][0].clone();
    assert_eq!(waiting["code"], "future_authored");
    let path = format!("quarantine/{}/completion", waiting["id"].as_str().unwrap());
    let done = world.post(&path, json!({"taken_on": "2026-02-01"})).await.expect(200).body;
    assert_eq!(done["released"], true, "{done}");
    let score = world.get(&format!("patients/{patient}")).await.body["measurements"][0].clone();
    assert_eq!((&score["total"], &score["taken_on"]), (&json!(18), &json!("2026-02-01")), "{score}");
}

#[tokio::test]
async fn the_instruments_are_listed_with_what_a_mapping_may_name() {
    let world = World::on("2026-02-10").await;
    let all = world.get("instruments").await.expect(200).body["items"].clone();
    let of = |id: &str| all.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    let phq9 = of("phq9");
    assert_eq!((&phq9["max_total"], &phq9["self_harm_item"], &phq9["may_miss"]), (&json!(27), &json!(9), &json!(2)));
    assert_eq!((&phq9["items"][8]["number"], &phq9["items"][8]["code"]), (&json!(9), &json!("44260-8")));
    assert_eq!((&of("epds")["self_harm_item"], &of("gad7")["self_harm_item"]), (&json!(10), &json!(null)));
    world.ask((CLINIC, Role::Ehr), "GET", "instruments", None, &[]).await.expect(403);
}

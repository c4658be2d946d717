//! Pages, keys that may be sent twice, quarantine, rule sets.

use cocm_registry::identity::Role;
use cocm_registry::record::{CommandEffect, Recorded};
use cocm_registry::store::Db;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World, rules};

async fn walk(world: &World, list: &str, id: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = world.get(&format!("{list}limit=2{cursor}")).await.expect(200).body;
        ids.extend(body["items"].as_array().unwrap().iter().map(|item| item[id].as_str().unwrap().to_owned()));
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn pages_over_equal_values_show_everybody_once() {
    let world = World::on("2026-02-02").await;
    let mut episodes = Vec::new();
    for n in 0..7 {
        let patient = world.patient(&n.to_string(), if n < 5 { "Same" } else { "Other" }).await;
        world.phq9(&patient, "2026-01-05", 15 + n % 2).await;
        episodes.push(world.enroll(&patient, "2026-01-05").await);
    }
    episodes.sort();
    for list in ["caseload?", "caseload?sort=name&", "review-queue?", "review-queue?on=2026-02-03&"] {
        let mut seen = walk(&world, list, "episode").await;
        let in_order = seen.clone();
        seen.sort();
        assert_eq!(seen, episodes, "{list}");
        assert_eq!(walk(&world, list, "episode").await, in_order, "{list}: the same again");
    }
    assert_eq!(walk(&world, "patients?", "id").await.len(), 7);
    let all = world.get("caseload").await.body;
    assert_eq!(walk(&world, "caseload?", "episode").await.len(), all["items"].as_array().unwrap().len());
    let named = world.get("caseload?q=sAmE&care_manager=Kim&status=active").await.expect(200).body;
    assert_eq!(named["items"].as_array().unwrap().len(), 5);
    world.enroll(&world.patient("o", "Özgür").await, "2026-01-05").await;
    for name in ["%C3%B6zg", "%C3%96ZG%C3%9CR", "a%20%C3%B6z"] {
        let found = world.get(&format!("caseload?q={name}")).await.expect(200).body;
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{name}");
    }
    for nobody in ["caseload?q=%25", "caseload?q=S_me", "caseload?care_manager=Lee", "caseload?status=on_hold"] {
        assert_eq!(world.get(nobody).await.expect(200).body["items"], json!([]), "{nobody}");
    }
    let scores: Vec<Value> =
        world.get("review-queue").await.body["items"].as_array().unwrap().iter().map(|i| i["rank"].clone()).collect();
    assert!(scores.is_sorted_by_key(Value::as_i64));
    let timeline = format!("episodes/{}/timeline?", episodes[0]);
    assert_eq!(walk(&world, &timeline, "id").await.len(), 3, "the patient, the score and the enrollment");
}

#[tokio::test]
async fn a_key_makes_a_request_happen_once() {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    let path = format!("episodes/{episode}/case-reviews");
    let body = |text: &str| json!({"reviewed_on": "2026-02-02", "recommendations": [{"kind": "other", "text": text, "to": "care_manager"}]});
    let kim = (CLINIC, Role::CareManager);
    let key = [("idempotency-key", "k-1")];
    let first = world.ask(kim, "POST", &path, Some(body("a")), &key).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = world.ask(kim, "POST", &path, Some(body("a")), &key).await.expect(201);
    assert_eq!((&second.body, second.header("etag")), (&first.body, first.header("etag")));
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(second.header("content-type"), "application/json");
    world.ask(kim, "POST", &path, Some(body("b")), &key).await.expect(422);
    let another = world.ask((CLINIC, Role::PsychiatricConsultant), "POST", &path, Some(body("b")), &key).await;
    assert_ne!(another.expect(201).body["id"], first.body["id"], "a key is its subject's");
    world.ask(("other", Role::CareManager), "POST", &path, Some(body("a")), &key).await.expect(404);
    let wrong = world.ask(kim, "POST", &path, Some(json!({})), &[("idempotency-key", "k-2")]).await.expect(422);
    let again = world.ask(kim, "POST", &path, Some(json!({})), &[("idempotency-key", "k-2")]).await.expect(422);
    assert_eq!((wrong.body, again.header("idempotency-replayed")), (again.body.clone(), "true"));
    let long = "k".repeat(256);
    world.ask(kim, "POST", &path, Some(body("a")), &[("idempotency-key", &long)]).await.expect(400);

    // At once: one of them does it, and all say the same.
    let contacts = format!("episodes/{episode}/contacts");
    let contact = json!({"on": "2026-02-02", "kind": "outreach"});
    let many = (0..8).map(|_| world.ask(kim, "POST", &contacts, Some(contact.clone()), &[("idempotency-key", "k-3")]));
    let answers = futures_util::future::join_all(many).await;
    let bodies: Vec<&Value> = answers.iter().map(|said| &said.body).collect();
    assert!(answers.iter().all(|said| said.status == 201), "{bodies:?}");
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "{bodies:?}");
    let timeline = world.get(&format!("episodes/{episode}/timeline")).await.body;
    let contacts = timeline["items"].as_array().unwrap().iter().filter(|item| item["kind"] == "contact").count();
    assert_eq!(contacts, 1);
}

#[tokio::test]
async fn what_was_committed_without_an_answer_is_answered_and_not_done_again() {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    let path = format!("episodes/{episode}/hold");
    let body = json!({"from": "2026-02-02", "reason": "away"});
    let kim = (CLINIC, Role::CareManager);
    let key = [("idempotency-key", "k")];
    let first = world.ask(kim, "POST", &path, Some(body.clone()), &key).await.expect(201);
    // As if the process had ended between the commit and the answer: the key holds what was recorded, and no answer.
    let recorded = Recorded {
        effect: CommandEffect::Created,
        id: first.id(),
        version: first.body["revision"].as_i64().unwrap(),
        at: serde_json::from_value(first.body["recorded_at"].clone()).unwrap(),
        patient: None,
        quarantined: None,
        added: None,
    };
    let committed = json!({"recorded": [recorded]}).to_string();
    let statement = "UPDATE idempotency SET status = 0, body = $1";
    match &world.app.db {
        Db::Sqlite { writer, .. } => sqlx::query(statement).bind(committed).execute(writer).await.map(|_| ()),
        Db::Postgres { writer: pool, .. } => sqlx::query(statement).bind(committed).execute(pool).await.map(|_| ()),
    }
    .unwrap();
    for _ in 0..2 {
        let again = world.ask(kim, "POST", &path, Some(body.clone()), &key).await.expect(201);
        assert_eq!((&again.body, again.header("idempotency-replayed")), (&first.body, "true"));
    }
    let revision = world.get(&format!("episodes/{episode}")).await.body["revision"].clone();
    assert_eq!(revision, first.body["revision"], "held once");
}

#[tokio::test]
async fn a_form_in_quarantine_is_read_again() {
    let world = World::on("2026-02-02").await;
    let form = json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
        "authored": "2026-02-01T08:00:00Z", "questionnaire": "http://loinc.org/q/44249-1",
        "subject": {"identifier": {"system": "urn:mrn", "value": "7"}},
        "item": [{"linkId": "/44250-9", "answer": [{"valueInteger": 1}]}]});
    let named = |id: &str| {
        json!({"resourceType": "Patient", "id": id, "name": [{"family": "Twin"}],
            "identifier": [{"system": "urn:mrn", "value": "7"}]})
    };
    world.arrives(named("1")).await;
    world.arrives(named("2")).await;
    world.arrives(form.clone()).await;
    let list = world.get("quarantine").await.expect(200).body;
    assert_eq!(list["items"][0]["code"], "ambiguous_subject", "{list}");
    let path = format!("quarantine/{}/replay", list["items"][0]["id"].as_str().unwrap());
    let kim = (CLINIC, Role::CareManager);
    let still = world.ask(kim, "POST", &path, None, &[]).await.expect(200).body;
    assert_eq!((&still["released"], &still["code"]), (&json!(false), &json!("ambiguous_subject")));
    // The chart says that they are one.
    let mut second = named("2");
    second["link"] = json!([{"other": {"reference": "Patient/1"}, "type": "replaced-by"}]);
    world.arrives(second).await;
    world.arrives(form).await;
    assert_eq!(world.get("quarantine").await.body["items"].as_array().unwrap().len(), 1, "the same again is old news");
    let done = world.ask(kim, "POST", &path, None, &[]).await.expect(200).body;
    assert_eq!(done["released"], true, "{done}");
    assert_eq!(done["measurements"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("quarantine").await.body["items"], json!([]));
    world.ask(kim, "POST", &path, None, &[]).await.expect(404);
}

#[tokio::test]
async fn rules_are_simulated_then_put_in_force() {
    let world = World::on("2026-01-05").await;
    let patient = world.patient("1", "Lovelace").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    world.phq9(&patient, "2026-01-05", 18).await;
    world.go_to("2026-02-20").await;
    world.phq9(&patient, "2026-02-20", 16).await;
    let admin = async |method: &str, path: &str, body: Value| {
        world.ask((CLINIC, Role::Admin), method, path, Some(body), &[]).await
    };
    let rule_sets = world.get("rule-sets").await.expect(200).body;
    assert_eq!((&rule_sets["items"][0]["version"], &rule_sets["items"][0]["active"]), (&json!(1), &json!(true)));

    let sooner = json!({"rules": {"checkpoints": {"nonresponse_day": 44}}});
    let simulated = admin("POST", "rule-sets/simulate", sooner.clone()).await.expect(200).body;
    assert_eq!(simulated["findings_opened"], json!({"nonresponse": 1}), "{simulated}");
    assert_eq!(simulated["findings_closed"], json!({"inadequate_response": 1}));
    assert_eq!(simulated["desired_opened"]["cocm-not-at-target"], 1);
    assert_eq!(simulated["episodes"][0]["episode"], episode.as_str());
    assert!(!rules(&world.standing(&episode).await).contains(&"nonresponse"), "nothing was changed");
    assert_eq!(world.get("rule-sets").await.body["items"].as_array().unwrap().len(), 1);

    let added = admin("POST", "rule-sets", sooner).await.expect(201).body;
    assert_eq!((&added["version"], &added["active"]), (&json!(2), &json!(false)));
    let stored = admin("POST", "rule-sets/simulate", json!({"version": 2})).await.expect(200).body;
    assert_eq!(stored["findings_opened"], simulated["findings_opened"]);
    let activated = admin("POST", "rule-sets/2/activate", json!({})).await.expect(200).body;
    assert_eq!(activated["replanned"], 1);
    let row = world.get("caseload").await.expect(200).body["items"][0].clone();
    assert!(rules(&row).contains(&"nonresponse"), "{row}");
    assert_eq!(row["rule_set"], "default/2");
    assert_eq!(world.standing(&episode).await["rule_set"]["version"], 2);
    let flags = world.get("deliveries").await.body["items"].clone();
    assert!(flags.as_array().unwrap().iter().any(|d| d["code"] == "cocm-not-at-target"), "{flags}");
    admin("POST", "rule-sets/1/activate", json!({})).await.expect(200);
    assert!(!rules(&world.get("caseload").await.body["items"][0]).contains(&"nonresponse"));
    admin("POST", "rule-sets/9/activate", json!({})).await.expect(404);
    admin("POST", "rule-sets/simulate", json!({"version": 9})).await.expect(404);

    let bad = json!({"rules": {"safety": {"due_days": 9}, "checkpoints": {"stale_after_days": 65535}}});
    let said = admin("POST", "rule-sets", bad).await.expect(422).body;
    let detail = said["detail"].as_str().unwrap();
    assert!(detail.contains("safety.due_days") && detail.contains("checkpoints.stale_after_days"), "{detail}");
    for (rules, at) in [
        (json!({"checkpoints": {"nonresponse_day": "soon"}}), "rules.checkpoints.nonresponse_day"),
        (json!({"checkpoints": {"nonresponse_dya": 3}}), "rules.checkpoints.nonresponse_dya"),
        (json!({"version": 1}), "rules.version"),
        (json!([]), "rules"),
    ] {
        let said = admin("POST", "rule-sets", json!({"rules": rules})).await;
        assert!(matches!(said.status, 409 | 422), "{}", said.body);
        assert_eq!(said.body["expression"], at, "{}", said.body);
    }
}

#[tokio::test]
async fn a_delivery_is_sent_again_when_there_is_something_to_send() {
    let world = World::on("2026-02-02").await;
    let patient = world.patient("1", "Lovelace").await;
    let form = json!({"instrument": "phq9", "taken_at": "2026-02-01", "answers": [3, 3, 3, 3, 3, 3, 3, 3, 3]});
    world.post(&format!("patients/{patient}/measurements"), form).await.expect(201);
    let list = world.get("deliveries?state=pending").await.expect(200).body;
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    let read = world.get(&format!("deliveries/{id}")).await.expect(200).body;
    assert_eq!((&read["attempts_made"], &read["state"]), (&json!([]), &json!("pending")));
    let again = world.ask((CLINIC, Role::Admin), "POST", &format!("deliveries/{id}/retry"), None, &[]).await;
    assert_eq!(again.expect(200).body["attempts"], 0);
    assert_eq!(world.get("deliveries?state=parked").await.expect(200).body["items"], json!([]));
}

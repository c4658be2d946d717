//! Metrics through the API: by care manager, over months, closed and restated; and the caseload of another day.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World, rules};
use crate::world::Engine;

/// Two patients enrolled on 2 March, with Kim and with Lee; Kim's was met and measured.
async fn march(engine: Engine) -> Option<(World, [String; 2])> {
    let world = World::on_engine(engine, "2026-03-02").await?;
    let (one, two) = (world.patient("1", "Lovelace").await, world.patient("2", "Byron").await);
    let first = world.enroll(&one, "2026-03-02").await;
    let body = json!({"patient": {"id": two}, "enrolled_on": "2026-03-02", "care_manager": "Lee"});
    let second = world.post("episodes", body).await.expect(201).id();
    world.go_to("2026-04-05").await;
    world.phq9(&one, "2026-03-02", 18).await;
    world.phq9(&two, "2026-03-02", 15).await;
    met(&world, &first, "2026-03-10").await;
    Some((world, [first, second]))
}

async fn met(world: &World, episode: &str, on: &str) {
    let contact = json!({"on": on, "kind": "treatment", "outcome": "attended", "minutes": 30});
    world.post(&format!("episodes/{episode}/contacts"), contact).await.expect(201);
}

fn metric(body: &Value, number: u64) -> &Value {
    body["metrics"].as_array().unwrap().iter().find(|m| m["number"] == number).unwrap()
}

fn counts(body: &Value, number: u64) -> (u64, u64) {
    let metric = metric(body, number);
    (metric["numerator"].as_u64().unwrap(), metric["denominator"].as_u64().unwrap())
}

#[rstest]
#[tokio::test]
async fn a_closed_month_changes_only_by_a_restatement(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some((world, [_, second])) = march(engine).await else { return };
    let open = world.get("metrics/nys?month=2026-03").await.expect(200).body;
    assert_eq!(counts(&open, 5), (1, 2));
    assert_eq!((&open["closed"], &open["rule_set"]), (&Value::Null, &json!("default/1")));

    assert_eq!(world.post("metrics/2026-04/close", json!({})).await.expect(409).body["expression"], "month");
    world.post("metrics/2026-3/close", json!({})).await.expect(400);
    world.post_as(Role::PrimaryCare, "metrics/2026-03/close", json!({})).await.expect(403);
    let said = world.post("metrics/2026-03/restate", json!({"reason": "late"})).await.expect(409).body;
    assert_eq!(said["allowed"], json!(["close"]));
    let closed = world.post("metrics/2026-03/close", json!({})).await.expect(201);
    assert_eq!(closed.header("location"), "/api/v1/metrics/2026-03/versions/1");
    assert_eq!((&closed.body["version"], &closed.body["rule_set"]), (&json!(1), &json!(1)));
    assert_eq!(closed.body["digest"].as_str().unwrap().len(), 64);
    assert_eq!(world.post("metrics/2026-03/close", json!({})).await.expect(409).body["allowed"], json!(["restate"]));
    world.post("metrics/2026-03/restate", json!({"reason": "nothing"})).await.expect(409);
    let reported = world.get("metrics/nys?month=2026-03").await.expect(200).body;
    assert_eq!((&reported["metrics"], &reported["restatement"]), (&open["metrics"], &Value::Null));

    // A contact of March is entered in April.
    world.go_to("2026-04-06").await;
    met(&world, &second, "2026-03-20").await;
    let later = world.get("metrics/nys?month=2026-03").await.expect(200).body;
    assert_eq!(later["metrics"], open["metrics"], "as it was reported");
    let restatement = &later["restatement"];
    assert_eq!(restatement["metrics"].as_array().unwrap().len(), 1, "{restatement}");
    let difference = &restatement["metrics"][0];
    assert_eq!((&difference["number"], &difference["numerator_entered"]), (&json!(5), &json!([second])));
    assert_eq!((&difference["reported"]["numerator"], &difference["now"]["value"]), (&json!(1), &json!(1.0)));
    let because = restatement["because"].as_array().unwrap();
    assert_eq!(because.len(), 1, "{restatement}");
    assert_eq!((&because[0]["kind"], &because[0]["happened_on"]), (&json!("contact"), &json!("2026-03-20")));
    for measure in ["fidelity", "aims"] {
        let body = world.get(&format!("metrics/{measure}?month=2026-03")).await.expect(200).body;
        assert!(body["closed"]["version"] == 1 && body["restatement"]["because"] == restatement["because"], "{body}");
    }

    let trend = world.get("metrics/nys/trend?from=2026-02&to=2026-04").await.expect(200).body;
    let months = metric(&trend, 5)["months"].as_array().unwrap();
    assert_eq!(months.iter().map(|m| m["value"].clone()).collect::<Vec<_>>(), [json!(null), json!(0.5), json!(0.0)]);
    assert!(months[1]["closed_at"].is_string() && months[2]["closed_at"].is_null());

    world.post("metrics/2026-03/restate", json!({})).await.expect(422);
    let restated = world.post("metrics/2026-03/restate", json!({"reason": "a contact entered late"})).await.expect(201);
    assert_eq!((&restated.body["version"], &restated.body["reason"]), (&json!(2), &json!("a contact entered late")));
    let now = world.get("metrics/nys?month=2026-03").await.expect(200).body;
    assert_eq!((counts(&now, 5), &now["closed"]["version"], &now["restatement"]), ((2, 2), &json!(2), &Value::Null));
    let versions = world.get("metrics/2026-03/versions").await.expect(200).body;
    assert_eq!(versions["items"].as_array().unwrap().len(), 2);
    let first = world.get("metrics/2026-03/versions/1").await.expect(200).body;
    assert_eq!(first["figures"]["nys"], open["metrics"]);
    assert_eq!(first["digest"], closed.body["digest"]);
    world.get("metrics/2026-03/versions/3").await.expect(404);

    let elsewhere = async |path: &str| world.ask(("elsewhere", Role::Admin), "GET", path, None, &[]).await;
    assert_eq!(elsewhere("metrics/2026-03/versions").await.expect(200).body["items"], json!([]));
    elsewhere("metrics/2026-03/versions/1").await.expect(404);
    assert_eq!(elsewhere("metrics/nys?month=2026-03").await.expect(200).body["closed"], Value::Null);
}

/// Who the clinic's episodes counted for: (care manager, episodes), from the caseload of fidelity.
fn shared(body: &Value) -> Vec<(Value, Value)> {
    let groups = body["groups"].as_array().unwrap();
    groups.iter().map(|g| (g["care_manager"].clone(), g["metrics"][0]["numerator_episodes"].clone())).collect()
}

#[rstest]
#[tokio::test]
async fn a_month_counts_for_whom_the_patient_was_with_and_keeps_it_when_closed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some((world, [first, second])) = march(engine).await else { return };
    world.go_to("2026-05-05").await;
    let transfer = |to: &str, on: &str| json!({"on": on, "to_care_manager": to, "reason": "Kim is on leave"});
    let path = format!("episodes/{first}/transfer");
    world.post(&path, transfer("Lee", "2026-04-30")).await.expect(201);
    let refused = world.post(&path, transfer("Ray", "2026-04-29")).await.expect(409);
    assert_eq!(refused.body["expression"], "on", "handovers do not go back");

    let (kim, lee) = ((json!("Kim"), json!([first])), (json!("Lee"), json!([second])));
    let groups = async |month: &str| {
        shared(&world.get(&format!("metrics/fidelity?month={month}&by=care_manager")).await.expect(200).body)
    };
    assert_eq!(groups("2026-03").await, [kim.clone(), lee.clone()], "in March nobody had been handed over");
    let both = groups("2026-04").await;
    assert_eq!((both.len(), &both[0].0, both[0].1.as_array().unwrap().len()), (1, &json!("Lee"), 2));
    for (on, whose) in [("2026-04-29", "Kim"), ("2026-04-30", "Lee")] {
        let rows = world.get(&format!("caseload?as_of={on}&care_manager={whose}")).await.expect(200).body;
        let has = rows["items"].as_array().unwrap().iter().any(|row| row["episode"] == json!(first));
        assert!(has, "{whose} on {on}");
    }

    world.post("metrics/2026-03/close", json!({})).await.expect(201);
    met(&world, &second, "2026-03-20").await;
    let kept = world.get("metrics/fidelity?month=2026-03&by=care_manager").await.expect(200).body;
    assert_eq!(shared(&kept), [kim, lee]);
    assert_eq!(kept["groups"][1]["metrics"][1]["numerator"], 0, "Lee's, as reported");
    let of_lee = world.get("metrics/fidelity?month=2026-03&care_manager=Lee").await.expect(200).body;
    assert_eq!((counts(&of_lee, 2), &of_lee["closed"]["version"]), ((0, 1), &json!(1)));
    let differs = &of_lee["restatement"]["metrics"][0];
    assert_eq!((&differs["number"], &differs["now"]["numerator"]), (&json!(2), &json!(1)));
    let of_kim = world.get("metrics/fidelity?month=2026-03&care_manager=Kim").await.expect(200).body;
    assert_eq!((counts(&of_kim, 2), &of_kim["restatement"]), ((1, 1), &Value::Null), "nothing is late for Kim");
    let trend = world.get("metrics/fidelity/trend?from=2026-03&to=2026-04&care_manager=Lee").await.expect(200).body;
    let months = metric(&trend, 2)["months"].as_array().unwrap();
    assert_eq!((&months[0]["numerator"], &months[1]["denominator"]), (&json!(0), &json!(2)));
    assert!(months[0]["closed_at"].is_string() && months[1]["closed_at"].is_null());
    let version = world.get("metrics/2026-03/versions/1").await.expect(200).body;
    let names: Vec<&Value> =
        version["figures"]["by_care_manager"].as_array().unwrap().iter().map(|one| &one["care_manager"]).collect();
    assert_eq!(names, ["Kim", "Lee"]);
    assert_eq!(version["figures"]["nys"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn a_month_that_nobody_closed_is_closed_on_its_day() {
    let (world, _) = march(Engine::Sqlite).await.unwrap();
    world.go_to("2026-04-09").await;
    assert_eq!(world.get("metrics/2026-03/versions").await.body["items"], json!([]));
    world.go_to("2026-04-10").await;
    let versions = world.get("metrics/2026-03/versions").await.expect(200).body;
    assert_eq!(versions["items"][0]["closed_by"], "cocm-registry");
    // February was over before the registry was kept.
    assert_eq!(world.get("metrics/2026-02/versions").await.body["items"], json!([]));
    world.go_to("2026-04-11").await;
    assert_eq!(world.get("metrics/2026-03/versions").await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn metrics_are_narrowed_to_a_care_manager_and_grouped() {
    let (world, [first, second]) = march(Engine::Sqlite).await.unwrap();
    let lee = world.get("metrics/nys?month=2026-03&care_manager=Lee").await.expect(200).body;
    assert_eq!((&lee["care_manager"], counts(&lee, 5)), (&json!("Lee"), (0, 1)));
    let by = world.get("metrics/fidelity?month=2026-03&by=care_manager").await.expect(200).body;
    let groups: Vec<(&Value, &Value)> = by["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["care_manager"], &group["metrics"][0]["numerator_episodes"]))
        .collect();
    assert_eq!(groups, [(&json!("Kim"), &json!([first])), (&json!("Lee"), &json!([second]))]);
    assert_eq!(metric(&by, 1)["numerator"], 2, "the clinic beside them");
    let trend = world.get("metrics/aims/trend?to=2026-04&care_manager=Lee").await.expect(200).body;
    assert_eq!((&trend["from"], metric(&trend, 1)["months"].as_array().unwrap().len()), (&json!("2025-05"), 12));
    for wrong in [
        "metrics/nys?by=payer",
        "metrics/fidelity?payer=medicaid",
        "metrics/nys?care_manager=",
        "metrics/nys/trend?from=2026-05&to=2026-04",
        "metrics/nys/trend?from=2020-01&to=2026-04",
        "metrics/nys/trend?from=x",
    ] {
        world.get(wrong).await.expect(400);
    }
}

#[tokio::test]
async fn a_measure_report_is_a_summary_or_one_for_each_subject() {
    let (world, [first, second]) = march(Engine::Sqlite).await.unwrap();
    let individual = world.get("metrics/nys?month=2026-03&report=individual").await.expect(200);
    assert_eq!(individual.header("content-type"), "application/fhir+json");
    let entries = individual.body["entry"].as_array().unwrap();
    let subject = |entry: &Value| (entry["identifier"][0]["value"].clone(), entry["subject"]["reference"].clone());
    let subjects: Vec<(Value, Value)> = entries.iter().map(|e| subject(&e["resource"])).collect();
    for of in [(json!(first), json!("Patient/1")), (json!(second), json!("Patient/2"))] {
        assert!(subjects.contains(&of), "{subjects:?}");
    }
    assert_eq!(entries.len(), 4, "two episodes, and two patients for metrics 9 and 10");
    for entry in entries {
        let report = &entry["resource"];
        assert_eq!((&report["resourceType"], &report["type"]), (&json!("MeasureReport"), &json!("individual")));
        assert_eq!((&report["status"], &report["period"]["end"]), (&json!("complete"), &json!("2026-03-31")));
        assert_eq!(report["measure"], "https://cocm-registry.dev/fhir/Measure/nys-omh-cocm-2025");
        assert!(entry["fullUrl"].as_str().unwrap().starts_with("urn:uuid:"));
        for population in report["group"].as_array().unwrap().iter().flat_map(|g| g["population"].as_array().unwrap()) {
            assert!(matches!(population["count"].as_u64(), Some(0 | 1)), "{population}");
        }
    }
    let summary = world
        .ask((CLINIC, Role::Admin), "GET", "metrics/nys?month=2026-03", None, &[("accept", "application/fhir+json")])
        .await
        .expect(200)
        .body;
    assert_eq!(summary["type"], "summary");
    let group = &summary["group"][4]["population"];
    assert_eq!((&group[0]["count"], &group[1]["count"]), (&json!(2), &json!(1)));
    assert_eq!(summary["subject"], Value::Null, "nobody's data");
    let yearly = world.get("metrics/hedis-drr?year=2026&report=individual").await.expect(200).body;
    assert_eq!(yearly["entry"].as_array().unwrap().len(), 2);
}

fn without_the_hour(mut body: Value) -> Vec<Value> {
    let items = body["items"].as_array_mut().unwrap();
    for item in items.iter_mut() {
        let row = item.as_object_mut().unwrap();
        // When a row was made; the rest of it must be the same.
        row.remove("updated_at");
        row.remove("as_of");
    }
    std::mem::take(items)
}

#[rstest]
#[tokio::test]
async fn the_caseload_of_another_day_is_computed(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-01-05").await else { return };
    let mut episodes = Vec::new();
    for (id, family, score) in [("1", "Lovelace", 18), ("2", "MÖBIUS", 20), ("3", "Noel", 12)] {
        let patient = world.patient(id, family).await;
        world.phq9(&patient, "2026-01-05", score).await;
        episodes.push((world.enroll(&patient, "2026-01-05").await, patient));
    }
    world.go_to("2026-02-20").await;
    for (_, patient) in &episodes {
        world.phq9(patient, "2026-02-20", 11).await;
    }
    let referred = world.patient("4", "Clairmont").await;
    world.post("episodes", json!({"patient": {"id": referred}, "care_manager": "Kim"})).await.expect(201);
    world.go_to("2026-03-03").await;
    let path = format!("episodes/{}/discharge", episodes[2].0);
    let discharge = json!({"discharged_on": "2026-03-02", "reason": "withdrew", "note": "moved"});
    world.post(&path, discharge).await.expect(201);
    for list in
        ["caseload?", "caseload?sort=name&", "caseload?finding=nonresponse&", "caseload?q=oVe&", "caseload?q=m%C3%B6b&"]
    {
        let live = without_the_hour(world.get(list.trim_end_matches(['?', '&'])).await.expect(200).body);
        let then = without_the_hour(world.get(&format!("{list}as_of=2026-03-03")).await.expect(200).body);
        assert!(!live.is_empty(), "{list}");
        let due = |rows: Vec<Value>| -> Vec<Value> { rows.into_iter().filter(|row| row["attention"] != 99).collect() };
        assert_eq!(due(live), due(then), "{list}");
    }
    let on = async |day: &str| world.get(&format!("caseload?as_of={day}")).await.expect(200).body;
    let names = |body: &Value| -> Vec<String> {
        let name = |item: &Value| item["patient"]["display_name"].as_str().unwrap().to_owned();
        body["items"].as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&on("2026-01-04").await).len(), 0, "nobody was enrolled or referred yet");
    let january = on("2026-01-20").await;
    assert_eq!(names(&january).len(), 3);
    let row = &january["items"][0];
    assert_eq!(
        (&row["day"], &row["week"], &row["measures"][0]["status"]),
        (&json!(15), &json!(2), &json!("awaiting_followup"))
    );
    assert!(rules(row).is_empty(), "{row}");
    assert_eq!(names(&on("2026-02-20").await).len(), 4, "referred on that day");
    assert_eq!(names(&on("2026-03-01").await).len(), 4);
    assert_eq!(names(&on("2026-03-02").await).len(), 3, "discharged on that day");
    let gone = world.get("caseload?as_of=2026-03-02&status=discharged").await.expect(200).body;
    assert_eq!(names(&gone).len(), 1);

    for sort in ["attention", "name"] {
        let whole = world.get(&format!("caseload?as_of=2026-02-20&sort={sort}")).await.expect(200).body;
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("caseload?as_of=2026-02-20&sort={sort}&limit=1{cursor}");
            let page = world.get(&path).await.expect(200).body;
            walked.extend(names(&page));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
            let other = world.get(&format!("caseload?as_of=2026-02-21&sort={sort}{cursor}")).await.expect(400);
            assert_eq!(other.body["expression"], "cursor");
        }
        assert_eq!(walked, names(&whole), "{sort}");
    }
    let elsewhere = world.ask(("elsewhere", Role::Admin), "GET", "caseload?as_of=2026-02-20", None, &[]).await;
    assert_eq!(elsewhere.expect(200).body["items"], json!([]));
}

//! Keeping the registry in order on the pages: handing over, importing, joining records, and the audit.

use serde_json::{Value, json};

use super::api_world::World;
use super::pages_world::{Browser, Seen};

/// Sends a form with a file as a browser does.
async fn upload(browser: &Browser, fields: &[(&str, &str)], file: Option<&[u8]>) -> Seen {
    let csrf = browser.csrf().await;
    let mut body = Vec::new();
    let all = [("csrf", csrf.as_str())];
    for (name, value) in all.iter().chain(fields) {
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some(file) = file {
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"r.csv\"\r\nContent-Type: text/csv\r\n\r\n";
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    let headers = [("sec-fetch-site", "same-origin"), ("content-type", "multipart/form-data; boundary=b")];
    browser.send_bytes("POST", "/import", body, &headers).await
}

async fn care_manager_of(world: &World, episode: &str) -> Value {
    world.get(&format!("episodes/{episode}")).await.expect(200).body["care_manager"].clone()
}

#[tokio::test]
async fn a_caseload_is_handed_over_after_a_look_at_it() {
    let world = World::on("2026-03-16").await;
    let mut episodes = Vec::new();
    for id in ["a", "b", "c"] {
        let patient = world.patient(id, &format!("Byron-{id}")).await;
        episodes.push(world.enroll(&patient, "2026-01-05").await);
    }
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let page = browser.get("/hand-over?from=Kim").await.expect(200);
    assert!(page.text.contains("Patients (3)"));
    let once = page.hidden("once");
    let fields = |action: &'static str, to: &'static str, reason: &'static str| {
        let mut fields = vec![
            ("once", once.as_str()),
            ("from", "Kim"),
            ("to", to),
            ("on", "2026-03-16"),
            ("reason", reason),
            ("action", action),
        ];
        fields.extend(episodes[..2].iter().map(|episode| ("episode", episode.as_str())));
        fields
    };
    for (to, reason, why) in
        [("", "Leave", "Say to whom"), ("Kim", "Leave", "another care manager"), ("Lee", " ", "Say why")]
    {
        let refused = browser.post("/hand-over", &fields("confirm", to, reason)).await.expect(422).text;
        assert!(refused.contains(why), "{refused}");
    }
    let preview = browser.post("/hand-over", &fields("preview", "Lee", "Leave")).await.expect(200).text;
    assert!(preview.contains("2 patients from Kim to Lee, from Mar 16, 2026 on") && !preview.contains("Byron-c"));
    assert_eq!(care_manager_of(&world, &episodes[0]).await, "Kim", "a look changes nothing");
    let done = browser.post("/hand-over", &fields("confirm", "Lee", "Leave")).await.expect(200).text;
    assert!(done.contains("2 patients were handed over to Lee."), "{done}");
    assert_eq!(care_manager_of(&world, &episodes[1]).await, "Lee");
    assert_eq!(care_manager_of(&world, &episodes[2]).await, "Kim");
    // Sent again, nobody is left to be chosen.
    browser.post("/hand-over", &fields("confirm", "Lee", "Leave")).await.expect(422);
    Browser::as_role(&world.app, "primary_care").await.get("/hand-over").await.expect(403);
}

#[tokio::test]
async fn a_spreadsheet_is_checked_with_its_columns_in_sight_and_then_imported() {
    let world = World::on("2026-03-16").await;
    let browser = Browser::as_role(&world.app, "care_manager").await;
    browser.get("/import").await.expect(200);
    let csv =
        "MRN,Name,Enrolled,Worker,PHQ-9\n7,Ada <b>Byron</b>,2026-01-05,Kim,14\n8,Grace Hopper,soon,Kim,9\n".as_bytes();
    let system = ("identifier_system", "urn:mrn");
    assert!(upload(&browser, &[system, ("action", "check")], None).await.expect(422).text.contains("choose a file"));
    let check = upload(&browser, &[system, ("action", "check")], Some(csv)).await.expect(200);
    assert!(
        check.text.contains("Import 1 row<") && check.text.contains("Rows that are left out (1)"),
        "{}",
        check.text
    );
    assert!(check.text.contains("Ada &#60;b&#62;Byron") && !check.text.contains("<b>Byron"), "a value is no markup");
    assert_eq!(world.get("patients").await.body["items"], json!([]), "a check writes nothing");
    // The columns are corrected: the worker is the care manager.
    let kept = check.hidden("kept");
    let columns = ["MRN", "Name", "Enrolled", "Worker", "PHQ-9"];
    let roles = ["field 0", "field 1", "field 5", "field 7", "total 0 phq9"];
    let mut fields = vec![system, ("kept", kept.as_str()), ("again", "yes"), ("dates", "")];
    for (column, role) in columns.into_iter().zip(roles) {
        fields.extend([("column", column), ("role", role)]);
    }
    let twice = [fields.as_slice(), &[("column", "x"), ("role", "field 0"), ("action", "check")]].concat();
    assert!(upload(&browser, &twice, None).await.expect(422).text.contains("two columns are read as record number"));
    fields.push(("action", "import"));
    let done = upload(&browser, &fields, None).await.expect(200).text;
    assert!(done.contains("Imported."), "{done}");
    let caseload = world.get("caseload").await.expect(200).body;
    assert_eq!(caseload["items"][0]["care_manager"], "Kim");
    let again = upload(&browser, &fields, None).await.expect(200).text;
    assert!(again.contains("<dt>nothing new</dt><dd>1</dd>"), "the same file again changes nothing: {again}");
    // Rubbish, another site, and a role that may not.
    upload(&browser, &[system, ("action", "import")], Some(b"\xff\x00nothing")).await.expect(422);
    let foreign = [("sec-fetch-site", "cross-site"), ("content-type", "multipart/form-data; boundary=b")];
    browser.send_bytes("POST", "/import", b"--b--".to_vec(), &foreign).await.expect(403);
    Browser::as_role(&world.app, "primary_care").await.get("/import").await.expect(403);
}

#[tokio::test]
async fn two_records_of_one_person_are_compared_joined_and_taken_apart_again() {
    let world = World::on("2026-03-16").await;
    let (one, other) = (world.patient("a", "Byron").await, world.patient("b", "Byron").await);
    let named = json!({"one": one, "other": other});
    let named = world.post("patient-matches", named).await.expect(201);
    let id = named.id();
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let page = browser.get("/same-persons").await.expect(200).text;
    assert!(page.contains("named by a person") && page.contains("Patient/a") && page.contains("differs"), "{page}");
    let decide = format!("/same-persons/{id}");
    browser.post(&decide, &[("decision", one.as_str()), ("reason", " ")]).await.expect(422);
    browser.post(&decide, &[("decision", "nobody"), ("reason", "Same.")]).await.expect(422);
    let joined = browser.post(&decide, &[("decision", one.as_str()), ("reason", "Same phone.")]).await.expect(303);
    assert_eq!(joined.header("location"), "/same-persons?done=join");
    let page = browser.get(joined.header("location")).await.expect(200).text;
    assert!(
        page.contains("are one person from now on") && page.contains("Joined by development-care_manager"),
        "{page}"
    );
    browser.post(&decide, &[("decision", "reopen"), ("reason", "Twins.")]).await.expect(303);
    assert!(browser.get("/same-persons").await.expect(200).text.contains("keep apart"));
    let doctor = Browser::as_role(&world.app, "primary_care").await;
    doctor.post(&decide, &[("decision", one.as_str()), ("reason", "Same.")]).await.expect(403);
}

#[tokio::test]
async fn an_administrator_reads_who_saw_and_who_changed_what() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    world.enroll(&patient, "2026-01-05").await;
    let manager = Browser::as_role(&world.app, "care_manager").await;
    manager.get(&format!("/patients/{patient}")).await.expect(200);
    world.app.journal.seal().await.unwrap();
    let admin = Browser::as_role(&world.app, "admin").await;
    let page = admin.get(&format!("/audit?patient={patient}")).await.expect(200).text;
    assert!(page.contains("development-care_manager") && page.contains("GET /patients/{id}"), "{page}");
    let narrowed = admin.get("/audit?by=nobody&from=soon&to=2026-03-17").await.expect(200).text;
    assert!(narrowed.contains("No entry matches."));
    let before = admin.get("/audit?to=2026-03-01").await.expect(200).text;
    assert!(before.contains("No entry matches."));
    manager.get("/audit").await.expect(403);
}

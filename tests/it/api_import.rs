//! A clinic leaves its spreadsheet: dry run first, errors by row, and the same file twice changes nothing.

use std::fmt::Write as _;

use base64::Engine as _;
use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, World};
use crate::world::Engine;

/// As such sheets are: two visits of pairs, a note over two lines, an empty line, odd words, and three bad rows.
const SHEET: &str = "\u{feff}MRN,Patient Name,DOB,Date of Initial Assessment,Care Manager,PCP,Baseline PHQ-9,PHQ-9,Date,PHQ-9,Date,\
    Last Contact,Status,Relapse Prevention Date,Discharge Date,Discharge Reason,Insurance,Notes,Shoe size\r\n\
    100,\"Lovelace, Ada\",5/17/1980,1/5/2026,Kim,Dr Who,18,14,2/2/2026,9,46083,2/27/2026,Active,,,,Medicaid,\"well,\r\nso far\",38\r\n\
    \r\n\
    101,Ben Hopper,1975-01-02,1/5/2026,Kim,,12,4,2/2/2026,3,3/2/2026,3/2/2026,RP,3/2/2026,,,,,\r\n\
    102,Cleo Noether,3/3/1990,10/6/2025,Kim,,20,19,11/3/2025,,,,Closed,,1/12/2026,LTFU,,,\r\n\
    103,Dora Error,13/13/1980,1/5/2026,Kim,,28,14,2/30/2026,,,,Zombie,,,,,,\r\n\
    ,Nobody,,1/5/2026,,,,,,,,,,,,,,,\r\n\
    104,Early Bird,,1/5/2026,,,12,,,,,12/1/2025,,,,,,,\r\n";

fn request(dry_run: bool) -> Value {
    json!({"csv": SHEET, "identifier_system": "urn:mrn", "dry_run": dry_run})
}

async fn import(world: &World, body: Value) -> Value {
    world.post("imports/caseload", body).await.expect(200).body
}

fn counts(said: &Value) -> [i64; 5] {
    ["rows", "created", "updated", "unchanged", "rejected"].map(|name| said[name].as_i64().unwrap())
}

fn errors(said: &Value) -> Vec<String> {
    let rows = said["results"].as_array().unwrap().iter();
    let errors = rows.flat_map(|row| row["errors"].as_array().unwrap().clone());
    errors.map(|e| format!("{} {}", e["row"], e["column"].as_str().unwrap_or("-"))).collect()
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_spreadsheet_is_tried_then_taken_over_and_the_same_again_changes_nothing(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let tried = import(&world, json!({"csv": SHEET, "identifier_system": "urn:mrn"})).await;
    assert_eq!((&tried["dry_run"], counts(&tried)), (&json!(true), [6, 3, 0, 0, 3]), "{tried}");
    assert_eq!(tried["unread_columns"], json!(["Shoe size"]));
    let wrong = ["6 Status", "6 DOB", "6 Baseline PHQ-9", "6 Date", "7 MRN", "8 Last Contact"];
    assert_eq!(errors(&tried), wrong, "{tried}");
    for value in ["Zombie", "Dora", "13/13"] {
        assert!(!tried["results"].to_string().contains(value), "an error repeats a value");
    }
    assert_eq!(world.get("patients").await.body["items"], json!([]), "nothing was written");

    let done = import(&world, request(false)).await;
    assert_eq!((&done["dry_run"], counts(&done)), (&json!(false), [6, 3, 0, 0, 3]), "{done}");
    for (tried, done) in tried["results"].as_array().unwrap().iter().zip(done["results"].as_array().unwrap()) {
        for name in ["row", "outcome", "episode", "measurements", "entries"] {
            assert_eq!(tried[name], done[name], "{name} was foreseen");
        }
    }
    let caseload = world.get("caseload?sort=name").await.expect(200).body;
    let names: Vec<&str> =
        caseload["items"].as_array().unwrap().iter().map(|r| r["patient"]["display_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ada Lovelace", "Ben Hopper"], "as their spreadsheet calls them");
    let ada = &caseload["items"][0];
    let (episode, patient) = (ada["episode"].as_str().unwrap(), ada["patient"]["id"].as_str().unwrap());
    let measure = &ada["measures"][0];
    assert_eq!((&measure["baseline"]["score"], &measure["latest"]["score"]), (&json!(18), &json!(9)));
    assert_eq!(
        (&measure["latest"]["taken_on"], &measure["latest"]["quality"]),
        (&json!("2026-03-02"), &json!("total_only"))
    );
    assert_eq!((&caseload["items"][1]["status"], &ada["care_manager"]), (&json!("relapse_prevention"), &json!("Kim")));
    let person = world.get(&format!("patients/{patient}")).await.expect(200).body;
    assert_eq!((&person["seen"], &person["birth_date"]), (&json!(false), &json!("1980-05-17")));
    assert!(person["measurements"].as_array().unwrap().iter().all(|m| m["source"] == "import" && m["item9"].is_null()));
    let timeline = world.get(&format!("episodes/{episode}/timeline")).await.expect(200).body;
    let kinds: Vec<&str> = timeline["items"].as_array().unwrap().iter().map(|i| i["kind"].as_str().unwrap()).collect();
    for kind in ["enrolment", "measurement", "contact", "coverage", "import"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    let note = timeline["items"].as_array().unwrap().iter().find(|i| i["kind"] == "import").unwrap();
    assert!(note["body"]["note"].as_str().unwrap().starts_with("well,"));
    assert_eq!(world.get("metrics/nys?month=2026-01").await.body["metrics"][1]["numerator"], 1, "Medicaid: Ada");

    // The same again.
    let again = import(&world, request(false)).await;
    assert_eq!(counts(&again), [6, 0, 0, 3, 3], "{again}");
    let after = world.get(&format!("episodes/{episode}/timeline")).await.expect(200).body;
    assert_eq!(timeline["items"].as_array().unwrap().len(), after["items"].as_array().unwrap().len());

    // A row that has grown adds what is new; one that was changed is refused.
    let more = SHEET.replace("9,46083,2/27/2026", "9,46083,3/3/2026");
    let more = import(&world, json!({"csv": more, "identifier_system": "urn:mrn", "dry_run": false})).await;
    assert_eq!(counts(&more), [6, 0, 1, 2, 3], "{more}");
    let other = SHEET.replace("18,14,2/2/2026", "18,13,2/2/2026");
    let other = import(&world, json!({"csv": other, "identifier_system": "urn:mrn", "dry_run": false})).await;
    assert_eq!(counts(&other), [6, 0, 0, 2, 4], "{other}");

    // The chart's Patient arrives: one and the same, and called what the chart calls her.
    world
        .arrives(json!({"resourceType": "Patient", "id": "p1", "name": [{"family": "King", "given": ["Augusta"]}],
            "birthDate": "1980-05-17", "identifier": [{"system": "urn:mrn", "value": "100"}]}))
        .await;
    let person = world.get(&format!("patients/{patient}")).await.expect(200).body;
    assert_eq!((&person["seen"], &person["reference"]), (&json!(true), &json!("Patient/p1")));
    let row = world.get(&format!("episodes/{episode}")).await.expect(200).body;
    assert_eq!(row["patient"]["display_name"], "Augusta King");
    assert_eq!(counts(&import(&world, request(false)).await), [6, 0, 0, 3, 3]);
}

#[tokio::test]
async fn a_known_patient_is_found_and_another_date_of_birth_is_refused() {
    let world = World::on("2026-03-03").await;
    for (id, born) in [("1", "1980-05-17"), ("2", "1990-01-01")] {
        world
            .arrives(json!({"resourceType": "Patient", "id": id, "name": [{"family": "Chart", "given": ["Known"]}],
                "birthDate": born, "identifier": [{"system": "urn:mrn", "value": id}]}))
            .await;
    }
    let open = world.patient("3", "Open").await;
    world.enroll(&open, "2026-01-05").await;
    let csv = "MRN;Name;DOB;Enrolled\n1;Other;17.05.1980;05.01.2026\n2;Other;17.05.1980;05.01.2026\n3;;;05.02.2026\n\
        1;Twice;17.05.1980;06.02.2026\n";
    let said = import(&world, json!({"csv": csv, "identifier_system": "urn:mrn", "dry_run": false})).await;
    assert_eq!(counts(&said), [4, 1, 0, 0, 3], "{said}");
    assert_eq!(errors(&said), ["3 DOB", "4 Enrolled", "5 MRN"], "{said}");
    let caseload = world.get("caseload?q=known").await.expect(200).body;
    assert_eq!(caseload["items"][0]["patient"]["display_name"], "Known Chart", "the chart knows the name better");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn each_row_says_what_it_added_also_a_second_course_of_the_same_patient(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let sheet = |last_contact: &str| {
        let csv = format!(
            "MRN,Date of Initial Assessment,Baseline PHQ-9,Last Contact,Status,Discharge Date,Discharge Reason\n\
             1,10/6/2025,20,10/20/2025,Closed,12/1/2025,LTFU\n1,1/5/2026,18,{last_contact},Active,,\n2,,,,Zombie,,\n"
        );
        json!({"csv": csv, "identifier_system": "urn:mrn", "dry_run": false})
    };
    let added = |said: &Value| -> Vec<(Value, Value, Value)> {
        let rows = said["results"].as_array().unwrap().iter();
        rows.map(|row| (row["outcome"].clone(), row["measurements"].clone(), row["entries"].clone())).collect()
    };
    let row = |outcome: &str, measurements, entries| (json!(outcome), json!(measurements), json!(entries));
    let said = import(&world, sheet("2/2/2026")).await;
    // A contact and a discharge; a contact; nothing.
    assert_eq!(added(&said), [row("created", 1, 2), row("created", 1, 1), row("rejected", 0, 0)], "{said}");
    assert_eq!(said["results"][0]["patient"], said["results"][1]["patient"]);
    let again = import(&world, sheet("2/16/2026")).await;
    assert_eq!(added(&again), [row("unchanged", 0, 0), row("updated", 0, 1), row("rejected", 0, 0)], "{again}");
}

#[tokio::test]
async fn a_mapping_says_what_cannot_be_guessed_and_what_is_wrong_is_named() {
    let world = World::on("2026-03-03").await;
    let csv = "No.,Wer,Start,Wert,Am,Stand\n7,José,5/1/2026,17,2/2/2026,raus\n";
    let mapping = json!({"dates": "day_first",
        "columns": {"identifier": "No.", "name": "Wer", "enrolled_on": "Start", "status": "Stand"},
        "scores": [{"instrument": "gad7", "score": "Wert", "taken_on": "Am"}],
        "words": {"status": {"Raus": "active"}}});
    let body = |csv: &str, mapping: Value| json!({"csv": csv, "identifier_system": "urn:mrn", "mapping": mapping});
    let said = import(&world, body(csv, mapping.clone())).await;
    assert_eq!((counts(&said), said["results"][0]["measurements"].as_i64()), ([1, 1, 0, 0, 0], Some(1)), "{said}");
    assert_eq!(said["mapping"]["columns"], mapping["columns"], "how it was read");

    // The bytes as Excel saves them in the west.
    let bytes: Vec<u8> = csv.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
    let encoded = json!({"csv_base64": bytes, "identifier_system": "urn:mrn", "mapping": mapping, "dry_run": false});
    import(&world, encoded).await;
    assert_eq!(world.get("caseload").await.body["items"][0]["patient"]["display_name"], "José");

    let mut absent = mapping.clone();
    absent["columns"]["status"] = json!("Status");
    for (body, status, at) in [
        (body(csv, absent), 422, "mapping.columns.status"),
        (json!({"csv": csv, "identifier_system": "urn:mrn"}), 422, "mapping.columns.identifier"),
        (body("", mapping.clone()), 422, "csv"),
        (json!({"identifier_system": "urn:mrn"}), 422, "csv"),
        (json!({"csv": csv, "csv_base64": "", "identifier_system": "urn:mrn"}), 422, "csv"),
        (json!({"csv": csv, "identifier_system": "a|b"}), 422, "identifier_system"),
        (body(&format!("No.\n{}", "1\n".repeat(5_001)), mapping.clone()), 413, "csv"),
        (body(&"x".repeat(5 << 20).replace('x', "ab"), mapping), 413, ""),
    ] {
        let said = world.post("imports/caseload", body).await;
        assert_eq!(said.status, status, "{}", said.body);
        assert!(at.is_empty() || said.body["expression"] == at, "{}", said.body);
    }
    for role in [Role::Ehr, Role::PrimaryCare, Role::PsychiatricConsultant] {
        world.ask((CLINIC, role), "POST", "imports/caseload", Some(request(true)), &[]).await.expect(403);
    }
}

/// A clinic's whole registry: each patient with a baseline, four visits and a last contact. `COCM_IMPORT_ROWS` says how many:
/// 5,000 are the most that a file may have.
#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn what_a_spreadsheet_takes_grows_with_its_rows_and_not_faster(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-03").await else { return };
    let rows: i64 = std::env::var("COCM_IMPORT_ROWS").map_or(200, |rows| rows.parse().unwrap());
    let mut csv = "MRN,Patient Name,DOB,Date of Initial Assessment,Care Manager,Baseline PHQ-9,PHQ-9,Date,PHQ-9,Date,\
        PHQ-9,Date,PHQ-9,Date,Last Contact,Status\r\n"
        .to_owned();
    for n in 0..rows {
        let scores = [10 + n % 18, n % 28, (n + 3) % 28, (n + 5) % 28, (n + 7) % 28];
        let [baseline, one, two, three, four] = scores;
        write!(
            csv,
            "{n},Patient N{n},1980-05-17,10/6/2025,Kim,{baseline},{one},11/3/2025,{two},12/1/2025,{three},1/5/2026,{four},\
             2/2/2026,2/27/2026,Active\r\n"
        )
        .unwrap();
    }
    let body = json!({"csv": csv, "identifier_system": "urn:mrn", "dry_run": false});
    for (what, expected) in [("new", [rows, rows, 0, 0, 0]), ("the same again", [rows, 0, 0, rows, 0])] {
        let began = std::time::Instant::now();
        assert_eq!(counts(&import(&world, body.clone()).await), expected, "{what}");
        let took = began.elapsed();
        println!("{rows} rows, {what}: {} ms", took.as_millis());
        // Unoptimized, beside other tests, on any machine: only what grows faster than the file would take so long.
        let most = u64::try_from(rows).unwrap() * 250;
        assert!(took < std::time::Duration::from_millis(most), "{what}: {took:?} for {rows} rows");
    }
}

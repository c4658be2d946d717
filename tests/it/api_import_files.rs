//! Spreadsheets as clinics have them: other titles, other dates, numbers that a program has mangled, workbooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use serde_json::{Value, json};

use super::api_world::World;

async fn world() -> World {
    World::on("2026-03-03").await
}

async fn import(world: &World, csv: &str) -> Value {
    let body = json!({"csv": csv, "identifier_system": "urn:mrn", "dry_run": false});
    world.post("imports/caseload", body).await.expect(200).body
}

async fn patient(world: &World, number: &str) -> Option<Value> {
    let found = world.get(&format!("patients?identifier=urn:mrn%7C{number}")).await.expect(200).body;
    let id = found["items"][0]["id"].as_str()?;
    Some(world.get(&format!("patients/{id}")).await.expect(200).body)
}

fn scores(patient: &Value) -> Vec<(&str, u64, Option<u64>)> {
    let all = patient["measurements"].as_array().unwrap().iter();
    all.map(|m| (m["instrument"].as_str().unwrap(), m["total"].as_u64().unwrap(), m["item9"].as_u64())).collect()
}

fn errors(said: &Value) -> Vec<String> {
    let rows = said["results"].as_array().unwrap().iter();
    let errors = rows.flat_map(|row| row["errors"].as_array().unwrap().clone());
    errors.map(|e| format!("{} {}", e["row"], e["column"].as_str().unwrap_or("-"))).collect()
}

#[tokio::test]
async fn an_answer_beside_a_score_is_no_score_and_raises_its_concern() {
    let world = world().await;
    let csv = "MRN,Patient Name,Date of Initial Assessment,PHQ-9 Score,PHQ-9 Q9,PHQ-9 Date\n\
        1,One,01/05/2026,17,1,01/05/2026\n2,Two,01/05/2026,12,0,01/05/2026\n3,Three,01/05/2026,12,4,01/05/2026\n";
    let said = import(&world, csv).await;
    assert_eq!(errors(&said), ["4 PHQ-9 Q9"], "{said}");
    let (one, two) = (patient(&world, "1").await.unwrap(), patient(&world, "2").await.unwrap());
    assert_eq!(scores(&one), [("phq9", 17, Some(1))]);
    assert_eq!(one["safety"]["open"].as_array().unwrap().len(), 1, "{one}");
    assert_eq!((scores(&two), two["safety"]["open"].as_array().unwrap().len()), (vec![("phq9", 12, Some(0))], 0));
    let again = import(&world, csv).await;
    assert_eq!((&again["unchanged"], &again["rejected"]), (&json!(2), &json!(1)), "{again}");
}

#[tokio::test]
async fn the_answers_of_a_form_are_summed() {
    let world = world().await;
    let items: Vec<String> = (1..=9).map(|n| format!("phq9_q{n}")).collect();
    let csv = format!("MRN,Enrollment Date,{},phq9_date\n1,1/5/2026,2,3,1,2,0,1,3,1,1,2/13/2026\n", items.join(","));
    let said = import(&world, &csv).await;
    assert_eq!(said["created"], 1, "{said}");
    assert_eq!(scores(&patient(&world, "1").await.unwrap()), [("phq9", 14, Some(1))]);
}

#[rstest]
#[case("% Improvement from Baseline PHQ-9")]
#[case("Baseline PHQ-9 change")]
#[case("Initial PHQ-9 goal")]
#[tokio::test]
async fn what_was_computed_from_a_score_is_left_unread(#[case] title: &str) {
    let world = world().await;
    let said = import(&world, &format!("MRN,Enrollment Date,Baseline PHQ-9,{title}\n1,1/5/2026,18,25\n")).await;
    assert_eq!(said["unread_columns"], json!([title]), "{said}");
    assert_eq!(scores(&patient(&world, "1").await.unwrap()), [("phq9", 18, None)]);
}

#[tokio::test]
async fn the_order_of_day_and_month_is_decided_once() {
    let world = world().await;
    let proved = import(&world, "MRN,Enrollment Date\n1,25/02/2026\n2,03/02/2026\n").await;
    assert_eq!(
        (&proved["mapping"]["dates"], &proved["date_order_by"]),
        (&json!("day_first"), &json!("rows")),
        "{proved}"
    );
    assert_eq!(patient(&world, "2").await.unwrap()["episodes"][0]["enrolled_on"], "2026-02-03");
    let both = import(&world, "MRN,Enrollment Date\n3,25/02/2026\n4,2/25/2026\n5,03/02/2026\n").await;
    assert_eq!(
        (errors(&both), &both["mapping"]["dates"]),
        (vec!["4 Enrollment Date".to_owned()], &Value::Null),
        "{both}"
    );
    let open = import(&world, "MRN,Enrollment Date\n6,03/02/2026\n").await;
    assert_eq!(
        (&open["mapping"]["dates"], &open["date_order_by"]),
        (&json!("month_first"), &json!("default")),
        "{open}"
    );
}

#[rstest]
#[case("\"=\"\"00123\"\"\"", Some("00123"))]
#[case("'00123", Some("00123"))]
#[case("\"1,234,567\"", Some("1234567"))]
#[case("123.0", Some("123"))]
#[case("4.892E+09", None)]
#[case("#N/A", None)]
#[tokio::test]
async fn a_mangled_record_number_is_mended_or_refused(#[case] cell: &str, #[case] number: Option<&str>) {
    let world = world().await;
    let said = import(&world, &format!("MRN,Enrollment Date\n{cell},1/5/2026\n")).await;
    if let Some(number) = number {
        assert!(patient(&world, number).await.is_some(), "{said}");
    } else {
        assert_eq!(errors(&said), ["2 MRN"], "{said}");
        assert_eq!(world.get("patients").await.body["items"], json!([]), "nothing is stored as it stands");
    }
}

#[tokio::test]
async fn a_file_without_rows_or_of_another_kind_is_refused_in_words() {
    let world = world().await;
    let bytes = |bytes: &[u8]| json!({"csv_base64": STANDARD.encode(bytes), "identifier_system": "urn:mrn"});
    for (body, words) in [
        (json!({"csv": "MRN,Enrollment Date\n", "identifier_system": "urn:mrn"}), "no row"),
        (bytes(b"PK\x03\x04\x14\0\x06\0"), "workbook"),
        (bytes(&[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1]), ".xls"),
        (bytes(b"%PDF-1.7\0\0\0\x01"), "neither"),
    ] {
        let said = world.post("imports/caseload", body).await.expect(422).body;
        assert!(said["detail"].as_str().unwrap().contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_workbook_is_read_with_its_merged_titles_and_its_dates() {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Instructions").unwrap().write(0, 0, "How to use this registry").unwrap();
    let sheet = book.add_worksheet();
    sheet.write(0, 0, "Our caseload").unwrap();
    sheet.merge_range(2, 2, 2, 3, "PHQ-9", &Format::new()).unwrap();
    for (column, title) in (0..).zip(["MRN", "Date of Initial Contact", "Date", "Score"]) {
        sheet.write(3, column, title).unwrap();
    }
    let date = |month, day| ExcelDateTime::from_ymd(2026, month, day).unwrap();
    let format = Format::new().set_num_format("dd/mm/yyyy");
    sheet.write(4, 0, "00123").unwrap().write_with_format(4, 1, date(1, 5), &format).unwrap();
    sheet.write_with_format(4, 2, date(2, 3), &format).unwrap().write(4, 3, 17).unwrap();
    let bytes = book.save_to_buffer().unwrap();
    let world = world().await;
    let body = json!({"csv_base64": STANDARD.encode(bytes), "identifier_system": "urn:mrn", "dry_run": false});
    let said = world.post("imports/caseload", body).await.expect(200).body;
    assert_eq!((&said["created"], &said["results"][0]["row"]), (&json!(1), &json!(5)), "{said}");
    let patient = patient(&world, "00123").await.unwrap();
    assert_eq!(scores(&patient), [("phq9", 17, None)]);
    assert_eq!(patient["measurements"][0]["taken_on"], "2026-02-03");
    assert_eq!(patient["episodes"][0]["enrolled_on"], "2026-01-05");
}

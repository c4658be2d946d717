//! Lists as files: the same rows as the lists, all of them, and nothing that a spreadsheet would execute.

use std::collections::HashSet;
use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::json;

use crate::api_paging::{Sql, template};
use crate::api_world::{CLINIC, Heard, World};
use crate::world::Engine;

async fn file(world: &World, path: &str) -> Heard {
    let heard = world.call(Some((CLINIC, Role::CareManager)), "GET", &format!("/api/v1/{path}"), None, &[]).await;
    assert_eq!(heard.status, 200, "{path}: {}", heard.text());
    heard
}

fn header<'a>(heard: &'a Heard, name: &str) -> &'a str {
    heard.headers[name].to_str().unwrap()
}

/// The titles and the rows of a CSV file.
fn csv(heard: &Heard) -> (Vec<String>, Vec<Vec<String>>) {
    let text = heard.text();
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let titles = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (titles, reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect())
}

fn sheet(heard: &Heard) -> Vec<Vec<Data>> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(heard.bytes.clone())).unwrap();
    let name = book.sheet_names()[0].clone();
    let formulas = book.worksheet_formula(&name).unwrap();
    assert!(formulas.cells().all(|(.., formula)| formula.is_empty()), "a formula");
    book.worksheet_range(&name).unwrap().rows().map(<[Data]>::to_vec).collect()
}

#[tokio::test]
async fn text_is_never_a_formula_and_numbers_and_dates_are_what_they_are() {
    let world = World::on("2026-02-02").await;
    let evil = world.patient("1", "=HYPERLINK(\"http://evil.example\",\"x\")").await;
    let body = json!({"patient": {"id": evil}, "enrolled_on": "2026-01-05", "care_manager": "@SUM(A1:A9)"});
    let episode = world.post("episodes", body).await.expect(201).id();
    world.phq9(&evil, "2026-01-05", 18).await;
    world.phq9(&evil, "2026-02-02", 13).await;
    let contact = json!({"on": "2026-01-19", "kind": "treatment"});
    world.post(&format!("episodes/{episode}/contacts"), contact).await.expect(201);

    let heard = file(&world, "caseload.csv").await;
    assert_eq!(header(&heard, "content-disposition"), "attachment; filename=\"caseload-2026-02-02.csv\"");
    assert!(header(&heard, "content-type").starts_with("text/csv"));
    let (titles, rows) = csv(&heard);
    let column = |title: &str| titles.iter().position(|known| known == title).unwrap();
    let cell = |title: &str| rows[0][column(title)].as_str();
    assert_eq!(cell("Care manager"), "'@SUM(A1:A9)");
    let of =
        ["Enrolled on", "Day", "PHQ-9 baseline", "PHQ-9 latest", "PHQ-9 latest on", "PHQ-9 change", "GAD-7 latest"];
    assert_eq!(of.map(cell), ["2026-01-05", "28", "18", "13", "2026-02-02", "-5", ""]);
    assert_eq!([cell("Identifiers"), cell("Last contact on"), cell("Open safety")], ["urn:mrn|1", "2026-01-19", "no"]);
    assert_eq!(cell("Place in the queue"), "new_without_review");
    assert!(cell("Reasons").contains("not reviewed yet"), "{}", cell("Reasons"));
    for row in &rows {
        for cell in row.iter().filter(|cell| cell.parse::<f64>().is_err()) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }

    let heard = file(&world, "caseload.xlsx").await;
    assert_eq!(header(&heard, "content-disposition"), "attachment; filename=\"caseload-2026-02-02.xlsx\"");
    let rows = sheet(&heard);
    let cell = |title: &str| &rows[1][column(title)];
    assert_eq!(cell("Care manager"), &Data::String("@SUM(A1:A9)".into()));
    assert_eq!(cell("PHQ-9 change"), &Data::Float(-5.0));
    let Data::DateTime(enrolled) = cell("Enrolled on") else { panic!("{:?}", cell("Enrolled on")) };
    assert!((enrolled.as_f64() - 46_027.0).abs() < f64::EPSILON, "5 January 2026");

    // The filters of the list, and its strictness.
    let (_, none) = csv(&file(&world, "caseload.csv?status=on_hold").await);
    assert_eq!(none.len(), 0);
    assert_eq!(csv(&file(&world, "caseload.csv?sort=name&q=hyperlink&care_manager=@SUM(A1:A9)").await).1.len(), 1);
    assert_eq!(world.get("caseload.csv?limit=1").await.expect(400).body["expression"], "limit");
    assert_eq!(world.get("review-queue.csv?on=2026-02-30").await.expect(400).body["expression"], "on");
}

#[tokio::test]
async fn the_queue_and_the_metrics_say_the_same_as_their_lists() {
    let world = World::on("2026-02-02").await;
    for (id, name) in [("1", "Lovelace"), ("2", "Hopper")] {
        let patient = world.patient(id, name).await;
        world.phq9(&patient, "2026-01-05", 18).await;
        world.enroll(&patient, "2026-01-05").await;
    }
    for query in ["", "?on=2026-02-20"] {
        let list = world.get(&format!("review-queue{query}")).await.expect(200).body;
        let listed: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|row| row["episode"].as_str().unwrap()).collect();
        let (titles, rows) = csv(&file(&world, &format!("review-queue.csv{query}")).await);
        let column = titles.iter().position(|title| title == "Episode id").unwrap();
        assert_eq!(rows.iter().map(|row| row[column].as_str()).collect::<Vec<_>>(), listed);
        assert_eq!(sheet(&file(&world, &format!("review-queue.xlsx{query}")).await).len(), 1 + listed.len());
    }
    for name in ["nys", "fidelity", "hedis-drr", "cms159"] {
        let list = world.get(&format!("metrics/{name}")).await.expect(200).body;
        let metrics = list["metrics"].as_array().unwrap();
        let heard = file(&world, &format!("metrics/{name}.csv")).await;
        let (titles, rows) = csv(&heard);
        let column = |title: &str| titles.iter().position(|known| known == title).unwrap();
        assert_eq!(rows.len(), metrics.len(), "{name}");
        for (row, metric) in rows.iter().zip(metrics) {
            assert_eq!(row[column("Metric")], metric["name"].as_str().unwrap());
            let value = metric["value"].as_f64();
            assert_eq!(row[column("Value")].parse().ok(), value, "{name} {metric}");
        }
        assert_eq!(sheet(&file(&world, &format!("metrics/{name}.xlsx")).await).len(), 1 + rows.len());
    }
    assert_eq!(world.get("metrics/nys.csv?month=2026-13").await.expect(400).body["expression"], "month");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn every_row_is_there_once_over_several_pages(#[case] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-02-02").await else { return };
    let one = template(&world).await;
    one.multiply(&Sql(&world.app.db), (1, 1_200)).await;
    for path in ["caseload.csv", "caseload.csv?sort=name", "review-queue.csv"] {
        let (titles, rows) = csv(&file(&world, path).await);
        let column = titles.iter().position(|title| title == "Episode id").unwrap();
        let ids: HashSet<&str> = rows.iter().map(|row| row[column].as_str()).collect();
        assert_eq!((rows.len(), ids.len()), (1_201, 1_201), "{path}");
    }
    assert_eq!(sheet(&file(&world, "caseload.xlsx").await).len(), 1_202);
}

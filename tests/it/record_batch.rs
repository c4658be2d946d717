//! Facts that share a transaction: each fails alone, what belongs together stays together.

use std::collections::HashSet;
use std::sync::Arc;

use cocm_registry::id::PatientId;
use cocm_registry::problem::Category;
use cocm_registry::record::{Command, PatientKey};
use cocm_registry::sandbox::misbehavior::Dice;
use cocm_registry::store::Db;
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

use super::store_db::{count, sql};
use super::world::{CLINIC, Engine, World, episode, patient, phq9};

const TABLES: [&str; 9] = [
    "patient",
    "patient_key",
    "resource",
    "resource_identifier",
    "measurement",
    "fact",
    "standing",
    "delivery",
    "lane",
];

/// What no transaction may leave behind: a form without its measurement or its line in the log, a planned change that
/// no lane delivers.
pub async fn assert_whole(db: &Db) {
    let unmeasured = "SELECT COUNT(*) FROM resource r WHERE r.type = 'QuestionnaireResponse' AND NOT EXISTS (
        SELECT 1 FROM measurement m WHERE m.clinic_id = r.clinic_id AND m.patient_id = r.patient_id
          AND m.source = 'QuestionnaireResponse/' || r.id)";
    assert_eq!(count(db, unmeasured).await, 0, "forms without a measurement");
    let unexplained =
        "SELECT (SELECT COUNT(*) FROM measurement) - (SELECT COUNT(*) FROM fact WHERE kind = 'measurement')";
    assert_eq!(count(db, unexplained).await, 0, "measurements without a line in the log");
    let undelivered = "SELECT COUNT(*) FROM delivery d WHERE d.state = 'pending' AND NOT EXISTS (
        SELECT 1 FROM lane l WHERE l.clinic_id = d.clinic_id AND l.patient_id = d.patient_id)";
    assert_eq!(count(db, undelivered).await, 0, "changes that nobody delivers");
    let homeless = "SELECT COUNT(*) FROM measurement m WHERE NOT EXISTS (
        SELECT 1 FROM patient p WHERE p.clinic_id = m.clinic_id AND p.id = m.patient_id AND p.merged_into IS NULL)";
    assert_eq!(count(db, homeless).await, 0, "measurements of nobody");
}

fn nobody() -> Command {
    Command::Replan { patient: PatientId(Uuid::from_u128(7)) }
}

/// A form with an answer to item 9, so that it has consequences.
fn alarming(id: &str, patient: &str) -> serde_json::Value {
    phq9(id, patient, "2026-03-01T15:00:00Z", [2, 2, 2, 2, 2, 2, 2, 2, 2])
}

#[rstest]
#[tokio::test]
async fn a_fact_that_fails_fails_alone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let commands = vec![
        world.fact(&patient("1")),
        nobody(),
        world.fact(&alarming("a", "1")),
        Command::Enroll {
            whom: PatientKey::Key("Patient/absent".into()),
            episode: Box::new(episode("2026-01-05")),
            fit: None,
        },
        world.fact(&alarming("b", "2")),
    ];
    let answer = world.app.intake.take_all(CLINIC, "test", commands, false).await.unwrap();
    let well: Vec<bool> = answer.iter().map(Result::is_ok).collect();
    assert_eq!(well, [true, false, true, false, true]);
    assert_eq!(answer[1].as_ref().unwrap_err().category, Category::NotFound);
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM measurement").await, 2);
    assert_whole(&world.app.db).await;
}

#[rstest]
#[tokio::test]
async fn what_is_sent_as_one_is_stored_as_one(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let commands = vec![world.fact(&patient("1")), world.fact(&alarming("a", "1")), nobody()];
    let problem = world.app.intake.take_all(CLINIC, "test", commands, true).await.unwrap_err();
    assert_eq!(problem.category, Category::NotFound);
    for table in TABLES {
        assert_eq!(count(&world.app.db, &format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    let commands = vec![world.fact(&alarming("a", "1")), world.fact(&patient("1"))];
    assert_eq!(world.app.intake.take_all(CLINIC, "test", commands, true).await.unwrap().len(), 2);
    assert_whole(&world.app.db).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_that_share_a_batch_do_not_share_their_fate(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let mut sending = Vec::new();
    for n in 0..120 {
        let intake = world.app.intake.clone();
        let (person, form) = (format!("{}", n % 11), format!("form-{n}"));
        let mut commands = vec![world.fact(&alarming(&form, &person))];
        let (bad, atomic) = (n % 5 == 0, n % 2 == 0);
        if bad {
            commands.push(nobody());
        }
        sending.push((
            bad,
            atomic,
            tokio::spawn(async move { intake.take_all(CLINIC, "test", commands, atomic).await }),
        ));
    }
    let mut stored = 0;
    for (bad, atomic, answer) in sending {
        match (bad, atomic, answer.await.unwrap()) {
            (true, true, answer) => assert!(answer.is_err()),
            (true, false, answer) => {
                let answer = answer.unwrap();
                assert!(answer[0].is_ok() && answer[1].is_err());
                stored += 1;
            }
            (false, _, answer) => {
                assert!(answer.unwrap().iter().all(Result::is_ok));
                stored += 1;
            }
        }
    }
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM measurement").await, stored);
    assert_whole(&world.app.db).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_that_overlap_do_not_lock_each_other_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    for n in 0..6 {
        world.send(&patient(&n.to_string())).await.unwrap();
    }
    // Another replica on the same database, and both deliver all the while.
    let other = super::world::service(&world.database, &world.clock, Some(world.chart.url())).await;
    let (here, there) = (world.service, other);
    here.start();
    there.start();
    let intakes = [here.app.intake.clone(), there.app.intake.clone()];
    let mut dice = Dice::new(4);
    let mut sending = Vec::new();
    for n in 0..60 {
        let mut commands = Vec::new();
        for m in 0..6 {
            let person = (dice.roll() % 6).to_string();
            let mut form = alarming(&format!("form-{n}-{m}"), &person);
            if dice.happens(0.3) {
                form["subject"] = json!({"identifier": {"system": "urn:mrn", "value": format!("mrn-{person}")}});
            }
            let arrival = world.app.intake.read(CLINIC, &form.to_string()).unwrap();
            let condition = cocm_registry::record::Condition::None;
            commands.push(Command::StoreResource { arrival: Box::new(arrival), condition });
        }
        let (intake, atomic) = (intakes[n % 2].clone(), n % 3 == 0);
        sending.push(tokio::spawn(async move { intake.take_all(CLINIC, "test", commands, atomic).await }));
    }
    for answer in sending {
        assert!(answer.await.unwrap().unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM measurement").await, 360);
    assert_whole(&world.app.db).await;
    there.close().await;
    here.close().await;
}

/// Makes every insert into a table fail.
async fn break_table(db: &Db, table: &str) {
    match db {
        Db::Sqlite { .. } => {
            let trigger = "BEFORE INSERT ON";
            sql(db, &format!("CREATE TRIGGER boom {trigger} {table} BEGIN SELECT RAISE(ABORT, 'boom'); END")).await;
        }
        Db::Postgres { .. } => {
            let body = "BEGIN RAISE EXCEPTION 'boom'; END";
            sql(db, &format!("CREATE OR REPLACE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
                .await;
            sql(db, &format!("CREATE TRIGGER boom BEFORE INSERT ON {table} EXECUTE FUNCTION boom()")).await;
        }
    }
}

async fn mend_table(db: &Db, table: &str) {
    match db {
        Db::Sqlite { .. } => sql(db, "DROP TRIGGER boom").await,
        Db::Postgres { .. } => sql(db, &format!("DROP TRIGGER boom ON {table}")).await,
    }
}

#[rstest]
#[tokio::test]
async fn a_change_and_its_write_back_commit_together_or_not_at_all(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let db = &world.app.db;
    for (n, table) in TABLES.iter().enumerate() {
        // A person known, enrolled and measured, and a form that changes everything.
        let person = n.to_string();
        world.send(&patient(&person)).await.unwrap();
        world.enroll(&person, "2026-01-05").await;
        let mut before = HashSet::new();
        for table in TABLES {
            before.insert((table, count(db, &format!("SELECT COUNT(*) FROM {table}")).await));
        }
        let mut form = alarming(&format!("form-{n}"), if *table == "patient" { "new" } else { &person });
        if *table == "patient_key" {
            form["subject"]["reference"] = json!("Patient/newer");
        }
        form["identifier"] = json!({"system": "urn:form", "value": person});
        break_table(db, table).await;
        let answer = world.send(&form).await;
        mend_table(db, table).await;
        let touched = answer.is_err();
        for table in TABLES {
            let now = (table, count(db, &format!("SELECT COUNT(*) FROM {table}")).await);
            assert!(!touched || before.contains(&now), "{now:?}");
        }
        assert!(touched || *table == "resource_identifier", "a form that did not touch {table}");
        world.send(&form).await.unwrap();
        assert_whole(db).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_in_the_middle_leaves_nothing_half_done(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    let acknowledged = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let mut sending = Vec::new();
    for n in 0..300 {
        let form = format!("form-{n}");
        let fact = world.fact(&alarming(&form, &(n % 7).to_string()));
        let (recorder, acknowledged) = (world.app.recorder.clone(), acknowledged.clone());
        sending.push(tokio::spawn(async move {
            match recorder.one(CLINIC, "test", fact).await {
                Ok(_) => drop(acknowledged.lock().unwrap().insert(form)),
                Err(problem) => assert_eq!(problem.category, Category::Unavailable),
            }
        }));
        if n == 150 {
            world.app.db.close().await;
        }
    }
    for one in sending {
        one.await.unwrap();
    }
    let db = world.database.open().await;
    let stored = count(&db, "SELECT COUNT(*) FROM resource").await;
    let acknowledged = acknowledged.lock().unwrap().len();
    assert!(i64::try_from(acknowledged).unwrap() <= stored, "{acknowledged} acknowledged, {stored} stored");
    assert_whole(&db).await;
}

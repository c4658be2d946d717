//! The journal: every line gets its place once, and whatever is changed afterwards is found.

use chrono::TimeDelta;
use cocm_registry::domain::care::Care;
use cocm_registry::id::EpisodeId;
use cocm_registry::journal::heads::{HeadSigner, HeadWriter};
use cocm_registry::journal::verify::{ChainAnchor, ChainReport, verify};
use cocm_registry::record::Command;
use cocm_registry::store::{Db, event_log, journal};
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

use super::store_db::{count, sql};
use super::world::{self, CLINIC, Engine, OTHER, World, date, patient, phq9};

/// A few patients with forms, an episode, a contact, a Task in the chart, a merge; all of it sealed.
async fn story(world: &World) {
    for id in ["1", "2", "3"] {
        world.send(&patient(id)).await.unwrap();
    }
    let episode = world.enroll("1", "2026-02-23").await;
    world.send(&phq9("f1", "1", "2026-02-23T10:00:00.123456789Z", [2, 2, 2, 2, 2, 2, 2, 2, 1])).await.unwrap();
    world.send(&phq9("f2", "2", "1999-12-31T23:59:59.9999999Z", [1; 9])).await.unwrap();
    world.send(&phq9("f3", "nobody", "2026-03-01T10:00:00Z", [1; 9])).await.unwrap();
    let care = Care::Discharge { reason: "withdrew".parse().unwrap(), note: Some("Canary Ü ß \u{1F600}".to_owned()) };
    let discharge = Command::RecordCare { episode, on: date("2026-03-02"), at: None, care, if_match: None };
    world.record(discharge).await.unwrap();
    let mut away = patient("3");
    away["meta"]["versionId"] = json!("2");
    away["link"] = json!([{"other": {"reference": "Patient/2"}, "type": "replaced-by"}]);
    world.send(&away).await.unwrap();
    world.advance(TimeDelta::days(1)).await;
    world.app.journal.seal().await.unwrap();
}

async fn report(db: &Db) -> ChainReport {
    let reports = verify(db, &[]).await.unwrap();
    reports.into_iter().find(|report| report.clinic == CLINIC).unwrap()
}

#[track_caller]
fn assert_holds(report: &ChainReport) {
    assert_eq!(report.fault, None, "{report}");
    assert_eq!(report.unsealed, 0);
}

/// Puts the two tables aside, to be brought back after each change.
async fn keep(db: &Db) {
    for table in ["journal", "fact", "journal_head"] {
        sql(db, &format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
}

async fn bring_back(db: &Db) {
    for table in ["journal", "fact", "journal_head"] {
        sql(db, &format!("DELETE FROM {table}")).await;
        sql(db, &format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_change_of_any_column_of_a_line_or_of_a_fact_is_found(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    story(&world).await;
    let db = &world.app.db;
    let whole = report(db).await;
    assert_holds(&whole);
    assert!(whole.entries > 8, "{whole}");
    keep(db).await;

    // A discharge: of the care team, with a body, changes, an outcome and an episode.
    let row = "kind = 'discharge'";
    assert_eq!(count(db, &format!("SELECT COUNT(*) FROM fact WHERE {row}")).await, 1);
    let facts = [
        "clinic_id = 'elsewhere'",
        "patient_id = id",
        "id = patient_id",
        "episode_id = id",
        "episode_id = NULL",
        "kind = 'discharges'",
        "is_care = NOT is_care",
        "happened_on = '2026-03-01'",
        "happened_at = '2026-03-02T05:00:00.000001Z'",
        "outcome = 'withdree'",
        "minutes = 0",
        "body = '{\"kind\":\"discharge\"}'",
        "changes = '{}'",
        "recorded_at = '2026-03-02T14:00:00.000001Z'",
        "recorded_by = 'tesu'",
    ];
    for change in facts {
        sql(db, &format!("UPDATE fact SET {change} WHERE {row}")).await;
        let found = report(db).await;
        assert!(found.fault.is_some(), "fact: {change}");
        bring_back(db).await;
    }
    let lines = [
        "clinic_id = 'elsewhere'",
        "id = patient_id",
        "seq = 1000",
        "seq = -3",
        "seq = NULL",
        "at = '2026-03-02T14:00:00.000001Z'",
        "is_change = NOT is_change",
        "patient_id = id",
        "patient_id = NULL",
        "is_list = NOT is_list",
        "entry = entry || ' '",
        "hash = NULL",
        "hash = '0' || hash",
    ];
    for change in lines {
        sql(db, &format!("UPDATE journal SET {change} WHERE seq = 3")).await;
        let found = report(db).await;
        assert!(found.fault.is_some(), "journal: {change}");
        assert!(found.entries < 3, "journal: {change}: {found}");
        bring_back(db).await;
    }
    for change in ["seq = seq + 1", "seq = seq - 1", "hash = '0' || hash", "facts_before = 1"] {
        sql(db, &format!("UPDATE journal_head SET {change}")).await;
        assert!(report(db).await.fault.is_some(), "head: {change}");
        bring_back(db).await;
    }
    assert_eq!(report(db).await, whole);
}

#[rstest]
#[tokio::test]
async fn one_flipped_bit_in_any_byte_of_a_line_is_found(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    story(&world).await;
    let db = &world.app.db;
    let mut tx = db.read().await.unwrap();
    let line = journal::page(&mut tx, CLINIC, &journal::JournalFilter::default(), 500).await.unwrap().pop().unwrap();
    drop(tx);
    assert_eq!(line.seq, 1);
    for at in 0..line.entry.len() {
        let mut bytes = line.entry.clone().into_bytes();
        bytes[at] ^= 1;
        put_line(db, &String::from_utf8(bytes).unwrap()).await;
        let found = report(db).await;
        assert_eq!((found.entries, found.fault.is_some()), (0, true), "byte {at}");
    }
    put_line(db, &line.entry).await;
    assert_holds(&report(db).await);
}

async fn put_line(db: &Db, line: &str) {
    let text = "UPDATE journal SET entry = $1 WHERE clinic_id = 'demo' AND seq = 1";
    match db {
        Db::Postgres { writer: pool, .. } => drop(sqlx::query(text).bind(line).execute(pool).await.unwrap()),
        Db::Sqlite { writer, .. } => drop(sqlx::query(text).bind(line).execute(writer).await.unwrap()),
    }
}

#[rstest]
#[tokio::test]
async fn what_is_deleted_exchanged_added_or_cut_off_is_found(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    story(&world).await;
    let db = &world.app.db;
    let whole = report(db).await;
    assert_holds(&whole);
    keep(db).await;
    let last = whole.entries;
    let exchange =
        "UPDATE journal SET seq = 1002, hash = (SELECT hash FROM kept_journal k WHERE k.seq = 2) WHERE seq = 3;
         UPDATE journal SET seq = 3, hash = (SELECT hash FROM kept_journal k WHERE k.seq = 3) WHERE seq = 2;
         UPDATE journal SET seq = 2 WHERE seq = 1002";
    let copy = "INSERT INTO fact (clinic_id, patient_id, id, kind, is_care, happened_on, happened_at, body, changes,
           recorded_at, recorded_by)
         SELECT clinic_id, patient_id, patient_id, kind, is_care, happened_on, happened_at, body, changes, recorded_at,
           recorded_by FROM fact WHERE kind = 'discharge'";
    for change in [
        "DELETE FROM journal WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 4",
        &format!("DELETE FROM journal WHERE seq = {last}"),
        &format!("DELETE FROM journal WHERE seq > {}", last - 3),
        "DELETE FROM journal",
        "DELETE FROM fact WHERE kind = 'discharge'",
        "DELETE FROM fact",
        "DELETE FROM journal_head",
        "UPDATE journal SET seq = seq + 1000; UPDATE journal SET seq = seq - 1001",
        exchange,
        copy,
    ] {
        sql(db, change).await;
        assert!(report(db).await.fault.is_some(), "{change}");
        bring_back(db).await;
    }

    // Somebody who knows the format cuts everything off together. Only a head that was kept elsewhere tells.
    let before: ChainAnchor = whole.head.clone().unwrap();
    let after = last - 3;
    sql(db, &format!("DELETE FROM fact WHERE id IN (SELECT id FROM journal WHERE seq > {after})")).await;
    sql(db, &format!("DELETE FROM journal WHERE seq > {after}")).await;
    sql(
        db,
        &format!(
            "UPDATE journal_head SET seq = {after}, hash = (SELECT hash FROM journal WHERE clinic_id = 'demo' AND seq = {after})"
        ),
    )
    .await;
    let cut = verify(db, std::slice::from_ref(&before)).await.unwrap().remove(0);
    assert_eq!((cut.entries, &cut.fault, cut.met.len()), (after, &None, 0));
    bring_back(db).await;
    let found = verify(db, std::slice::from_ref(&before)).await.unwrap().remove(0);
    assert_eq!((found.fault, found.met), (None, vec![before]));
}

#[rstest]
#[tokio::test]
async fn the_command_says_so_and_fails(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    story(&world).await;
    let run = |more: &[String]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_cocm-registry"))
            .args(["verify-audit", "--dev", "--database-url", &world.database.url, "--data-dir"])
            .arg(world.database.folder.path())
            .args(more)
            .output()
            .unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, 0, "{said}");
    let head = said.split("head ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    assert_eq!(run(&["--head".into(), head.clone()]).0, 0);
    let other = format!("{}{}", if head.starts_with('0') { "1" } else { "0" }, &head[1..]);
    assert_eq!(run(&["--head".into(), other]).0, 1);
    sql(&world.app.db, "UPDATE fact SET recorded_by = 'somebody else' WHERE kind = 'discharge'").await;
    let (code, said) = run(&[]);
    assert_eq!(code, 1);
    assert!(said.contains("BROKEN") && said.contains("was changed"), "{said}");
}

#[rstest]
#[tokio::test]
async fn two_sealers_and_many_writers_make_one_chain(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on(engine).await else { return };
    let second = world::service(&world.database, &world.clock, None).await;
    let mut working = Vec::new();
    for (n, app) in [&world.app, &second.app].into_iter().enumerate() {
        let loops = app.journal.clone();
        working.push(tokio::spawn(async move {
            for _ in 0..40 {
                loops.seal().await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }));
        for m in 0..20 {
            let (app, clinic) = (app.clone(), if m % 4 == 0 { OTHER } else { CLINIC });
            working.push(tokio::spawn(async move {
                let arrival = app.intake.read(clinic, &patient(&format!("{n}-{m}")).to_string()).unwrap();
                app.intake.take(clinic, "test", arrival, cocm_registry::record::Condition::None).await.unwrap();
            }));
        }
    }
    for one in working {
        one.await.unwrap();
    }
    second.app.journal.seal().await.unwrap();
    let reports = verify(&world.app.db, &[]).await.unwrap();
    let counts: Vec<(&str, i64, i64, &Option<String>)> =
        reports.iter().map(|r| (r.clinic.as_str(), r.entries, r.unsealed, &r.fault)).collect();
    assert_eq!(counts, [(CLINIC, 30, 0, &None), (OTHER, 10, 0, &None)]);
}

#[rstest]
#[tokio::test]
async fn what_was_committed_before_the_end_is_sealed_after_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.send(&patient("1")).await.unwrap();
    assert_holds(&report(&world.app.db).await);
    // What others than the recorder add has no place yet.
    let mut tx = world.app.db.begin("test").await.unwrap();
    let line = journal::JournalEntry::new(Uuid::from_u128(7), CLINIC, world.clock.now(), "test", None);
    journal::add(&mut tx, &[line]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(report(&world.app.db).await.unsealed, 1);
    let again = world::service(&world.database, &world.clock, None).await;
    assert_eq!(again.app.journal.seal().await.unwrap(), 1);
    assert_holds(&report(&world.app.db).await);
}

#[rstest]
#[tokio::test]
async fn facts_older_than_the_journal_are_counted_and_nothing_else(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    world.send(&patient("1")).await.unwrap();
    let db = &world.app.db;
    // As the migration leaves it.
    sql(db, "DELETE FROM journal").await;
    sql(db, "DELETE FROM journal_head").await;
    sql(db, "INSERT INTO journal_head SELECT clinic_id, 0, '', COUNT(*) FROM fact GROUP BY clinic_id").await;
    world.send(&patient("2")).await.unwrap();
    world.app.journal.seal().await.unwrap();
    assert_holds(&report(db).await);
    sql(db, "UPDATE journal_head SET facts_before = 0").await;
    assert!(report(db).await.fault.is_some());
}

#[rstest]
#[tokio::test]
async fn a_batch_that_fails_in_part_leaves_lines_of_what_was_stored_only(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    use cocm_registry::record::{Amendment, Submission};
    let Some(world) = World::on(engine).await else { return };
    let bad =
        Command::AmendEpisode { episode: EpisodeId(Uuid::nil()), amendment: Amendment::default(), if_match: None };
    let commands = vec![world.fact(&patient("1")), bad.clone(), world.fact(&patient("2"))];
    let all = |atomic| Submission { clinic: CLINIC.into(), by: "test".into(), commands: commands.clone(), atomic };
    assert!(world.app.recorder.record(all(true)).await.is_err());
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM journal").await, 0);
    world.app.recorder.record(all(false)).await.unwrap();
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM journal").await, 2);
    // The same again changes nothing, and nothing is said about it.
    world.app.recorder.record(all(false)).await.unwrap();
    assert_eq!(count(&world.app.db, "SELECT COUNT(*) FROM journal").await, 2);
    world.app.journal.seal().await.unwrap();
    assert_holds(&report(&world.app.db).await);
}

#[tokio::test]
async fn a_line_holds_no_names_and_no_scores() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    story(&world).await;
    let mut tx = world.read().await;
    let lines = journal::page(&mut tx, CLINIC, &journal::JournalFilter::default(), 500).await.unwrap();
    let patients = cocm_registry::store::patient::page(&mut tx, CLINIC, None, 10).await.unwrap();
    assert!(!event_log::of_patient(&mut tx, CLINIC, patients[0].id).await.unwrap().is_empty());
    let all: String = lines.iter().map(|line| line.entry.as_str()).collect();
    for canary in ["Family", "Given", "mrn-", "1980-0", "Casey", "Canary", "score", "total"] {
        assert!(!all.contains(canary), "{canary}");
    }
    for name in [
        "patient.recorded",
        "measurement.recorded",
        "episode.enrolled",
        "episode.discharged",
        "safety.opened",
        "standing.changed",
        "plan.changed",
        "delivery.written",
        "quarantine.added",
    ] {
        assert!(all.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[rstest]
#[tokio::test]
async fn what_decides_care_follows_from_the_chain_or_is_told(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = World::on(engine).await else { return };
    story(&world).await;
    world.enroll("2", "2026-02-20").await;
    world.app.journal.seal().await.unwrap();
    let db = &world.app.db;
    let whole = report(db).await;
    assert!(whole.is_sound(), "{whole}");
    for table in ["measurement", "resource", "episode", "standing", "patient_key"] {
        sql(db, &format!("CREATE TABLE sound_{table} AS SELECT * FROM {table}")).await;
    }
    for (table, change, said) in [
        ("measurement", "UPDATE measurement SET total = 3 WHERE total = 9", "this was changed: total"),
        ("measurement", "UPDATE measurement SET answers = '[0,0,0,0,0,0,0,0,0]'", "this was changed: answers"),
        ("measurement", "DELETE FROM measurement WHERE total = 9", "was removed"),
        ("resource", "DELETE FROM resource WHERE id = 'f1'", "the resource QuestionnaireResponse/f1 was removed"),
        ("resource", "UPDATE resource SET body = '{}' WHERE id = 'f2'", "QuestionnaireResponse/f2 was changed"),
        ("resource", "UPDATE resource SET deleted = TRUE WHERE id = 'f2'", "QuestionnaireResponse/f2 was changed"),
        ("episode", "UPDATE episode SET phase = 'discharged' WHERE phase <> 'discharged'", "the phase of episode"),
        ("episode", "UPDATE episode SET enrolled_on = '2026-01-01'", "the particulars of episode"),
        ("standing", "DELETE FROM standing", "has no standing"),
        (
            "patient_key",
            "UPDATE patient_key SET patient_id = (SELECT id FROM patient WHERE id <> patient_key.patient_id LIMIT 1)
             WHERE key LIKE 'Patient/%'",
            "leads to another person",
        ),
    ] {
        sql(db, change).await;
        let found = report(db).await;
        assert_eq!(found.fault, None, "{change}");
        assert!(found.differences.iter().any(|one| one.contains(said)), "{change}: {found}");
        sql(db, &format!("DELETE FROM {table}")).await;
        sql(db, &format!("INSERT INTO {table} SELECT * FROM sound_{table}")).await;
    }
    let whole = report(db).await;
    assert!(whole.is_sound(), "{whole}");
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_the_heads_in_a_file() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    story(&world).await;
    let (db, folder) = (&world.app.db, world.database.folder.path());
    let file = folder.join("heads.ndjson");
    let signer = HeadSigner::open(folder).unwrap();
    let mut writer = HeadWriter::new(db.clone(), world.clock.clone(), signer, Some(file.clone()));
    assert_eq!(writer.write().await.unwrap(), 1);
    assert_eq!(writer.write().await.unwrap(), 0, "nothing is new");
    let run = || {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_cocm-registry"))
            .args(["verify-audit", "--dev", "--database-url", &world.database.url, "--data-dir"])
            .arg(folder)
            .arg("--heads")
            .arg(&file)
            .output()
            .unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    assert_eq!(run().0, 0, "{}", run().1);
    sql(db, "DELETE FROM fact").await;
    sql(db, "DELETE FROM journal").await;
    sql(db, "UPDATE journal_head SET seq = 0, hash = '', facts_before = 0").await;
    sql(db, "DELETE FROM measurement").await;
    sql(db, "DELETE FROM episode").await;
    sql(db, "DELETE FROM standing").await;
    let (code, said) = run();
    assert!(code == 1 && said.contains("not in the journal any more"), "{said}");
    let changed = std::fs::read_to_string(&file).unwrap().replace("\"seq\":", "\"seq\":1");
    std::fs::write(&file, changed).unwrap();
    let (code, said) = run();
    assert!(code == 1 && said.contains("not signed with our key"), "{said}");
}

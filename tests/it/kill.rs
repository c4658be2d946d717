//! The real program, killed at random while it takes forms in and writes into a chart that loses answers: what was
//! acknowledged is stored, once and whole, and every cause stands once in the chart.
//!
//! `COCM_KILLS` says how often (for each database).

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use cocm_registry::clock::Clock;
use cocm_registry::config::ClinicId;
use cocm_registry::domain::task::Posture;
use cocm_registry::identity::{Role, development};
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::misbehavior::{Dice, Misbehavior};
use cocm_registry::store::outbox::{self, DeliveryState};
use rstest::rstest;
use serde_json::Value;

use super::record_batch::assert_whole;
use super::store_db::count;
use super::world::{CLINIC, Database, Engine, monday, patient, phq9};

const CLIENTS: usize = 6;
const PATIENTS: usize = 12;
/// So many forms that every patient has answered everything to item 9.
const ENOUGH: usize = 25 * PATIENTS;

/// The program, running.
struct Program {
    child: Child,
    base: String,
}

impl Program {
    /// Starts it and waits until it answers.
    fn start(database: &Database, chart: &str, at: DateTime<Utc>) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(database.folder.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cocm-registry"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--ehr", chart, "--database-url", &database.url])
            .args(["--clock", &at.to_rfc3339(), "--data-dir"])
            .arg(database.folder.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let base = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it did not start: {}", log_of(database))).unwrap();
            if let Some((_, base)) = line.split_once("listening on ") {
                break base.trim().to_owned();
            }
        };
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base }
    }

    /// SIGKILL: no signal handler, no destructor, no flush.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn log_of(database: &Database) -> String {
    std::fs::read_to_string(database.folder.path().join("log")).unwrap_or_default()
}

/// What the clients know.
#[derive(Default)]
struct Known {
    base: Mutex<String>,
    stop: AtomicBool,
    acknowledged: Mutex<HashSet<String>>,
}

/// Sends forms one after the other, each until it is acknowledged.
async fn client(number: usize, token: String, known: Arc<Known>) -> usize {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut dice = Dice::new(number as u64);
    for n in 0.. {
        if known.stop.load(Ordering::Relaxed) {
            return n;
        }
        let person = usize::try_from(dice.roll()).unwrap_or(0) % PATIENTS;
        let at = DateTime::from_timestamp(1_772_300_000 + i64::try_from(n * CLIENTS + number).unwrap(), 0).unwrap();
        let id = format!("form-{number}-{n}");
        let mut form =
            phq9(&id, &person.to_string(), &at.to_rfc3339(), [1, 1, 1, 1, 1, 1, 1, 1, u8::try_from(n % 4).unwrap()]);
        // Some senders leave the id to us; the same form is the same form all the same.
        let ours = n % 2 == 0;
        if ours {
            form.as_object_mut().unwrap().remove("id");
        }
        loop {
            let base = known.base.lock().unwrap().clone();
            let request = if ours {
                http.post(format!("{base}/fhir/QuestionnaireResponse"))
            } else {
                http.put(format!("{base}/fhir/QuestionnaireResponse/{id}"))
            };
            let request =
                request.header("content-type", "application/fhir+json").bearer_auth(&token).body(form.to_string());
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    let place = answer.headers()["location"].to_str().unwrap();
                    let place = place.split("/QuestionnaireResponse/").nth(1).unwrap().split('/').next().unwrap();
                    known.acknowledged.lock().unwrap().insert(place.to_owned());
                    break;
                }
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    assert!(matches!(status, 429 | 503), "{status}: {:?}", answer.text().await);
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
    unreachable!("there are more numbers than time")
}

fn kills() -> usize {
    std::env::var("COCM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_once_and_whole(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = Database::on(engine).await else { return };
    let chart_clock = Clock::standing_at(monday());
    let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), chart_clock).await.unwrap();
    chart.misbehave(Misbehavior {
        seed: 11,
        drop_request: 0.05,
        drop_response: 0.2,
        ignore_conditional_create: 0.5,
        ..Misbehavior::default()
    });
    development::prepare(database.folder.path()).unwrap();
    let token = token(database.folder.path());
    let known = Arc::new(Known::default());
    let mut dice = Dice::new(7);
    let mut now = monday();
    let mut starting = Duration::ZERO;
    let mut program = Program::start(&database, chart.url(), now);
    introduce(&program.base, &token).await;
    known.base.lock().unwrap().clone_from(&program.base);
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(client(number, token.clone(), known.clone()))).collect();
    for _ in 0..kills() {
        tokio::time::sleep(Duration::from_millis(20 + dice.roll() % 250)).await;
        program.kill();
        // The clock goes on, so that leases of the dead run out and what failed is due again.
        now += TimeDelta::minutes(11);
        let begun = Instant::now();
        program = Program::start(&database, chart.url(), now);
        starting += begun.elapsed();
        known.base.lock().unwrap().clone_from(&program.base);
    }
    // On a slow machine few forms come through between two kills: everybody's answers are waited for.
    let patience = Instant::now();
    while known.acknowledged.lock().unwrap().len() < ENOUGH && patience.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    known.stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    program.kill();

    let db = database.open().await;
    let stored = stored(&db).await;
    let acknowledged = known.acknowledged.lock().unwrap().clone();
    let lost: Vec<&String> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(acknowledged.len(), sent, "every form was acknowledged under an id of its own");
    assert_eq!(stored.len(), sent, "nothing is stored twice");
    assert_whole(&db).await;
    // What was committed and not sealed when it was killed has its place by the next start.
    cocm_registry::journal::Journal::start(&db, Arc::default()).seal().await.unwrap();
    let report = cocm_registry::journal::verify::verify(&db, &[]).await.unwrap().remove(0);
    assert_eq!((&report.fault, report.unsealed), (&None, 0), "{report}");
    assert_eq!(count(&db, "SELECT COUNT(*) FROM measurement").await, i64::try_from(sent).unwrap());

    chart.behave();
    deliver_all(&database, &db, chart.url(), now).await;
    assert_once_in_chart(&chart, &db).await;
    let kills = kills();
    eprintln!("{engine:?}: {sent} forms, {kills} kills, {} ms to start", starting.as_millis() / kills.max(1) as u128);
    db.close().await;
}

fn token(folder: &Path) -> String {
    development::mint(folder, &ClinicId::new(CLINIC).unwrap(), Role::Ehr, development::LIFETIME).unwrap()
}

async fn introduce(base: &str, token: &str) {
    let http = reqwest::Client::builder().build().unwrap();
    for n in 0..PATIENTS {
        let url = format!("{base}/fhir/Patient/{n}");
        let request = http.put(url).header("content-type", "application/fhir+json").bearer_auth(token);
        let answer = request.body(patient(&n.to_string()).to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {:?}", answer.status(), answer.text().await);
    }
}

async fn stored(db: &cocm_registry::store::Db) -> HashSet<String> {
    use cocm_registry::store::resource::{ChangeWindow, changed};
    let mut tx = db.read().await.unwrap();
    let (mut ids, mut after): (_, Option<(DateTime<Utc>, String)>) = (HashSet::new(), None);
    loop {
        let cursor = after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page =
            changed(&mut tx, CLINIC, "QuestionnaireResponse", ChangeWindow::always(), cursor, 500).await.unwrap();
        let Some(last) = page.last() else { return ids };
        after = Some((last.updated_at, last.id.clone()));
        let before = ids.len();
        ids.extend(page.iter().map(|r| r.id.clone()));
        assert_eq!(ids.len(), before + page.len(), "a page repeats what the one before said");
    }
}

/// Lets the program run on until nothing waits any more.
async fn deliver_all(database: &Database, db: &cocm_registry::store::Db, chart: &str, now: DateTime<Utc>) {
    for days in 1..=4 {
        let program = Program::start(database, chart, now + TimeDelta::days(days));
        for _ in 0..400 {
            let due = now + TimeDelta::days(days) + TimeDelta::seconds(1);
            let waiting = format!(
                "SELECT COUNT(*) FROM delivery WHERE state = 'pending' AND next_attempt_at < '{}'",
                due.format("%Y-%m-%dT%H:%M:%S+00:00")
            );
            if count(db, &waiting).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        program.kill();
    }
}

async fn assert_once_in_chart(chart: &Sandbox, db: &cocm_registry::store::Db) {
    let mut live: HashMap<String, usize> = HashMap::new();
    for one in ["Task", "Flag"].iter().flat_map(|kind| chart.all(kind)) {
        let one: Value = one;
        if one["status"] != "entered-in-error" {
            *live.entry(one["identifier"][0]["value"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    let mut tx = db.read().await.unwrap();
    let ledger = outbox::page(&mut tx, CLINIC, outbox::DeliveryFilter::default(), None, 10_000).await.unwrap();
    assert!(ledger.len() >= 2 * PATIENTS, "{}", ledger.len());
    for delivery in ledger {
        let identifier = &delivery.intent.identifier;
        assert_eq!(delivery.state, DeliveryState::Settled, "{identifier}: {:?}", delivery.last_error);
        let count = live.remove(identifier).unwrap_or(0);
        assert!(count == 1 || (count == 0 && delivery.posture != Posture::Open), "{identifier}: {count}");
    }
    assert!(live.is_empty(), "what no ledger knows: {live:?}");
}

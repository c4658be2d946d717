//! What an operator reads where something is set up wrongly: it names the thing, and the next step.

use std::process::{Command, Output};

use cocm_registry::store::Db;

use super::world::{Database, Engine};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cocm-registry")).args(arguments).output().unwrap()
}

#[track_caller]
fn says(done: &Output, is_well: bool, words: &[&str]) {
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.success(), is_well, "{said}");
    for word in words {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn a_mistyped_folder_makes_neither_a_database_nor_keys() {
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("typo");
    let name = typo.to_str().unwrap();
    says(&run(&["verify-audit", "--dev", "--data-dir", name]), false, &["there is no database at", name]);
    says(&run(&["check-config", "--dev", "--data-dir", name]), true, &["limited", "there is no database at", name]);
    says(&run(&["token", "--data-dir", name, "--role", "ehr"]), false, &[name, "is not there"]);
    assert!(!typo.exists());
}

#[test]
fn what_is_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let garbage = folder.path().join("cocm-registry.db");
    std::fs::write(&garbage, "garbage ".repeat(1000)).unwrap();
    let named = garbage.to_str().unwrap();
    says(&run(&["check-config", "--dev", "--data-dir", data]), false, &["BROKEN", named, "is not a SQLite database"]);
    let other = folder.path().join("other");
    let restored = run(&["restore", named, "--dev", "--data-dir", other.to_str().unwrap()]);
    says(&restored, false, &[named, "is not a SQLite database"]);
    let within = garbage.join("within");
    let within = within.to_str().unwrap();
    says(&run(&["serve", "--dev", "--data-dir", within, "--listen", "127.0.0.1:0"]), false, &[within]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let served = run(&["serve", "--dev", "--data-dir", other.to_str().unwrap(), "--listen", &address]);
    says(&served, false, &["cannot listen at", &address]);
    let unknown = run(&["serve", "--dev", "--listen", "nowhere.invalid:80"]);
    says(&unknown, false, &["nowhere.invalid:80", "HOST:PORT"]);
}

#[test]
fn keys_that_cannot_be_read_and_variables_that_mean_nothing_are_found_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cocm.toml");
    let text = format!(
        "data_dir = \"{}\"\n[[clinic]]\nid = \"demo\"\ntime_zone = \"UTC\"\n\
         [[auth.issuers]]\nissuer = \"https://id.example\"\naudience = \"cocm\"\njwks_file = \"/nowhere/keys.json\"\n",
        folder.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["check-config", "--offline", "--config", config.to_str().unwrap()];
    let done =
        Command::new(env!("CARGO_BIN_EXE_cocm-registry")).args(arguments).env("COCM_LISTN", "3").output().unwrap();
    says(&done, false, &["BROKEN", "https://id.example", "/nowhere/keys.json", "limited", "COCM_LISTN"]);
}

#[tokio::test]
async fn a_postgresql_server_that_lets_nobody_in_says_why() {
    let Some(database) = Database::on(Engine::Postgres).await else { return };
    let (address, query) = database.url.split_once('?').unwrap_or((&database.url, ""));
    let server = address.rsplit_once('/').unwrap().0;
    let problem = Db::open(&format!("{server}/no_such_database?{query}")).await.unwrap_err();
    assert!(problem.detail.contains("has no database no_such_database"), "{problem}");
    let problem = Db::open("postgres://u:p@127.0.0.1:1/x").await.unwrap_err();
    assert!(problem.detail.contains("PostgreSQL at 127.0.0.1:1 cannot be reached"), "{problem}");
}

#[tokio::test]
async fn the_doctor_says_what_waits() {
    let Some(database) = Database::on(Engine::Sqlite).await else { return };
    let db = database.open().await;
    db.close().await;
    let done = run(&["doctor", "--dev", "--database-url", &database.url]);
    says(&done, true, &["the database answers", "its schema is this program's", "no patient has arrived yet"]);
}

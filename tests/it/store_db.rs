//! Opening, checking and migrating a database.

use std::time::Duration;

use cocm_registry::problem::Category;
use cocm_registry::store::Db;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Connection};

use super::postgres;
use super::world::{Database, Engine};

/// Runs something that the store has no function for.
pub async fn sql(db: &Db, text: &str) {
    let text = AssertSqlSafe(text.to_owned());
    match db {
        Db::Postgres { writer: pool, .. } => drop(sqlx::raw_sql(text).execute(pool).await.unwrap()),
        Db::Sqlite { writer, .. } => drop(sqlx::raw_sql(text).execute(writer).await.unwrap()),
    }
}

/// A count.
pub async fn count(db: &Db, text: &str) -> i64 {
    let text = AssertSqlSafe(text.to_owned());
    match db {
        Db::Postgres { writer: pool, .. } => sqlx::query_scalar(text).fetch_one(pool).await.unwrap(),
        Db::Sqlite { readers, .. } => sqlx::query_scalar(text).fetch_one(readers).await.unwrap(),
    }
}

async fn without_schema(engine: Engine) -> Option<(Database, Option<postgres::Database>)> {
    let mut database = Database::on(Engine::Sqlite).await?;
    let empty = if engine == Engine::Postgres { Some(postgres::empty().await?) } else { None };
    if let Some(empty) = &empty {
        database.url.clone_from(&empty.url);
    }
    Some((database, empty))
}

#[rstest]
#[tokio::test]
async fn replicas_that_start_together_migrate_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some((database, _empty)) = without_schema(engine).await else { return };
    let mut starting = Vec::new();
    for _ in 0..5 {
        let url = database.url.clone();
        starting.push(tokio::spawn(async move {
            let db = Db::open(&url).await?;
            db.migrate().await?;
            db.ping().await?;
            Ok::<_, cocm_registry::problem::Problem>(db)
        }));
    }
    for one in starting {
        let db = one.await.unwrap().unwrap();
        let migrations = i64::try_from(migrations().len()).unwrap();
        assert_eq!(count(&db, "SELECT COUNT(*) FROM _sqlx_migrations").await, migrations);
        db.close().await;
    }
}

fn migrations() -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let all = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    all.filter(|file| file.extension().is_some_and(|e| e == "sql")).collect()
}

#[rstest]
#[tokio::test]
async fn whoever_was_there_before_recommendations_were_tasks_is_looked_at_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    // As an earlier release left them: in care, known by a reference only, merged away.
    for (n, has_care, merged) in
        [(1, "TRUE", "NULL"), (2, "FALSE", "NULL"), (3, "TRUE", "'00000000-0000-0000-0000-000000000001'")]
    {
        let id = format!("'00000000-0000-0000-0000-00000000000{n}'");
        let row = format!(
            "INSERT INTO patient (clinic_id, id, reference, seen, has_care, merged_into, revision, created_at, updated_at)
             VALUES ('demo', {id}, 'Patient/{n}', TRUE, {has_care}, {merged}, 1, '2026-01-05 09:00:00', '2026-01-05 09:00:00')"
        );
        sql(&db, &row).await;
    }
    let text =
        std::fs::read_to_string(migrations().into_iter().find(|file| file.ends_with("0003_review.sql")).unwrap());
    for statement in text.unwrap().split(";\n").filter(|statement| statement.contains("UPDATE ")) {
        sql(&db, statement).await;
    }
    let marked = count(&db, "SELECT COUNT(*) FROM patient WHERE reevaluate_on = '2000-01-01'").await;
    assert_eq!(marked, 1);
}

#[rstest]
#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    sql(
        &db,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9999, 'later', TRUE, checksum, 1 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let problem = db.migrate().await.unwrap_err();
    assert!(problem.detail.contains("9999") && problem.detail.contains("newer"), "{problem}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    std::fs::write(&path, "this is a letter and not a database, whatever its name says".repeat(100)).unwrap();
    assert!(Db::open(&format!("sqlite://{}", path.display())).await.is_err());
    assert!(Db::open("mysql://localhost/registry").await.is_err());
}

#[tokio::test]
async fn postgres_that_may_lose_commits_is_refused() {
    let Some(database) = postgres::migrated().await else { return };
    let problem = Db::open(&format!("{}&options=-c%20synchronous_commit%3Doff", database.url)).await.unwrap_err();
    assert!(problem.detail.contains("synchronous_commit"), "{problem}");
}

#[tokio::test]
async fn an_absent_server_is_reported_in_time() {
    let begun = std::time::Instant::now();
    let problem = Db::open("postgres://nobody@127.0.0.1:1/none").await.unwrap_err();
    assert_eq!(problem.category, Category::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn sqlite_that_another_process_locks_is_waited_for() {
    let database = Database::on(Engine::Sqlite).await.unwrap();
    let db = database.open().await;
    let path = database.url.trim_start_matches("sqlite://").to_owned();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let writing = tokio::spawn(async move { db.begin("test").await?.commit().await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!writing.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    writing.await.unwrap().unwrap();
}

#[rstest]
#[tokio::test]
async fn what_is_rolled_back_or_dropped_was_never_there(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use cocm_registry::store::idempotency::{StoredAnswer, find, insert};
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let now = super::world::monday();
    let answer = StoredAnswer { request: "r".into(), status: 201, body: "{}".into() };
    let mut tx = db.begin("test").await.unwrap();
    insert(&mut tx, "demo", "kept", &answer, now).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin("test").await.unwrap();
    insert(&mut tx, "demo", "rolled back", &answer, now).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = db.begin("test").await.unwrap();
    insert(&mut tx, "demo", "dropped", &answer, now).await.unwrap();
    drop(tx);
    let mut tx = db.read().await.unwrap();
    for (key, there) in [("kept", true), ("rolled back", false), ("dropped", false)] {
        assert_eq!(find(&mut tx, "demo", key).await.unwrap().is_some(), there, "{key}");
    }
}

#[tokio::test]
async fn a_checkpoint_copies_a_large_log_into_the_file_beside_a_writer() {
    let Some(database) = Database::on(Engine::Sqlite).await else { return };
    let db = database.open().await;
    let size = || std::fs::metadata(database.folder.path().join("registry.db")).unwrap().len();
    sql(&db, "CREATE TABLE filler (body BLOB)").await;
    db.checkpoint().await.unwrap();
    let before = size();
    // 20 MB are some 5,000 pages: fewer than SQLite copies by itself.
    sql(&db, "INSERT INTO filler VALUES (randomblob(20000000))").await;
    assert_eq!(size(), before);
    let writing = db.begin("test").await.unwrap();
    db.checkpoint().await.unwrap();
    assert!(size() > before + 19_000_000, "{before} {}", size());
    writing.rollback().await.unwrap();
    let left = count(&db, "SELECT COUNT(*) FROM filler").await;
    assert_eq!(left, 1);
}

//! A migration that has landed never changes, and every schema that ever was upgrades to the latest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use cocm_registry::store::Db;
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;

use super::store_db::count;
use super::world::{Database, Engine};

/// One line for each migration that has landed: its digest and its name, as `sha256sum migrations/*.sql` prints them.
const LANDED: &str = include_str!("golden/migrations.sha256");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")
}

fn digest(file: &Path) -> String {
    Sha256::digest(std::fs::read(file).unwrap()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_migration_that_has_landed_never_changes() {
    let landed: BTreeMap<&str, &str> =
        LANDED.lines().map(|line| line.split_once("  ").unwrap()).map(|(digest, name)| (name, digest)).collect();
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "sql") {
            found.insert(format!("migrations/{}", file.file_name().unwrap().to_str().unwrap()), digest(&file));
        }
    }
    let found: BTreeMap<&str, &str> = found.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
    assert_eq!(found, landed, "a new migration is added to tests/it/golden/migrations.sha256; none is ever changed");
    let mut numbers: Vec<_> = found.keys().map(|name| &name["migrations/".len()..][..4]).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), found.len(), "a number is used once");
}

#[tokio::test]
async fn every_schema_that_ever_was_upgrades_to_the_latest() {
    let all = Migrator::new(folder()).await.unwrap();
    let versions: Vec<i64> = all.iter().map(|migration| migration.version).collect();
    for version in &versions {
        let database = Database::on(Engine::Sqlite).await.unwrap();
        let db = Db::open(&database.url).await.unwrap();
        let Db::Sqlite { writer, .. } = &db else { unreachable!() };
        all.run_to(*version, writer).await.unwrap();
        db.migrate().await.unwrap();
        let done = count(&db, "SELECT COUNT(*) FROM _sqlx_migrations").await;
        assert_eq!(done, i64::try_from(versions.len()).unwrap(), "from {version}");
        db.close().await;
    }
}

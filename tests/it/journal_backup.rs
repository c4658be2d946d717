//! A backup taken under load restores whole.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cocm_registry::journal::verify::verify;
use cocm_registry::store::{Db, patient as persons};

use super::record_batch::assert_whole;
use super::store_db::{count, sql};
use super::world::{CLINIC, Database, Engine, World, patient, phq9};

fn run(command: &str, file: &Path, url: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cocm-registry"))
        .arg(command)
        .arg(file)
        .args(["--dev", "--database-url", url])
        .args(more)
        .output()
        .unwrap()
}

#[track_caller]
fn refused(done: &Output, why: &str) {
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains(why), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_restores_whole() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let app = world.app.clone();
    let (stopped, counted) = (stop.clone(), acknowledged.clone());
    let writing = tokio::spawn(async move {
        for n in 0.. {
            if stopped.load(Ordering::SeqCst) {
                return;
            }
            for resource in
                [patient(&n.to_string()), phq9(&format!("f{n}"), &n.to_string(), "2026-03-01T10:00:00Z", [1; 9])]
            {
                let arrival = app.intake.read(CLINIC, &resource.to_string()).unwrap();
                app.intake.take(CLINIC, "test", arrival, cocm_registry::record::Condition::None).await.unwrap();
            }
            counted.store(n + 1, Ordering::SeqCst);
            if n % 5 == 0 {
                app.journal.seal().await.unwrap();
            }
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 40 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    let before = acknowledged.load(Ordering::SeqCst);
    let (taken, url) = (file.clone(), world.database.url.clone());
    let done = tokio::task::spawn_blocking(move || run("backup", &taken, &url, &[])).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let after = acknowledged.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    assert!(after > before, "nothing was written while it was taken");
    refused(&run("backup", &file, &world.database.url, &[]), "there already");

    let place = Database::on(Engine::Sqlite).await.unwrap();
    let done = run("restore", &file, &place.url, &[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let db = Db::open(&place.url).await.unwrap();
    db.migrate().await.unwrap();
    let report = verify(&db, &[]).await.unwrap().remove(0);
    assert_eq!(report.fault, None, "{report}");
    assert_whole(&db).await;
    let mut tx = db.read().await.unwrap();
    for n in 0..before {
        assert_eq!(persons::by_key(&mut tx, CLINIC, &format!("Patient/{n}")).await.unwrap().len(), 1, "patient {n}");
    }
    drop(tx);
    assert!(count(&db, "SELECT COUNT(*) FROM measurement").await >= i64::try_from(before).unwrap());

    // In use, and not empty.
    refused(&run("restore", &file, &place.url, &["--force"]), "in use");
    sql(&db, "UPDATE patient SET display_name = 'Later'").await;
    db.close().await;
    refused(&run("restore", &file, &place.url, &[]), "--force");
    let done = run("restore", &file, &place.url, &["--force"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let db = Db::open(&place.url).await.unwrap();
    assert_eq!(count(&db, "SELECT COUNT(*) FROM patient WHERE display_name = 'Later'").await, 0);
    db.close().await;
}

#[tokio::test]
async fn a_backup_that_is_damaged_or_was_changed_is_not_restored() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    for n in 0..30 {
        world.send(&patient(&n.to_string())).await.unwrap();
    }
    world.app.journal.seal().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    assert!(run("backup", &file, &world.database.url, &[]).status.success());
    let place = Database::on(Engine::Sqlite).await.unwrap();

    let changed = folder.path().join("changed.db");
    std::fs::copy(&file, &changed).unwrap();
    let db = Db::open(&format!("sqlite://{}", changed.display())).await.unwrap();
    sql(&db, "UPDATE fact SET recorded_by = 'nobody' WHERE id = (SELECT MIN(id) FROM fact)").await;
    db.close().await;
    refused(&run("restore", &changed, &place.url, &[]), "was changed");

    let damaged = folder.path().join("damaged.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0x5a);
    std::fs::write(&damaged, &bytes).unwrap();
    assert!(!run("restore", &damaged, &place.url, &[]).status.success());
    let short = folder.path().join("short.db");
    std::fs::write(&short, &bytes[..half - half % 4096]).unwrap();
    assert!(!run("restore", &short, &place.url, &[]).status.success());
    refused(&run("restore", &folder.path().join("none"), &place.url, &[]), "cannot be read");
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    refused(&run("restore", &empty, &place.url, &[]), "no registry");
    refused(&run("restore", &empty, &place.url, &["--force"]), "no registry");
    refused(&run("backup", &folder.path().join("x"), "postgres://localhost/none", &[]), "pg_dump");
    let path = place.url.trim_start_matches("sqlite://");
    assert!(!Path::new(path).exists(), "nothing was put in place");
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn every_database_that_is_replaced_is_kept_and_only_its_owner_reads_it() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    world.send(&patient("1")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    assert!(run("backup", &file, &world.database.url, &[]).status.success());
    assert_eq!(mode(&file), 0o600);
    // As somebody copied it here.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = folder.path().join("registry.db");
    let url = format!("sqlite://{}", path.display());
    for name in ["First", "Second", "Third"] {
        let done = run("restore", &file, &url, &["--force"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(mode(&path), 0o600);
        let db = Db::open(&url).await.unwrap();
        sql(&db, &format!("UPDATE patient SET display_name = '{name}'")).await;
        assert_eq!(mode(&folder.path().join("registry.db-wal")), 0o600);
        db.close().await;
    }
    for (kept, name) in [("registry.db.replaced", "First"), ("registry.db.replaced-2", "Second")] {
        let kept = folder.path().join(kept);
        assert_eq!(mode(&kept), 0o600);
        let db = Db::open(&format!("sqlite://{}", kept.display())).await.unwrap();
        let named = count(&db, &format!("SELECT COUNT(*) FROM patient WHERE display_name = '{name}'")).await;
        assert_eq!(named, 1, "{name}");
        db.close().await;
    }
}

//! A database that cannot be written to: everything can be read, writes are refused, and it recovers by itself.

use std::time::Duration;

use chrono::TimeDelta;
use cocm_registry::identity::Role;
use cocm_registry::problem::Category;

use super::journal_world::Door;
use super::pages_world::Browser;
use super::store_db::{count, sql};
use super::world::{CLINIC, Engine, World, patient, phq9};

const MANAGER: (&str, Role) = (CLINIC, Role::CareManager);

#[tokio::test]
async fn a_disk_that_was_full_once_is_forgotten_with_the_connection_that_met_it() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    world.send(&patient("0")).await.unwrap();
    let pages = count(&world.app.db, "SELECT page_count FROM pragma_page_count").await;
    // Of this connection: not one page more.
    sql(&world.app.db, &format!("PRAGMA max_page_count = {pages}")).await;
    let mut refused = 0;
    for n in 1..400 {
        match world.send(&patient(&n.to_string())).await {
            Ok(_) if refused > 0 => break,
            Ok(_) => {}
            Err(problem) => {
                assert_eq!(problem.category, Category::Unavailable, "{problem}");
                refused += 1;
                assert!(refused < 3, "another connection has another bound");
            }
        }
    }
    assert!(refused > 0, "the disk was never full");
    for n in 0..20 {
        world.send(&phq9(&format!("f{n}"), "0", "2026-03-01T10:00:00Z", [1; 9])).await.unwrap();
    }
}

#[tokio::test]
async fn while_nothing_can_be_written_everything_can_be_read() {
    let Some(world) = World::on(Engine::Sqlite).await else { return };
    let door = Door::of(&world);
    world.send(&patient("1")).await.unwrap();
    world.enroll("1", "2026-02-23").await;
    world.send(&phq9("a", "1", "2026-03-01T10:00:00Z", [0, 0, 0, 0, 0, 0, 0, 0, 2])).await.unwrap();
    let browser = Browser::as_role(&world.app, "care_manager").await;
    assert_eq!(door.get(MANAGER, "/readyz").await.0, 200);

    sql(&world.app.db, "PRAGMA query_only = on").await;
    assert_eq!(world.send(&patient("2")).await.unwrap_err().category, Category::Unavailable);
    // Long enough that a page would note the session's last use.
    world.clock.set(world.clock.now() + TimeDelta::minutes(2));
    for page in ["/safety", "/caseload", "/review"] {
        browser.get(page).await.expect(200);
    }
    for list in ["safety-concerns", "caseload", "patients"] {
        assert_eq!(door.get(MANAGER, &format!("/api/v1/{list}")).await.0, 200, "{list}");
    }
    until(&door, 503).await;
    assert_eq!(door.get(MANAGER, "/readyz?for=reading").await.0, 200);
    assert_eq!(door.get(MANAGER, "/livez").await.0, 200);

    sql(&world.app.db, "PRAGMA query_only = off").await;
    world.send(&patient("2")).await.unwrap();
    until(&door, 200).await;
    let lines = super::journal_world::reads(&world, CLINIC).await;
    let routes: Vec<_> = lines.iter().filter_map(|line| Some(line.request.as_ref()?.route.as_str())).collect();
    assert!(routes.contains(&"/api/v1/safety-concerns"), "what was read meanwhile is in the journal: {routes:?}");
}

/// What `readyz` found is remembered for a moment.
async fn until(door: &Door, status: u16) {
    for _ in 0..100 {
        if door.get(MANAGER, "/readyz").await.0 == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("readyz never answered {status}");
}

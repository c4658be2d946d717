//! Persons and their names, on both engines; and that another clinic finds and changes nothing of them.

use chrono::{NaiveDate, TimeDelta};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{EvidenceStatus, Measurement, Quality, SelfHarm};
use cocm_registry::id::PatientId;
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::{Db, measurement};
use rstest::rstest;
use uuid::Uuid;

use super::store_db::count;
use super::world::{CLINIC, Database, Engine, OTHER, date, monday};

/// Ids that sort as their numbers do.
pub fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}

fn somebody(n: u128) -> Patient {
    Patient {
        seen: true,
        display_name: Some("Zoë O'Brien-Łukasz 😀 %_\\".into()),
        family: Some("\u{202e}righttoleft".into()),
        birth_date: Some("1980-05".into()),
        gender: Some("other".into()),
        language: Some("pt-BR".into()),
        deceased_on: Some(date("2026-02-28")),
        reevaluate_on: Some(date("2026-03-05")),
        ..Patient::unseen(id(n), format!("Patient/{n}"), monday())
    }
}

async fn with(db: &Db, patients: impl IntoIterator<Item = Patient>) {
    let mut tx = db.begin("test").await.unwrap();
    for one in patients {
        assert!(patient::insert(&mut tx, CLINIC, &one).await.unwrap());
        patient::add_key(&mut tx, CLINIC, &one.reference, one.id).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_person_is_read_as_written(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let one = somebody(1);
    with(&db, [one.clone()]).await;
    let mut tx = db.begin("test").await.unwrap();
    assert_eq!(patient::find(&mut tx, CLINIC, one.id).await.unwrap(), Some(one.clone()));
    assert!(!patient::insert(&mut tx, CLINIC, &one).await.unwrap(), "the id is taken");
    // The same id in another clinic is another person.
    assert!(patient::insert(&mut tx, OTHER, &Patient::unseen(one.id, "Patient/x".into(), monday())).await.unwrap());
    let later = monday() + TimeDelta::microseconds(1);
    let changed = Patient { gender: None, inactive: true, has_care: true, reevaluate_on: None, ..one.clone() };
    patient::update(&mut tx, CLINIC, &changed, later).await.unwrap();
    let found = patient::find(&mut tx, CLINIC, one.id).await.unwrap().unwrap();
    assert_eq!(found, Patient { updated_at: later, ..changed });
    let other = patient::find(&mut tx, OTHER, one.id).await.unwrap().unwrap();
    assert_eq!((other.reference.as_str(), other.display_name), ("Patient/x", None));
    let locked = patient::lock_each(&mut tx, CLINIC, &[id(9), one.id]).await.unwrap();
    assert_eq!(locked, [found]);
    let keys = ["Patient/1".to_owned(), "nobody".to_owned(), String::new()];
    let found = patient::with_keys(&mut tx, CLINIC, &keys).await.unwrap();
    assert_eq!(found.iter().map(|row| (row.key.as_str(), row.patient_id)).collect::<Vec<_>>(), [("Patient/1", one.id)]);
    assert_eq!(patient::clinics(&mut tx).await.unwrap(), [CLINIC, OTHER]);
}

#[rstest]
#[tokio::test]
async fn the_other_clinic_finds_nobody_and_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    with(&db, [somebody(1), somebody(2)]).await;
    let mut tx = db.begin("test").await.unwrap();
    assert_eq!(patient::find(&mut tx, OTHER, id(1)).await.unwrap(), None);
    assert_eq!(patient::lock_each(&mut tx, OTHER, &[id(1)]).await.unwrap(), []);
    assert_eq!(patient::with_keys(&mut tx, OTHER, &["Patient/1".to_owned()]).await.unwrap(), []);
    assert!(patient::by_key(&mut tx, OTHER, "Patient/1").await.unwrap().is_empty());
    assert!(patient::page(&mut tx, OTHER, None, 10).await.unwrap().is_empty());
    assert!(patient::keys(&mut tx, OTHER, id(1)).await.unwrap().is_empty());
    assert!(patient::due(&mut tx, OTHER, date("2027-01-01"), 10).await.unwrap().is_empty());
    assert_eq!(patient::all_due(&mut tx, OTHER, date("2027-01-01")).await.unwrap(), 0);
    patient::update(&mut tx, OTHER, &Patient { inactive: true, ..somebody(1) }, monday()).await.unwrap();
    patient::drop_key(&mut tx, OTHER, "Patient/1", id(1)).await.unwrap();
    patient::merge(&mut tx, OTHER, id(1), id(2), monday()).await.unwrap();
    assert_eq!(patient::find(&mut tx, CLINIC, id(1)).await.unwrap(), Some(somebody(1)));
    assert_eq!(patient::keys(&mut tx, CLINIC, id(1)).await.unwrap(), ["Patient/1"]);
}

#[rstest]
#[tokio::test]
async fn pages_follow_the_order_of_ids_without_gaps(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    // The greatest and the smallest id, and some around the sign bit.
    let mut ids: Vec<u128> = vec![1, 2, u128::MAX, 1 << 127, (1 << 127) - 1, 1 << 64];
    with(&db, ids.iter().map(|n| somebody(*n))).await;
    ids.sort_unstable();
    let mut tx = db.read().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = patient::page(&mut tx, CLINIC, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|p| p.id.0.as_u128()));
    }
    assert_eq!(seen, ids);
}

#[rstest]
#[tokio::test]
async fn the_sweep_sees_who_is_due_and_nobody_else(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let on = |n, day: Option<&str>| Patient { reevaluate_on: day.map(date), ..somebody(n) };
    with(&db, [on(1, Some("2026-03-02")), on(2, Some("2026-03-01")), on(3, Some("2026-03-03")), on(4, None)]).await;
    let mut tx = db.begin("test").await.unwrap();
    assert_eq!(patient::due(&mut tx, CLINIC, date("2026-03-02"), 10).await.unwrap(), [id(2), id(1)]);
    assert_eq!(patient::due(&mut tx, CLINIC, date("2026-03-02"), 1).await.unwrap(), [id(2)]);
    assert_eq!(patient::all_due(&mut tx, CLINIC, date("2026-03-02")).await.unwrap(), 4);
    assert_eq!(patient::due(&mut tx, CLINIC, date("2026-03-02"), 10).await.unwrap().len(), 4);
}

#[rstest]
#[tokio::test]
async fn a_key_of_two_persons_leads_to_both(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    with(&db, [somebody(1), somebody(2)]).await;
    let mut tx = db.begin("test").await.unwrap();
    for n in [1, 2, 2] {
        patient::add_key(&mut tx, CLINIC, "urn:mrn|7", id(n)).await.unwrap();
    }
    let found: Vec<PatientId> =
        patient::by_key(&mut tx, CLINIC, "urn:mrn|7").await.unwrap().iter().map(|p| p.id).collect();
    assert_eq!(found, [id(1), id(2)]);
    assert_eq!(patient::keys(&mut tx, CLINIC, id(2)).await.unwrap(), ["Patient/2", "urn:mrn|7"]);
    patient::drop_key(&mut tx, CLINIC, "urn:mrn|7", id(1)).await.unwrap();
    assert_eq!(patient::by_key(&mut tx, CLINIC, "urn:mrn|7").await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn two_who_are_one_have_one_story(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    with(&db, [somebody(1), somebody(2), somebody(3)]).await;
    let mut tx = db.begin("test").await.unwrap();
    for n in 1..=3 {
        measurement::put(&mut tx, CLINIC, id(n), &[taken(n, "2026-03-01")], monday()).await.unwrap();
    }
    // The third into the second, the second into the first: both lead to the first.
    patient::merge(&mut tx, CLINIC, id(3), id(2), monday()).await.unwrap();
    patient::merge(&mut tx, CLINIC, id(2), id(1), monday()).await.unwrap();
    for n in 1..=3 {
        assert_eq!(patient::find(&mut tx, CLINIC, id(n)).await.unwrap().unwrap().id, id(1));
        let key = format!("Patient/{n}");
        let found = patient::with_keys(&mut tx, CLINIC, std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(found.iter().map(|row| (&row.key, row.patient_id)).collect::<Vec<_>>(), [(&key, id(1))]);
    }
    assert_eq!(measurement::of_patient(&mut tx, CLINIC, id(1)).await.unwrap().len(), 3);
    assert_eq!(patient::page(&mut tx, CLINIC, None, 10).await.unwrap().len(), 1);
    assert!(patient::due(&mut tx, CLINIC, date("2030-01-01"), 10).await.unwrap() == [id(1)]);
    tx.commit().await.unwrap();
    assert_eq!(count(&db, "SELECT COUNT(*) FROM patient_key").await, 3);
}

fn taken(n: u128, on: &str) -> Measurement {
    let on: NaiveDate = date(on);
    Measurement {
        id: id(100 + n),
        instrument: Instrument::PHQ9,
        taken_at: on.and_hms_opt(12, 0, 0).unwrap().and_utc(),
        taken_on: on,
        answers: vec![Some(1); 9],
        total: Some(9),
        quality: Quality::Complete,
        item9: Some(1),
        item9_unknown: false,
        self_harm: SelfHarm::default(),
        counting: EvidenceStatus::Submitted,
        source: format!("QuestionnaireResponse/{n}"),
        issues: Vec::new(),
        language: None,
    }
}

//! Every other noun of the store, on both engines: what is written is read again, extremes too, in this clinic only.

use std::slice;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use cocm_registry::domain::care::{Addressee, Care, ChangeKind, Recommendation};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement, Quality, SelfHarm};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::problem::Category;
use cocm_registry::store::event_log::{EpisodeLog, EventRow};
use cocm_registry::store::idempotency::{self, StoredAnswer};
use cocm_registry::store::measurement::ItemObservation;
use cocm_registry::store::panel::{self, PanelMember};
use cocm_registry::store::quarantine::{self, PATIENT_NOT_SEEN, QuarantineRecord};
use cocm_registry::store::resource::{self, ChangeWindow, Resource};
use cocm_registry::store::{episode, event_log, measurement, rule_set};
use rstest::rstest;
use serde_json::json;
use sqlx::types::Json;

use super::store_patient::id;
use super::world::{self, CLINIC, Database, Engine, OTHER, date, monday};

/// All that text may be, but U+0000.
const ODD: &str = "'; DROP TABLE fact; -- \u{1}\u{7f}\u{85}\u{2028}\u{202e}\u{fffd}\u{10ffff} e\u{301} Ω ß İ 😀 %_\\";

fn instants() -> Vec<DateTime<Utc>> {
    [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:00:00.000001Z",
        "2026-03-02T09:00:00.5Z",
        "9999-12-31T23:59:59.999999Z",
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .collect()
}

fn resource(n: usize, at: DateTime<Utc>) -> Resource {
    Resource {
        kind: "Observation".into(),
        id: format!("r{n}"),
        version: i64::MAX,
        source_version: Some(ODD.into()),
        source_updated: Some(at),
        patient_id: Some(id(7)),
        deleted: false,
        updated_at: at,
        body: format!("{{\"odd\":\"{ODD}\"}}"),
    }
}

#[rstest]
#[tokio::test]
async fn resources_keep_their_text_and_their_order(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    // Twice at each instant, put in backwards.
    let all: Vec<Resource> = instants()[2..5]
        .iter()
        .enumerate()
        .flat_map(|(n, at)| [resource(2 * n, *at), resource(2 * n + 1, *at)])
        .collect();
    for one in all.iter().rev() {
        assert!(resource::insert(&mut tx, CLINIC, one).await.unwrap());
        assert!(!resource::insert(&mut tx, CLINIC, one).await.unwrap());
        assert_eq!(resource::find(&mut tx, CLINIC, &one.kind, &one.id).await.unwrap().as_ref(), Some(one));
    }
    let always = ChangeWindow::always();
    let (mut seen, mut after): (Vec<Resource>, Option<(DateTime<Utc>, String)>) = (Vec::new(), None);
    loop {
        let cursor = after.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page = resource::changed(&mut tx, CLINIC, "Observation", always, cursor, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.updated_at, last.id.clone()));
        seen.extend(page);
    }
    assert_eq!(seen, all);
    let stretch = ChangeWindow { since: instants()[3], until: instants()[4] };
    assert_eq!(resource::count(&mut tx, CLINIC, "Observation", stretch).await.unwrap(), 2);

    resource::add_identifier(&mut tx, CLINIC, "Observation", ODD, "r0").await.unwrap();
    resource::add_identifier(&mut tx, CLINIC, "Observation", ODD, "r0").await.unwrap();
    assert_eq!(resource::by_identifier(&mut tx, CLINIC, "Observation", ODD).await.unwrap().len(), 1);
    assert!(resource::by_identifier(&mut tx, CLINIC, "Patient", ODD).await.unwrap().is_empty());
    assert_eq!(resource::tokens_like(&mut tx, CLINIC, "Observation", "%!%!_\\").await.unwrap().len(), 1);

    // Another clinic.
    assert_eq!(resource::find(&mut tx, OTHER, "Observation", "r0").await.unwrap(), None);
    assert!(resource::by_identifier(&mut tx, OTHER, "Observation", ODD).await.unwrap().is_empty());
    assert!(resource::tokens_like(&mut tx, OTHER, "Observation", "%").await.unwrap().is_empty());
    assert!(resource::of_patient(&mut tx, OTHER, "Observation", id(7), 10).await.unwrap().is_empty());
    assert_eq!(resource::count(&mut tx, OTHER, "Observation", always).await.unwrap(), 0);
    assert!(resource::changed(&mut tx, OTHER, "Observation", always, None, 9).await.unwrap().is_empty());
    resource::update(&mut tx, OTHER, &Resource { deleted: true, ..all[0].clone() }).await.unwrap();
    resource::drop_identifier(&mut tx, OTHER, "Observation", ODD, "r0").await.unwrap();
    assert_eq!(resource::by_identifier(&mut tx, CLINIC, "Observation", ODD).await.unwrap(), [all[0].clone()]);

    // Deleted.
    resource::update(&mut tx, CLINIC, &Resource { deleted: true, ..all[0].clone() }).await.unwrap();
    assert!(resource::by_identifier(&mut tx, CLINIC, "Observation", ODD).await.unwrap().is_empty());
    assert_eq!(resource::of_patient(&mut tx, CLINIC, "Observation", id(7), 99).await.unwrap().len(), all.len() - 1);
    assert!(resource::find(&mut tx, CLINIC, "Observation", "r0").await.unwrap().unwrap().deleted);
    resource::drop_identifier(&mut tx, CLINIC, "Observation", ODD, "r0").await.unwrap();
    assert!(resource::tokens_like(&mut tx, CLINIC, "Observation", "%").await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn text_with_u_0000_is_refused_as_the_callers_mistake(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(world) = world::World::on(engine).await else { return };
    let mut person = world::patient("1");
    person["name"][0]["family"] = json!("a\u{0}b");
    let problem = world.send(&person).await.unwrap_err();
    assert_eq!(problem.category, Category::Malformed);
    assert!(problem.detail.contains("U+0000") && !problem.detail.contains('\u{0}'));
}

fn measured(n: u128, at: DateTime<Utc>) -> Measurement {
    Measurement {
        id: id(n),
        instrument: Instrument::PHQ9,
        taken_at: at,
        taken_on: at.date_naive(),
        answers: vec![Some(3), None, Some(0)],
        total: None,
        quality: Quality::Unscorable,
        item9: None,
        item9_unknown: true,
        self_harm: SelfHarm::default(),
        counting: EvidenceStatus::Partial,
        source: format!("Observation/{ODD}"),
        issues: vec![DataQualityIssue::new("odd", ODD)],
        language: Some("pt-BR".into()),
    }
}

#[rstest]
#[tokio::test]
async fn measurements_keep_what_is_missing_missing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let all: Vec<Measurement> = (1..).zip(instants()).map(|(n, at)| measured(n, at)).collect();
    let backwards: Vec<Measurement> = all.iter().rev().cloned().collect();
    measurement::put(&mut tx, CLINIC, id(7), &backwards, monday()).await.unwrap();
    assert_eq!(measurement::of_patient(&mut tx, CLINIC, id(7)).await.unwrap(), all);
    let scored = Measurement { total: Some(27), quality: Quality::Complete, item9: Some(3), ..all[0].clone() };
    measurement::put(&mut tx, CLINIC, id(7), std::slice::from_ref(&scored), monday()).await.unwrap();
    assert_eq!(measurement::of_patient(&mut tx, CLINIC, id(7)).await.unwrap()[0], scored);
    assert_eq!(measurement::of_patients(&mut tx, CLINIC, id(0), id(9)).await.unwrap().len(), all.len());
    assert_eq!(measurement::of_source(&mut tx, CLINIC, &all[0].source).await.unwrap().len(), all.len());
    for one in
        [measurement::of_patient(&mut tx, OTHER, id(7)).await, measurement::of_patient(&mut tx, CLINIC, id(8)).await]
    {
        assert!(one.unwrap().is_empty());
    }
    assert!(measurement::of_source(&mut tx, OTHER, &all[0].source).await.unwrap().is_empty());
    assert!(measurement::of_patients(&mut tx, OTHER, id(0), id(9)).await.unwrap().is_empty());

    let item = |answer| ItemObservation {
        source: ODD.into(),
        instrument: Instrument::PHQ9,
        taken_at: instants()[3],
        item: 8,
        answer,
        counting: EvidenceStatus::Submitted,
    };
    for answer in [Some(3), None] {
        measurement::put_items(&mut tx, CLINIC, &[(id(7), &item(answer))]).await.unwrap();
        assert_eq!(measurement::items_of_each(&mut tx, CLINIC, &[id(7)]).await.unwrap(), [(id(7), item(answer))]);
    }
    for (clinic, patient) in [(OTHER, id(7)), (CLINIC, id(8))] {
        assert!(measurement::items_of_each(&mut tx, clinic, &[patient]).await.unwrap().is_empty());
    }
    let member = PanelMember { member: ODD.into(), panel: "Observation/panel".into() };
    for _again in 0..2 {
        panel::add_all(&mut tx, CLINIC, &[&member]).await.unwrap();
    }
    let (members, panels) = ([member.member.clone()], [member.panel.clone()]);
    assert_eq!(panel::of_members(&mut tx, CLINIC, &members).await.unwrap(), slice::from_ref(&member));
    assert_eq!(panel::of_panels(&mut tx, CLINIC, &panels).await.unwrap(), slice::from_ref(&member));
    assert!(panel::of_panels(&mut tx, OTHER, &panels).await.unwrap().is_empty());
    panel::remove(&mut tx, OTHER, &member).await.unwrap();
    assert_eq!(panel::of_members(&mut tx, CLINIC, &members).await.unwrap(), slice::from_ref(&member));
    panel::remove(&mut tx, CLINIC, &member).await.unwrap();
    assert!(panel::of_members(&mut tx, CLINIC, &members).await.unwrap().is_empty());

    // A total that does not fit is a fault of ours, and is not stored as "missing".
    let huge = Measurement { id: id(99), total: Some(40_000), quality: Quality::Complete, ..all[0].clone() };
    assert!(measurement::put(&mut tx, CLINIC, id(7), &[huge], monday()).await.is_err());
}

#[rstest]
#[tokio::test]
async fn episodes_count_their_changes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let mut one = world::episode("2026-01-05");
    (one.id, one.care_manager) = (id(1), Some(ODD.into()));
    one.target_instruments = vec![Instrument::PHQ9, Instrument::GAD7];
    episode::insert(&mut tx, CLINIC, id(7), &one, "test", monday()).await.unwrap();
    let stored = episode::find(&mut tx, CLINIC, id(1)).await.unwrap().unwrap();
    assert_eq!((&stored.episode, stored.patient_id, stored.revision), (&one, id(7), 1));
    one.consent_on = Some(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap());
    let changed = episode::EpisodeRecord { episode: one.clone(), revision: 3, ..stored };
    episode::update_all(&mut tx, CLINIC, &[&changed]).await.unwrap();
    for clinic in [CLINIC, OTHER] {
        let mine = clinic == CLINIC;
        let found = episode::find(&mut tx, clinic, id(1)).await.unwrap();
        assert_eq!(found.is_some(), mine);
        assert_eq!(episode::of_patient(&mut tx, clinic, id(7)).await.unwrap().len(), usize::from(mine));
        assert_eq!(episode::of_patients(&mut tx, clinic, id(7), id(7)).await.unwrap().len(), usize::from(mine));
    }
    let other = episode::EpisodeRecord { revision: 9, ..changed };
    episode::update_all(&mut tx, OTHER, &[&other]).await.unwrap();
    let stored = episode::find(&mut tx, CLINIC, id(1)).await.unwrap().unwrap();
    assert_eq!((stored.episode, stored.revision), (one, 3));
}

fn line(n: u128, at: DateTime<Utc>, care: &Care) -> EventRow {
    EventRow {
        patient_id: id(7),
        id: id(n),
        episode_id: Some(id(1)),
        kind: care.kind().into(),
        is_care: true,
        happened_on: at.date_naive(),
        happened_at: at,
        outcome: Some(ODD.into()),
        minutes: Some(i16::MAX),
        body: Json(json!(care)),
        changes: Json(json!({"text": ODD, "number": 1.5, "nothing": null, "list": [1, [2]]})),
        recorded_at: monday(),
        recorded_by: ODD.into(),
    }
}

#[rstest]
#[tokio::test]
async fn the_log_is_read_in_order_and_by_chapter(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let recommendation = Recommendation {
        id: id(50),
        kind: ChangeKind::Continue,
        text: ODD.into(),
        to: Addressee::CareManager,
        due_on: None,
    };
    let review = Care::CaseReview {
        reviewer: ODD.into(),
        summary: None,
        minutes: Some(u16::MAX),
        recommendations: vec![recommendation],
        session: None,
    };
    // Two at each instant; only the id tells them apart.
    let all: Vec<EventRow> = instants()
        .iter()
        .enumerate()
        .flat_map(|(n, at)| [line(2 * n as u128, *at, &review), line(2 * n as u128 + 1, *at, &Care::Resume)])
        .collect();
    assert!(all.len() > 8 && !all.len().is_multiple_of(8), "more than one statement takes, and a rest");
    let backwards: Vec<EventRow> = all.iter().rev().cloned().collect();
    event_log::append(&mut tx, CLINIC, &backwards).await.unwrap();
    assert_eq!(event_log::of_patient(&mut tx, CLINIC, id(7)).await.unwrap(), all);
    let entries = event_log::entries(&mut tx, CLINIC, id(7)).await.unwrap();
    assert_eq!(entries.len(), all.len());
    assert_eq!(entries[0].care, review);
    assert_eq!(event_log::story_events(&mut tx, CLINIC, id(7), id(7)).await.unwrap().len(), all.len());
    let chapter =
        EpisodeLog { patient: id(7), episode: id(1), from: date("2026-01-01"), to: date("2026-12-31"), known_at: None };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = event_log::chapter(&mut tx, CLINIC, &chapter, after, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.happened_at, last.recorded_at, last.id));
        seen.extend(page);
    }
    assert_eq!(seen, all);
    assert_eq!(event_log::reviews_with(&mut tx, CLINIC, id(50)).await.unwrap(), Some((id(7), Some(id(1)))));
    assert_eq!(event_log::reviews_with(&mut tx, CLINIC, id(51)).await.unwrap(), None);
    assert_eq!(event_log::reviews_with(&mut tx, OTHER, id(50)).await.unwrap(), None);
    assert!(event_log::of_patient(&mut tx, OTHER, id(7)).await.unwrap().is_empty());
    assert!(event_log::entries(&mut tx, OTHER, id(7)).await.unwrap().is_empty());
    assert!(event_log::story_events(&mut tx, OTHER, id(7), id(7)).await.unwrap().is_empty());
    assert!(event_log::chapter(&mut tx, OTHER, &chapter, None, 9).await.unwrap().is_empty());
    assert!(event_log::append(&mut tx, CLINIC, &all[..1]).await.is_err(), "a line is never written twice");
}

#[rstest]
#[tokio::test]
async fn what_is_kept_back_is_listed_and_let_go(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let kept = |n: u128, patient: Option<u128>, code: &str| QuarantineRecord {
        id: id(n),
        kind: "QuestionnaireResponse".into(),
        resource_id: n.to_string(),
        patient_id: patient.map(id),
        code: code.into(),
        detail: ODD.into(),
        received_at: monday(),
    };
    for one in [kept(3, Some(7), PATIENT_NOT_SEEN), kept(1, None, "a"), kept(2, Some(7), "b")] {
        quarantine::put(&mut tx, CLINIC, &one).await.unwrap();
    }
    quarantine::put(&mut tx, CLINIC, &kept(1, Some(8), "c")).await.unwrap();
    assert_eq!(quarantine::find(&mut tx, CLINIC, id(1)).await.unwrap(), Some(kept(1, Some(8), "c")));
    assert_eq!(quarantine::find(&mut tx, OTHER, id(1)).await.unwrap(), None);
    let first = quarantine::page(&mut tx, CLINIC, None, 2).await.unwrap();
    assert_eq!(first.iter().map(|k| k.id.as_u128()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(quarantine::page(&mut tx, CLINIC, Some(id(2)), 2).await.unwrap(), [kept(3, Some(7), PATIENT_NOT_SEEN)]);
    assert!(quarantine::page(&mut tx, OTHER, None, 2).await.unwrap().is_empty());
    quarantine::release(&mut tx, OTHER, id(1)).await.unwrap();
    quarantine::release_patients(&mut tx, OTHER, &[id(7)]).await.unwrap();
    assert_eq!(quarantine::page(&mut tx, CLINIC, None, 9).await.unwrap().len(), 3);
    quarantine::release_patients(&mut tx, CLINIC, &[id(7)]).await.unwrap();
    quarantine::release(&mut tx, CLINIC, id(1)).await.unwrap();
    assert_eq!(quarantine::page(&mut tx, CLINIC, None, 9).await.unwrap(), [kept(2, Some(7), "b")]);
}

#[rstest]
#[tokio::test]
async fn the_rules_activated_last_are_in_force(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    assert_eq!(rule_set::active(&mut tx, CLINIC).await.unwrap(), RuleSet::default());
    for version in [2, 3] {
        let rules = RuleSet { id: ODD.into(), version, ..RuleSet::default() };
        assert!(rule_set::insert(&mut tx, CLINIC, &rules, "test", monday()).await.unwrap());
        assert!(!rule_set::insert(&mut tx, CLINIC, &rules, "test", monday()).await.unwrap());
    }
    assert!(rule_set::activate(&mut tx, CLINIC, 3, "admin", monday()).await.unwrap());
    assert!(rule_set::activate(&mut tx, CLINIC, 2, "admin", monday() + TimeDelta::seconds(1)).await.unwrap());
    assert!(!rule_set::activate(&mut tx, CLINIC, 4, "admin", monday()).await.unwrap());
    assert!(!rule_set::activate(&mut tx, OTHER, 3, "admin", monday() + TimeDelta::days(1)).await.unwrap());
    assert_eq!(rule_set::active(&mut tx, CLINIC).await.unwrap().version, 2);
    assert_eq!(rule_set::active(&mut tx, OTHER).await.unwrap(), RuleSet::default());
    assert_eq!(rule_set::all(&mut tx, CLINIC).await.unwrap().iter().map(|r| r.version).collect::<Vec<_>>(), [3, 2]);
    assert!(rule_set::all(&mut tx, OTHER).await.unwrap().is_empty());
    assert!(rule_set::find(&mut tx, CLINIC, 3).await.unwrap().is_some());
    assert!(rule_set::find(&mut tx, OTHER, 3).await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn a_key_is_answered_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let answer = |status| StoredAnswer { request: "digest".into(), status, body: ODD.into() };
    assert!(idempotency::insert(&mut tx, CLINIC, ODD, &answer(idempotency::COMMITTED), monday()).await.unwrap());
    assert!(!idempotency::insert(&mut tx, CLINIC, ODD, &answer(201), monday()).await.unwrap());
    assert!(idempotency::finish(&mut tx, CLINIC, ODD, &answer(201), monday()).await.unwrap());
    assert!(!idempotency::finish(&mut tx, CLINIC, ODD, &answer(500), monday()).await.unwrap());
    assert_eq!(idempotency::find(&mut tx, CLINIC, ODD).await.unwrap(), Some(answer(201)));
    assert_eq!(idempotency::find(&mut tx, OTHER, ODD).await.unwrap(), None);
    assert_eq!(idempotency::forget(&mut tx, monday()).await.unwrap(), 0);
    assert_eq!(idempotency::forget(&mut tx, monday() + TimeDelta::microseconds(1)).await.unwrap(), 1);
}

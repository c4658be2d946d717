//! The ledger of the chart, lanes and leases, and the caseload, on both engines.

use chrono::{DateTime, TimeDelta, Utc};
use cocm_registry::domain::caseload_row::CaseloadRow;
use cocm_registry::domain::chart_plan::{Rung, WorkItem, WriteIntent};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::story::{PatientStatus as Person, Story};
use cocm_registry::domain::task::{ChartResource, Code, Owner, Posture, Priority};
use cocm_registry::domain::waiting::WaitingKind;
use cocm_registry::id::PatientId;
use cocm_registry::store::outbox::{self, DeliveryAttempt, DeliveryFilter, DeliveryState, Lane, Settlement};
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::{Db, WriteTx, standing, waiting};
use rstest::rstest;
use uuid::Uuid;

use super::store_patient::id;
use super::world::{CLINIC, Database, Engine, OTHER, date, episode, monday};

fn intent(key: &str, priority: Priority) -> WriteIntent {
    WriteIntent {
        identifier: format!("{CLINIC}/{key}"),
        patient: "Patient/1".into(),
        desired: WorkItem {
            key: key.into(),
            resource: ChartResource::Task,
            code: Code::SafetyAssessment,
            posture: Posture::Open,
            priority,
            owner: Owner::CareManager,
            also_for: Vec::new(),
            rule: Rule::InadequateResponse,
            instrument: None,
            episode: None,
            since: date("2026-03-02"),
            due_on: None,
            reason: "because".into(),
            evidence: vec!["QuestionnaireResponse/1".into()],
            reasons: Vec::new(),
        },
        owner_display: None,
        also_for_display: Vec::new(),
        authored_on: monday(),
        ended_on: None,
        ended_because: None,
        rule_set: "default/1".into(),
    }
}

fn written(revision: i64) -> Settlement {
    Settlement {
        revision,
        written: true,
        state: DeliveryState::Settled,
        posture: Some(Posture::Open),
        chart_id: Some("9".into()),
        rung: Some(Rung::TaskAndFlag),
        follow_ups: 0,
        attempts: 0,
        outcome_unknown: false,
        unanswered: Vec::new(),
        next_attempt_at: monday(),
        error: None,
        chart_status: None,
        version: None,
        drift: None,
    }
}

fn minutes(n: i64) -> DateTime<Utc> {
    monday() + TimeDelta::minutes(n)
}

async fn planned(tx: &mut WriteTx, patient: PatientId, key: &str, priority: Priority) {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes());
    outbox::plan(tx, CLINIC, patient, id, &intent(key, priority), key, monday()).await.unwrap();
    outbox::wake(tx, CLINIC, patient, monday()).await.unwrap();
}

async fn claim(tx: &mut WriteTx, token: u128, now: DateTime<Utc>) -> Vec<Lane> {
    outbox::claim(tx, CLINIC, id(token), now, now + TimeDelta::minutes(2), 10).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn what_is_planned_is_pending_until_the_chart_has_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    for (key, priority) in [("a", Priority::Routine), ("b", Priority::Stat), ("c", Priority::Urgent)] {
        planned(&mut tx, id(1), key, priority).await;
    }
    let pending = outbox::pending(&mut tx, CLINIC, id(1), monday()).await.unwrap();
    assert_eq!(pending.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["b", "c", "a"], "most urgent first");
    assert_eq!(pending[0].intent.0, intent("b", Priority::Stat));
    let lane = claim(&mut tx, 10, monday()).await.remove(0);
    assert!(
        outbox::sending(&mut tx, &lane, "a", Rung::TaskAndFlag, &[Posture::Open, Posture::Withdrawn], monday())
            .await
            .unwrap()
    );
    let sent = outbox::find(&mut tx, CLINIC, id(1), "a").await.unwrap().unwrap();
    assert!(sent.outcome_unknown && sent.unanswered == "open,withdrawn" && sent.settled_revision == 0);
    assert!(outbox::settle(&mut tx, &lane, "a", &written(1), minutes(1)).await.unwrap());
    let settled = outbox::by_id(&mut tx, CLINIC, sent.id).await.unwrap().unwrap();
    assert_eq!(
        (settled.state, settled.settled_revision, settled.chart_id.as_deref()),
        (DeliveryState::Settled, 1, Some("9"))
    );
    assert!(!settled.outcome_unknown && settled.unanswered.is_empty());
    // What an answer does not say is kept.
    let failed = Settlement { written: false, posture: None, chart_id: None, rung: None, ..written(1) };
    assert!(outbox::settle(&mut tx, &lane, "a", &failed, minutes(2)).await.unwrap());
    let kept = outbox::find(&mut tx, CLINIC, id(1), "a").await.unwrap().unwrap();
    assert_eq!((kept.chart_id.as_deref(), kept.settled_posture.as_deref()), (Some("9"), Some("open")));
    assert_eq!(outbox::entries(&mut tx, CLINIC, id(1)).await.unwrap().len(), 3);
    assert_eq!(
        outbox::page(
            &mut tx,
            CLINIC,
            DeliveryFilter { state: Some(DeliveryState::Pending), ..DeliveryFilter::default() },
            None,
            9
        )
        .await
        .unwrap()
        .len(),
        2
    );
    assert_eq!(
        outbox::page(&mut tx, CLINIC, DeliveryFilter { patient: Some(id(2)), ..DeliveryFilter::default() }, None, 9)
            .await
            .unwrap()
            .len(),
        0
    );

    // Another clinic.
    assert!(outbox::entries(&mut tx, OTHER, id(1)).await.unwrap().is_empty());
    assert!(outbox::pending(&mut tx, OTHER, id(1), minutes(9)).await.unwrap().is_empty());
    assert!(outbox::find(&mut tx, OTHER, id(1), "a").await.unwrap().is_none());
    assert!(outbox::by_id(&mut tx, OTHER, sent.id).await.unwrap().is_none());
    assert!(outbox::page(&mut tx, OTHER, DeliveryFilter::default(), None, 9).await.unwrap().is_empty());
    assert!(cocm_registry::store::safety::open(&mut tx, OTHER, 9).await.unwrap().is_empty());
    assert!(outbox::claim(&mut tx, OTHER, id(11), minutes(9), minutes(10), 9).await.unwrap().is_empty());
    assert!(!outbox::retry(&mut tx, OTHER, sent.id, monday()).await.unwrap());
    let foreign = Lane { clinic_id: OTHER.into(), ..lane.clone() };
    assert!(!outbox::sending(&mut tx, &foreign, "b", Rung::TaskAndFlag, &[], monday()).await.unwrap());
    assert!(!outbox::settle(&mut tx, &foreign, "b", &written(1), monday()).await.unwrap());
    assert!(outbox::held(&mut tx, &foreign).await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn a_plan_that_moved_on_while_it_was_written_is_written_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    planned(&mut tx, id(1), "a", Priority::Routine).await;
    let lane = claim(&mut tx, 10, monday()).await.remove(0);
    assert!(outbox::sending(&mut tx, &lane, "a", Rung::TaskAndFlag, &[Posture::Open], monday()).await.unwrap());
    planned(&mut tx, id(1), "a", Priority::Stat).await;
    assert!(outbox::settle(&mut tx, &lane, "a", &written(1), minutes(1)).await.unwrap());
    let row = outbox::find(&mut tx, CLINIC, id(1), "a").await.unwrap().unwrap();
    assert_eq!((row.state, row.revision, row.settled_revision), (DeliveryState::Pending, 2, 1));
    // The lane cannot be given back: something was asked of it meanwhile. Looked at again, it can.
    assert!(!outbox::give_back(&mut tx, &lane).await.unwrap());
    let again = outbox::held(&mut tx, &lane).await.unwrap().unwrap();
    assert_eq!(again.wanted, 2);
    assert!(outbox::settle(&mut tx, &again, "a", &written(2), minutes(1)).await.unwrap());
    assert!(outbox::give_back(&mut tx, &again).await.unwrap());
    assert_eq!(outbox::next_due(&mut tx).await.unwrap(), None);

    // What a person closed stays closed, whatever is planned.
    planned(&mut tx, id(1), "a", Priority::Urgent).await;
    let lane = claim(&mut tx, 10, monday()).await.remove(0);
    let closed = Settlement { state: DeliveryState::ClosedInChart, ..written(3) };
    planned(&mut tx, id(1), "a", Priority::Stat).await;
    assert!(outbox::settle(&mut tx, &lane, "a", &closed, minutes(1)).await.unwrap());
    planned(&mut tx, id(1), "a", Priority::Routine).await;
    let row = outbox::find(&mut tx, CLINIC, id(1), "a").await.unwrap().unwrap();
    assert_eq!(row.state, DeliveryState::ClosedInChart);
    assert!(!outbox::retry(&mut tx, CLINIC, row.id, monday()).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn a_lane_has_one_holder_until_the_lease_runs_out(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    planned(&mut tx, id(1), "a", Priority::Routine).await;
    planned(&mut tx, id(2), "b", Priority::Routine).await;
    assert_eq!(outbox::clinics_due(&mut tx, monday()).await.unwrap(), [CLINIC]);
    assert_eq!(outbox::clinics_due(&mut tx, minutes(-1)).await.unwrap(), Vec::<String>::new());
    assert_eq!(outbox::claim(&mut tx, CLINIC, id(10), monday(), minutes(2), 1).await.unwrap().len(), 1);
    assert_eq!(claim(&mut tx, 11, monday()).await.len(), 1, "the other one");
    assert!(claim(&mut tx, 12, minutes(1)).await.is_empty());
    assert!(outbox::clinics_due(&mut tx, minutes(1)).await.unwrap().is_empty());
    let late = claim(&mut tx, 12, minutes(2)).await;
    assert_eq!(late.len(), 2, "nobody prolonged");
    let lost = Lane { lease_token: Some(id(10)), ..late[0].clone() };
    assert!(!outbox::prolong(&mut tx, &lost, minutes(9)).await.unwrap());
    assert!(!outbox::settle(&mut tx, &lost, "a", &written(1), minutes(2)).await.unwrap());
    assert!(!outbox::give_back(&mut tx, &lost).await.unwrap());
    assert!(outbox::prolong(&mut tx, &late[0], minutes(9)).await.unwrap());
    assert_eq!(claim(&mut tx, 13, minutes(5)).await.len(), 1);
    // Given back with something that is due later, it is due then.
    let lane = outbox::held(&mut tx, &late[0]).await.unwrap().unwrap();
    let key = if lane.patient_id == id(1) { "a" } else { "b" };
    let later =
        Settlement { state: DeliveryState::Pending, written: false, next_attempt_at: minutes(30), ..written(1) };
    assert!(outbox::settle(&mut tx, &lane, key, &later, minutes(3)).await.unwrap());
    assert!(outbox::give_back(&mut tx, &lane).await.unwrap());
    assert_eq!(outbox::next_due(&mut tx).await.unwrap(), Some(minutes(30)));
    assert!(outbox::clinics_due(&mut tx, minutes(6)).await.unwrap().is_empty());
    // Sent again by hand, it is due now.
    let row = outbox::find(&mut tx, CLINIC, lane.patient_id, key).await.unwrap().unwrap();
    assert!(outbox::retry(&mut tx, CLINIC, row.id, minutes(6)).await.unwrap());
    assert_eq!(outbox::next_due(&mut tx).await.unwrap(), Some(minutes(6)));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_claim_at_once_share_no_lane(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    for n in 0..60 {
        planned(&mut tx, id(n), &format!("key-{n}"), Priority::Routine).await;
    }
    tx.commit().await.unwrap();
    let worker = |db: Db, token: u128| async move {
        let mut mine = Vec::new();
        loop {
            let mut tx = db.begin("test").await.unwrap();
            let lanes = outbox::claim(&mut tx, CLINIC, id(token), monday(), minutes(2), 7).await.unwrap();
            tokio::task::yield_now().await;
            tx.commit().await.unwrap();
            if lanes.is_empty() {
                return mine;
            }
            mine.extend(lanes.into_iter().map(|lane| lane.patient_id));
        }
    };
    let workers: Vec<_> = (100..104).map(|token| tokio::spawn(worker(db.clone(), token))).collect();
    let mut all = Vec::new();
    for one in workers {
        all.extend(one.await.unwrap());
    }
    all.sort();
    assert_eq!(all, (0..60).map(id).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn every_attempt_is_a_row_that_can_be_read(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    let attempt = |n: u128, at| DeliveryAttempt {
        delivery_id: id(1),
        id: id(n),
        at,
        revision: i64::MAX,
        outcome: "refused".into(),
        http_status: Some(599),
        detail: None,
        milliseconds: i32::MAX,
    };
    let all = [attempt(3, monday()), attempt(1, minutes(1)), attempt(2, minutes(1))];
    for one in all.iter().rev() {
        outbox::attempted(&mut tx, CLINIC, one).await.unwrap();
    }
    assert_eq!(outbox::attempts(&mut tx, CLINIC, id(1)).await.unwrap(), all);
    assert!(outbox::attempts(&mut tx, OTHER, id(1)).await.unwrap().is_empty());
}

/// The standing of an episode on a day, as the planner says it.
fn standing_of(n: u128, enrolled: &str) -> Standing {
    let person = Person { id: id(n), inactive: false, deceased_on: None };
    let mut story = Story::of(person);
    let mut one = episode(enrolled);
    one.id = id(1000 + n);
    story.episodes.push(one);
    cocm_registry::domain::chart_plan::plan(&story, &RuleSet::default(), date("2026-03-02")).standings.remove(0)
}

fn row<'a>(
    label: &'a str,
    (care_manager, psychiatric_consultant): (Option<&'a str>, Option<&'a str>),
    standing: &'a Standing,
) -> standing::StandingWrite<'a> {
    static LINE: std::sync::LazyLock<CaseloadRow> = std::sync::LazyLock::new(CaseloadRow::default);
    standing::StandingWrite { label, care_manager, psychiatric_consultant, standing, line: &LINE }
}

#[rstest]
#[tokio::test]
async fn the_caseload_is_paged_without_gaps_in_either_order(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    // Few names and few days, so that most are equal.
    for n in 0..30_u128 {
        let name = ["Ada", "ada", "Äda", "100%_\\"][usize::try_from(n % 4).unwrap()];
        let person =
            Patient { display_name: Some(name.into()), ..Patient::unseen(id(n), format!("Patient/{n}"), monday()) };
        patient::insert(&mut tx, CLINIC, &person).await.unwrap();
        let enrolled = ["2026-01-05", "2026-02-20", "2026-03-01"][usize::try_from(n % 3).unwrap()];
        let team = ((n % 2 == 0).then_some("Casey"), (n % 5 == 0).then_some("Dr. Berg"));
        standing::put(&mut tx, CLINIC, id(n), row(name, team, &standing_of(n, enrolled)), monday()).await.unwrap();
    }
    let filter = standing::StandingFilter::default();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = standing::by_attention(&mut tx, CLINIC, &filter, None, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.attention_key());
        seen.extend(page.iter().map(|row| (row.attention_key(), row.episode_id)));
    }
    assert_eq!(seen.len(), 30);
    assert!(seen.is_sorted());
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = standing::by_name(&mut tx, CLINIC, &filter, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.display_name.clone(), last.episode_id));
        seen.extend(page.iter().map(|row| row.episode_id));
    }
    seen.sort();
    assert_eq!(seen, (1000..1030).map(id).collect::<Vec<_>>());
    let named =
        |name: &str| standing::StandingFilter { name: Some(name.into()), ..standing::StandingFilter::default() };
    for (name, found) in [("ADA", 23), ("Äda", 23), ("%", 7), ("_\\", 7), ("nobody", 0)] {
        let page = standing::by_name(&mut tx, CLINIC, &named(name), None, 99).await.unwrap();
        assert_eq!(page.len(), found, "{name}");
    }
    let casey = standing::StandingFilter { care_manager: Some("Casey".into()), ..standing::StandingFilter::default() };
    assert_eq!(standing::by_name(&mut tx, CLINIC, &casey, None, 99).await.unwrap().len(), 15);
    let berg = standing::StandingFilter {
        psychiatric_consultant: Some("Dr. Berg".into()),
        ..standing::StandingFilter::default()
    };
    assert_eq!(standing::by_name(&mut tx, CLINIC, &berg, None, 99).await.unwrap().len(), 6);
    assert_eq!(standing::by_attention(&mut tx, CLINIC, &berg, None, None, 99).await.unwrap().len(), 6);
    assert!(standing::by_name(&mut tx, OTHER, &filter, None, 99).await.unwrap().is_empty());
    assert!(standing::by_attention(&mut tx, OTHER, &filter, None, None, 99).await.unwrap().is_empty());
    // Written again, not added.
    let again = standing_of(1, "2026-03-02");
    standing::put(&mut tx, CLINIC, id(1), row("Ada", (None, None), &again), monday()).await.unwrap();
    assert_eq!(standing::by_name(&mut tx, CLINIC, &filter, None, 99).await.unwrap().len(), 30);
}

#[rstest]
#[tokio::test]
async fn what_waits_is_counted_for_all_clinics_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = Database::on(engine).await else { return };
    let db = database.open().await;
    let mut tx = db.begin("test").await.unwrap();
    planned(&mut tx, id(1), "a", Priority::Routine).await;
    planned(&mut tx, id(2), "b", Priority::Routine).await;
    planned(&mut tx, id(3), "c", Priority::Routine).await;
    let other = intent("d", Priority::Stat);
    outbox::plan(&mut tx, OTHER, id(4), Uuid::new_v5(&Uuid::NAMESPACE_OID, b"d"), &other, "d", minutes(1))
        .await
        .unwrap();
    for lane in claim(&mut tx, 11, monday()).await {
        let refused = Settlement { state: DeliveryState::Parked, written: false, ..written(1) };
        let key = outbox::pending(&mut tx, CLINIC, lane.patient_id, monday()).await.unwrap().remove(0).key;
        let result = if key == "a" { written(1) } else { refused };
        if key != "c" {
            assert!(outbox::settle(&mut tx, &lane, &key, &result, minutes(2)).await.unwrap());
        }
    }
    let all = waiting::of_each_clinic(&mut tx).await.unwrap();
    let of = |clinic: &str, kind| {
        let work = all.iter().find(|work| work.clinic_id == clinic && work.kind == kind);
        work.map(|work| (work.count, work.since))
    };
    assert_eq!(of(CLINIC, WaitingKind::SafetyAnswers), Some((3, Some(monday()))));
    assert_eq!(of(CLINIC, WaitingKind::Deliveries), Some((1, Some(monday()))));
    assert_eq!(of(CLINIC, WaitingKind::RefusedDeliveries), Some((1, Some(minutes(2)))));
    assert_eq!(of(OTHER, WaitingKind::SafetyAnswers), Some((1, Some(minutes(1)))));
    assert_eq!(of(OTHER, WaitingKind::RefusedDeliveries), None);
    assert_eq!(of(CLINIC, WaitingKind::Quarantine), None);
}

//! The writer against a chart that misbehaves: whatever happens, one Task per cause.

use std::time::Duration;

use chrono::{DateTime, Utc};
use cocm_registry::clock::Clock;
use cocm_registry::domain::chart_plan::{WorkItem, WriteIntent};
use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::task::{ChartResource, Code, Owner, Posture, Priority};
use cocm_registry::ehr::failure::RetryAfter;
use cocm_registry::ehr::retry::{RetryDecision, decide};
use cocm_registry::ehr::{DeliveryEffect, DeliveryResult, EhrClient, EhrConfig, Failure, Ledger, ManualChange, Route};
use cocm_registry::fhir::write::WriteForm;
use cocm_registry::sandbox::Sandbox;
use cocm_registry::sandbox::misbehavior::{Dice, Misbehavior};
use rstest::rstest;
use serde_json::{Value, json};

const SYSTEM: &str = "https://cocm-registry.dev/fhir/identifier/plan";

fn now() -> DateTime<Utc> {
    "2026-03-09T08:30:00Z".parse().unwrap()
}

struct World {
    chart: Sandbox,
    ehr: EhrClient,
}

async fn world() -> World {
    world_with(|_| ()).await
}

async fn world_with(change: impl FnOnce(&mut EhrConfig)) -> World {
    let clock = Clock::standing_at(now());
    let chart = Sandbox::start(([127, 0, 0, 1], 0).into(), clock.clone()).await.unwrap();
    let mut config = EhrConfig::at(chart.url());
    config.timeout = Duration::from_millis(300);
    config.search_lag = Duration::from_millis(40);
    change(&mut config);
    World { ehr: EhrClient::new(config, clock).unwrap(), chart }
}

fn intent(name: &str, resource: ChartResource, posture: Posture) -> WriteIntent {
    WriteIntent {
        identifier: format!("clinic/patient/{name}"),
        patient: "Patient/1".to_owned(),
        desired: WorkItem {
            key: name.to_owned(),
            resource,
            code: if resource == ChartResource::Task { Code::Measure } else { Code::CocmNotAtTarget },
            posture,
            priority: Priority::Routine,
            owner: Owner::CareManager,
            also_for: Vec::new(),
            rule: Rule::InadequateResponse,
            instrument: None,
            episode: None,
            since: "2026-03-02".parse().unwrap(),
            due_on: None,
            reason: format!("because of {name}, {posture}"),
            evidence: vec!["QuestionnaireResponse/9".to_owned()],
        },
        owner_display: None,
        also_for_display: Vec::new(),
        authored_on: "2026-03-02T09:00:00Z".parse().unwrap(),
        ended_on: (posture != Posture::Open).then(|| "2026-03-09".parse().unwrap()),
        ended_because: (posture != Posture::Open).then(|| "PHQ-9 is 8: at target.".to_owned()),
        rule_set: "default/1".to_owned(),
    }
}

/// As a Task or a Flag.
fn own(intent: &WriteIntent) -> Route {
    Route::plain(match intent.desired.resource {
        ChartResource::Task => WriteForm::Task,
        ChartResource::Flag => WriteForm::Flag,
    })
}

async fn deliver(ehr: &EhrClient, intent: &WriteIntent, ledger: &Ledger) -> Result<DeliveryResult, Failure> {
    cocm_registry::ehr::deliver(ehr, own(intent), intent, ledger).await
}

async fn reconcile(ehr: &EhrClient, intent: &WriteIntent, ledger: &Ledger) -> Result<Option<DeliveryResult>, Failure> {
    cocm_registry::ehr::reconcile(ehr, own(intent), intent, ledger).await
}

fn task(name: &str, posture: Posture) -> WriteIntent {
    intent(name, ChartResource::Task, posture)
}

impl World {
    /// One attempt, and what the dispatcher writes down afterwards.
    async fn attempt(&self, intent: &WriteIntent, ledger: &mut Ledger) -> Result<DeliveryResult, Failure> {
        let result = deliver(&self.ehr, intent, ledger).await;
        *ledger = std::mem::take(ledger).after(intent.desired.posture, &result);
        result
    }

    async fn until_delivered(&self, intent: &WriteIntent, ledger: &mut Ledger) -> DeliveryResult {
        for _ in 0..60 {
            match self.attempt(intent, ledger).await {
                Ok(done) => return done,
                Err(failure) => {
                    let next = decide(&failure, 1, 0.5, now());
                    assert!(matches!(next, RetryDecision::RetryAt { .. }), "{failure}");
                }
            }
        }
        panic!("not delivered in 60 attempts: {:?}", self.chart.log());
    }

    /// The Tasks or Flags of one cause that count.
    fn live(&self, intent: &WriteIntent) -> Vec<Value> {
        let mut all = self.chart.all(intent.desired.resource.as_str());
        all.retain(|one| one["identifier"][0]["value"] == intent.identifier && one["status"] != "entered-in-error");
        all
    }

    fn change(&self, mut resource: Value, field: &str, value: &Value) {
        resource[field] = value.clone();
        self.chart.put(resource);
    }
}

#[tokio::test]
async fn a_task_is_created_changed_and_closed_and_each_twice_does_no_more() {
    let world = world().await;
    let mut ledger = Ledger::default();
    let steps = [
        (Posture::Open, DeliveryEffect::Created, "requested"),
        (Posture::Open, DeliveryEffect::Unchanged, "requested"),
        (Posture::Fulfilled, DeliveryEffect::Updated, "completed"),
        (Posture::Fulfilled, DeliveryEffect::Unchanged, "completed"),
        // Its evidence was amended: the cause is back.
        (Posture::Open, DeliveryEffect::Updated, "requested"),
        (Posture::Withdrawn, DeliveryEffect::Updated, "cancelled"),
        (Posture::EnteredInError, DeliveryEffect::Updated, "entered-in-error"),
    ];
    for (posture, effect, status) in steps {
        let done = world.attempt(&task("a", posture), &mut ledger).await.unwrap();
        assert_eq!((done.effect, done.chart_status.as_deref()), (effect, Some(status)));
        assert_eq!(world.chart.get("Task", "1").unwrap()["status"], status);
        assert_eq!(done.version.as_deref(), world.chart.get("Task", "1").unwrap()["meta"]["versionId"].as_str());
    }
    assert_eq!(world.chart.history("Task", "1").len(), 5);
}

#[tokio::test]
async fn what_ended_before_it_was_ever_written_is_not_written() {
    let world = world().await;
    for posture in [Posture::Fulfilled, Posture::Withdrawn, Posture::EnteredInError] {
        let done = deliver(&world.ehr, &task("a", posture), &Ledger::default()).await.unwrap();
        assert_eq!((done.effect, done.chart_id), (DeliveryEffect::Unchanged, None));
    }
    assert!(world.chart.all("Task").is_empty());
}

#[rstest]
#[case::request_dropped(Misbehavior { drop_request: 1.0, ..Misbehavior::default() }, true, 0)]
#[case::response_dropped(Misbehavior { drop_response: 1.0, ..Misbehavior::default() }, true, 1)]
#[case::hung(Misbehavior { hang: 1.0, ..Misbehavior::default() }, true, 0)]
#[case::unavailable(Misbehavior { unavailable: 1.0, ..Misbehavior::default() }, true, 0)]
#[case::throttled(Misbehavior { throttle: 1.0, retry_after: "7".into(), ..Misbehavior::default() }, false, 0)]
#[tokio::test]
async fn after_a_misbehaviour_one_task_stands(
    #[case] how: Misbehavior,
    #[case] is_unknown: bool,
    #[case] executed: usize,
    #[values(true, false)] conditional_create: bool,
    #[values(ChartResource::Task, ChartResource::Flag)] resource: ChartResource,
) {
    let world = world_with(|config| config.conditional_create = conditional_create).await;
    let (intent, mut ledger) = (intent("a", resource, Posture::Open), Ledger::default());
    world.chart.misbehave(Misbehavior { only_writes: true, search_lag_ms: 20, ..how.clone() });
    let failure = world.attempt(&intent, &mut ledger).await.unwrap_err();
    assert_eq!(failure.is_outcome_unknown(), is_unknown, "{failure}");
    if how.throttle > 0.0 {
        assert_eq!(failure.retry_after(), Some(RetryAfter::Seconds(7)));
    }
    assert_eq!(world.chart.creations(resource.as_str(), &intent.identifier), executed);

    world.chart.misbehave(Misbehavior { search_lag_ms: 20, ..Misbehavior::default() });
    let done = world.until_delivered(&intent, &mut ledger).await;
    assert_eq!(done.effect, if executed == 1 { DeliveryEffect::AlreadyThere } else { DeliveryEffect::Created });
    assert_eq!(world.chart.creations(resource.as_str(), &intent.identifier), 1);
}

#[rstest]
#[tokio::test]
async fn a_server_without_conditional_create_gets_one_task(#[values(400, 412, 501)] status: u16) {
    let world = world().await;
    world.chart.misbehave(Misbehavior {
        refuse_conditional_create: 1.0,
        refuse_with: status,
        ..Misbehavior::default()
    });
    let intent = task("a", Posture::Open);
    assert_eq!(deliver(&world.ehr, &intent, &Ledger::default()).await.unwrap().effect, DeliveryEffect::Created);
    assert!(!world.ehr.creates_conditionally(), "it is remembered");
    assert_eq!(deliver(&world.ehr, &intent, &Ledger::default()).await.unwrap().effect, DeliveryEffect::AlreadyThere);
    assert_eq!(world.chart.creations("Task", &intent.identifier), 1);
}

#[tokio::test]
async fn a_lost_closing_is_known_as_ours_and_the_task_can_be_opened_again() {
    for resource in [ChartResource::Task, ChartResource::Flag] {
        let world = world().await;
        let mut ledger = Ledger::default();
        world.attempt(&intent("a", resource, Posture::Open), &mut ledger).await.unwrap();
        world.chart.misbehave(Misbehavior { drop_response: 1.0, only_writes: true, ..Misbehavior::default() });
        world.attempt(&intent("a", resource, Posture::Withdrawn), &mut ledger).await.unwrap_err();
        world.chart.behave();
        let done = world.attempt(&intent("a", resource, Posture::Open), &mut ledger).await.unwrap();
        assert_eq!(done.effect, DeliveryEffect::Updated);
        assert_eq!(world.live(&intent("a", resource, Posture::Open)).len(), 1);
    }
}

/// Promise P6, at random and with a seed.
#[rstest]
#[tokio::test]
async fn at_random_every_cause_ends_with_one_task_as_wanted(#[values(1, 2, 3, 4)] seed: u64) {
    let world = world_with(|config| {
        config.timeout = Duration::from_millis(60);
        config.search_lag = Duration::from_millis(12);
    })
    .await;
    world.chart.misbehave(Misbehavior {
        seed,
        drop_request: 0.1,
        drop_response: 0.15,
        hang: 0.01,
        throttle: 0.05,
        unavailable: 0.05,
        refuse_conditional_create: 0.05,
        ignore_conditional_create: 0.3,
        search_lag_ms: 6,
        ..Misbehavior::default()
    });
    let mut dice = Dice::new(seed);
    for n in 0..100 {
        let resource = if n % 3 == 0 { ChartResource::Flag } else { ChartResource::Task };
        let name = format!("n{n}");
        let mut ledger = Ledger::default();
        let first = intent(&name, resource, Posture::Open);
        world.until_delivered(&first, &mut ledger).await;
        let mut last = first;
        for _ in 0..dice.roll() % 3 {
            let all = Posture::ALL;
            let posture = all[usize::try_from(dice.roll() % all.len() as u64).unwrap()];
            last = intent(&name, resource, posture);
            let tries = dice.roll() % 3;
            let mut delivered = false;
            for _ in 0..tries {
                delivered |= world.attempt(&last, &mut ledger).await.is_ok();
            }
            // Sometimes the plan changes while a delivery is still failing.
            if !delivered && dice.happens(0.7) {
                world.until_delivered(&last, &mut ledger).await;
            }
        }
        world.until_delivered(&last, &mut ledger).await;

        let wanted = match (resource, last.desired.posture) {
            (ChartResource::Task, Posture::Open) => "requested",
            (ChartResource::Task, Posture::Fulfilled) => "completed",
            (ChartResource::Task, Posture::Withdrawn) => "cancelled",
            (ChartResource::Flag, Posture::Open) => "active",
            (ChartResource::Flag, Posture::Fulfilled | Posture::Withdrawn) => "inactive",
            (_, Posture::EnteredInError) => "entered-in-error",
        };
        assert_eq!(world.chart.creations(resource.as_str(), &last.identifier), 1, "{name}");
        let all = world.chart.all(resource.as_str());
        let one = all.iter().find(|one| one["identifier"][0]["value"] == last.identifier).unwrap();
        assert_eq!(one["status"], wanted, "{name}");
    }
    let broken = world.chart.log().iter().filter(|call| call.outcome.ends_with("dropped")).count();
    assert!(broken > 50, "the chart did misbehave: {broken}");
}

#[rstest]
#[tokio::test]
async fn what_a_person_closed_in_the_chart_is_never_opened_again(
    #[values("completed", "cancelled", "rejected", "failed")] status: &str,
    #[values(true, false)] with_ledger: bool,
) {
    let world = world().await;
    let mut ledger = Ledger::default();
    world.attempt(&task("a", Posture::Open), &mut ledger).await.unwrap();
    world.change(world.chart.get("Task", "1").unwrap(), "status", &json!(status));
    if !with_ledger {
        ledger = Ledger { outcome_unknown: true, attempts: 3, ..Ledger::default() };
    }
    for posture in [Posture::Open, Posture::Withdrawn, Posture::Open, Posture::EnteredInError] {
        let done = deliver(&world.ehr, &task("a", posture), &ledger).await.unwrap();
        assert_eq!(done.effect, DeliveryEffect::LeftAlone(ManualChange::ClosedInChart));
        assert_eq!(done.chart_status.as_deref(), Some(status));
    }
    assert_eq!(world.chart.history("Task", "1").len(), 2);
}

#[tokio::test]
async fn a_task_in_somebodys_hands_gets_one_note() {
    let world = world().await;
    let mut ledger = Ledger::default();
    world.attempt(&task("a", Posture::Open), &mut ledger).await.unwrap();
    world.change(world.chart.get("Task", "1").unwrap(), "status", &json!("in-progress"));
    for _ in 0..3 {
        let done = world.attempt(&task("a", Posture::Withdrawn), &mut ledger).await.unwrap();
        assert_eq!(done.effect, DeliveryEffect::LeftAlone(ManualChange::InProgressNoted));
    }
    let task = world.chart.get("Task", "1").unwrap();
    assert_eq!((&task["status"], task["note"].as_array().unwrap().len()), (&json!("in-progress"), 1));
}

#[tokio::test]
async fn what_was_deleted_in_the_chart_is_left() {
    let world = world().await;
    let mut ledger = Ledger::default();
    world.attempt(&task("a", Posture::Open), &mut ledger).await.unwrap();
    world.chart.delete("Task", "1");
    let done = world.attempt(&task("a", Posture::Open), &mut ledger).await.unwrap();
    assert_eq!(done.effect, DeliveryEffect::LeftAlone(ManualChange::DeletedInChart));
    let nowhere = Ledger { chart_id: Some("99".to_owned()), ..Ledger::default() };
    let done = deliver(&world.ehr, &task("b", Posture::Open), &nowhere).await.unwrap();
    assert_eq!(done.effect, DeliveryEffect::LeftAlone(ManualChange::DeletedInChart));
    assert!(world.chart.all("Task").is_empty());
}

#[tokio::test]
async fn of_several_the_oldest_is_kept_or_the_one_in_somebodys_hands() {
    for touched in [false, true] {
        let world = world().await;
        let intent = task("a", Posture::Open);
        deliver(&world.ehr, &intent, &Ledger::default()).await.unwrap();
        let mut second = world.chart.get("Task", "1").unwrap();
        second["id"] = json!("2");
        second["status"] = json!(if touched { "accepted" } else { "requested" });
        world.chart.put(second);
        world.chart.put(json!({"resourceType": "Task", "status": "requested", "intent": "order",
            "identifier": [{"system": "urn:other", "value": intent.identifier}]}));

        // The server answers 412 to the condition, and the search tells why.
        let done = deliver(&world.ehr, &intent, &Ledger::default()).await.unwrap();
        let (kept, other) = if touched { ("2", "1") } else { ("1", "2") };
        assert_eq!(done.chart_id.as_deref(), Some(kept));
        assert_eq!(done.effect, DeliveryEffect::Reconciled { duplicates: vec![other.to_owned()], closed: true });
        let closed = world.chart.get("Task", other).unwrap();
        assert_eq!(closed["status"], "entered-in-error");
        assert_eq!(closed["statusReason"]["text"], format!("Duplicate of Task/{kept}"));
        assert_eq!(world.live(&intent).len(), 2, "the kept one, and the other namespace's");
        // Again: the closed duplicate is not counted any more.
        assert_eq!(deliver(&world.ehr, &intent, &Ledger::default()).await.unwrap().chart_id.as_deref(), Some(kept));
    }
}

#[tokio::test]
async fn a_duplicate_that_a_slow_index_hid_is_found_by_a_later_look() {
    let world = world().await;
    let (intent, mut ledger) = (task("a", Posture::Open), Ledger::default());
    world.chart.misbehave(Misbehavior { drop_response: 1.0, only_writes: true, ..Misbehavior::default() });
    world.attempt(&intent, &mut ledger).await.unwrap_err();
    // Slower than configured.
    world.chart.misbehave(Misbehavior { search_lag_ms: 60_000, ..Misbehavior::default() });
    let done = world.attempt(&intent, &mut ledger).await.unwrap();
    assert!(done.recheck && done.effect == DeliveryEffect::Created);
    world.chart.behave();
    let done = reconcile(&world.ehr, &intent, &ledger).await.unwrap().unwrap();
    assert_eq!(done.effect, DeliveryEffect::Reconciled { duplicates: vec!["2".to_owned()], closed: true });
    assert_eq!(world.live(&intent).len(), 1);
}

#[tokio::test]
async fn a_change_made_in_the_chart_meanwhile_is_kept() {
    let world = world().await;
    let mut ledger = Ledger::default();
    world.attempt(&task("a", Posture::Open), &mut ledger).await.unwrap();
    let stale = world.ehr.read("Task", "1").await.unwrap();
    world.change(world.chart.get("Task", "1").unwrap(), "note", &json!([{"text": "called"}]));
    let refused = world.ehr.update("Task", "1", &stale.body.unwrap(), stale.etag.as_deref()).await.unwrap_err();
    assert!(matches!(refused, Failure::Refused { status: 412, .. }));
    world.attempt(&task("a", Posture::Withdrawn), &mut ledger).await.unwrap();
    assert_eq!(world.chart.get("Task", "1").unwrap()["note"][0]["text"], "called");
}

#[tokio::test]
async fn limits_deadlines_and_the_origin_hold() {
    let world = world_with(|config| config.max_body = 2_000).await;
    world.chart.put(json!({"resourceType": "Patient", "id": "big", "note": "x".repeat(5_000)}));
    let big = world.ehr.read("Patient", "big").await.unwrap_err();
    assert_eq!(big.to_string(), "no usable answer: the answer is too large (200)");

    for elsewhere in ["https://elsewhere.example/Task?page=2", "http://127.0.0.1:1/Task", "//elsewhere.example/"] {
        assert!(matches!(world.ehr.follow(elsewhere).await, Err(Failure::NotAllowed { .. })));
    }
    assert!(matches!(world.ehr.read("Task", "..").await, Err(Failure::NotAllowed { .. })));
    assert!(matches!(world.ehr.read("../Task", "1").await, Err(Failure::NotAllowed { .. })));

    world.chart.misbehave(Misbehavior { hang: 1.0, ..Misbehavior::default() });
    let begun = std::time::Instant::now();
    let hung = world.ehr.read("Task", "1").await.unwrap_err();
    assert_eq!(hung.to_string(), "no usable answer: no answer in time");
    assert!(begun.elapsed() < Duration::from_secs(2));

    world.chart.stop().await;
    let gone = world.ehr.create(&json!({"resourceType": "Task"}), None).await.unwrap_err();
    assert!(matches!(gone, Failure::NotSent { .. } | Failure::OutcomeUnknown { .. }), "{gone}");
    let gone = world.ehr.create(&json!({"resourceType": "Task"}), None).await.unwrap_err();
    assert!(matches!(gone, Failure::NotSent { .. }), "{gone}");
}

#[tokio::test]
async fn the_sandbox_pages_sorts_and_steers_like_an_ehr() {
    let world = world().await;
    for n in 0..5 {
        world.chart.put(json!({"resourceType": "Task", "status": "requested", "intent": "order", "description": n}));
    }
    let mut answer = world.ehr.search("Task", &[("_sort", "-_lastUpdated"), ("_count", "2")]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let bundle = answer.body.unwrap();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        seen.extend(entries.iter().map(|entry| entry["resource"]["description"].as_i64().unwrap()));
        let links = bundle["link"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        answer = world.ehr.follow(next["url"].as_str().unwrap()).await.unwrap();
    }
    assert_eq!(seen, [4, 3, 2, 1, 0]);

    let body = json!({"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"display": "y"}});
    let key = [("identifier", "urn:a|1")];
    assert_eq!(world.ehr.conditional_update("Flag", &key, &body).await.unwrap().status, 201);
    let statement = world.ehr.capabilities().await.unwrap().body.unwrap();
    assert_eq!(statement["fhirVersion"], "4.0.1");

    let invalid = world.ehr.create(&json!({"resourceType": "Task", "status": "requested"}), None).await.unwrap_err();
    assert_eq!(invalid.to_string(), "refused with 422: required");
    let token = format!("{SYSTEM}|none");
    let none = world.ehr.search("Task", &[("identifier", &token)]).await.unwrap();
    assert_eq!(none.body.unwrap()["total"], 0);
}

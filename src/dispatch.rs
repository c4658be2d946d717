//! Makes the chart look like the plan, and has no opinions: claim a patient's lane, write, settle.

mod account;
mod climb;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::domain::chart_plan::Rung;
use crate::ehr::{DeliveryEffect, DeliveryResult, EhrClient, Failure, Ledger, Route, deliver, reconcile};
use crate::problem::Problem;
use crate::store::lease::{LEASE, holding};
use crate::store::outbox::{self, Delivery, DeliveryState, Lane};
use crate::store::{Db, journal};
use account::{attempt, ledger, line, settlement};

/// How many patients of a clinic are written at once.
const LANES: usize = 8;
/// How many patients are written at once, of all clinics.
const ALL_LANES: usize = 64;
/// Longest pause for a whole chart that asked for one; the delivery that got the answer waits as long as requested.
const REST: TimeDelta = TimeDelta::hours(1);
/// When to look for doubles after a write whose first answer was lost.
const RECHECK: TimeDelta = TimeDelta::minutes(10);
/// How long to sleep when nothing is due: other replicas put work into the same outbox.
const IDLE: Duration = Duration::from_secs(5);

/// The charts by clinic.
#[derive(Clone, Default)]
pub struct Charts {
    /// For a clinic that is not named; `None`: nothing is written for it.
    pub default: Option<EhrClient>,
    pub by_clinic: HashMap<String, EhrClient>,
}

impl Charts {
    fn of(&self, clinic: &str) -> Option<&EhrClient> {
        self.by_clinic.get(clinic).or(self.default.as_ref())
    }

    /// Whether there is any chart to write to.
    pub fn is_empty(&self) -> bool {
        self.default.is_none() && self.by_clinic.is_empty()
    }
}

/// The loop that delivers. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    db: Db,
    clock: Clock,
    charts: Arc<Charts>,
    woken: Arc<Notify>,
    stopping: Arc<AtomicBool>,
    /// Charts that asked not to be called before an instant.
    resting: Arc<Mutex<HashMap<String, DateTime<Utc>>>>,
    /// When each clinic's chart is asked next whether what stands below it may go up.
    climbs_at: Arc<Mutex<HashMap<String, DateTime<Utc>>>>,
}

impl Dispatcher {
    /// A dispatcher; `woken` tells it that there is something new.
    pub fn new(db: Db, clock: Clock, charts: Charts, woken: Arc<Notify>) -> Self {
        let (stopping, resting, climbs_at) = Default::default();
        Self { db, clock, charts: Arc::new(charts), woken, stopping, resting, climbs_at }
    }

    /// Delivers until stopped. Writes in flight are finished.
    ///
    /// Every clinic has its own lanes, so that an unresponsive chart does not delay other clinics.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        if self.charts.is_empty() {
            return stop.await;
        }
        // Tasks of their own: one that holds the database must go on while the loop waits for it.
        let mut working = JoinSet::new();
        let mut busy: HashMap<String, usize> = HashMap::new();
        let climbing = tokio::spawn(self.clone().climb_for_ever());
        loop {
            let claimed = self.claim(&busy).await.unwrap_or_else(|problem| {
                tracing::warn!(%problem, "the outbox cannot be read now");
                Vec::new()
            });
            for lane in claimed {
                *busy.entry(lane.clinic_id.clone()).or_default() += 1;
                let lanes = self.clone();
                working.spawn(async move { lanes.work(lane).await });
            }
            let pause = self.pause().await;
            tokio::select! {
                () = &mut stop => break,
                Some(done) = working.join_next() => match done {
                    Ok(clinic) => free(&mut busy, &clinic),
                    // A fault of ours: the lane is unknown, so all counts restart.
                    Err(_) => busy.clear(),
                },
                () = self.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.stopping.store(true, Ordering::Relaxed);
        climbing.abort();
        while working.join_next().await.is_some() {}
    }

    async fn pause(&self) -> Duration {
        let next = async {
            let mut tx = self.db.read().await?;
            outbox::next_due(&mut tx).await
        };
        let wait = next.await.ok().flatten().and_then(|at| (at - self.clock.now()).to_std().ok());
        wait.unwrap_or(IDLE).clamp(Duration::from_millis(50), IDLE)
    }

    /// Claims the lanes that are due, as many of each clinic as are free.
    async fn claim(&self, busy: &HashMap<String, usize>) -> Result<Vec<Lane>, Problem> {
        let now = self.clock.now();
        let mut tx = self.db.read().await?;
        let mut clinics = outbox::clinics_due(&mut tx, now).await?;
        drop(tx);
        clinics.retain(|clinic| !self.rests(clinic) && busy.get(clinic).is_none_or(|n| *n < LANES));
        let mut left = ALL_LANES.saturating_sub(busy.values().sum());
        if clinics.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.begin("dispatch_claim").await?;
        let mut lanes = Vec::new();
        for clinic in clinics {
            let free = left.min(LANES - busy.get(&clinic).copied().unwrap_or(0));
            if free == 0 {
                break;
            }
            let free = i64::try_from(free).unwrap_or(1);
            let claimed = outbox::claim(&mut tx, &clinic, self.clock.id(), now, now + LEASE, free).await?;
            left -= claimed.len();
            lanes.extend(claimed);
        }
        tx.commit().await?;
        Ok(lanes)
    }

    /// Claims lanes that are due and works them off; answers how many there were.
    pub async fn round(&self) -> Result<usize, Problem> {
        self.climb().await?;
        let lanes = self.claim(&HashMap::new()).await?;
        let count = lanes.len();
        futures_util::future::join_all(lanes.into_iter().map(|lane| self.work(lane))).await;
        Ok(count)
    }

    async fn work(&self, lane: Lane) -> String {
        let clinic = lane.clinic_id.clone();
        if let Err(problem) = self.work_off(lane).await {
            tracing::warn!(%problem, "a lane was left; its lease runs out by itself");
        }
        clinic
    }

    /// Delivers everything that is due for one patient, in order, then gives the lane back.
    async fn work_off(&self, mut lane: Lane) -> Result<(), Problem> {
        let Some(ehr) = self.charts.of(&lane.clinic_id) else { return self.postpone(&lane).await };
        loop {
            let mut tx = self.db.read().await?;
            let due = outbox::pending(&mut tx, &lane.clinic_id, lane.patient_id, self.clock.now()).await?;
            drop(tx);
            for delivery in due {
                if self.stopping.load(Ordering::Relaxed) || self.rests(&lane.clinic_id) {
                    break;
                }
                if !self.deliver(ehr, &lane, delivery).await? {
                    return Ok(());
                }
            }
            let mut tx = self.db.begin("dispatch_give_back").await?;
            let given_back = outbox::give_back(&mut tx, &lane).await?;
            let held = if given_back { None } else { outbox::held(&mut tx, &lane).await? };
            tx.commit().await?;
            match held {
                Some(again) => lane = again,
                None => return Ok(()),
            }
        }
    }

    /// No chart is configured for this clinic: its lane waits.
    async fn postpone(&self, lane: &Lane) -> Result<(), Problem> {
        let mut tx = self.db.begin("dispatch_postpone").await?;
        outbox::prolong(&mut tx, lane, self.clock.now() + TimeDelta::hours(1)).await?;
        tx.commit().await
    }

    fn rests(&self, clinic: &str) -> bool {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = resting.get(clinic).is_some_and(|until| *until > self.clock.now());
        if !rests {
            resting.remove(clinic);
        }
        rests
    }

    /// A chart that names a time to come back means everybody.
    fn rest(&self, clinic: &str, failure: &Failure, until: DateTime<Utc>) {
        if failure.retry_after().is_some() {
            let until = until.min(self.clock.now() + REST);
            self.resting.lock().unwrap_or_else(PoisonError::into_inner).insert(clinic.to_owned(), until);
        }
    }

    /// One attempt, recorded in the ledger before the call and after it. `false` if the lease was lost.
    async fn deliver(&self, ehr: &EhrClient, lane: &Lane, delivery: Delivery) -> Result<bool, Problem> {
        let intent = &delivery.intent.0;
        let posture = intent.desired.posture;
        let before = ledger(&delivery);
        let offered = holding(Box::pin(ehr.offers()), || self.prolong(lane)).await;
        let way = offered.map(|offers| {
            let ladder = &offers.ladder;
            let (write, kind) = (ehr.config().write, intent.desired.resource);
            let own = write.set_for_code(intent.desired.code);
            let rung = stands_on(&delivery, own.unwrap_or_else(|| ladder.rung(write, kind)));
            (rung, ladder.route(write, rung, kind))
        });
        let rung = way.as_ref().ok().map(|(rung, _)| *rung);
        let mut unanswered = before.unanswered.clone();
        if !unanswered.contains(&posture) {
            unanswered.push(posture);
        }
        let now = self.clock.now();
        let mut tx = self.db.begin("dispatch_deliver").await?;
        // The delivery before the lane, as the recorder locks them.
        let sends = rung.filter(|rung| rung.is_written());
        let known = match sends {
            Some(rung) => outbox::sending(&mut tx, lane, &delivery.key, rung, &unanswered, now).await?,
            None => true,
        };
        let held = known && outbox::prolong(&mut tx, lane, now + LEASE).await?;
        tx.commit().await?;
        if !held {
            return Ok(false);
        }
        let started = Instant::now();
        let result = match way {
            Ok((_, Some(route))) => {
                let call = Box::pin(self.call(ehr, route, &before, &delivery));
                holding(call, || self.prolong(lane)).await
            }
            Ok((_, None)) => Ok(DeliveryResult::not_written()),
            Err(failure) => Err(failure),
        };
        let after = before.clone().after(posture, &result);
        let now = self.clock.now();
        let settlement = settlement(&delivery, &before, &after, &result, rung, now);
        if let Err(failure) = &result {
            self.rest(&lane.clinic_id, failure, settlement.next_attempt_at);
        }
        let attempt = attempt(&delivery, &result, started.elapsed(), now, self.clock.id());
        metrics::counter!("cocm_delivery_attempts", "outcome" => attempt.outcome.clone()).increment(1);
        let mut tx = self.db.begin("dispatch_deliver").await?;
        outbox::attempted(&mut tx, &lane.clinic_id, &attempt).await?;
        let held = outbox::settle(&mut tx, lane, &delivery.key, &settlement, now).await?;
        if let Some(line) = line(&lane.clinic_id, &delivery, &settlement, now, self.clock.id()).filter(|_| held) {
            journal::add(&mut tx, &[line]).await?;
        }
        tx.commit().await?;
        if settlement.state == DeliveryState::Parked {
            let failure = result.as_ref().err().map(ToString::to_string);
            tracing::error!(delivery = %delivery.id, failure, "a delivery is parked: a person has to look");
        }
        Ok(held)
    }

    async fn prolong(&self, lane: &Lane) {
        let prolong = async {
            let mut tx = self.db.begin("dispatch_prolong").await?;
            outbox::prolong(&mut tx, lane, self.clock.now() + LEASE).await?;
            tx.commit().await
        };
        if let Err(problem) = prolong.await {
            tracing::warn!(%problem, "a lane could not be prolonged now");
        }
    }

    async fn call(
        &self,
        ehr: &EhrClient,
        route: Route,
        before: &Ledger,
        delivery: &Delivery,
    ) -> Result<DeliveryResult, Failure> {
        let intent = &delivery.intent.0;
        // The plan stands in the chart already: this is the later look for doubles.
        if delivery.settled_revision == delivery.revision && before.chart_id.is_some() {
            let settled = DeliveryResult {
                chart_id: before.chart_id.clone(),
                version: None,
                chart_status: None,
                effect: DeliveryEffect::Unchanged,
                recheck: false,
                follow_ups: before.follow_ups,
            };
            return Ok(reconcile(ehr, route, intent, before).await?.unwrap_or(settled));
        }
        deliver(ehr, route, intent, before).await
    }
}

/// Keeps an item on the rung where it was written, or may have been written, even if a better rung is available now.
fn stands_on(delivery: &Delivery, best: Rung) -> Rung {
    match delivery.rung() {
        _ if delivery.chart_id.is_none() && !delivery.outcome_unknown => best,
        // Before there was a ladder, there was one rung.
        None => Rung::TaskAndFlag,
        Some(rung) => rung,
    }
}

fn free(busy: &mut HashMap<String, usize>, clinic: &str) {
    if let Some(count) = busy.get_mut(clinic) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            busy.remove(clinic);
        }
    }
}

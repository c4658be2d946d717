//! Watches over every connection: fetches what was hinted at, and sweeps when it is time. Of several replicas one does.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Intake;
use super::connection::{Connection, Connections};
use super::sweep::{Sweep, SweepResult, SweepStop};
use crate::ehr::Failure;
use crate::ehr::retry::{RetryDecision, decide};
use crate::problem::Problem;
use crate::store::connection::{self, ConnectionClaim, hint};
use crate::store::lease::{LEASE, holding};

/// How long to sleep when nothing is due: other replicas receive notifications, too.
const IDLE: Duration = Duration::from_secs(5);
/// A sweep that failed is tried again after a minute, or after the period where that is shorter.
const SOON: TimeDelta = TimeDelta::minutes(1);
/// Minimum time between two sweeps, however many notifications arrive.
const BREATH: TimeDelta = TimeDelta::seconds(5);

/// The loops, one for each connection. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    intake: Intake,
    connections: Connections,
}

/// Result of a visit.
#[derive(Clone, Debug, Default)]
pub struct WatchVisit {
    /// How many hints were followed.
    pub fetched: usize,
    /// Result of each type's sweep; empty if none was due.
    pub swept: Vec<SweepResult>,
}

impl Watch {
    /// Watches nothing yet.
    pub fn new(intake: Intake, connections: Connections) -> Self {
        Self { intake, connections }
    }

    /// Runs until stopped. Work in progress is abandoned: it is found again.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut loops = JoinSet::new();
        for connection in self.connections.iter() {
            loops.spawn(self.clone().over(connection.clone(), stop.clone()));
        }
        while loops.join_next().await.is_some() {}
    }

    async fn over(self, connection: Arc<Connection>, mut stop: watch::Receiver<bool>) {
        loop {
            let told = async {
                // A dropped sender means that the service is gone, too.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                () = told => return,
                visit = self.visit(&connection, false) => {
                    if let Err(problem) = visit {
                        tracing::warn!(connection = connection.name(), %problem, "this connection has to wait");
                    }
                }
            }
            let told = async {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                () = told => return,
                () = connection.heard.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    /// Does what is due for a connection; with `now`, a sweep whether or not it is due. Does nothing where another
    /// replica is at it.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub async fn visit(&self, connection: &Connection, now: bool) -> Result<WatchVisit, Problem> {
        let of = connection.of();
        let Some(due) = self.due(connection).await? else { return Ok(WatchVisit::default()) };
        let moment = self.intake.clock.now();
        let sweeps = now || due.sweep <= moment;
        if !sweeps && due.hint.is_none_or(|at| at > moment) {
            return Ok(WatchVisit::default());
        }
        let token = self.intake.clock.id();
        let mut tx = self.intake.db.begin("connection_visit").await?;
        let claimed = connection::claim(&mut tx, of, token, moment, moment + LEASE).await?;
        tx.commit().await?;
        let Some(claimed) = claimed else { return Ok(WatchVisit::default()) };
        let mut held = ConnectionLease { watch: self, connection, claimed: Some(claimed), due: due.sweep };
        let sweep = Sweep { intake: &self.intake, connection, token };
        let outcome = holding(Box::pin(self.work(&sweep, sweeps)), || async {
            // A lease that is lost is noticed by who writes next.
            let _ = sweep.prolong().await;
        })
        .await;
        let now = self.intake.clock.now();
        held.due = match &outcome {
            Ok(_) if !sweeps => due.sweep,
            Ok(visit) => again(connection, visit, now),
            Err(_) => now + SOON,
        };
        held.give_back().await?;
        match outcome {
            Ok(visit) => Ok(visit),
            Err(SweepStop::Problem(problem)) => Err(problem),
            Err(SweepStop::Failed(_) | SweepStop::Lost | SweepStop::Incomplete(_)) => Ok(WatchVisit::default()),
        }
    }

    async fn work(&self, sweep: &Sweep<'_>, sweeps: bool) -> Result<WatchVisit, SweepStop> {
        let mut visit = WatchVisit::default();
        self.intake.recover(sweep.connection).await?;
        if sweeps {
            sweep.deletions().await?;
        }
        loop {
            let fetched = self.intake.fetch_due(sweep.connection).await?;
            visit.fetched += fetched;
            if fetched == 0 {
                break;
            }
            sweep.prolong().await?;
        }
        if sweeps {
            self.intake.subscribe(sweep.connection).await?;
            visit.swept = sweep.all().await?;
            sweep.look_again().await?;
        }
        Ok(visit)
    }

    async fn due(&self, connection: &Connection) -> Result<Option<NextVisit>, Problem> {
        let of = connection.of();
        let mut tx = self.intake.db.read().await?;
        let row = connection::due(&mut tx, of).await?;
        let hint = hint::next_due(&mut tx, of).await?;
        drop(tx);
        let now = self.intake.clock.now();
        match row {
            Some((_, Some(until))) if until > now => Ok(None),
            Some((sweep, _)) => Ok(Some(NextVisit { sweep, hint })),
            None => {
                let sweep = if connection.settings.poll.period.is_zero() { never(now) } else { now };
                let mut tx = self.intake.db.begin("connection_due").await?;
                connection::register(&mut tx, of, sweep).await?;
                tx.commit().await?;
                Ok(Some(NextVisit { sweep, hint }))
            }
        }
    }
}

struct NextVisit {
    sweep: DateTime<Utc>,
    hint: Option<DateTime<Utc>>,
}

/// A claimed connection. If a visit is abandoned, dropping this releases the claim, so that no replica waits for the
/// lease to expire.
struct ConnectionLease<'a> {
    watch: &'a Watch,
    connection: &'a Connection,
    claimed: Option<ConnectionClaim>,
    due: DateTime<Utc>,
}

impl ConnectionLease<'_> {
    async fn give_back(&mut self) -> Result<(), Problem> {
        let Some(claimed) = self.claimed.take() else { return Ok(()) };
        let intake = &self.watch.intake;
        let mut tx = intake.db.begin("connection_give_back").await?;
        connection::give_back(&mut tx, self.connection.of(), &claimed, intake.clock.now() + BREATH, self.due).await?;
        tx.commit().await
    }
}

impl Drop for ConnectionLease<'_> {
    fn drop(&mut self) {
        let Some(claimed) = self.claimed.take() else { return };
        let (intake, due) = (self.watch.intake.clone(), self.due);
        let (clinic, name) = (self.connection.clinic.clone(), self.connection.name().to_owned());
        tokio::spawn(async move {
            let of = connection::ConnectionKey { clinic: &clinic, connection: &name };
            // Without an answer the lease runs out by itself.
            if let Ok(mut tx) = intake.db.begin("connection_drop").await
                && connection::give_back(&mut tx, of, &claimed, intake.clock.now(), due).await.is_ok()
            {
                let _ = tx.commit().await;
            }
        });
    }
}

/// When the next sweep is due after this one.
fn again(connection: &Connection, visit: &WatchVisit, now: DateTime<Utc>) -> DateTime<Utc> {
    let period = &connection.settings.poll.period;
    let regular =
        if period.is_zero() { never(now) } else { now + TimeDelta::from_std(*period).unwrap_or(TimeDelta::days(7)) };
    let failures = visit.swept.iter().filter_map(|swept| swept.failed.as_ref());
    let soonest = failures.filter_map(|failure| retry(failure, now)).min();
    soonest.map_or(regular, |soonest| soonest.min(regular))
}

fn retry(failure: &Failure, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match decide(failure, 1, 0.5, now) {
        RetryDecision::RetryAt { at, counts_attempt: false } => Some(at),
        RetryDecision::RetryAt { .. } => Some(now + SOON),
        // The same would be refused again; a person, or the next period.
        RetryDecision::Park(_) => None,
    }
}

/// Later than anybody waits.
fn never(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::days(36_500)
}

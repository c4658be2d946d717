//! Reviews patients when nothing has arrived, because a day has passed or the rules have changed.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Utc};

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::metrics::Month;
use crate::domain::waiting::WaitingKind;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::record::{Command, Recorder, Submission, Zones, close, local_midnight};
use crate::store::waiting::{self, WaitingWork};
use crate::store::{Db, closed_month, idempotency, patient, webhook};

/// Patients per page.
const PAGE: i64 = 500;
/// Patients per transaction.
const SOME: usize = 100;
/// Retention of answers under an `Idempotency-Key`.
const IDEMPOTENCY_LIFETIME: chrono::TimeDelta = chrono::TimeDelta::days(2);

/// Retention of delivered webhook events; failed ones stay until an operator handles them.
const TOLD: chrono::TimeDelta = chrono::TimeDelta::days(30);
/// Rows deleted per transaction.
const FORGOTTEN: i64 = 1000;

/// Reviews patients when nothing new has arrived. Cheap to clone.
#[derive(Clone)]
pub struct Upkeep {
    pub db: Db,
    pub recorder: Recorder,
    pub clock: Clock,
    pub zones: Arc<Zones>,
    /// Decides when months are closed.
    pub config: Arc<Config>,
}

/// Sets the gauges of what waits in all clinics together.
fn publish(all: &[WaitingWork], now: DateTime<Utc>) {
    for kind in WaitingKind::ALL {
        let of_kind = || all.iter().filter(|work| work.kind == *kind);
        let count: i64 = of_kind().map(|work| work.count).sum();
        let since = of_kind().filter_map(|work| work.since).min();
        let seconds = since.map_or(0, |since| (now - since).num_seconds().max(0));
        let figure = |n: i64| f64::from(i32::try_from(n).unwrap_or(i32::MAX));
        metrics::gauge!("cocm_waiting", "kind" => kind.as_str()).set(figure(count));
        metrics::gauge!("cocm_waiting_oldest_seconds", "kind" => kind.as_str()).set(figure(seconds));
    }
}

/// Author of changes that no person made.
const OURSELVES: &str = "cocm-registry";

impl Upkeep {
    /// Plans the patients of every clinic whose plan changes by itself today; deletes old stored answers.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub async fn sweep(&self) -> Result<usize, Problem> {
        let mut tx = self.db.read().await?;
        let clinics = patient::clinics(&mut tx).await?;
        drop(tx);
        let mut looked_at = 0;
        for clinic in clinics {
            looked_at += self.catch_up(&clinic).await?;
            self.close_last_month(&clinic).await?;
            self.delete_old_deliveries(&clinic).await?;
        }
        publish(&waiting::of_each_clinic(&mut self.db.read().await?).await?, self.clock.now());
        let mut tx = self.db.begin("idempotency_forget").await?;
        idempotency::forget(&mut tx, self.clock.now() - IDEMPOTENCY_LIFETIME).await?;
        tx.commit().await?;
        Ok(looked_at)
    }

    /// Plans the due patients of one clinic again, and no others.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done.
    pub async fn catch_up(&self, clinic: &str) -> Result<usize, Problem> {
        let today = self.clock.today(self.zones.of(clinic));
        let mut looked_at = 0;
        loop {
            let mut tx = self.db.read().await?;
            let due = patient::due(&mut tx, clinic, today, PAGE).await?;
            drop(tx);
            let many = due.len();
            looked_at += many;
            self.look_at(clinic, &due).await?;
            if many < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                return Ok(looked_at);
            }
        }
    }

    /// Plans every patient of a clinic again.
    ///
    /// # Errors
    /// When the database does not answer; what was done is done, and doing it again is harmless.
    pub async fn replan(&self, clinic: &str) -> Result<usize, Problem> {
        let mut after = None;
        let mut planned = 0;
        loop {
            let mut tx = self.db.read().await?;
            let page = patient::page(&mut tx, clinic, after, PAGE).await?;
            drop(tx);
            let Some(last) = page.last() else { return Ok(planned) };
            after = Some(last.id);
            planned += page.len();
            let ids: Vec<PatientId> = page.iter().map(|p| p.id).collect();
            self.look_at(clinic, &ids).await?;
        }
    }

    /// Closes the metrics of the previous month on its day, unless a person has done so. Only months in which the
    /// registry was in use are closed: entries about earlier ones are not late.
    async fn close_last_month(&self, clinic: &str) -> Result<(), Problem> {
        let zone = self.zones.of(clinic);
        let (now, today) = (self.clock.now(), self.clock.today(zone));
        let day = self.config.close_month_on(clinic);
        if day == 0 || today.day() < u32::from(day) {
            return Ok(());
        }
        let month = Month::of(today).before();
        let mut tx = self.db.read().await?;
        let over = local_midnight(zone, month.last.succ_opt().unwrap_or(NaiveDate::MAX));
        let is_due = !closed_month::is_closed(&mut tx, clinic, month.first).await?
            && patient::known_before(&mut tx, clinic, over).await?;
        drop(tx);
        if is_due && close(&self.db, clinic, OURSELVES, month, now).await?.is_some() {
            tracing::info!(clinic, %month, "the metrics of the month are closed");
        }
        Ok(())
    }

    /// Deletes webhook deliveries that succeeded long ago.
    async fn delete_old_deliveries(&self, clinic: &str) -> Result<(), Problem> {
        let before = self.clock.now() - TOLD;
        let mut tx = self.db.read().await?;
        let is_any = webhook::is_told_before(&mut tx, clinic, before).await?;
        drop(tx);
        // Takes no lock when there is nothing to delete.
        let mut is_more = is_any;
        while is_more {
            let mut tx = self.db.begin("webhook_forget").await?;
            let forgotten = webhook::forget(&mut tx, clinic, before, FORGOTTEN).await?;
            tx.commit().await?;
            is_more = i64::try_from(forgotten).is_ok_and(|forgotten| forgotten == FORGOTTEN);
        }
        Ok(())
    }

    async fn look_at(&self, clinic: &str, patients: &[PatientId]) -> Result<(), Problem> {
        for some in patients.chunks(SOME) {
            let commands = some.iter().map(|patient| Command::Replan { patient: *patient }).collect();
            let by = OURSELVES.to_owned();
            self.recorder.record(Submission { clinic: clinic.to_owned(), by, commands, atomic: false }).await?;
        }
        Ok(())
    }
}

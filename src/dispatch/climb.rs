//! A chart that lets us write more than before gets what still stands and was left to our own list until now.

use std::sync::PoisonError;

use chrono::TimeDelta;

use super::{Dispatcher, IDLE};
use crate::domain::task::ChartResource;
use crate::ehr::EhrClient;
use crate::problem::Problem;
use crate::store::outbox;

/// How often a chart is looked at: a little more than it is asked itself.
const PERIOD: TimeDelta = TimeDelta::minutes(15);

impl Dispatcher {
    pub(super) async fn climb_for_ever(self) {
        loop {
            if let Err(problem) = self.climb().await {
                tracing::warn!(%problem, "what was left to the list could not be looked through now");
            }
            tokio::time::sleep(IDLE).await;
        }
    }

    /// Looks at every chart for which that is due.
    pub(super) async fn climb(&self) -> Result<(), Problem> {
        for (clinic, ehr) in &self.charts.by_clinic {
            if self.is_to_climb(clinic) {
                self.climb_in(clinic, ehr).await?;
            }
        }
        Ok(())
    }

    fn is_to_climb(&self, clinic: &str) -> bool {
        let now = self.clock.now();
        let mut next = self.climbs_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = next.get(clinic).is_none_or(|at| *at <= now);
        if is_due {
            next.insert(clinic.to_owned(), now + PERIOD);
        }
        is_due
    }

    async fn climb_in(&self, clinic: &str, ehr: &EhrClient) -> Result<(), Problem> {
        let mut tx = self.db.read().await?;
        if !outbox::is_anything_below(&mut tx, clinic).await? {
            return Ok(());
        }
        drop(tx);
        // Nothing is heard: nothing is known to be better than before.
        let Ok(offers) = ehr.offers().await else { return Ok(()) };
        let except = ehr.config().write.own_rung_of();
        for resource in ChartResource::ALL {
            let rung = offers.ladder.rung(ehr.config().write, *resource);
            let mut tx = self.db.read().await?;
            let patients = outbox::below(&mut tx, clinic, (*resource, except), rung).await?;
            drop(tx);
            if !patients.is_empty() {
                tracing::info!(clinic, %resource, %rung, patients = patients.len(), "what stands goes to another rung");
            }
            for patient in patients {
                let mut tx = self.db.begin("dispatch_climb").await?;
                outbox::climb(&mut tx, clinic, patient, (*resource, except), rung, self.clock.now()).await?;
                tx.commit().await?;
                self.woken.notify_one();
            }
        }
        Ok(())
    }
}

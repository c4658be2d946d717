//! The ledger of the chart. The dispatcher writes these rows too: what was seen in the chart is written at once, by
//! statements that hold the row.

use uuid::Uuid;

use super::UnitOfWork;
use crate::problem::Problem;
use crate::store::outbox::{self, ChartNote, Delivery, DeliveryState, PlannedDelivery};

impl UnitOfWork {
    /// Writes what should stand in the chart from now on.
    pub fn plan(&mut self, planned: PlannedDelivery) {
        self.delivers = true;
        self.planned.set((planned.patient, planned.intent.desired.key.clone()), planned);
    }

    /// Locks a delivery against concurrent settling, and records that it was read back.
    pub async fn look_at(&mut self, id: Uuid) -> Result<Option<Delivery>, Problem> {
        self.write_through().await?;
        outbox::look(&mut self.tx, &self.clinic, id, self.now).await
    }

    /// Records the result of reading back; a pending write wakes the lane.
    pub async fn note_sighting(&mut self, delivery: &Delivery, noted: &ChartNote) -> Result<(), Problem> {
        self.delivers |= noted.state == DeliveryState::Pending;
        outbox::record(&mut self.tx, &self.clinic, delivery, noted, self.now).await
    }
}

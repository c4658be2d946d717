//! The ledger of the chart. The dispatcher writes these rows too: what was looked at is held until the commit.

use uuid::Uuid;

use super::{WorkingSet, not_gathered};
use crate::problem::Problem;
use crate::store::outbox::{ChartNote, Delivery, DeliveryState, PlannedDelivery};

impl WorkingSet {
    /// Writes what should stand in the chart from now on.
    pub fn plan(&mut self, planned: PlannedDelivery) {
        self.outbox_changed = true;
        self.planned.set((planned.patient, planned.intent.desired.key.clone()), planned);
    }

    /// A delivery that was read back, locked against concurrent settling.
    pub fn look_at(&mut self, id: Uuid) -> Result<Option<Delivery>, Problem> {
        let Some(delivery) = self.deliveries.get(&id) else {
            self.missing.deliveries.insert(id);
            return Err(not_gathered());
        };
        let seen = self.sightings.iter().filter(|(delivery, _)| delivery.id == id);
        let now = delivery.clone().map(|delivery| seen.fold(delivery, |was, (_, note)| was.noted(note)));
        Ok(now)
    }

    /// Records the result of reading back; a pending write wakes the lane.
    pub fn note_sighting(&mut self, delivery: &Delivery, noted: &ChartNote) {
        self.outbox_changed |= noted.state == DeliveryState::Pending;
        self.sightings.push((delivery.clone(), noted.clone()));
    }
}

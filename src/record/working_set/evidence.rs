//! Measurements, and the single items that they are joined from.

use chrono::{DateTime, Utc};

use super::{WorkingSet, not_gathered};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::Measurement;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::measurement::ItemObservation;

impl WorkingSet {
    /// Stores measurements, or replaces what was known under their ids.
    pub fn put_measurements(&mut self, patient: PatientId, measurements: &[Measurement], now: DateTime<Utc>) {
        for one in measurements {
            self.measurements.set((patient, one.id), (one.clone(), now));
        }
    }

    fn read_items(&mut self, patient: PatientId) -> Result<(), Problem> {
        if self.items_read.contains(&patient) {
            return Ok(());
        }
        self.missing.items.insert(patient);
        Err(not_gathered())
    }

    /// The single item of a source.
    pub fn item_of(&mut self, patient: PatientId, source: &str) -> Result<Option<ItemObservation>, Problem> {
        self.read_items(patient)?;
        Ok(self.items.get(&(patient, source.to_owned())).cloned())
    }

    /// Stores a single item, or replaces what its source said before; answers what that was.
    pub fn put_item(&mut self, patient: PatientId, item: &ItemObservation) -> Result<Option<ItemObservation>, Problem> {
        let before = self.item_of(patient, &item.source)?;
        self.items.set((patient, item.source.clone()), item.clone());
        Ok(before)
    }

    /// The single items of an instrument from one instant to another, in order of time, item and source.
    pub fn items_between(
        &mut self,
        patient: PatientId,
        instrument: Instrument,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Vec<ItemObservation>, Problem> {
        self.read_items(patient)?;
        let is_of_taking =
            |item: &&ItemObservation| item.instrument == instrument && (from..=to).contains(&item.taken_at);
        let from_patient = self.items.from((patient, String::new()));
        let of_patient = from_patient.take_while(|((of, _), _)| *of == patient).map(|(_, item)| item);
        let mut items: Vec<ItemObservation> = of_patient.filter(is_of_taking).cloned().collect();
        items.sort_by(|a, b| (a.taken_at, a.item, &a.source).cmp(&(b.taken_at, b.item, &b.source)));
        Ok(items)
    }
}

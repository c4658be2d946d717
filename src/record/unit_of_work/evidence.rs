//! Measurements, and the single items that they are joined from.

use chrono::{DateTime, Utc};

use super::UnitOfWork;
use crate::domain::instrument::Instrument;
use crate::domain::measurement::Measurement;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::measurement::{self, ItemObservation};

impl UnitOfWork {
    /// Stores measurements, or replaces what was known under their ids.
    pub fn put_measurements(&mut self, patient: PatientId, measurements: &[Measurement], now: DateTime<Utc>) {
        for one in measurements {
            self.measurements.set((patient, one.id), (one.clone(), now));
        }
    }

    async fn read_items(&mut self, patient: PatientId) -> Result<(), Problem> {
        if self.items_read.insert(patient) {
            for item in measurement::items_of(&mut self.tx, &self.clinic, patient).await? {
                self.items.gathered((patient, item.source.clone()), Some(item));
            }
        }
        Ok(())
    }

    /// The single item of a source.
    pub async fn item_of(&mut self, patient: PatientId, source: &str) -> Result<Option<ItemObservation>, Problem> {
        self.read_items(patient).await?;
        Ok(self.items.get(&(patient, source.to_owned())).cloned())
    }

    /// Stores a single item, or replaces what its source said before; answers what that was.
    pub async fn put_item(
        &mut self,
        patient: PatientId,
        item: &ItemObservation,
    ) -> Result<Option<ItemObservation>, Problem> {
        let before = self.item_of(patient, &item.source).await?;
        self.items.set((patient, item.source.clone()), item.clone());
        Ok(before)
    }

    /// The single items of one taking, in order of item and source.
    pub async fn items_at(
        &mut self,
        patient: PatientId,
        instrument: Instrument,
        at: DateTime<Utc>,
    ) -> Result<Vec<ItemObservation>, Problem> {
        self.read_items(patient).await?;
        let is_of_taking = |item: &&ItemObservation| item.instrument == instrument && item.taken_at == at;
        let from_patient = self.items.from((patient, String::new()));
        let of_patient = from_patient.take_while(|((of, _), _)| *of == patient).map(|(_, item)| item);
        let mut items: Vec<ItemObservation> = of_patient.filter(is_of_taking).cloned().collect();
        items.sort_by(|a, b| (a.item, &a.source).cmp(&(b.item, &b.source)));
        Ok(items)
    }
}

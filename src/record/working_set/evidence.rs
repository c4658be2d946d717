//! Measurements, and the single items that they are joined from.

use chrono::{DateTime, Utc};

use super::{WorkingSet, not_gathered};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::Measurement;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::measurement::ItemObservation;
use crate::store::panel::PanelMember;

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

    /// The panel that names a single item as its part; where several do, the first by name.
    pub fn panel_of(&mut self, source: &str) -> Result<Option<String>, Problem> {
        if !self.members_read.contains(source) {
            self.missing.members.insert(source.to_owned());
            return Err(not_gathered());
        }
        let first = PanelMember { member: source.to_owned(), panel: String::new() };
        let naming = self.members.from(first).take_while(|(named, _)| named.member == source);
        Ok(naming.filter(|(_, is_member)| **is_member).map(|(named, _)| named.panel.clone()).next())
    }

    fn members_of(&mut self, panel: &str) -> Result<Vec<String>, Problem> {
        if !self.panels_read.contains(panel) {
            self.missing.panels.insert(panel.to_owned());
            return Err(not_gathered());
        }
        let named = self.members.iter().filter(|(named, is_member)| named.panel == panel && **is_member);
        Ok(named.map(|(named, _)| named.member.clone()).collect())
    }

    /// Stores the parts that a panel names, instead of those before; answers these.
    pub fn put_members(&mut self, panel: &str, members: &[String]) -> Result<Vec<String>, Problem> {
        let former = self.members_of(panel)?;
        let named = |member: &String| PanelMember { member: member.clone(), panel: panel.to_owned() };
        for gone in former.iter().filter(|member| !members.contains(member)) {
            self.members.set(named(gone), false);
        }
        for new in members.iter().filter(|member| !former.contains(member)) {
            self.members.set(named(new), true);
        }
        Ok(former)
    }

    /// The single items of an instrument that a panel names.
    pub fn items_of_panel(
        &mut self,
        patient: PatientId,
        instrument: Instrument,
        panel: &str,
    ) -> Result<Vec<ItemObservation>, Problem> {
        let mut items = Vec::new();
        for member in self.members_of(panel)? {
            items.extend(self.item_of(patient, &member)?.filter(|item| item.instrument == instrument));
        }
        Ok(items)
    }

    /// The single items of an instrument that no panel names, in order of time, item and source.
    pub fn loose_items(&mut self, patient: PatientId, instrument: Instrument) -> Result<Vec<ItemObservation>, Problem> {
        self.read_items(patient)?;
        let from_patient = self.items.from((patient, String::new()));
        let of_patient = from_patient.take_while(|((of, _), _)| *of == patient).map(|(_, item)| item);
        let all: Vec<ItemObservation> = of_patient.filter(|item| item.instrument == instrument).cloned().collect();
        let mut items = Vec::with_capacity(all.len());
        for item in all {
            if self.panel_of(&item.source)?.is_none() {
                items.push(item);
            }
        }
        items.sort_by(|a, b| (a.taken_at, a.item, &a.source).cmp(&(b.taken_at, b.item, &b.source)));
        Ok(items)
    }
}

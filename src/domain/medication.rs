//! Current medication, as far as the care team documented it: the care plan's list and the changes since.

use chrono::NaiveDate;

use super::care::{Care, CareEntry, MedicationAct, MedicationChange};

/// A medication that was not stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentMedication {
    pub name: String,
    /// How much and when, in words.
    pub dose: Option<String>,
    /// Since when it is taken so, as documented.
    pub since: NaiveDate,
}

/// The medication after these entries, which are in order of date; the latest change last.
pub fn current<'a>(entries: impl IntoIterator<Item = &'a CareEntry>) -> Vec<CurrentMedication> {
    let mut all: Vec<CurrentMedication> = Vec::new();
    for entry in entries {
        match &entry.care {
            Care::CarePlan(plan) => {
                for planned in &plan.medication {
                    // The day of a dose that the plan repeats stays.
                    let repeats = all.iter().any(|one| is_same(&one.name, &planned.name) && one.dose == planned.dose);
                    if !repeats {
                        take(&mut all, &planned.name, planned.dose.as_ref(), entry.on);
                    }
                }
            }
            Care::TreatmentChange { medication, .. } => {
                for change in medication {
                    apply(&mut all, change, entry.on);
                }
            }
            _ => {}
        }
    }
    all.sort_by_key(|one| one.since);
    all
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

fn apply(all: &mut Vec<CurrentMedication>, change: &MedicationChange, on: NaiveDate) {
    if let Some(before) = &change.instead_of {
        all.retain(|one| !is_same(&one.name, before));
    }
    match change.change {
        MedicationAct::Stopped => all.retain(|one| !is_same(&one.name, &change.name)),
        MedicationAct::Started
        | MedicationAct::DoseIncreased
        | MedicationAct::DoseDecreased
        | MedicationAct::Switched => take(all, &change.name, change.dose.as_ref(), on),
    }
}

fn take(all: &mut Vec<CurrentMedication>, name: &str, dose: Option<&String>, since: NaiveDate) {
    all.retain(|one| !is_same(&one.name, name));
    all.push(CurrentMedication { name: name.trim().to_owned(), dose: dose.cloned(), since });
}

#[cfg(test)]
mod tests {
    use super::{CurrentMedication, apply};
    use crate::domain::care::{MedicationAct, MedicationChange};

    fn change(name: &str, change: MedicationAct, dose: Option<&str>, instead_of: Option<&str>) -> MedicationChange {
        MedicationChange {
            name: name.into(),
            change,
            dose: dose.map(str::to_owned),
            instead_of: instead_of.map(str::to_owned),
            note: None,
        }
    }

    #[test]
    fn a_dose_replaces_the_one_before_and_what_was_stopped_is_gone() {
        let on = |day: &str| day.parse().unwrap();
        let mut all: Vec<CurrentMedication> = Vec::new();
        apply(&mut all, &change("Sertraline", MedicationAct::Started, Some("50 mg"), None), on("2026-01-05"));
        apply(&mut all, &change("sertraline ", MedicationAct::DoseIncreased, Some("100 mg"), None), on("2026-02-02"));
        let now = |all: &[CurrentMedication]| -> Vec<(String, Option<String>)> {
            all.iter().map(|one| (one.name.clone(), one.dose.clone())).collect()
        };
        assert_eq!(now(&all), [("sertraline".to_owned(), Some("100 mg".to_owned()))]);
        apply(&mut all, &change("Bupropion", MedicationAct::Switched, None, Some("SERTRALINE")), on("2026-03-02"));
        assert_eq!(now(&all), [("Bupropion".to_owned(), None)]);
        apply(&mut all, &change("bupropion", MedicationAct::Stopped, None, None), on("2026-03-09"));
        assert!(all.is_empty());
    }
}

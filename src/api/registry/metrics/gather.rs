//! Counting over everybody of a clinic, some patients at a time.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::CareManagerMetrics;
use crate::api::request::RequestContext;
use crate::domain::care::Payer;
use crate::domain::metrics::{
    CareManager, Figures, Metric, MetricsFilter, Month, Tallies, aims_tallies, caseloads, fidelity_tallies, for_export,
    nys_tallies,
};
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::Patient;
use crate::store::story;

/// A measure of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api::registry) enum MeasureSet {
    /// New York State OMH.
    Nys,
    /// Is the program run as meant.
    Fidelity,
    /// AIMS process measures.
    Aims,
}

impl MeasureSet {
    pub(in crate::api::registry) fn name(self) -> &'static str {
        match self {
            Self::Nys => "nys-omh-cocm-2025",
            Self::Fidelity => "cocm-fidelity",
            Self::Aims => "aims-process",
        }
    }

    /// The reported figures of a clinic or of one care manager.
    pub(super) fn of(self, mut figures: Figures, payer: Option<Payer>) -> Vec<Metric> {
        match (self, payer) {
            (Self::Nys, Some(payer)) => figures.nys_by_payer.remove(&payer).unwrap_or_default(),
            (Self::Nys, None) => figures.nys,
            (Self::Fidelity, _) => figures.fidelity,
            (Self::Aims, _) => figures.aims,
        }
    }
}

/// Some patients, as a measure reads them.
pub(super) struct StorySelection<'a> {
    all: &'a [Story],
    exported: Vec<Story>,
}

impl<'a> StorySelection<'a> {
    pub(super) fn of(measure: MeasureSet, all: &'a [Story]) -> Self {
        // Prorated scores are left out of quality exports, and of those only.
        Self { all, exported: if measure == MeasureSet::Nys { for_export(all) } else { Vec::new() } }
    }

    pub(super) fn tallies(&self, measure: MeasureSet, rules: &RuleSet, of: &MonthSelection<'_>) -> Tallies {
        match measure {
            MeasureSet::Nys => nys_tallies(&self.exported, rules, of.month, of.narrowing, of.fte),
            MeasureSet::Fidelity => fidelity_tallies(self.all, rules, of.month, of.narrowing),
            MeasureSet::Aims => aims_tallies(self.all, rules, of.month, of.narrowing),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct MonthSelection<'a> {
    pub(super) month: Month,
    pub(super) narrowing: &'a MetricsFilter,
    /// Attested for the month.
    pub(super) fte: Option<f64>,
}

/// Patients behind the ids of metrics, by episode and by patient.
#[derive(Debug, Default)]
pub(super) struct Subjects(BTreeMap<Uuid, (PatientId, String)>);

impl Subjects {
    pub(super) fn add(&mut self, patients: &[Patient], stories: &[Story]) {
        for (patient, story) in patients.iter().zip(stories) {
            let ids = story.episodes.iter().map(|e| e.id.0).chain([patient.id.0]);
            self.0.extend(ids.map(|id| (id, (patient.id, patient.reference.clone()))));
        }
    }

    /// The patient behind an id.
    pub(super) fn patient(&self, id: Uuid) -> Option<PatientId> {
        self.0.get(&id).map(|(patient, _)| *patient)
    }

    /// The chart's reference of the patient behind each id.
    pub(super) fn references(&self) -> BTreeMap<Uuid, String> {
        self.0.iter().map(|(id, (_, reference))| (*id, reference.clone())).collect()
    }
}

/// Counted metrics.
pub(super) struct MeasureResult {
    pub(super) metrics: Vec<Metric>,
    pub(super) groups: Vec<CareManagerMetrics>,
    pub(super) subjects: Subjects,
}

/// Counts everybody of the clinic; with `grouped`, also by care manager.
pub(super) async fn gather(
    call: &RequestContext,
    measure: MeasureSet,
    rules: &RuleSet,
    of: MonthSelection<'_>,
    grouped: bool,
) -> Result<MeasureResult, Problem> {
    let mut tx = call.app.db.read().await?;
    let mut all = StorySelection::of(measure, &[]).tallies(measure, rules, &of);
    let mut groups: BTreeMap<CareManager, Tallies> = BTreeMap::new();
    let mut subjects = Subjects::default();
    let mut everybody = story::everybody(call.clinic());
    while let Some((patients, stories)) = everybody.next(&mut tx).await? {
        let some = StorySelection::of(measure, &stories);
        all.absorb(some.tallies(measure, rules, &of));
        subjects.add(&patients, &stories);
        if !grouped {
            continue;
        }
        for (care_manager, stories) in caseloads(&stories, of.month) {
            let narrowing = MetricsFilter { care_manager: Some(care_manager.clone()), ..of.narrowing.clone() };
            let some = StorySelection::of(measure, &stories);
            let tallies = some.tallies(measure, rules, &MonthSelection { narrowing: &narrowing, ..of });
            match groups.get_mut(&care_manager) {
                Some(there) => there.absorb(tallies),
                None => drop(groups.insert(care_manager, tallies)),
            }
        }
    }
    let groups = groups.into_iter().map(|(care_manager, tallies)| CareManagerMetrics {
        care_manager: care_manager.into(),
        metrics: tallies.metrics(),
    });
    Ok(MeasureResult { metrics: all.metrics(), groups: groups.collect(), subjects })
}

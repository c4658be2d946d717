//! The story of one patient while facts change it: loaded once per transaction.

use std::collections::HashMap;

use super::RecordContext;
use super::recommendation_rows::{self, RecommendationRows};
use crate::domain::chart_plan::{ChartPlan, plan};
use crate::domain::story::Story;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::journal;
use crate::store::outbox::LedgerEntry;
use crate::store::patient::Patient;
use crate::store::{Tx, outbox, story};

/// Everything about one locked patient.
pub struct Dossier {
    pub patient: Patient,
    /// The planner's input.
    pub story: Story,
    /// What the ledger of the chart holds.
    pub ledger: Vec<LedgerEntry>,
    /// What is listed of its recommendations.
    pub recommendations: RecommendationRows,
    /// The plan before the next fact.
    pub plan: ChartPlan,
}

impl Dossier {
    /// Loads everything about a locked patient.
    pub async fn load(tx: &mut Tx, context: &RecordContext<'_>, patient: Patient) -> Result<Self, Problem> {
        let clinic = context.clinic;
        let story = story::of(tx, clinic, &patient).await?;
        let ledger = outbox::entries(tx, clinic, patient.id).await?;
        let recommendations = recommendation_rows::load(tx, context, patient.id, &story).await?;
        let plan = plan(&story, context.rules, context.today);
        Ok(Self { patient, story, ledger, recommendations, plan })
    }

    /// A person of whom nothing is stored yet.
    pub fn fresh(context: &RecordContext<'_>, patient: Patient) -> Self {
        let story = Story::of(patient.for_story());
        let plan = plan(&story, context.rules, context.today);
        Self { patient, story, ledger: Vec::new(), recommendations: RecommendationRows::new(), plan }
    }
}

/// The dossiers of a transaction, by clinic and patient.
#[derive(Default)]
pub struct Dossiers {
    open: HashMap<(String, PatientId), Dossier>,
    /// Whether anything was put into the outbox.
    pub delivers: bool,
    /// What the journal says about it: written at the end, together.
    pub lines: Vec<journal::JournalEntry>,
}

impl Dossiers {
    /// Takes a patient's dossier out, loading it if need be. It has to be put back.
    pub async fn take(
        &mut self,
        tx: &mut Tx,
        context: &RecordContext<'_>,
        patient: Patient,
    ) -> Result<Dossier, Problem> {
        match self.open.remove(&(context.clinic.to_owned(), patient.id)) {
            Some(mut dossier) => {
                dossier.patient.revision = patient.revision;
                Ok(dossier)
            }
            None => Dossier::load(tx, context, patient).await,
        }
    }

    /// Puts a dossier back for the next fact.
    pub fn put(&mut self, context: &RecordContext<'_>, dossier: Dossier) {
        self.open.insert((context.clinic.to_owned(), dossier.patient.id), dossier);
    }

    /// Forgets one: it was merged into another.
    pub fn drop(&mut self, context: &RecordContext<'_>, patient: PatientId) {
        self.open.remove(&(context.clinic.to_owned(), patient));
    }

    /// Forgets all: what they were loaded from was undone.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}

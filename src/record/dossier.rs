//! The story of one patient while facts change it: loaded once per transaction.

use std::collections::HashMap;

use uuid::Uuid;

use super::Context;
use super::follow::{self, Rows};
use crate::domain::plan::{Plan, plan};
use crate::domain::story::Story;
use crate::problem::Problem;
use crate::store::journal;
use crate::store::outbox::Entry;
use crate::store::patient::Patient;
use crate::store::{WriteTx, outbox, story};

/// Everything about one locked patient.
pub struct Dossier {
    /// The row.
    pub patient: Patient,
    /// The planner's input.
    pub story: Story,
    /// What the ledger of the chart holds.
    pub ledger: Vec<Entry>,
    /// What is listed of its recommendations.
    pub recommendations: Rows,
    /// The plan before the next fact.
    pub plan: Plan,
}

impl Dossier {
    /// Loads everything about a locked patient.
    pub async fn load(tx: &mut WriteTx, context: &Context<'_>, patient: Patient) -> Result<Self, Problem> {
        let clinic = context.clinic;
        let story = story::of(tx, clinic, &patient).await?;
        let ledger = outbox::entries(tx, clinic, patient.id).await?;
        let recommendations = follow::load(tx, context, patient.id, &story).await?;
        let plan = plan(&story, context.rules, context.today);
        Ok(Self { patient, story, ledger, recommendations, plan })
    }

    /// A person of whom nothing is stored yet.
    pub fn fresh(context: &Context<'_>, patient: Patient) -> Self {
        let story = Story::of(patient.for_story());
        let plan = plan(&story, context.rules, context.today);
        Self { patient, story, ledger: Vec::new(), recommendations: Rows::new(), plan }
    }
}

/// The dossiers of a transaction, by clinic and patient.
#[derive(Default)]
pub struct Dossiers {
    open: HashMap<(String, Uuid), Dossier>,
    /// Whether anything was put into the outbox.
    pub delivers: bool,
    /// What the journal says about it: written at the end, together.
    pub lines: Vec<journal::Entry>,
}

impl Dossiers {
    /// Takes a patient's dossier out, loading it if need be. It has to be put back.
    pub async fn take(&mut self, tx: &mut WriteTx, context: &Context<'_>, patient: Patient) -> Result<Dossier, Problem> {
        match self.open.remove(&(context.clinic.to_owned(), patient.id)) {
            Some(mut dossier) => {
                dossier.patient.revision = patient.revision;
                Ok(dossier)
            }
            None => Dossier::load(tx, context, patient).await,
        }
    }

    /// Puts a dossier back for the next fact.
    pub fn put(&mut self, context: &Context<'_>, dossier: Dossier) {
        self.open.insert((context.clinic.to_owned(), dossier.patient.id), dossier);
    }

    /// Forgets one: it was merged into another.
    pub fn drop(&mut self, context: &Context<'_>, patient: Uuid) {
        self.open.remove(&(context.clinic.to_owned(), patient));
    }

    /// Forgets all: what they were loaded from was undone.
    pub fn forget(&mut self) {
        self.open.clear();
    }
}

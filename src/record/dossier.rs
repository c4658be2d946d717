//! The story of one patient while commands change it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Context;
use crate::domain::plan::{Plan, plan};
use crate::domain::story::Story;
use crate::store::outbox::Entry;
use crate::store::patient::Patient;
use crate::store::recommendation;

/// Everything about one locked patient.
#[derive(Clone)]
pub struct Dossier {
    /// The row.
    pub patient: Patient,
    /// The planner's input.
    pub story: Story,
    /// What the ledger of the chart holds.
    pub ledger: Vec<Entry>,
    /// What is listed of its recommendations.
    pub recommendations: BTreeMap<Uuid, recommendation::Row>,
    /// The plan before the next command.
    pub plan: Plan,
}

impl Dossier {
    /// A person of whom nothing is stored yet.
    pub fn fresh(context: &Context<'_>, patient: Patient) -> Self {
        let story = Story::of(patient.for_story());
        let plan = plan(&story, context.rules, context.today);
        Self { patient, story, ledger: Vec::new(), recommendations: BTreeMap::new(), plan }
    }
}

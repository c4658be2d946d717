//! The story of one patient while commands change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::RecordContext;
use crate::domain::chart_plan::{ChartPlan, plan};
use crate::domain::story::Story;
use crate::store::outbox::LedgerEntry;
use crate::store::patient::Patient;
use crate::store::recommendation;

/// Everything about one locked patient. Each command changes a copy, so what commands seldom change is shared.
#[derive(Clone)]
pub struct Dossier {
    pub patient: Patient,
    /// The planner's input.
    pub story: Story,
    /// What the ledger of the chart holds.
    pub ledger: Vec<Arc<LedgerEntry>>,
    /// What is listed of its recommendations.
    pub recommendations: Arc<BTreeMap<Uuid, recommendation::RecommendationRow>>,
    /// The plan before the next command.
    pub plan: Arc<ChartPlan>,
}

impl Dossier {
    /// A person of whom nothing is stored yet.
    pub fn fresh(context: &RecordContext<'_>, patient: Patient) -> Self {
        let story = Story::of(patient.for_story());
        let plan = Arc::new(plan(&story, context.rules, context.today));
        Self { patient, story, ledger: Vec::new(), recommendations: Arc::default(), plan }
    }
}

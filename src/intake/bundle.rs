//! A Bundle becomes one submission to the hallway: one transaction, however many entries.
//!
//! First every entry is looked at and what it will be stored as is foreseen, because the others may refer to it; then
//! the references are resolved, the resources are read, and all is handed over. Where what was foreseen turns out
//! otherwise (somebody else created the patient in between), nothing of it is kept, and it is foreseen anew.

mod plan;

use std::borrow::Cow;

use super::Intake;
use crate::fhir::arrival::ResourceType;
use crate::fhir::bundle::{Bundle, BundleEntry, BundlePurpose, inside};
use crate::problem::{Category, Problem};
use crate::record::Recorded;
use plan::BundlePlan;

pub use plan::addressed;

/// How often a Bundle is foreseen anew.
const TRIES: usize = 4;

/// Action of an entry on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryAction {
    Create,
    Update,
    Delete,
    Read,
    Search,
}

/// Outcome of an entry.
#[derive(Clone, Debug)]
pub enum EntryOutcome {
    Recorded {
        /// The resource's type.
        kind: ResourceType,
        recorded: Recorded,
    },
    /// The entry is a read: the caller answers it.
    Wanted {
        url: String,
        /// `If-None-Match`.
        if_none_match: Option<String>,
    },
    /// Left aside, for this reason.
    Ignored(Cow<'static, str>),
    /// Failed; everything else went on.
    Failed(Problem),
}

/// Decides who may do what with a type, before an entry is accepted.
pub type Permission<'a> = &'a (dyn Fn(ResourceType, EntryAction) -> Result<(), Problem> + Send + Sync);

impl Intake {
    /// Takes a Bundle in; answers after the commit, entry by entry.
    ///
    /// # Errors
    /// For a transaction, the first thing that fails, with its entry in `expression`; for all, what the database says.
    pub async fn take_bundle(
        &self,
        clinic: &str,
        by: &str,
        bundle: &Bundle<'_>,
        may: Permission<'_>,
    ) -> Result<Vec<EntryOutcome>, Problem> {
        let mut tried = 0;
        loop {
            tried += 1;
            let plan = self.plan(clinic, bundle, may).await?;
            match self.carry_out(clinic, by, bundle.purpose, plan).await {
                Err(problem) if problem.category == Category::Conflict && tried < TRIES => {}
                Ok(outcomes) if tried < TRIES && outcomes.iter().any(is_conflict) => {}
                done => return done,
            }
        }
    }

    /// Looks at every entry: what is to be recorded, and what is not.
    async fn plan(&self, clinic: &str, bundle: &Bundle<'_>, may: Permission<'_>) -> Result<BundlePlan, Problem> {
        let atomic = bundle.purpose == BundlePurpose::Transaction;
        let mut entries = Vec::with_capacity(bundle.entries.len());
        for raw in &bundle.entries {
            let step = BundleEntry::read(raw).and_then(|entry| plan::look(entry, bundle.purpose, may));
            entries.push(step);
        }
        plan::one_per_resource(&mut entries, bundle.purpose);
        if atomic {
            for (i, entry) in entries.iter().enumerate() {
                if let Err(problem) = entry {
                    return Err(inside(problem.clone(), i));
                }
            }
        }
        let links = self.foresee(clinic, &mut entries).await?;
        let mut plan = BundlePlan::default();
        for (i, entry) in entries.into_iter().enumerate() {
            match entry.and_then(|step| self.fact(clinic, step, &links)) {
                Err(problem) if atomic => return Err(inside(problem, i)),
                Err(problem) => plan.outcomes.push(Some(EntryOutcome::Failed(inside(problem, i)))),
                Ok(plan::EntryStep::Outcome(outcome)) => plan.outcomes.push(Some(outcome)),
                Ok(plan::EntryStep::Fact(kind, fact)) => {
                    plan.places.push((i, kind));
                    plan.commands.push(*fact);
                    plan.outcomes.push(None);
                }
            }
        }
        Ok(plan)
    }

    async fn carry_out(
        &self,
        clinic: &str,
        by: &str,
        purpose: BundlePurpose,
        plan: BundlePlan,
    ) -> Result<Vec<EntryOutcome>, Problem> {
        let BundlePlan { mut outcomes, places, commands } = plan;
        if !commands.is_empty() {
            let atomic = purpose == BundlePurpose::Transaction;
            let answers = self.take_all(clinic, by, commands, atomic).await.map_err(|problem| {
                match problem.command.and_then(|command| places.get(command)) {
                    Some((entry, _)) => inside(problem, *entry),
                    None => problem,
                }
            })?;
            for ((i, kind), answer) in places.into_iter().zip(answers) {
                outcomes[i] = Some(match answer {
                    Ok(recorded) => EntryOutcome::Recorded { kind, recorded },
                    // Known or not: it is not there any more, which is all that was said.
                    Err(problem) if problem.category == Category::NotFound && purpose == BundlePurpose::History => {
                        EntryOutcome::Ignored("was not known".into())
                    }
                    Err(problem) => EntryOutcome::Failed(inside(problem, i)),
                });
            }
        }
        let lost = || EntryOutcome::Failed(Problem::internal("an entry was not answered"));
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect())
    }
}

fn is_conflict(outcome: &EntryOutcome) -> bool {
    matches!(outcome, EntryOutcome::Failed(problem) if problem.category == Category::Conflict)
}

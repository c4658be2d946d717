//! The ledger's knowledge before a delivery, and the result of the delivery.

use super::failure::Failure;
use crate::domain::task::Posture;

/// The ledger's knowledge of one planned resource before a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Its id in the chart.
    pub chart_id: Option<String>,
    /// The posture that the chart confirmed last.
    pub last_written: Option<Posture>,
    /// A delivery ended with [`Failure::OutcomeUnknown`], and none succeeded since.
    pub outcome_unknown: bool,
    /// The postures of those deliveries: the chart may have them, and then a closing there was ours.
    pub unanswered: Vec<Posture>,
    /// How many deliveries were begun before this one.
    pub attempts: u32,
    /// How many follow-ups the chart has, where what is written can never be changed.
    pub follow_ups: u32,
}

impl Ledger {
    /// The ledger's knowledge after a delivery of `posture`.
    #[must_use]
    pub fn after(mut self, posture: Posture, result: &Result<DeliveryResult, Failure>) -> Self {
        match result {
            // Where nothing is written, nothing stands in any way.
            Ok(done) if done.effect == DeliveryEffect::NotWritten => Self::default(),
            Ok(done) => Self {
                chart_id: done.chart_id.clone(),
                last_written: Some(posture),
                follow_ups: done.follow_ups,
                ..Self::default()
            },
            Err(failure) => {
                self.attempts += 1;
                if failure.is_outcome_unknown() {
                    self.outcome_unknown = true;
                    if !self.unanswered.contains(&posture) {
                        self.unanswered.push(posture);
                    }
                }
                self
            }
        }
    }
}

/// Why the chart was left as it is, against the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManualChange {
    /// A person closed it there.
    ClosedInChart,
    /// Deleted in the chart.
    DeletedInChart,
    /// A person works on it; a note tells them that it is no longer called for.
    InProgressNoted,
}

/// Effect of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEffect {
    /// Written for the first time.
    Created,
    Updated,
    /// The earlier resource cannot be changed, so a follow-up reports the change.
    FollowedUp,
    /// Nothing is written on this rung.
    NotWritten,
    /// Already as wanted, or neither present nor wanted.
    Unchanged,
    /// An earlier delivery, whose answer was lost, had written it.
    AlreadyThere,
    /// The chart knows better.
    LeftAlone(ManualChange),
    /// Several had our identifier: one was kept. An operator should know.
    Reconciled {
        /// Ids of the others.
        duplicates: Vec<String>,
        /// Whether they could be marked as errors, where nobody had touched them.
        closed: bool,
    },
}

/// A delivery that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryResult {
    /// Its id in the chart; `None` only where nothing was written.
    pub chart_id: Option<String>,
    /// Its version there, where the server says.
    pub version: Option<String>,
    /// Its status there, as far as known.
    pub chart_status: Option<String>,
    pub effect: DeliveryEffect,
    /// Created after an answer was lost: `reconcile` later, when the server's index has caught up.
    pub recheck: bool,
    /// How many follow-ups the chart has.
    pub follow_ups: u32,
}

impl DeliveryResult {
    /// On a rung where nothing is written.
    pub fn not_written() -> Self {
        Self {
            chart_id: None,
            version: None,
            chart_status: None,
            effect: DeliveryEffect::NotWritten,
            recheck: false,
            follow_ups: 0,
        }
    }
}

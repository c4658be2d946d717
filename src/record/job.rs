//! A submission that waits for its answer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{IdempotencyKey, Submission, SubmissionResult};
use crate::identity::{Role, acting};
use crate::problem::Problem;

/// A submission that waits for its answer.
pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) once: Option<IdempotencyKey>,
    pub(super) role: Option<Role>,
    pub(super) reply: oneshot::Sender<Result<SubmissionResult, Problem>>,
    /// Its place in the queue, once it has one.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Job {
    pub(super) fn new(
        submission: Submission,
        once: Option<IdempotencyKey>,
    ) -> (Self, oneshot::Receiver<Result<SubmissionResult, Problem>>) {
        let (reply, answer) = oneshot::channel();
        (Self { submission, once, role: acting(), reply, place: None }, answer)
    }
}

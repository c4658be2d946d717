//! A submission that waits for its answer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::row_keys::RowKeys;
use super::{IdempotencyKey, Submission, SubmissionResult};
use crate::identity::{Role, acting};
use crate::problem::Problem;

/// A submission that waits for its answer.
pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) once: Option<IdempotencyKey>,
    /// What it names, so that the queue keeps the order of what is about the same.
    pub(super) named: RowKeys,
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
        let key = once.as_ref().map(|once| once.key.as_str());
        let named = RowKeys::of(&submission.clinic, &submission.facts, key);
        (Self { submission, once, named, role: acting(), reply, place: None }, answer)
    }
}

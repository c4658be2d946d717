//! A submission that waits for its answer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::row_keys::RowKeys;
use super::{IdempotencyKey, Submission, SubmissionResult};
use crate::identity::{Role, acting};
use crate::problem::Problem;

pub(super) struct Job {
    pub(super) submission: Submission,
    pub(super) idempotency_key: Option<IdempotencyKey>,
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
        idempotency_key: Option<IdempotencyKey>,
    ) -> (Self, oneshot::Receiver<Result<SubmissionResult, Problem>>) {
        let (reply, answer) = oneshot::channel();
        let key = idempotency_key.as_ref().map(|key| key.key.as_str());
        let named = RowKeys::of(&submission.clinic, &submission.commands, key);
        (Self { submission, idempotency_key, named, role: acting(), reply, place: None }, answer)
    }
}

//! A request that may be sent twice and happens once: its key is committed together with what it did.
//!
//! The key is looked for and stored in the transaction of the facts, so whatever happens to the process or to the
//! answer, a repetition finds either both or neither. Two replicas that take the same request at the same time meet at
//! the primary key: one of them commits, the other one is run again and finds what was answered.

use serde::{Deserialize, Serialize};

use super::working_set::WorkingSet;
use super::{Recorded, SubmissionResult};
use crate::problem::{Category, Problem};
use crate::store::idempotency::{COMMITTED, StoredAnswer};

/// Under which key a submission may happen only once, and a digest of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, within the clinic.
    pub key: String,
    /// The request's digest: the same key for another request is refused.
    pub request: String,
}

/// What the key holds once the request is committed.
#[derive(Serialize, Deserialize)]
struct CommittedAnswer {
    recorded: Vec<Recorded>,
}

/// What was answered under the key, if anything was.
pub fn answered(
    set: &mut WorkingSet,
    key: &IdempotencyKey,
) -> Result<Option<Result<SubmissionResult, Problem>>, Problem> {
    let Some(found) = set.answered(&key.key)? else { return Ok(None) };
    if found.request != key.request {
        return Ok(Some(Err(Problem::unprocessable("this Idempotency-Key was used for another request"))));
    }
    if found.status != COMMITTED {
        // Answered meanwhile by another replica: whoever asks again gets that answer.
        return Ok(Some(Err(Problem::new(Category::Unavailable, "answered elsewhere just now; send it again"))));
    }
    let committed: CommittedAnswer =
        serde_json::from_str(&found.body).map_err(|_| Problem::internal("a remembered answer cannot be read"))?;
    Ok(Some(Ok(committed.recorded.into_iter().map(Ok).collect())))
}

/// Stores the key beside the facts. Only of a submission that succeeded as a whole.
pub fn remember(set: &mut WorkingSet, key: &IdempotencyKey, answer: &SubmissionResult) -> Result<(), Problem> {
    let recorded: Vec<Recorded> = answer.iter().filter_map(|recorded| recorded.as_ref().ok().cloned()).collect();
    if recorded.len() < answer.len() {
        return Ok(());
    }
    let body = serde_json::to_string(&CommittedAnswer { recorded })
        .map_err(|_| Problem::internal("an answer cannot be remembered"))?;
    set.remember(&key.key, StoredAnswer { request: key.request.clone(), status: COMMITTED, body });
    Ok(())
}

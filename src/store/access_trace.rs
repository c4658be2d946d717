//! Collects the patients whose rows were read for an answer. Functions that return patient rows record them here, and
//! the layer that answers a request reads the list: no endpoint can forget to journal a read.
//!
//! The list holds rows that were *read*: one more than a page shows, when the store looked for a next page.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::id::PatientId;

tokio::task_local! {
    static SHOWN: RefCell<BTreeSet<PatientId>>;
}

/// Runs something; answers with the patients whose rows were read by it, in its own task.
pub async fn watched<F: Future>(work: F) -> (F::Output, Vec<PatientId>) {
    SHOWN
        .scope(RefCell::default(), async {
            let done = work.await;
            (done, SHOWN.with(RefCell::take).into_iter().collect())
        })
        .await
}

/// These patients' rows were read. Nothing outside of [`watched`].
pub(super) fn note(patients: impl IntoIterator<Item = PatientId>) {
    // An error means that there is no request: the recorder's own read.
    let _ = SHOWN.try_with(|shown| shown.borrow_mut().extend(patients));
}

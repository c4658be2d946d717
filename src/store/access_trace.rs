//! Whose rows were read for an answer. The functions that give out patients' rows say so here, and whoever answers a
//! request can ask afterwards: so no endpoint can forget to tell the journal whom it showed.
//!
//! Told is whose rows were *read*: one more than is on a page, where the store looked whether there is another page.

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
    // An error means that nobody asks: the hallway's own reading.
    let _ = SHOWN.try_with(|shown| shown.borrow_mut().extend(patients));
}

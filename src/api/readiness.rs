//! Whether requests can be served, known without asking the database for each who asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::problem::{Category, Problem};
use crate::store::{Db, probe};

/// So long an answer is given again: anybody may ask, and each probe costs a commit.
const KNOWN_FOR: Duration = Duration::from_secs(2);
/// How long the database has for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last probe of writing, and when it was. One at a time. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Option<Probe>>>);

type Probe = (Instant, Result<(), Problem>);

impl Readiness {
    /// Whether the database can be written to.
    pub async fn check_writable(&self, db: &Db) -> Result<(), Problem> {
        let mut known = self.0.lock().await;
        if let Some((at, outcome)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return outcome.clone();
        }
        // Another text each time: an engine may leave out a write that changes nothing.
        let mark = if known.as_ref().is_some_and(|(_, outcome)| outcome.is_ok()) { 'a' } else { 'b' };
        let outcome = match timeout(PATIENCE, probe::write(db, mark)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                Err(Problem::new(Category::Unavailable, "the database can be read and not written to now"))
            }
        };
        *known = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

//! Records read access in groups: one commit for all waiting requests.
//!
//! An answer waits until its line is committed, but not for ever: a list of unassessed safety answers must be readable
//! when the database cannot write. After [`PATIENCE`], or at once while the last attempt has failed, the answer goes
//! out; the line stays in the queue, which is tried again every second, logged loudly and counted. When the queue is full (or the process ends with a
//! database that still cannot write) the line goes to the log: ids and codes, no names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::problem::{Category, Problem};
use crate::store::Db;
use crate::store::journal::{self, JournalEntry};

/// How long an answer waits for its line.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the end of the process waits for the queue.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// How many lines share a commit.
const BATCH: usize = 256;
/// How many lines wait at the most.
const QUEUE: usize = 10_000;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// A line to be written, or nothing: then only everything before it is waited for.
struct PendingRead {
    entry: Option<JournalEntry>,
    written: oneshot::Sender<()>,
}

/// The lines that wait. Cheap to clone.
#[derive(Clone)]
pub(super) struct ReadQueue {
    sender: mpsc::Sender<PendingRead>,
    /// The last attempt to write failed: nobody waits for the next one.
    is_stuck: Arc<AtomicBool>,
}

impl ReadQueue {
    pub(super) fn start(db: Db, bell: Arc<Notify>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let is_stuck = Arc::new(AtomicBool::new(false));
        tokio::spawn(work(db, bell, receiver, Arc::clone(&is_stuck)));
        Self { sender, is_stuck }
    }

    pub(super) async fn write(&self, entry: JournalEntry) {
        let (written, done) = oneshot::channel();
        if let Err(refused) = self.sender.try_send(PendingRead { entry: Some(entry), written }) {
            let (mpsc::error::TrySendError::Full(waiting) | mpsc::error::TrySendError::Closed(waiting)) = refused;
            lost(waiting.entry.iter());
            return;
        }
        if self.is_stuck.load(Ordering::Relaxed) || timeout(PATIENCE, done).await.is_err() {
            metrics::counter!("cocm_journal_reads_late").increment(1);
        }
    }

    pub(super) async fn flush(&self) {
        let (written, done) = oneshot::channel();
        let asked = self.sender.send(PendingRead { entry: None, written });
        let flushed = timeout(LAST_PATIENCE, async { asked.await.is_ok() && done.await.is_ok() }).await;
        if !flushed.unwrap_or(false) {
            tracing::error!("not every read could be written into the journal before the end");
        }
    }
}

async fn work(db: Db, bell: Arc<Notify>, mut queue: mpsc::Receiver<PendingRead>, is_stuck: Arc<AtomicBool>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let (mut entries, mut written) = (Vec::new(), Vec::new());
        for waiting in batch.drain(..) {
            entries.extend(waiting.entry);
            written.push(waiting.written);
        }
        while !entries.is_empty() {
            match store(&db, &entries).await {
                Ok(()) => {
                    is_stuck.store(false, Ordering::Relaxed);
                    bell.notify_one();
                    entries.clear();
                }
                Err(problem) if problem.category == Category::Unavailable => {
                    is_stuck.store(true, Ordering::Relaxed);
                    let waiting = entries.len() + queue.len();
                    metrics::gauge!("cocm_journal_reads_waiting")
                        .set(f64::from(u32::try_from(waiting).unwrap_or(u32::MAX)));
                    tracing::error!(waiting, "reads of patient data cannot be written into the journal now; they wait");
                    // The process is ending: there is no further attempt.
                    if queue.is_closed() {
                        lost(entries.iter());
                        return;
                    }
                    sleep(PAUSE).await;
                }
                Err(_) => {
                    for entry in entries.drain(..) {
                        if store(&db, std::slice::from_ref(&entry)).await.is_err() {
                            lost([&entry]);
                        }
                    }
                }
            }
        }
        metrics::gauge!("cocm_journal_reads_waiting").set(0.0);
        for written in written {
            // The waiting request may be gone; the entry is written.
            let _ = written.send(());
        }
    }
}

async fn store(db: &Db, entries: &[JournalEntry]) -> Result<(), Problem> {
    let mut tx = db.begin("journal_reads").await?;
    journal::add(&mut tx, entries).await?;
    tx.commit().await
}

/// The last place where a line can be kept.
fn lost<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) {
    for entry in entries {
        metrics::counter!("cocm_journal_reads_lost").increment(1);
        tracing::error!(line = entry.line(), "this line could not be written into the journal");
    }
}

//! The journal's rooms beside the hallway: giving lines their places ([`Journal::run`]), writing down who was shown what
//! ([`Journal::write`]), and finding out whether anything was changed afterwards ([`verify`]).
//!
//! The chain: line `n` of a clinic has the hash `SHA-256(hash of n-1 ‖ "\n" ‖ n ‖ "\n" ‖ line)`, the first one follows the
//! clinic's name. A line attests its fact by a digest. So a change of a line or of a fact, a deletion, an exchange
//! of two, and a fact that nobody recorded are found by walking the chain; that its *end* was cut off is found by a head
//! that was written down somewhere else before (`verify-audit --head`).

mod listeners;
mod reads;
mod recompute;
pub mod heads;
pub mod events;
pub mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};

use crate::problem::Problem;
use crate::store::journal::{self, JournalEntry};
use crate::store::{Db, WriteTx};
use listeners::Listeners;
pub use listeners::{Listener, TooMany};
use reads::ReadQueue;

/// How many lines are sealed in one transaction.
const SOME: i64 = 256;
/// How long lines are gathered after the first one: a transaction costs an fsync, and its lock.
const GATHER: Duration = Duration::from_millis(50);
/// How often to look for new entries, and for entries that other replicas have sealed.
const IDLE: Duration = Duration::from_secs(1);

/// The last sealed number of each clinic.
pub type SealedHeads = Arc<HashMap<String, i64>>;

/// Seals, and writes down reads. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    db: Db,
    bell: Arc<Notify>,
    heads: watch::Sender<SealedHeads>,
    reads: ReadQueue,
    listeners: Listeners,
}

impl Journal {
    /// A journal; `bell` tells that there are new lines. Reads are written from now on, sealing begins with [`Journal::run`].
    pub fn start(db: &Db, bell: Arc<Notify>) -> Self {
        let reads = ReadQueue::start(db.clone(), bell.clone());
        Self {
            db: db.clone(),
            bell,
            heads: watch::Sender::new(SealedHeads::default()),
            reads,
            listeners: Listeners::default(),
        }
    }

    /// Changes whenever a clinic's chain grows.
    pub fn heads(&self) -> watch::Receiver<SealedHeads> {
        self.heads.subscribe()
    }

    /// A place for one more who listens to a clinic's events.
    ///
    /// # Errors
    /// Where the person, or the clinic, has too many.
    pub fn listen(&self, clinic: &str, person: &str) -> Result<Listener, TooMany> {
        self.listeners.enter(clinic, person)
    }

    /// Whether it is news to the journal that a person listens.
    pub fn is_new_listener(&self, clinic: &str, person: &str, now: DateTime<Utc>) -> bool {
        self.listeners.is_new(clinic, person, now)
    }

    /// Wakes the sealer: another than the recorder has left lines.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Seals until stopped, then writes and seals the rest.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            if let Err(problem) = self.seal().await {
                tracing::warn!(%problem, "the journal cannot be sealed now; its lines wait");
            }
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(IDLE) => {}
                () = self.bell.notified() => tokio::time::sleep(GATHER).await,
            }
        }
        self.flush().await;
        if let Err(problem) = self.seal().await {
            tracing::warn!(%problem, "the last lines of the journal are sealed at the next start");
        }
    }

    /// Gives every line its place that has none; answers how many there were. Safe beside other replicas: whoever seals
    /// holds the end of the clinic's chain.
    ///
    /// # Errors
    /// When the database does not answer; what was sealed is sealed.
    pub async fn seal(&self) -> Result<usize, Problem> {
        let mut tx = self.db.read().await?;
        let clinics = journal::clinics_unsealed(&mut tx).await?;
        drop(tx);
        let mut sealed = 0;
        for clinic in clinics {
            loop {
                let mut tx = self.db.begin("journal_seal").await?;
                let done = some(&mut tx, &clinic).await?;
                tx.commit().await?;
                sealed += done;
                if done < usize::try_from(SOME).unwrap_or(usize::MAX) {
                    break;
                }
            }
        }
        let mut tx = self.db.read().await?;
        let heads: SealedHeads = Arc::new(journal::heads(&mut tx).await?.into_iter().collect());
        self.heads.send_if_modified(|known| {
            let news = *known != heads;
            *known = heads;
            news
        });
        Ok(sealed)
    }

    /// Writes down that somebody was shown something, and waits for it, within bounds: see `reads`.
    pub async fn write(&self, entry: JournalEntry) {
        self.reads.write(entry).await;
    }

    /// Waits until the reads so far are written, within bounds.
    pub async fn flush(&self) {
        self.reads.flush().await;
    }
}

async fn some(tx: &mut WriteTx, clinic: &str) -> Result<usize, Problem> {
    let head = journal::hold_head(tx, clinic).await?;
    let lines = journal::unsealed(tx, clinic, SOME).await?;
    if !lines.is_empty() {
        journal::seal(tx, clinic, &head, &lines).await?;
    }
    Ok(lines.len())
}

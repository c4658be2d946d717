//! The two connections that the store's functions run on. A statement that writes takes a [`WriteTx`]; a [`ReadTx`] is
//! not one, so a write on a reading connection does not compile, and the database refuses it besides.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Executor as _, Postgres, Sqlite};

use super::failed;
use crate::problem::Problem;

/// A connection of either engine.
#[derive(Debug)]
pub(super) enum EngineConnection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

impl EngineConnection {
    async fn run(&mut self, postgres: &'static str, sqlite: &'static str) -> Result<(), Problem> {
        match self {
            Self::Postgres(connection) => connection.execute(postgres).await.map(|_| ()),
            Self::Sqlite(connection) => connection.execute(sqlite).await.map(|_| ()),
        }
        .map_err(failed)
    }

    /// Takes the connection out of its pool and closes it. Nobody inherits what it was in the middle of.
    fn discard(self) {
        match self {
            Self::Postgres(connection) => drop(connection.detach()),
            Self::Sqlite(connection) => drop(connection.detach()),
        }
    }
}

/// A connection that reads, each statement by itself.
#[derive(Debug)]
pub struct ReadTx(Option<EngineConnection>);

impl ReadTx {
    pub(super) fn new(engine: EngineConnection) -> Self {
        Self(Some(engine))
    }

    #[expect(clippy::expect_used, reason = "the engine is taken by what consumes the transaction, and by nothing else")]
    pub(super) fn engine(&mut self) -> &mut EngineConnection {
        self.0.as_mut().expect("a transaction that is in use has a connection")
    }

    /// Whether several may write at once.
    pub(super) fn has_many_writers(&self) -> bool {
        matches!(self.0, Some(EngineConnection::Postgres(_)))
    }
}

/// A transaction that writes. Whoever drops it without [`WriteTx::commit`] or [`WriteTx::rollback`] has met an error: the
/// connection is thrown away with it.
#[derive(Debug)]
pub struct WriteTx {
    reading: ReadTx,
    name: &'static str,
    begun: Instant,
    is_single_statement: bool,
}

impl Deref for WriteTx {
    type Target = ReadTx;

    fn deref(&self) -> &ReadTx {
        &self.reading
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.reading
    }
}

impl WriteTx {
    pub(super) async fn begin(engine: EngineConnection, name: &'static str) -> Result<Self, Problem> {
        let mut tx = Self::single_statement(engine, name);
        tx.is_single_statement = false;
        // A deferred transaction of SQLite that turns into a writer can fail at once, whatever the busy timeout.
        let begun = tx.engine().run("BEGIN", "BEGIN IMMEDIATE").await;
        if begun.is_err() {
            // There is nothing to take back: the connection can be used again.
            tx.end("refused");
        }
        begun.map(|()| tx)
    }

    pub(super) fn single_statement(engine: EngineConnection, name: &'static str) -> Self {
        Self { reading: ReadTx::new(engine), name, begun: Instant::now(), is_single_statement: true }
    }

    /// Commits.
    ///
    /// # Errors
    /// When the database did not say that it has committed. It may have.
    pub async fn commit(mut self) -> Result<(), Problem> {
        if !self.is_single_statement {
            self.engine().run("COMMIT", "COMMIT").await?;
        }
        self.end("committed");
        Ok(())
    }

    /// Takes back everything.
    ///
    /// # Errors
    /// When the database does not answer; nothing is kept then either.
    pub async fn rollback(mut self) -> Result<(), Problem> {
        if !self.is_single_statement {
            self.engine().run("ROLLBACK", "ROLLBACK").await?;
        }
        self.end("rolled_back");
        Ok(())
    }

    fn end(&mut self, outcome: &'static str) {
        self.measure(outcome);
        // Back into the pool.
        self.reading.0 = None;
    }

    fn measure(&self, outcome: &'static str) {
        metrics::histogram!("cocm_transaction_seconds", "name" => self.name, "outcome" => outcome)
            .record(self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        let Some(engine) = self.reading.0.take() else { return };
        if self.is_single_statement {
            return self.measure("committed");
        }
        self.measure("dropped");
        tracing::debug!(transaction = self.name, "a transaction ended without a commit; its connection is closed");
        engine.discard();
    }
}

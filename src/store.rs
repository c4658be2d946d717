//! The only place that knows SQL. One set of texts for SQLite and PostgreSQL; every function takes the clinic first.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Postgres, Sqlite, SqliteConnection, Transaction};

use crate::problem::{Category, Problem};

/// Runs one query text on whichever engine is open.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match $tx {
            $crate::store::Tx::Postgres(handle) => {
                let $conn = handle.connection();
                $body
            }
            $crate::store::Tx::Sqlite(handle) => {
                let $conn = handle.connection();
                $body
            }
        }
    };
}

/// Executes a statement; the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        on!($tx, |conn| sqlx::query($sql)$(.bind($bind))*.execute(conn).await.map(|done| done.rows_affected()))
    };
}

/// Every row, as a type that derives `FromRow`.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        on!($tx, |conn| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_all(conn).await)
    };
}

/// The first row, if there is one.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        on!($tx, |conn| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_optional(conn).await)
    };
}

/// Every row whose key is in a list of any length.
macro_rules! fetch_listed {
    ($tx:expr, $row:ty, $texts:expr, $clinic:expr, $values:expr) => {{
        let mut all: Vec<$row> = Vec::new();
        for (text, room, values) in $texts.pieces($values) {
            let rows = on!($tx, |conn| {
                let mut query = sqlx::query_as::<_, $row>(text).bind($clinic);
                for place in 0..room {
                    query = query.bind(values.get(place).unwrap_or(&values[0]).to_owned());
                }
                query.fetch_all(conn).await
            });
            all.extend(rows.map_err($crate::store::failed)?);
        }
        all
    }};
}

mod key;
mod rows;
pub mod access_trace;
pub mod lease;
pub mod patient;
pub mod resource;
pub mod measurement;
pub mod episode;
pub mod event_log;
pub mod standing;
pub mod recommendation;
pub mod review_session;
pub mod outbox;
pub mod safety;
pub mod quarantine;
pub mod completion;
pub mod questionnaire;
pub mod rule_set;
pub mod staffing;
pub mod closed_month;
pub mod idempotency;
pub mod session;
pub mod connection;
pub mod journal;
pub mod webhook;
pub mod probe;
pub mod backup;
pub mod story;
pub mod story_as_known;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The oldest SQLite that is safe with a write-ahead log: 3.51.3 fixed its reset bug.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The oldest PostgreSQL that its makers maintain, or nearly.
const OLDEST_POSTGRES: i32 = 130_000;

/// An open database.
#[derive(Clone, Debug)]
pub enum Db {
    /// A PostgreSQL server.
    Postgres(PgPool),
    /// An embedded SQLite file: one writer, a few readers.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
    },
}

/// A connection in or outside of a transaction.
pub enum DbHandle<D: sqlx::Database> {
    /// In a transaction.
    Transaction(Transaction<'static, D>),
    /// Each statement by itself.
    Connection(PoolConnection<D>),
}

impl<D: sqlx::Database> DbHandle<D> {
    fn connection(&mut self) -> &mut D::Connection {
        match self {
            Self::Transaction(tx) => tx,
            Self::Connection(connection) => connection,
        }
    }
}

/// A transaction or a connection for the functions of the store.
pub enum Tx {
    Postgres(DbHandle<Postgres>),
    Sqlite(DbHandle<Sqlite>),
}

impl Db {
    /// Opens `sqlite://path` or `postgres://…`, checks the engine, and does not migrate.
    pub async fn open(url: &str) -> Result<Self, Problem> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            return Self::open_sqlite(Path::new(path)).await;
        }
        let options: PgConnectOptions =
            url.parse().map_err(|e: sqlx::Error| Problem::internal(format!("database_url: {e}")))?;
        // A replica that hangs must not hold a patient forever.
        let bounds =
            [("lock_timeout", "10s"), ("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "60s")];
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options.application_name("cocm-registry").options(bounds))
            .await
            .map_err(failed)?;
        check_postgres(&pool).await?;
        Ok(Self::Postgres(pool))
    }

    async fn open_sqlite(path: &Path) -> Result<Self, Problem> {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| Problem::internal(format!("cannot make the folder of the database: {e}")))?;
        }
        owner_only(path).map_err(|e| Problem::internal(format!("the database's file cannot be made private: {e}")))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30))
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-8000")
            .statement_cache_capacity(256);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .after_release(|connection, _| Box::pin(is_reusable(connection)))
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .after_release(|connection, _| Box::pin(is_reusable(connection)))
            .acquire_timeout(Duration::from_secs(5))
            // So many rows are handed over before whoever reads has to take them.
            .connect_with(options.pragma("query_only", "on").row_buffer_size(1024))
            .await
            .map_err(failed)?;
        let db = Self::Sqlite { writer, readers };
        db.check_sqlite().await?;
        Ok(db)
    }

    async fn check_sqlite(&self) -> Result<(), Problem> {
        let Self::Sqlite { writer, .. } = self else { return Ok(()) };
        let (version, journal, synchronous): (String, String, i64) = sqlx::query_as(
            "SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous)",
        )
        .fetch_one(writer)
        .await
        .map_err(failed)?;
        let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < OLDEST_SQLITE {
            return Err(Problem::internal(format!(
                "SQLite {version} is older than 3.51.3, whose WAL-reset fix is needed"
            )));
        }
        if journal != "wal" || synchronous < 2 {
            return Err(Problem::internal(format!(
                "SQLite must run with journal_mode=wal and synchronous=full; found {journal} and {synchronous}"
            )));
        }
        Ok(())
    }

    /// Brings the schema up to date. A schema newer than the program is refused. Several replicas may call it at once.
    pub async fn migrate(&self) -> Result<(), Problem> {
        let mut done = self.run_migrations().await;
        // PostgreSQL lets one replica migrate at a time; on SQLite whoever comes second finds the tables there or the
        // file locked, and a moment later that everything is done.
        for _ in 0..20 {
            if matches!(self, Self::Postgres(_))
                || !matches!(done, Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            done = self.run_migrations().await;
        }
        done.map_err(|e| match e {
            MigrateError::VersionMissing(version) => Problem::internal(format!(
                "the database has migration {version}, which this program does not know: it is newer; upgrade the program"
            )),
            other => Problem::internal(format!("migration failed: {other}")),
        })
    }

    async fn run_migrations(&self) -> Result<(), MigrateError> {
        match self {
            Self::Postgres(pool) => MIGRATIONS.run(pool).await,
            Self::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
        }
    }

    /// Begins a transaction that writes.
    #[expect(clippy::disallowed_methods, reason = "this is the function that the others are told to use")]
    pub async fn begin(&self) -> Result<Tx, Problem> {
        Ok(match self {
            Self::Postgres(pool) => Tx::Postgres(DbHandle::Transaction(pool.begin().await.map_err(failed)?)),
            Self::Sqlite { writer, .. } => {
                // A deferred transaction that turns into a writer can fail at once, whatever the busy timeout.
                let tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
                Tx::Sqlite(DbHandle::Transaction(tx))
            }
        })
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Tx, Problem> {
        Ok(match self {
            Self::Postgres(pool) => Tx::Postgres(DbHandle::Connection(pool.acquire().await.map_err(failed)?)),
            Self::Sqlite { readers, .. } => Tx::Sqlite(DbHandle::Connection(readers.acquire().await.map_err(failed)?)),
        })
    }

    /// A connection for one statement that writes, which commits by itself: a third of the round trips of a transaction.
    pub async fn single_write(&self) -> Result<Tx, Problem> {
        Ok(match self {
            Self::Postgres(pool) => Tx::Postgres(DbHandle::Connection(pool.acquire().await.map_err(failed)?)),
            Self::Sqlite { writer, .. } => Tx::Sqlite(DbHandle::Connection(writer.acquire().await.map_err(failed)?)),
        })
    }

    /// How many recorders may work at once: SQLite has one writer.
    pub fn writers(&self) -> usize {
        match self {
            Self::Postgres(_) => 6,
            Self::Sqlite { .. } => 1,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Problem> {
        let mut tx = self.read().await?;
        execute!(&mut tx, "SELECT 1").map(|_| ()).map_err(failed)
    }

    /// Closes every connection, SQLite with a last checkpoint.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// Makes a file that only its owner can read, or takes the others' rights to one that is there. `SQLite` gives the same
/// rights to the files it puts beside it.
///
/// # Errors
/// Where it is somebody else's.
pub fn owner_only(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::metadata(&name) {
            Ok(file) if file.permissions().mode() & 0o077 != 0 => {
                std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o600))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a connection that comes back can be used again. `SQLite` rolls back by itself when the disk is full; the
/// rollback that follows then fails, and the connection believes for ever that it is inside a transaction.
async fn is_reusable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be on its way.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// The promise "2xx means durable" depends on these settings.
async fn check_postgres(pool: &PgPool) -> Result<(), Problem> {
    let (version, encoding, commit, fsync): (i32, String, String, String) = sqlx::query_as(
        "SELECT CAST(current_setting('server_version_num') AS INTEGER), current_setting('server_encoding'),
           current_setting('synchronous_commit'), current_setting('fsync')",
    )
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    if version < OLDEST_POSTGRES {
        return Err(Problem::internal(format!("PostgreSQL 13 or newer is needed; the server says {version}")));
    }
    if encoding != "UTF8" {
        return Err(Problem::internal(format!("the database must be encoded in UTF8; it is in {encoding}")));
    }
    if commit == "off" {
        return Err(Problem::internal(
            "PostgreSQL runs with synchronous_commit=off: what was acknowledged could be lost; set it to on",
        ));
    }
    if fsync == "off" {
        tracing::warn!("PostgreSQL runs with fsync=off: a crash of the machine can destroy the database");
    }
    Ok(())
}

impl Tx {
    /// Commits. On a reading connection there is nothing to commit.
    pub async fn commit(self) -> Result<(), Problem> {
        match self {
            Self::Postgres(DbHandle::Transaction(tx)) => tx.commit().await.map_err(failed),
            Self::Sqlite(DbHandle::Transaction(tx)) => tx.commit().await.map_err(failed),
            _ => Ok(()),
        }
    }

    pub async fn rollback(self) -> Result<(), Problem> {
        match self {
            Self::Postgres(DbHandle::Transaction(tx)) => tx.rollback().await.map_err(failed),
            Self::Sqlite(DbHandle::Transaction(tx)) => tx.rollback().await.map_err(failed),
            _ => Ok(()),
        }
    }

    /// Marks a point to return to.
    pub async fn savepoint(&mut self) -> Result<(), Problem> {
        execute!(self, "SAVEPOINT fact").map(|_| ()).map_err(failed)
    }

    /// Keeps what was done since the savepoint.
    pub async fn release(&mut self) -> Result<(), Problem> {
        execute!(self, "RELEASE SAVEPOINT fact").map(|_| ()).map_err(failed)
    }

    /// Undoes what was done since the savepoint.
    pub async fn undo(&mut self) -> Result<(), Problem> {
        execute!(self, "ROLLBACK TO SAVEPOINT fact").map(|_| ()).map_err(failed)?;
        self.release().await
    }
}

/// The database's error as a problem. The text goes to the log: it may hold values.
#[expect(clippy::needless_pass_by_value, reason = "shaped for map_err")]
pub fn failed(error: sqlx::Error) -> Problem {
    let transient = matches!(
        &error,
        sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
    ) || error.as_database_error().is_some_and(|e| {
        let code = e.code().unwrap_or_default();
        is_transient(&code)
    });
    let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned)).unwrap_or_default();
    if matches!(code.as_str(), "22021" | "22P05") {
        // The doors refuse it already; this is what PostgreSQL says of it.
        return Problem::malformed("text cannot contain U+0000");
    }
    tracing::warn!(code, kind = %kind(&error), "database error");
    if transient {
        Problem::new(Category::Unavailable, "the database cannot answer now; try again")
    } else {
        Problem::internal("the database refused a statement")
    }
}

/// Whether the same statement may succeed later, by the engine's own code. `SQLite`'s are numbers below 10,000, where
/// the last byte says the kind: busy, locked, read-only, I/O, full, cannot open. PostgreSQL's have five places, of which
/// two say the class: connection, authorization (nobody is let in now), resources, not in this state, operator, system.
fn is_transient(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14),
        _ => {
            matches!(code, "40001" | "40P01" | "25P03" | "25006" | "3D000")
                || ["08", "28", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
        }
    }
}

/// Kind of the error, without the values that it may quote.
fn kind(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => {
            format!("{:?} {}", e.kind(), e.constraint().or(e.table()).unwrap_or_default())
        }
        sqlx::Error::ColumnDecode { index, .. } => format!("decode {index}"),
        sqlx::Error::RowNotFound => "row not found".to_owned(),
        other => other.to_string(),
    }
}

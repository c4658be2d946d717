//! The only place that knows SQL. One set of texts for SQLite and PostgreSQL; every function takes the clinic first.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};

use crate::problem::{Category, Problem};
use transaction::EngineConnection;
pub use transaction::{ReadTx, WriteTx};

#[macro_use]
mod statements;
mod transaction;
mod key;
mod open;
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
pub mod panel;
pub mod questionnaire;
pub mod rule_set;
pub mod staffing;
pub mod closed_month;
pub mod idempotency;
pub mod session;
pub mod api_key;
pub mod connection;
pub mod journal;
pub mod webhook;
pub mod probe;
pub mod waiting;
pub mod backup;
pub mod story;
pub mod story_as_known;

pub use open::{owner_only, sqlite_path};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The oldest SQLite that is safe with a write-ahead log: 3.51.3 fixed its reset bug.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// The oldest PostgreSQL that its makers maintain, or nearly.
const OLDEST_POSTGRES: i32 = 130_000;

/// Pages in a write-ahead log that are worth a checkpoint.
const CHECKPOINT_AT: i64 = 4_000;

/// An open database: connections that write, and connections that only read.
#[derive(Clone, Debug)]
pub enum Db {
    /// A PostgreSQL server.
    Postgres {
        /// Connections that write.
        writer: PgPool,
        /// Connections whose transactions are read-only.
        readers: PgPool,
    },
    /// An embedded SQLite file: one writer, a few readers.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
    },
}

impl Db {
    /// Opens `sqlite://path` or `postgres://…`, checks the engine, and does not migrate.
    pub async fn open(url: &str) -> Result<Self, Problem> {
        if let Some(path) = sqlite_path(url) {
            return Self::open_sqlite(path).await;
        }
        let options: PgConnectOptions =
            url.parse().map_err(|e: sqlx::Error| Problem::internal(format!("database_url: {e}")))?;
        // A replica that hangs must not hold a patient forever.
        let bounds =
            [("lock_timeout", "10s"), ("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "60s")];
        let options = options.application_name("cocm-registry").statement_cache_capacity(512).options(bounds);
        let pool = |most| PgPoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(5));
        let writer = match pool(8).connect_with(options.clone()).await {
            Ok(writer) => writer,
            Err(error) => return Err(open::postgres(&options, error).await),
        };
        check_postgres(&writer).await?;
        let read_only = options.options([("default_transaction_read_only", "on")]);
        let readers = pool(12).connect_with(read_only).await.map_err(failed)?;
        Ok(Self::Postgres { writer, readers })
    }

    /// Opens a database that is there: a mistyped folder makes no new one.
    pub async fn open_existing(url: &str) -> Result<Self, Problem> {
        match sqlite_path(url).filter(|path| !path.exists()) {
            Some(path) => Err(Problem::internal(format!(
                "there is no database at {}: `serve` or `migrate` makes one",
                path.display()
            ))),
            None => Self::open(url).await,
        }
    }

    async fn open_sqlite(path: &Path) -> Result<Self, Problem> {
        let in_words = |e: std::io::Error| Problem::internal(format!("{}: {e}", path.display()));
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(in_words)?;
        }
        owner_only(path).map_err(in_words)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30))
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-8000")
            // A page that many commits change is copied into the file once: by `checkpoint`, or a commit at last.
            .pragma("wal_autocheckpoint", "16000")
            .statement_cache_capacity(512);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .after_release(|connection, _| Box::pin(is_reusable(connection)))
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.clone())
            .await
            .map_err(|e| open::sqlite(path, &e))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .after_release(|connection, _| Box::pin(is_reusable(connection)))
            .acquire_timeout(Duration::from_secs(5))
            // So many rows are handed over before whoever reads has to take them.
            .connect_with(options.pragma("query_only", "on").row_buffer_size(1024))
            .await
            .map_err(|e| open::sqlite(path, &e))?;
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
            if matches!(self, Self::Postgres { .. })
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
            Self::Postgres { writer, .. } => MIGRATIONS.run(writer).await,
            Self::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
        }
    }

    /// How many migrations the schema lacks. A schema newer than the program is refused.
    pub async fn migrations_due(&self) -> Result<usize, Problem> {
        let mut tx = self.read().await?;
        let applied =
            fetch_all!(&mut tx, (i64,), "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
        // Without the table there is no schema.
        let applied: Vec<i64> = applied.unwrap_or_default().into_iter().map(|(version,)| version).collect();
        match applied.iter().find(|version| !MIGRATIONS.version_exists(**version)) {
            Some(version) => Err(Problem::internal(format!(
                "the database has migration {version}, which this program does not know: it is newer; upgrade the program"
            ))),
            None => Ok(MIGRATIONS.iter().filter(|known| !applied.contains(&known.version)).count()),
        }
    }

    /// Begins a transaction that writes. Its name is a label of the metrics.
    pub async fn begin(&self, name: &'static str) -> Result<WriteTx, Problem> {
        WriteTx::begin(self.writer().await?, name).await
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<ReadTx, Problem> {
        Ok(ReadTx::new(match self {
            Self::Postgres { readers, .. } => EngineConnection::Postgres(readers.acquire().await.map_err(failed)?),
            Self::Sqlite { readers, .. } => EngineConnection::Sqlite(readers.acquire().await.map_err(failed)?),
        }))
    }

    /// A connection for one statement that writes, which commits by itself: a third of the round trips of a transaction.
    pub async fn single_write(&self, name: &'static str) -> Result<WriteTx, Problem> {
        Ok(WriteTx::single_statement(self.writer().await?, name))
    }

    async fn writer(&self) -> Result<EngineConnection, Problem> {
        Ok(match self {
            Self::Postgres { writer, .. } => EngineConnection::Postgres(writer.acquire().await.map_err(failed)?),
            Self::Sqlite { writer, .. } => EngineConnection::Sqlite(writer.acquire().await.map_err(failed)?),
        })
    }

    /// How many recorders may work at once: SQLite has one writer; on PostgreSQL a few that gather big batches do more than
    /// many that split them.
    pub fn recorders(&self) -> usize {
        match self {
            Self::Postgres { .. } => 2,
            Self::Sqlite { .. } => 1,
        }
    }

    /// The time on the server; `None` for a database in a file.
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, Problem> {
        match self {
            Self::Postgres { readers, .. } => {
                sqlx::query_scalar("SELECT now()").fetch_one(readers).await.map(Some).map_err(failed)
            }
            Self::Sqlite { .. } => Ok(None),
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Problem> {
        let mut tx = self.read().await?;
        fetch_optional!(&mut tx, (i32,), "SELECT 1").map(|_| ()).map_err(failed)
    }

    /// Copies a large write-ahead log of `SQLite` into its file while others write. PostgreSQL does this by itself.
    pub async fn checkpoint(&self) -> Result<(), Problem> {
        let Self::Sqlite { readers, .. } = self else { return Ok(()) };
        let mut connection = readers.acquire().await.map_err(failed)?;
        let (_, logged, copied): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut *connection).await.map_err(failed)?;
        if logged - copied < CHECKPOINT_AT {
            return Ok(());
        }
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *connection).await.map(|_| ()).map_err(failed)
    }

    /// Closes every connection, SQLite with a last checkpoint.
    pub async fn close(&self) {
        match self {
            Self::Postgres { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
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
    if lacks_something(&error, &code) {
        return Problem::internal("a table or a column is missing: run `cocm-registry migrate`");
    }
    if transient {
        Problem::new(Category::Unavailable, "the database cannot answer now; try again")
    } else {
        Problem::internal("the database refused a statement")
    }
}

/// Whether the schema is another one than the program's.
fn lacks_something(error: &sqlx::Error, code: &str) -> bool {
    let says = |text: &str| error.as_database_error().is_some_and(|e| e.message().starts_with(text));
    matches!(code, "42P01" | "42703") || says("no such table") || says("no such column")
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

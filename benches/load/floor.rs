//! The floor: the rows that the service wrote for its forms, written again by sqlx alone with as many forms in a commit
//! and many rows in a statement, each commit on disk. No service can be faster than its database; the ratio says how close ours comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use cocm_registry::id::{EpisodeId, PatientId};
use cocm_registry::store::Db;
use serde_json::value::RawValue;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::types::Json;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::Failed;

/// At most so many forms are read back; when they are used up they are written again for another clinic.
const MOST: i64 = 20_000;

type Body = Json<Box<RawValue>>;

#[derive(sqlx::FromRow)]
struct Resource {
    id: String,
    version: i64,
    source_version: Option<String>,
    source_updated: Option<DateTime<Utc>>,
    patient_id: Option<PatientId>,
    deleted: bool,
    updated_at: DateTime<Utc>,
    body: String,
}

#[derive(sqlx::FromRow)]
struct Identifier {
    token: String,
    id: String,
}

#[derive(sqlx::FromRow)]
struct Measurement {
    patient_id: PatientId,
    id: Uuid,
    instrument: String,
    taken_at: DateTime<Utc>,
    taken_on: NaiveDate,
    total: Option<i16>,
    quality: String,
    item9: Option<i16>,
    item9_unknown: bool,
    counting: String,
    source: String,
    answers: Body,
    issues: Body,
    recorded_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Fact {
    patient_id: PatientId,
    id: Uuid,
    episode_id: Option<EpisodeId>,
    kind: String,
    is_care: bool,
    happened_on: NaiveDate,
    happened_at: DateTime<Utc>,
    outcome: Option<String>,
    minutes: Option<i16>,
    body: Body,
    changes: Body,
    recorded_at: DateTime<Utc>,
    recorded_by: String,
}

#[derive(sqlx::FromRow)]
struct Delivery {
    patient_id: PatientId,
    key: String,
    id: Uuid,
    resource: String,
    code: String,
    priority: String,
    posture: String,
    intent: Body,
    digest: String,
    identifier: String,
    revision: i64,
    settled_revision: i64,
    state: String,
    attempts: i32,
    outcome_unknown: bool,
    next_attempt_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What the service wrote for its forms.
pub struct Rows {
    /// How many forms the service holds.
    pub forms: usize,
    resources: Vec<Resource>,
    identifiers: Vec<Identifier>,
    measurements: Vec<Measurement>,
    commands: Vec<Fact>,
    deliveries: Vec<Delivery>,
}

impl Rows {
    /// Rows to a form.
    pub fn each(&self) -> f64 {
        let rows = self.resources.len()
            + self.identifiers.len()
            + self.measurements.len()
            + self.commands.len()
            + self.deliveries.len();
        rows as f64 / self.resources.len().max(1) as f64
    }
}

/// The share of `rows` that belongs to form `i` of `forms`.
fn share<T>(rows: &[T], i: usize, forms: usize) -> &[T] {
    &rows[i * rows.len() / forms..(i + 1) * rows.len() / forms]
}

/// The most rows of one statement.
const ROWS: usize = 64;

/// Inserts the rows of one table, many in a statement.
macro_rules! insert {
    ($tx:expr, $database:ty, $head:literal, $rows:expr, |$clinic:ident, $row:ident| $($bind:expr),* $(,)?) => {
        for some in $rows.chunks(ROWS) {
            let mut query = sqlx::QueryBuilder::<$database>::new($head);
            query.push_values(some, |mut values, ($clinic, $row)| {
                values$(.push_bind($bind))*;
            });
            query.build().execute(&mut *$tx).await?;
        }
    };
}

/// The rows of one table that belong to some forms, each with the clinic it is written for.
fn of_forms<'r, T>(rows: &'r [T], forms: &'r [(usize, String)], all: usize) -> Vec<(&'r String, &'r T)> {
    let of_form = |(i, clinic): &'r (usize, String)| share(rows, *i, all).iter().map(move |row| (clinic, row));
    forms.iter().flat_map(of_form).collect()
}

/// Reading and writing, on one engine. sqlx's own traits could say this once, in more lines than the macro takes.
macro_rules! engine {
    ($name:ident, $database:ty, $connection:ty, $begin:literal) => {
        mod $name {
            use super::*;

            pub async fn read(connection: &mut $connection) -> Result<Rows, sqlx::Error> {
                let (forms,): (i64,) =
                    sqlx::query_as("SELECT COUNT(*) FROM resource WHERE type = 'QuestionnaireResponse' AND NOT deleted")
                        .fetch_one(&mut *connection)
                        .await?;
                let (all,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM delivery").fetch_one(&mut *connection).await?;
                let deliveries = if forms > MOST { all * MOST / forms } else { all };
                Ok(Rows {
                    forms: usize::try_from(forms).unwrap_or(0),
                    resources: sqlx::query_as(
                        "SELECT id, version, source_version, source_updated, patient_id, deleted, updated_at, body FROM resource
                         WHERE type = 'QuestionnaireResponse' AND NOT deleted ORDER BY updated_at, id LIMIT $1",
                    )
                    .bind(MOST)
                    .fetch_all(&mut *connection)
                    .await?,
                    identifiers: sqlx::query_as(
                        "SELECT token, id FROM resource_identifier WHERE type = 'QuestionnaireResponse' ORDER BY id LIMIT $1",
                    )
                    .bind(MOST)
                    .fetch_all(&mut *connection)
                    .await?,
                    measurements: sqlx::query_as(
                        "SELECT patient_id, id, instrument, taken_at, taken_on, total, quality, item9, item9_unknown, counting,
                           source, answers, issues, recorded_at FROM measurement ORDER BY recorded_at, id LIMIT $1",
                    )
                    .bind(MOST)
                    .fetch_all(&mut *connection)
                    .await?,
                    commands: sqlx::query_as(
                        "SELECT patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome, minutes, body,
                           changes, recorded_at, recorded_by FROM fact WHERE kind = 'measurement' ORDER BY id LIMIT $1",
                    )
                    .bind(MOST)
                    .fetch_all(&mut *connection)
                    .await?,
                    deliveries: sqlx::query_as(
                        "SELECT patient_id, key, id, resource, code, priority, posture, intent, digest, identifier, revision,
                           settled_revision, state, attempts, outcome_unknown, next_attempt_at, created_at, updated_at
                         FROM delivery ORDER BY id LIMIT $1",
                    )
                    .bind(deliveries)
                    .fetch_all(&mut *connection)
                    .await?,
                })
            }

            /// Writes the forms of one commit; `forms` are places among the rows and the clinic they are written for.
            pub async fn commit(
                connection: &mut $connection,
                rows: &Rows,
                forms: &[(usize, String)],
            ) -> Result<(), sqlx::Error> {
                let mut tx = connection.begin_with($begin).await?;
                let all = rows.resources.len();
                insert!(
                    tx,
                    $database,
                    "INSERT INTO resource (clinic_id, type, id, version, source_version, source_updated, patient_id, deleted,
                       updated_at, body) ",
                    of_forms(&rows.resources, forms, all),
                    |clinic, r| *clinic, "QuestionnaireResponse", &r.id, r.version, &r.source_version, r.source_updated,
                    r.patient_id, r.deleted, r.updated_at, &r.body,
                );
                insert!(
                    tx,
                    $database,
                    "INSERT INTO resource_identifier (clinic_id, type, token, id) ",
                    of_forms(&rows.identifiers, forms, all),
                    |clinic, r| *clinic, "QuestionnaireResponse", &r.token, &r.id,
                );
                insert!(
                    tx,
                    $database,
                    "INSERT INTO measurement (clinic_id, patient_id, id, instrument, taken_at, taken_on, total, quality, item9,
                       item9_unknown, counting, source, answers, issues, recorded_at) ",
                    of_forms(&rows.measurements, forms, all),
                    |clinic, r| *clinic, r.patient_id, r.id, &r.instrument, r.taken_at, r.taken_on, r.total, &r.quality,
                    r.item9, r.item9_unknown, &r.counting, &r.source, &r.answers, &r.issues, r.recorded_at,
                );
                insert!(
                    tx,
                    $database,
                    "INSERT INTO fact (clinic_id, patient_id, id, episode_id, kind, is_care, happened_on, happened_at, outcome,
                       minutes, body, changes, recorded_at, recorded_by) ",
                    of_forms(&rows.commands, forms, all),
                    |clinic, r| *clinic, r.patient_id, r.id, r.episode_id, &r.kind, r.is_care, r.happened_on, r.happened_at,
                    &r.outcome, r.minutes, &r.body, &r.changes, r.recorded_at, &r.recorded_by,
                );
                insert!(
                    tx,
                    $database,
                    "INSERT INTO delivery (clinic_id, patient_id, key, id, resource, code, priority, posture, intent, digest,
                       revision, settled_revision, state, attempts, outcome_unknown, next_attempt_at, created_at, updated_at,
                       identifier) ",
                    of_forms(&rows.deliveries, forms, all),
                    |clinic, r| *clinic, r.patient_id, &r.key, r.id, &r.resource, &r.code, &r.priority, &r.posture, &r.intent,
                    &r.digest, r.revision, r.settled_revision, &r.state, r.attempts, r.outcome_unknown, r.next_attempt_at,
                    r.created_at, r.updated_at, &r.identifier,
                );
                tx.commit().await
            }
        }
    };
}

engine!(sqlite, sqlx::Sqlite, SqliteConnection, "BEGIN IMMEDIATE");
engine!(postgres, sqlx::Postgres, PgConnection, "BEGIN");

/// An empty database with our schema, to write the floor into.
pub struct Floor {
    url: String,
    /// How many connections may write: one for SQLite, for PostgreSQL as many as the service's recorders.
    writers: usize,
    rows: Rows,
    /// Counts the forms that were written, over all stretches.
    next: AtomicU64,
}

impl Floor {
    /// Reads what the service has written at `source`, and prepares `url`.
    pub async fn prepare(source: &str, url: &str) -> Result<Self, Failed> {
        let db = Db::open(url).await?;
        db.migrate().await?;
        let writers = db.recorders();
        db.close().await;
        let rows = if is_sqlite(source) {
            sqlite::read(&mut open_sqlite(source).await?).await?
        } else {
            postgres::read(&mut PgConnection::connect(source).await?).await?
        };
        Ok(Self { url: url.to_owned(), writers, rows, next: AtomicU64::new(0) })
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Forms a second, from `connections` clients at once, `batch` forms in a commit on average.
    pub async fn measure(&self, connections: usize, batch: f64, length: Duration) -> Result<f64, Failed> {
        let begun = Instant::now();
        let writers = (0..connections.min(self.writers)).map(|_| self.write(batch.max(1.0), begun, length));
        let written = futures_util::future::try_join_all(writers).await?;
        Ok(written.iter().sum::<usize>() as f64 / begun.elapsed().as_secs_f64())
    }

    async fn write(&self, batch: f64, begun: Instant, length: Duration) -> Result<usize, sqlx::Error> {
        let mut connection = if is_sqlite(&self.url) {
            Either::Sqlite(open_sqlite(&self.url).await?)
        } else {
            Either::Postgres(PgConnection::connect(&self.url).await?)
        };
        let (mut written, mut commits) = (0, 0.0);
        while begun.elapsed() < length {
            commits += 1.0;
            let mut forms = Vec::new();
            // A fractional batch: some commits have one form more.
            while f64::from(u32::try_from(written + forms.len()).unwrap_or(u32::MAX)) < (batch * commits).round() {
                forms.push(self.place());
            }
            match &mut connection {
                Either::Sqlite(c) => sqlite::commit(c, &self.rows, &forms).await?,
                Either::Postgres(c) => postgres::commit(c, &self.rows, &forms).await?,
            }
            written += forms.len();
        }
        Ok(written)
    }

    /// The next form, and a clinic that does not have it yet.
    fn place(&self) -> (usize, String) {
        let number = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
        let forms = self.rows.resources.len().max(1);
        (number % forms, format!("floor-{}", number / forms))
    }
}

enum Either {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Durable, as the service opens it.
async fn open_sqlite(url: &str) -> Result<SqliteConnection, sqlx::Error> {
    url.parse::<SqliteConnectOptions>()?
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30))
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-8000")
        .statement_cache_capacity(256)
        .connect()
        .await
}

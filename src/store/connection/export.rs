//! Bulk exports in progress, so that an interrupted one can resume.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ConnectionKey;
use crate::problem::Problem;
use crate::store::{ReadTx, WriteTx, failed};

/// An export that the server makes, or has made.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Export {
    pub id: Uuid,
    pub state: String,
    pub status_url: String,
    pub requested_at: DateTime<Utc>,
    pub transaction_time: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ExportFileRecord {
    pub number: i32,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub deletes: bool,
    pub url: String,
    pub is_open: bool,
    pub lines: i64,
    pub done: bool,
    pub unusable: i64,
}

/// The one that is not finished, if there is one.
pub async fn unfinished(tx: &mut ReadTx, of: ConnectionKey<'_>) -> Result<Option<Export>, Problem> {
    fetch_optional!(
        tx,
        Export,
        "SELECT id, state, status_url, requested_at, transaction_time, finished_at, last_error FROM connection_export
         WHERE clinic_id = $1 AND connection = $2 AND state IN ('running', 'loading')
         ORDER BY requested_at DESC LIMIT 1",
        of.clinic,
        of.connection
    )
    .map_err(failed)
}

/// Writes an export down.
pub async fn put(tx: &mut WriteTx, of: ConnectionKey<'_>, export: &Export) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection_export
           (clinic_id, connection, id, state, status_url, requested_at, transaction_time, finished_at, last_error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (clinic_id, connection, id) DO UPDATE SET state = $4, status_url = $5, transaction_time = $7,
           finished_at = $8, last_error = $9",
        of.clinic,
        of.connection,
        export.id,
        &export.state,
        &export.status_url,
        export.requested_at,
        export.transaction_time,
        export.finished_at,
        &export.last_error
    )
    .map(|_| ())
    .map_err(failed)
}

/// Its files, in their order.
pub async fn files(tx: &mut ReadTx, clinic: &str, export: Uuid) -> Result<Vec<ExportFileRecord>, Problem> {
    fetch_all!(
        tx,
        ExportFileRecord,
        "SELECT number, type, deletes, url, is_open, lines, done, unusable FROM connection_export_file
         WHERE clinic_id = $1 AND export_id = $2 ORDER BY number",
        clinic,
        export
    )
    .map_err(failed)
}

/// Writes down how far a file has been read.
pub async fn put_file(tx: &mut WriteTx, clinic: &str, export: Uuid, file: &ExportFileRecord) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO connection_export_file
           (clinic_id, export_id, number, type, deletes, url, is_open, lines, done, unusable)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (clinic_id, export_id, number) DO UPDATE SET lines = $8, done = $9, unusable = $10",
        clinic,
        export,
        file.number,
        &file.kind,
        file.deletes,
        &file.url,
        file.is_open,
        file.lines,
        file.done,
        file.unusable
    )
    .map(|_| ())
    .map_err(failed)
}

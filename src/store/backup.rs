//! SQLite functions for backup and restore.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteLockingMode};
use sqlx::{ConnectOptions, Connection};

use super::{Db, failed};
use crate::problem::Problem;

/// Writes a copy of the whole database into a new file, as of one moment, while others go on reading and writing.
///
/// # Errors
/// When it cannot be written, or is there already; on PostgreSQL, which has its own tools.
pub async fn copy_into(db: &Db, file: &Path) -> Result<(), Problem> {
    let Db::Sqlite { writer, .. } = db else {
        return Err(Problem::internal("only SQLite is copied here"));
    };
    let name = file.to_str().ok_or_else(|| Problem::internal("the name of the backup is not UTF-8"))?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(writer).await.map(|_| ()).map_err(failed)
}

/// SQLite's integrity check of pages and indexes; `ok` if all is well.
///
/// # Errors
/// When it cannot be read at all.
pub async fn integrity(db: &Db) -> Result<String, Problem> {
    let Db::Sqlite { readers, .. } = db else { return Ok("ok".to_owned()) };
    let (said,): (String,) = sqlx::query_as("SELECT integrity_check FROM pragma_integrity_check LIMIT 1")
        .fetch_one(readers)
        .await
        .map_err(failed)?;
    Ok(said)
}

/// Whether a database holds anything that was recorded.
///
/// # Errors
/// When it cannot be read.
pub async fn holds_anything(db: &Db) -> Result<bool, Problem> {
    let mut tx = db.read().await?;
    let row: Option<(i64,)> = fetch_optional!(
        &mut tx,
        (i64,),
        "SELECT (SELECT COUNT(*) FROM patient) + (SELECT COUNT(*) FROM resource) + (SELECT COUNT(*) FROM journal)"
    )
    .map_err(failed)?;
    Ok(row.is_some_and(|(count,)| count > 0))
}

/// Whether somebody else has a SQLite file open.
pub async fn is_open_elsewhere(path: &Path) -> bool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(Duration::ZERO);
    let Ok(mut connection) = options.connect().await else { return true };
    let alone = sqlx::raw_sql("BEGIN EXCLUSIVE; ROLLBACK").execute(&mut connection).await.is_ok();
    // The connection was opened only to look.
    let _ = connection.close().await;
    !alone
}

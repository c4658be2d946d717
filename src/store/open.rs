//! Why a database could not be opened, in words that an operator can act on.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::kind;
use crate::problem::{Category, Problem};

/// The file of an embedded database.
pub fn sqlite_path(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).map(Path::new)
}

const PATIENCE: Duration = Duration::from_secs(3);

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

/// Why a PostgreSQL server let nobody in. A pool only says that it waited in vain: one connection says why.
pub(super) async fn postgres(options: &PgConnectOptions, error: sqlx::Error) -> Problem {
    let error = match error {
        sqlx::Error::PoolTimedOut => match timeout(PATIENCE, PgConnection::connect_with(options)).await {
            Ok(Err(reason)) => reason,
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                error
            }
            Err(_) => error,
        },
        other => other,
    };
    let server = format!("PostgreSQL at {}:{}", options.get_host(), options.get_port());
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
    tracing::warn!(code, kind = %kind(&error), "the database cannot be opened");
    let unavailable = |why: String| Problem::new(Category::Unavailable, format!("{server} {why}"));
    match (code.as_deref(), &error) {
        (Some("28P01"), _) => Problem::internal(format!("{server} refuses the password of the user {user}")),
        (Some("28000"), _) => Problem::internal(format!(
            "{server} does not let the user {user} in: there is no such user, or its pg_hba.conf has no line for it"
        )),
        (Some("3D000"), _) => Problem::internal(format!(
            "{server} has no database {database}: create it, for instance with createdb --owner {user} {database}"
        )),
        (Some("42501"), _) => Problem::internal(format!("{server}: the user {user} may not use {database}")),
        (Some("53300"), _) => unavailable("has no connection left: raise max_connections, or stop a client".into()),
        (Some("57P03"), _) => unavailable("is starting or stopping: try again".into()),
        (Some(code), _) => Problem::internal(format!("{server} refuses the connection (SQLSTATE {code})")),
        (None, sqlx::Error::Io(reason)) => unavailable(format!("cannot be reached: {reason}")),
        (None, sqlx::Error::Tls(_)) => unavailable("cannot be reached over TLS: its certificate is not valid".into()),
        (None, _) => unavailable("did not answer in time".into()),
    }
}

/// Why a SQLite file cannot be used.
pub(super) fn sqlite(path: &Path, error: &sqlx::Error) -> Problem {
    let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
    tracing::warn!(code, kind = %kind(error), "the database cannot be opened");
    // Of an extended code, the last byte says the kind.
    let why = match code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(26) => "is not a SQLite database",
        Some(11) => "is damaged: restore a backup",
        Some(14) => "cannot be opened: look at the rights of the file and of its folder",
        Some(8) => "cannot be written: look at the rights of the file and of its folder",
        Some(5 | 6) => "is in use by a program that does not let go of it",
        Some(10 | 13) => "cannot be read or written: look at the disk",
        _ => "cannot be opened",
    };
    Problem::internal(format!("{} {why}", path.display()))
}

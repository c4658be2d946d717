//! A copy of everything in one file, taken while the service runs; and back again.
//!
//! SQLite only: PostgreSQL has `pg_dump` and `pg_restore`, which do it better than we could.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::verify::{ChainReport, verify};
use crate::problem::Problem;
use crate::store::backup::{copy_into, holds_anything, integrity, is_open_elsewhere, is_ours};
use crate::store::{Db, owner_only};

/// Answer to an operator who tries to back up PostgreSQL with this command.
pub const FOR_POSTGRES: &str = "PostgreSQL is backed up with its own tools, while the service runs: \
    pg_dump --format=custom --file=FILE \"$COCM_DATABASE_URL\" — and restored into an empty database: \
    pg_restore --exit-on-error --single-transaction --dbname=\"$COCM_DATABASE_URL\" FILE; then run verify-audit";

/// Writes a backup. The file appears when it is complete and on disk; one that is there is not replaced.
///
/// # Errors
/// What is in the way, for the operator.
pub async fn back_up(url: &str, file: &Path) -> Result<(), Problem> {
    let path = sqlite_file(url)?;
    if !path.exists() {
        return Err(Problem::internal(format!("there is no database at {}", path.display())));
    }
    if file.exists() {
        return Err(Problem::internal(format!("{} is there already", file.display())));
    }
    let partial = beside(file, ".partial");
    remove(&partial)?;
    owner_only(&partial).map_err(io_problem("cannot write the backup"))?;
    let db = Db::open(url).await?;
    let copied = copy_into(&db, &partial).await;
    db.close().await;
    copied?;
    File::open(&partial).and_then(|copy| copy.sync_all()).map_err(io_problem("cannot write the backup"))?;
    fs::rename(&partial, file).map_err(io_problem("cannot write the backup"))?;
    sync_folder(file)
}

/// Puts a backup in the place of the database, after looking whether it is whole. A database that holds anything is
/// replaced only by force, and then kept beside it (`….replaced`, `….replaced-2`, …).
///
/// # Errors
/// What is wrong with the backup, or in the way, for the operator: then nothing was replaced.
pub async fn restore(url: &str, file: &Path, force: bool) -> Result<Restored, Problem> {
    let path = sqlite_file(url)?;
    let partial = beside(&path, ".restoring");
    remove_all(&partial)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io_problem("cannot make the folder of the database"))?;
    }
    let backup = File::open(file).map_err(io_problem("the backup cannot be read"))?;
    write_private(backup, &partial).map_err(io_problem("the backup cannot be copied"))?;
    let looked = look(&partial).await.map_err(|problem| {
        Problem::internal(problem.detail.replace(&partial.display().to_string(), &file.display().to_string()))
    });
    let allowed = async {
        if path.exists() && is_open_elsewhere(&path).await {
            return Err(Problem::internal("the database is in use: stop the service first"));
        }
        if path.exists() && !force && may_hold_something(url).await {
            return Err(Problem::internal("the database is not empty; --force replaces it, and keeps it beside"));
        }
        Ok(())
    };
    let reports = match (looked, allowed.await) {
        (Ok(reports), Ok(())) => reports,
        (Err(problem), _) | (_, Err(problem)) => {
            remove_all(&partial)?;
            return Err(problem);
        }
    };
    let kept = put_aside(&path)?;
    fs::rename(&partial, &path).map_err(io_problem("the database cannot be put in place"))?;
    sync_folder(&path)?;
    Ok(Restored { reports, kept })
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What the journal of each clinic says.
    pub reports: Vec<ChainReport>,
    /// Where the database that was replaced is kept.
    pub kept: Option<PathBuf>,
}

/// Renames a database and its log to a name that nothing has yet: what an earlier restore kept stays.
fn put_aside(path: &Path) -> Result<Option<PathBuf>, Problem> {
    let is_free = |kept: &PathBuf| ["", "-wal", "-shm"].iter().all(|end| !beside(kept, end).exists());
    let names = std::iter::once(".replaced".to_owned()).chain((2..10_000).map(|n| format!(".replaced-{n}")));
    let kept = names.map(|end| beside(path, &end)).find(is_free);
    let kept = kept.ok_or_else(|| Problem::internal("too many replaced databases are kept here; remove some"))?;
    // The old file's write-ahead log belongs to the old file.
    let mut moved = false;
    for end in ["", "-wal", "-shm"] {
        let old = beside(path, end);
        if old.exists() {
            fs::rename(&old, beside(&kept, end)).map_err(io_problem("the old database cannot be put aside"))?;
            moved = true;
        }
    }
    Ok(moved.then_some(kept))
}

/// Copies what a file holds, not its rights.
fn write_private(mut from: File, to: &Path) -> io::Result<()> {
    owner_only(to)?;
    let mut to = File::options().write(true).truncate(true).open(to)?;
    io::copy(&mut from, &mut to).map(|_| ())
}

/// Whether a backup is whole: its pages, its schema, its journal.
async fn look(partial: &Path) -> Result<Vec<ChainReport>, Problem> {
    let db = Db::open(&format!("sqlite://{}", partial.display())).await?;
    let looked = async {
        // An empty file is a whole database without tables.
        if !is_ours(&db).await? {
            return Err(Problem::internal("the backup holds no registry: it is empty, or another program's"));
        }
        let verdict = integrity(&db).await?;
        if verdict != "ok" {
            return Err(Problem::internal(format!("the backup is damaged: {verdict}")));
        }
        db.migrate().await?;
        let reports = verify(&db, &[]).await?;
        match reports.iter().find(|report| !report.is_sound()) {
            Some(broken) => Err(Problem::internal(format!("the backup was changed: {broken}"))),
            None => Ok(reports),
        }
    };
    let looked = looked.await;
    // Merges its log into the file.
    db.close().await;
    let reports = looked?;
    File::open(partial).and_then(|copy| copy.sync_all()).map_err(io_problem("cannot write the database"))?;
    remove(&beside(partial, "-wal"))?;
    remove(&beside(partial, "-shm"))?;
    Ok(reports)
}

/// A database that cannot be read counts as one that holds data.
async fn may_hold_something(url: &str) -> bool {
    let Ok(db) = Db::open(url).await else { return true };
    let holds = match db.migrate().await {
        Ok(()) => holds_anything(&db).await.unwrap_or(true),
        Err(_) => true,
    };
    db.close().await;
    holds
}

fn sqlite_file(url: &str) -> Result<PathBuf, Problem> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    path.map(PathBuf::from).ok_or_else(|| Problem::internal(FOR_POSTGRES))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn remove_all(path: &Path) -> Result<(), Problem> {
    ["", "-wal", "-shm"].iter().try_for_each(|end| remove(&beside(path, end)))
}

fn remove(path: &Path) -> Result<(), Problem> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(io_problem("a file that is left over cannot be removed")(e))
        }
        _ => Ok(()),
    }
}

fn sync_folder(file: &Path) -> Result<(), Problem> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_problem("the folder cannot be written to disk"))
}

fn io_problem(what: &'static str) -> impl Fn(io::Error) -> Problem {
    move |e| Problem::internal(format!("{what}: {e}"))
}

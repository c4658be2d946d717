//! Whether anything can be written, found out by writing.

use super::{Db, failed};
use crate::problem::Problem;

/// Larger than what a database keeps free at the end of its last page.
const BYTES: usize = 16 << 10;

/// Writes one row and commits it.
///
/// # Errors
/// What keeps the database from writing.
pub async fn write(db: &Db, mark: char) -> Result<(), Problem> {
    let body: String = std::iter::repeat_n(mark, BYTES).collect();
    let mut tx = db.begin("write_probe").await?;
    execute!(
        &mut tx,
        "INSERT INTO write_probe (clinic_id, body) VALUES ('', $1) ON CONFLICT (clinic_id) DO UPDATE SET body = $1",
        body
    )
    .map_err(failed)?;
    tx.commit().await
}

//! The journal: one entry for each change, and one for each answer with patient data.
//!
//! An entry is written in the transaction of its change, without a number. A sealer numbers it afterwards: the next
//! number of the clinic's chain, and a hash over the previous hash, the number and the entry. So no writer waits for
//! the end of the chain, and the numbers follow the commits without gaps.

mod entry;
mod audit;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::hex;
use crate::id::PatientId;
use crate::problem::Problem;

pub use audit::{ChainCheck, after, checked, clinics, count_outside, facts_without_entry};
pub use entry::{AccessRequest, JournalEntry, ResourceDigest, digest};

/// How many lines one statement adds.
const ADDED: usize = 8;
/// How many lines one statement seals.
const SEALED: usize = 16;

const ADD_ONE: &str = "INSERT INTO journal (clinic_id, id, at, is_change, patient_id, is_list, entry)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";

const ADD_SOME: &str = "INSERT INTO journal (clinic_id, id, at, is_change, patient_id, is_list, entry)
        VALUES
          ($1, $2, $3, $4, $5, $6, $7), ($8, $9, $10, $11, $12, $13, $14), ($15, $16, $17, $18, $19, $20, $21), ($22, $23, $24, $25, $26, $27, $28),
          ($29, $30, $31, $32, $33, $34, $35), ($36, $37, $38, $39, $40, $41, $42), ($43, $44, $45, $46, $47, $48, $49), ($50, $51, $52, $53, $54, $55, $56)
        ON CONFLICT DO NOTHING";

const SEAL_ONE: &str = "UPDATE journal SET seq = $3, hash = $4 WHERE clinic_id = $1 AND id = $2 AND seq IS NULL";

const SEAL_SOME: &str = "UPDATE journal SET seq = v.column2, hash = v.column3
        FROM (VALUES
          ($2, $3, $4), ($5, $6, $7), ($8, $9, $10), ($11, $12, $13), ($14, $15, $16), ($17, $18, $19),
          ($20, $21, $22), ($23, $24, $25), ($26, $27, $28), ($29, $30, $31), ($32, $33, $34), ($35, $36, $37),
          ($38, $39, $40), ($41, $42, $43), ($44, $45, $46), ($47, $48, $49)
        ) AS v
        WHERE journal.clinic_id = $1 AND journal.id = v.column1 AND journal.seq IS NULL";

/// Adds lines, which have no place yet. One that is there already stays as it is.
pub async fn add(tx: &mut WriteTx, entries: &[JournalEntry]) -> Result<(), Problem> {
    for some in entries.chunks(ADDED) {
        // Fill the statement's remaining placeholders with the last entry again: by then it exists, so nothing is
        // inserted.
        let (sql, places) = if some.len() == 1 { (ADD_ONE, 1) } else { (ADD_SOME, ADDED) };
        let lines: Vec<String> = some.iter().map(JournalEntry::line).collect();
        on!(tx, |conn| {
            let mut query = sqlx::query(sql);
            for i in (0..places).map(|i| i.min(some.len() - 1)) {
                let e = &some[i];
                query = query.bind(&e.clinic).bind(e.id).bind(e.at).bind(e.is_change());
                query = query.bind(e.patient).bind(e.is_list()).bind(&lines[i]);
            }
            query.execute(conn).await.map(|_| ())
        })
        .map_err(failed)?;
    }
    Ok(())
}

/// The end of a clinic's chain.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ChainHead {
    /// The number of the last sealed line; 0 before the first.
    pub seq: i64,
    /// Its hash; empty before the first.
    pub hash: String,
    /// How many facts are older than the journal.
    pub facts_before: i64,
}

impl ChainHead {
    /// The hash that the next line follows. The first one follows the clinic's name and what was there before it.
    pub fn before(&self, clinic: &str) -> String {
        if self.seq > 0 { self.hash.clone() } else { genesis(clinic, self.facts_before) }
    }
}

/// The hash before the first entry of a chain.
pub fn genesis(clinic: &str, facts_before: i64) -> String {
    hex::encode(&Sha256::digest(format!("cocm-registry journal 1\n{clinic}\n{facts_before}")))
}

/// The hash of a line: SHA-256, in hexadecimal, of `{hash before}\n{number}\n{line}`.
pub fn chained(before: &str, seq: i64, line: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(format!("\n{seq}\n"));
    hash.update(line.as_bytes());
    hex::encode(&hash.finalize())
}

/// Reads the end of a clinic's chain, and holds it until the end of the transaction.
pub async fn hold_head(tx: &mut WriteTx, clinic: &str) -> Result<ChainHead, Problem> {
    const HOLD: &str = "UPDATE journal_head SET seq = seq WHERE clinic_id = $1 RETURNING seq, hash, facts_before";
    if let Some(head) = returning_optional!(tx, ChainHead, HOLD, clinic).map_err(failed)? {
        return Ok(head);
    }
    execute!(
        tx,
        "INSERT INTO journal_head (clinic_id, seq, hash, facts_before) VALUES ($1, 0, '', 0) ON CONFLICT DO NOTHING",
        clinic
    )
    .map_err(failed)?;
    let head = returning_optional!(tx, ChainHead, HOLD, clinic).map_err(failed)?;
    head.ok_or_else(|| Problem::internal("the journal of a clinic has no end"))
}

/// Reads the end of a clinic's chain; `None` before anything was sealed.
pub async fn head(tx: &mut ReadTx, clinic: &str) -> Result<Option<ChainHead>, Problem> {
    fetch_optional!(tx, ChainHead, "SELECT seq, hash, facts_before FROM journal_head WHERE clinic_id = $1", clinic)
        .map_err(failed)
}

/// The number of the last sealed line of every clinic.
pub async fn heads(tx: &mut ReadTx) -> Result<Vec<(String, i64)>, Problem> {
    fetch_all!(tx, (String, i64), "SELECT clinic_id, seq FROM journal_head ORDER BY clinic_id").map_err(failed)
}

/// The clinics with lines that have no place yet.
pub async fn clinics_unsealed(tx: &mut ReadTx) -> Result<Vec<String>, Problem> {
    fetch_all!(tx, (String,), "SELECT DISTINCT clinic_id FROM journal WHERE seq IS NULL ORDER BY clinic_id")
        .map(|rows| rows.into_iter().map(|(clinic,)| clinic).collect())
        .map_err(failed)
}

/// Lines that have no place yet, in order of id, which is nearly that of time.
pub async fn unsealed(tx: &mut ReadTx, clinic: &str, limit: i64) -> Result<Vec<(Uuid, String)>, Problem> {
    fetch_all!(
        tx,
        (Uuid, String),
        "SELECT id, entry FROM journal WHERE clinic_id = $1 AND seq IS NULL ORDER BY id LIMIT $2",
        clinic,
        limit
    )
    .map_err(failed)
}

/// How many lines have no place yet.
pub async fn count_unsealed(tx: &mut ReadTx, clinic: &str) -> Result<i64, Problem> {
    fetch_optional!(tx, (i64,), "SELECT COUNT(*) FROM journal WHERE clinic_id = $1 AND seq IS NULL", clinic)
        .map(|row| row.map_or(0, |(count,)| count))
        .map_err(failed)
}

/// Gives lines their places, and moves the end of the chain there. The end must be held.
pub async fn seal(
    tx: &mut WriteTx,
    clinic: &str,
    head: &ChainHead,
    lines: &[(Uuid, String)],
) -> Result<ChainHead, Problem> {
    let mut seq = head.seq;
    let mut hash = head.before(clinic);
    let mut places: Vec<(Uuid, i64, String)> = Vec::with_capacity(lines.len());
    for (id, line) in lines {
        seq += 1;
        hash = chained(&hash, seq, line);
        places.push((*id, seq, hash.clone()));
    }
    for some in places.chunks(SEALED) {
        let (sql, room) = if some.len() == 1 { (SEAL_ONE, 1) } else { (SEAL_SOME, SEALED) };
        on!(tx, |conn| {
            let mut query = sqlx::query(sql).bind(clinic);
            for i in (0..room).map(|i| i.min(some.len() - 1)) {
                query = query.bind(some[i].0).bind(some[i].1).bind(&some[i].2);
            }
            query.execute(conn).await.map(|_| ())
        })
        .map_err(failed)?;
    }
    let head = ChainHead { seq, hash, facts_before: head.facts_before };
    move_head(tx, clinic, head.seq, &head.hash).await?;
    Ok(head)
}

static APPEND: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO journal (clinic_id, id, at, is_change, patient_id, is_list, entry, seq, hash)";
    Texts::values(head, 8, "")
});

/// Adds lines with their places, and moves the end of the chain there: in the transaction of what they tell, last of all, for
/// whoever else wants to add something to this chain waits from here on.
pub async fn append(tx: &mut WriteTx, clinic: &str, entries: &[JournalEntry]) -> Result<(), Problem> {
    if entries.is_empty() {
        return Ok(());
    }
    let head = hold_head(tx, clinic).await?;
    let (mut seq, mut hash) = (head.seq, head.before(clinic));
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let line = entry.line();
        seq += 1;
        hash = chained(&hash, seq, &line);
        rows.push((entry, line, seq, hash.clone()));
    }
    execute_rows!(
        tx,
        APPEND,
        clinic,
        &rows,
        |r| r.0.id,
        r.0.at,
        r.0.is_change(),
        r.0.patient,
        r.0.is_list(),
        &r.1,
        r.2,
        &r.3
    );
    move_head(tx, clinic, seq, &hash).await
}

async fn move_head(tx: &mut WriteTx, clinic: &str, seq: i64, hash: &str) -> Result<(), Problem> {
    execute!(tx, "UPDATE journal_head SET seq = $2, hash = $3 WHERE clinic_id = $1", clinic, seq, hash)
        .map(|_| ())
        .map_err(failed)
}

#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedEntry {
    pub seq: i64,
    pub entry: String,
}

/// Changes in a range of the chain, in order: the entries after `after`, up to `until`.
pub async fn changes(tx: &mut ReadTx, clinic: &str, after: i64, until: i64) -> Result<Vec<SealedEntry>, Problem> {
    fetch_all!(
        tx,
        SealedEntry,
        "SELECT seq, entry FROM journal WHERE clinic_id = $1 AND seq > $2 AND seq <= $3 AND is_change ORDER BY seq",
        clinic,
        after,
        until
    )
    .map_err(failed)
}

/// Filter for entries of the journal.
#[derive(Clone, Debug, Default)]
pub struct JournalFilter {
    /// Only entries about this patient.
    pub patient: Option<PatientId>,
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Only with a smaller number.
    pub below: Option<i64>,
}

/// A page of the journal, newest first.
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    asked: &JournalFilter,
    limit: i64,
) -> Result<Vec<SealedEntry>, Problem> {
    let below = asked.below.unwrap_or(i64::MAX);
    let Some(patient) = asked.patient else {
        return fetch_all!(
            tx,
            SealedEntry,
            "SELECT seq, entry FROM journal WHERE clinic_id = $1 AND seq < $2 AND ($3 IS NULL OR at >= $3)
               AND ($4 IS NULL OR at < $4) ORDER BY seq DESC LIMIT $5",
            clinic,
            below,
            asked.from,
            asked.until,
            limit
        )
        .map_err(failed);
    };
    // Their own lines by index; lists of several patients, which name them in the text, one after the other.
    let mut rows: Vec<SealedEntry> = fetch_all!(
        tx,
        SealedEntry,
        "SELECT seq, entry FROM journal WHERE clinic_id = $1 AND patient_id = $2 AND seq < $3
           AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5) ORDER BY seq DESC LIMIT $6",
        clinic,
        patient,
        below,
        asked.from,
        asked.until,
        limit
    )
    .map_err(failed)?;
    let lists: Vec<SealedEntry> = fetch_all!(
        tx,
        SealedEntry,
        "SELECT seq, entry FROM journal WHERE clinic_id = $1 AND is_list AND seq < $3
           AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5)
           AND (entry LIKE $2 OR entry LIKE '%\"everybody\":true%') ORDER BY seq DESC LIMIT $6",
        clinic,
        format!("%{patient}%"),
        below,
        asked.from,
        asked.until,
        limit
    )
    .map_err(failed)?;
    rows.extend(lists);
    rows.sort_by_key(|row| std::cmp::Reverse(row.seq));
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_published_one() {
        // printf 'cocm-registry journal 1\ndemo\n0' | sha256sum
        assert_eq!(genesis("demo", 0), "5afb71bc4ddc098c1a96df84dddfaab75d4804da886db491099ea38b00500a72");
        // printf '%s\n1\n{}' "$genesis" | sha256sum
        assert_eq!(
            chained(&genesis("demo", 0), 1, "{}"),
            "90d0b6fe994b3503200f7e495d6dbe3ab5f0ec849ab38bdf2136c35bb74e9aba"
        );
    }
}

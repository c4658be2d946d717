//! Whether anything in the journal, in the facts and resources it attests, or in what is shown of them, was changed
//! afterwards.

use std::fmt;
use std::str::FromStr;

use super::recompute::{AttestedResources, differences};
use crate::problem::{Category, Problem};
use crate::store::journal::{self, ChainCheck, ChainHead, JournalEntry, ResourceDigest, chained};
use crate::store::{Db, ReadTx};

/// How many lines are read at once.
const PAGE: i64 = 500;

/// The end of a chain as it was once printed: `HASH@NUMBER`. Kept elsewhere, it shows that the end was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainAnchor {
    /// The number of the line.
    pub seq: i64,
    pub hash: String,
}

impl fmt::Display for ChainAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.hash, self.seq)
    }
}

impl FromStr for ChainAnchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || "must be HASH@NUMBER, as verify-audit prints it".to_owned();
        let (hash, seq) = text.split_once('@').ok_or_else(fault)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(fault)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash { Ok(Self { seq, hash: hash.to_ascii_lowercase() }) } else { Err(fault()) }
    }
}

/// Result of verifying one clinic's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    pub clinic: String,
    /// Lines that hold, from the first one on.
    pub entries: i64,
    /// The end of what holds; `None` where nothing is sealed yet.
    pub head: Option<ChainAnchor>,
    /// Lines without a place yet: written a moment ago, protected a moment later.
    pub unsealed: i64,
    /// The first thing of the chain that does not hold.
    pub fault: Option<String>,
    /// Where the chain holds: what is shown and does not follow from what it attests.
    pub differences: Vec<String>,
    /// The printed heads that were found in the chain.
    pub met: Vec<ChainAnchor>,
}

impl fmt::Display for ChainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clinic, entries, unsealed, .. } = self;
        write!(f, "{clinic}: {entries} entries, {unsealed} not sealed yet")?;
        if let Some(head) = &self.head {
            write!(f, ", head {head}")?;
        }
        if self.is_sound() {
            f.write_str(": ok")?;
        }
        if let Some(fault) = &self.fault {
            write!(f, "\n{clinic}: BROKEN: {fault}")?;
        }
        self.differences.iter().try_for_each(|difference| write!(f, "\n{clinic}: DIFFERS: {difference}"))
    }
}

impl ChainReport {
    /// The chain holds, and what is shown follows from it.
    pub fn is_sound(&self) -> bool {
        self.fault.is_none() && self.differences.is_empty()
    }
}

/// Walks the chain of every clinic. `anchors` are heads printed before: those of a clinic are in its report's `met`.
///
/// # Errors
/// When the database does not answer. What does not hold is in the reports.
pub async fn verify(db: &Db, anchors: &[ChainAnchor]) -> Result<Vec<ChainReport>, Problem> {
    let mut tx = db.read().await?;
    let mut reports = Vec::new();
    for clinic in journal::clinics(&mut tx).await? {
        reports.push(walk(&mut tx, &clinic, anchors).await?);
    }
    Ok(reports)
}

async fn walk(tx: &mut ReadTx, clinic: &str, anchors: &[ChainAnchor]) -> Result<ChainReport, Problem> {
    // The end first: what is sealed while we walk is left for the next time.
    let head = journal::head(tx, clinic).await?.unwrap_or(ChainHead { seq: 0, hash: String::new(), facts_before: 0 });
    let unsealed = journal::count_unsealed(tx, clinic).await?;
    let mut report = ChainReport {
        clinic: clinic.to_owned(),
        entries: 0,
        head: None,
        unsealed,
        fault: None,
        differences: Vec::new(),
        met: Vec::new(),
    };
    let mut attested = AttestedResources::default();
    let mut hash = journal::genesis(clinic, head.facts_before);
    let mut limit = PAGE;
    while report.entries < head.seq {
        let after = report.entries;
        let page = match journal::checked(tx, clinic, after, limit.min(head.seq - after)).await {
            Ok(page) => page,
            Err(problem) if problem.category == Category::Unavailable => return Err(problem),
            // An entry of this page cannot be read: read one at a time up to it.
            Err(_) if limit > 1 => {
                limit = 1;
                continue;
            }
            Err(_) => {
                report.fault = Some(format!("entry {} or its fact cannot be read", after + 1));
                return Ok(report);
            }
        };
        if page.is_empty() {
            report.fault = Some(format!("entry {} is missing", after + 1));
            return Ok(report);
        }
        for row in page {
            match look(clinic, &row, report.entries + 1, &hash) {
                Ok((next, resource)) => {
                    hash = next;
                    if let Some(resource) = resource {
                        attested.add(resource);
                    }
                }
                Err(fault) => {
                    report.fault = Some(fault);
                    return Ok(report);
                }
            }
            report.entries = row.seq;
            let here = ChainAnchor { seq: row.seq, hash: hash.clone() };
            report.met.extend(anchors.iter().filter(|anchor| **anchor == here).cloned());
            report.head = Some(here);
        }
    }
    report.fault = ending(tx, clinic, &head, &hash).await?;
    if report.fault.is_none() {
        report.differences = differences(tx, clinic, attested, head.seq).await?;
    }
    Ok(report)
}

/// Holds a line against the chain, its columns and its fact; its hash if all is well, and what it attests of a resource.
fn look(
    clinic: &str,
    row: &ChainCheck,
    expected: i64,
    before: &str,
) -> Result<(String, Option<ResourceDigest>), String> {
    let at = |what: &str| format!("entry {expected}: {what}");
    if row.seq != expected {
        return Err(format!("entry {expected} is missing"));
    }
    let hash = chained(before, expected, &row.entry);
    if row.hash.as_deref() != Some(hash.as_str()) {
        return Err(at("it is not what was sealed"));
    }
    let entry = JournalEntry::read(&row.entry).ok_or_else(|| at("it cannot be read"))?;
    let columns = [
        ("clinic_id", entry.clinic == clinic),
        ("id", entry.id == row.id),
        ("at", entry.at == row.at),
        ("patient_id", entry.patient == row.patient_id),
        ("is_change", i32::from(entry.is_change()) == row.is_change),
        ("is_list", i32::from(entry.is_list()) == row.is_list),
    ];
    if let Some((column, _)) = columns.iter().find(|(_, same)| !same) {
        return Err(at(&format!("its column {column} was changed")));
    }
    match (&entry.fact, row.digest()) {
        (Some(_), None) => Err(at(&format!("the fact {} was deleted or moved", entry.id))),
        (Some(attested), Some(found)) if *attested != found => Err(at(&format!("the fact {} was changed", entry.id))),
        _ => Ok((hash, entry.resource)),
    }
}

/// Checks the end of the chain against the stored head.
async fn ending(tx: &mut ReadTx, clinic: &str, head: &ChainHead, hash: &str) -> Result<Option<String>, Problem> {
    if head.seq > 0 && head.hash != hash {
        return Ok(Some(format!("the end of the chain, {}, is not what was sealed", head.seq)));
    }
    let beyond = journal::count_outside(tx, clinic, head.seq).await?;
    // Beyond the end that was read at first there may be what was sealed since: consecutive, and named by the new end.
    let now = journal::head(tx, clinic).await?.map_or(0, |head| head.seq);
    if beyond > now - head.seq {
        return Ok(Some(format!("there are {} entries too many", beyond - (now - head.seq).max(0))));
    }
    let unattested = journal::facts_without_entry(tx, clinic).await?;
    if unattested != head.facts_before {
        return Ok(Some(format!(
            "{unattested} facts have no entry in the journal; {} are older than it",
            head.facts_before
        )));
    }
    Ok(None)
}

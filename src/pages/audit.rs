//! Audit for the privacy officer: who saw and who changed what, newest first.

use std::collections::HashMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;

use super::date_texts::instant;
use super::response::{ProblemPage, html};
use super::session::Visitor;
use super::shell::{NavSection, Shell};
use super::words;
use crate::domain::day::local_midnight;
use crate::id::PatientId;
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::journal::{self, JournalEntry, JournalFilter};
use crate::store::{ReadTx, patient};

/// Entries on one page.
const SHOWN: usize = 100;
/// Entries read at once, and at most, while looking for those of one person.
const READ_AT_ONCE: i64 = 500;
const MOST_READ: usize = 10_000;
/// Patients that a line names.
const NAMED: usize = 5;

/// Filter of the page. A day that cannot be read narrows nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditPageQuery {
    patient: Option<PatientId>,
    /// Only of this person.
    by: String,
    from: String,
    to: String,
    /// Where a page goes on.
    below: Option<i64>,
}

impl AuditPageQuery {
    fn filter(&self, visitor: &Visitor) -> JournalFilter {
        let zone = visitor.zone();
        let day = |text: &str| text.parse::<NaiveDate>().ok();
        let next = |day: NaiveDate| day.succ_opt().unwrap_or(day);
        JournalFilter {
            patient: self.patient,
            from: day(&self.from).map(|from| local_midnight(zone, from)),
            until: day(&self.to).map(|to| local_midnight(zone, next(to))),
            below: self.below,
        }
    }

    fn address(&self, below: i64) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix("/audit?".to_owned(), "/audit?".len());
        let patient = self.patient.map(|id| id.to_string()).unwrap_or_default();
        for (name, value) in [("patient", &patient), ("by", &self.by), ("from", &self.from), ("to", &self.to)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("below", &below.to_string()).finish()
    }

    fn admits(&self, entry: &JournalEntry) -> bool {
        self.by.trim().is_empty() || entry.by.to_lowercase().contains(&self.by.trim().to_lowercase())
    }
}

/// A line of the page.
struct AuditLine {
    at: String,
    by: String,
    role: &'static str,
    /// What was changed; empty for a read.
    changed: Vec<String>,
    /// The request: method, address and its answer where that was a refusal.
    request: Option<String>,
    refused: Option<u16>,
    patients: Vec<(PatientId, String)>,
    more_patients: usize,
    everybody: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    asked: AuditPageQuery,
    patient: Option<String>,
    lines: Vec<AuditLine>,
    older: Option<String>,
}

pub async fn show(visitor: Visitor, Query(asked): Query<AuditPageQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(&[Role::Admin])?;
    let mut tx = visitor.pages.app.db.read().await?;
    let (entries, older) = read(&mut tx, &visitor, &asked).await?;
    let mut ids: Vec<PatientId> = entries.iter().flat_map(shown_patients).chain(asked.patient).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = patient::find_each(&mut tx, visitor.clinic(), &ids).await?;
    drop(tx);
    let names: HashMap<PatientId, String> = known.into_iter().map(|patient| (patient.id, patient.label())).collect();
    let page = AuditPage {
        shell: Shell::around(&visitor, "Audit", NavSection::Operations).await?,
        patient: asked.patient.map(|id| name_of(id, &names)),
        lines: entries.iter().map(|entry| line(entry, &names, &visitor)).collect(),
        older: older.map(|below| asked.address(below)),
        asked,
    };
    Ok(html(&page))
}

/// The entries of a page, and where the next one begins.
async fn read(
    tx: &mut ReadTx,
    visitor: &Visitor,
    asked: &AuditPageQuery,
) -> Result<(Vec<JournalEntry>, Option<i64>), Problem> {
    let unreadable = || Problem::internal("a line of the journal cannot be read; run verify-audit");
    let mut filter = asked.filter(visitor);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        let rows = journal::page(tx, visitor.clinic(), &filter, READ_AT_ONCE).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < READ_AT_ONCE;
        for row in rows {
            filter.below = Some(row.seq);
            looked_at += 1;
            let entry = JournalEntry::read(&row.entry).ok_or_else(unreadable)?;
            if asked.admits(&entry) {
                found.push(entry);
            }
            if found.len() == SHOWN || looked_at == MOST_READ {
                return Ok((found, filter.below));
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
}

/// The patients that a line names.
fn shown_patients(entry: &JournalEntry) -> impl Iterator<Item = PatientId> + '_ {
    entry.patient.iter().chain(&entry.patients).copied().take(NAMED)
}

fn name_of(id: PatientId, names: &HashMap<PatientId, String>) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn line(entry: &JournalEntry, names: &HashMap<PatientId, String>, visitor: &Visitor) -> AuditLine {
    let request = entry.request.as_ref();
    let all = entry.patient.iter().chain(&entry.patients).count();
    AuditLine {
        at: instant(entry.at, visitor.zone(), visitor.today()),
        by: entry.by.clone(),
        role: entry.role.map_or("this program", words::role),
        changed: entry.events.iter().map(|event| words::spaced(&event.replace('.', " "))).collect(),
        request: request.map(|request| format!("{} {}", request.method, request.route)),
        refused: request.map(|request| request.status).filter(|status| *status >= 400),
        patients: shown_patients(entry).map(|id| (id, name_of(id, names))).collect(),
        more_patients: all.saturating_sub(NAMED),
        everybody: entry.everybody,
    }
}

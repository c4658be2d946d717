//! Finding what a search asks for: a few by their names, or all in the order of change.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::criteria::{Criteria, SearchOrder};
use super::cursor::SearchCursor;
use super::dates;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::resource::{self, Resource};
use crate::store::{ReadTx, patient};

/// How many resources are put in order at once.
const MOST_SORTED: usize = 5000;
/// How many bytes of resources go on a page, roughly.
const FULL_PAGE: usize = 16 << 20;
/// How many resources are looked into for one page.
const MOST_LOOKED_AT: usize = 20_000;
/// How many are fetched at once.
const HANDFUL: usize = 250;

pub struct SearchPage {
    pub rows: Vec<Resource>,
    /// Where the next one begins.
    pub next: Option<SearchCursor>,
    /// How many there are, where that is known.
    pub total: Option<usize>,
}

/// Fields of a form that a search looks at. Malformed fields count as missing.
#[derive(Deserialize)]
struct FormHeader<'a> {
    #[serde(borrow, default)]
    questionnaire: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    authored: Option<Cow<'a, str>>,
}

pub async fn find(tx: &mut ReadTx, clinic: &str, criteria: &Criteria, zone: Tz) -> Result<SearchPage, Problem> {
    if criteria.is_narrow() {
        return few(tx, clinic, criteria, zone).await;
    }
    if criteria.order != SearchOrder::Changed || criteria.descending {
        let detail = "this order needs patient, _id or identifier beside it";
        return Err(Problem::malformed(detail).at("_sort"));
    }
    if criteria.only_total && !criteria.looks_inside() {
        let total = resource::count(tx, clinic, criteria.kind.name(), criteria.changed).await?;
        return Ok(SearchPage { rows: Vec::new(), next: None, total: usize::try_from(total).ok() });
    }
    many(tx, clinic, criteria, zone).await
}

/// Everything, in the order of change.
async fn many(tx: &mut ReadTx, clinic: &str, criteria: &Criteria, zone: Tz) -> Result<SearchPage, Problem> {
    let kind = criteria.kind.name();
    let mut after = criteria.after.clone();
    let (mut rows, mut looked_at, mut bytes, mut matches) = (Vec::new(), 0, 0, 0);
    loop {
        let place = after.as_ref().map(|cursor| (cursor.at, cursor.id.as_str()));
        let wanted = if criteria.looks_inside() { HANDFUL } else { HANDFUL.min(criteria.count + 1 - rows.len()) };
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let handful = resource::changed(tx, clinic, kind, criteria.changed, place, limit).await?;
        let is_last = handful.len() < wanted;
        for row in handful {
            looked_at += 1;
            let here = SearchCursor { at: row.updated_at, id: row.id.clone() };
            if looks_right(&row, criteria, zone) {
                matches += 1;
                if !criteria.only_total {
                    if rows.len() == criteria.count || (bytes > FULL_PAGE && !rows.is_empty()) {
                        return Ok(SearchPage { rows, next: after, total: None });
                    }
                    bytes += row.body.len();
                    rows.push(row);
                }
            }
            after = Some(here);
        }
        if is_last {
            let total = (criteria.only_total || criteria.after.is_none()).then_some(matches);
            return Ok(SearchPage { rows, next: None, total });
        }
        if looked_at >= MOST_LOOKED_AT {
            if criteria.only_total {
                return Err(Problem::unprocessable("too many to be counted like this; name a patient"));
            }
            return Ok(SearchPage { rows, next: after, total: None });
        }
    }
}

/// A few, put in order here.
async fn few(tx: &mut ReadTx, clinic: &str, criteria: &Criteria, zone: Tz) -> Result<SearchPage, Problem> {
    let mut found: Option<BTreeMap<String, Resource>> = None;
    for ids in &criteria.ids {
        keep(&mut found, by_ids(tx, clinic, criteria, ids).await?);
    }
    for tokens in &criteria.identifiers {
        keep(&mut found, by_identifiers(tx, clinic, criteria, tokens).await?);
    }
    for names in &criteria.patients {
        keep(&mut found, by_patients(tx, clinic, criteria, names).await?);
    }
    let mut rows: Vec<(DateTime<Utc>, Resource)> = found
        .unwrap_or_default()
        .into_values()
        .filter(|row| criteria.changed.holds(row.updated_at) && looks_right(row, criteria, zone))
        .map(|row| (place(&row, criteria, zone), row))
        .collect();
    let total = Some(rows.len());
    if criteria.only_total {
        return Ok(SearchPage { rows: Vec::new(), next: None, total });
    }
    let compare = |a: (DateTime<Utc>, &str), b: (DateTime<Utc>, &str)| -> Ordering {
        let by_time = if criteria.descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) };
        by_time.then_with(|| a.1.cmp(b.1))
    };
    rows.sort_by(|a, b| compare((a.0, &a.1.id), (b.0, &b.1.id)));
    if let Some(after) = &criteria.after {
        let begin = rows.partition_point(|row| compare((row.0, &row.1.id), (after.at, &after.id)).is_le());
        rows.drain(..begin);
    }
    let mut bytes = 0;
    let mut fits = |row: &(DateTime<Utc>, Resource)| {
        bytes += row.1.body.len();
        bytes <= FULL_PAGE
    };
    let length = rows.iter().take(criteria.count).take_while(|row| fits(row)).count().max(1).min(rows.len());
    let next =
        (length < rows.len()).then(|| SearchCursor { at: rows[length - 1].0, id: rows[length - 1].1.id.clone() });
    rows.truncate(length);
    Ok(SearchPage { rows: rows.into_iter().map(|(_, row)| row).collect(), next, total })
}

/// Keeps only resources that another parameter matches, too.
fn keep(found: &mut Option<BTreeMap<String, Resource>>, also: BTreeMap<String, Resource>) {
    match found {
        None => *found = Some(also),
        Some(found) => found.retain(|id, _| also.contains_key(id)),
    }
}

fn too_many(found: &BTreeMap<String, Resource>) -> Result<(), Problem> {
    if found.len() > MOST_SORTED || found.values().map(|row| row.body.len()).sum::<usize>() > 4 * FULL_PAGE {
        return Err(Problem::unprocessable("too many resources match; ask for fewer patients at once"));
    }
    Ok(())
}

type ResourcesById = BTreeMap<String, Resource>;

async fn by_ids(tx: &mut ReadTx, clinic: &str, criteria: &Criteria, ids: &[String]) -> Result<ResourcesById, Problem> {
    let mut found = ResourcesById::new();
    for id in ids {
        let row = resource::find(tx, clinic, criteria.kind.name(), id).await?;
        found.extend(row.filter(|row| !row.deleted).map(|row| (row.id.clone(), row)));
        too_many(&found)?;
    }
    Ok(found)
}

async fn by_identifiers(
    tx: &mut ReadTx,
    clinic: &str,
    criteria: &Criteria,
    tokens: &[String],
) -> Result<ResourcesById, Problem> {
    let kind = criteria.kind.name();
    let mut found = ResourcesById::new();
    for token in tokens {
        match token.split_once('|') {
            Some((_, value)) if !value.is_empty() => {
                let rows = resource::by_identifier(tx, clinic, kind, token).await?;
                found.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
            }
            // A value of any system, or any value of a system. LIKE may know no case: look again.
            parts => {
                let (pattern, is_it): (String, fn(&str, &str) -> bool) = match parts {
                    Some((system, _)) => (format!("{}|%", escaped(system)), |token, said| token.starts_with(said)),
                    None => (format!("%|{}", escaped(token)), |token, said| token.ends_with(&format!("|{said}"))),
                };
                let like = resource::tokens_like(tx, clinic, kind, &pattern).await?;
                let ids: HashSet<String> =
                    like.into_iter().filter(|(known, _)| is_it(known, token)).map(|(_, id)| id).collect();
                let ids: Vec<String> = ids.into_iter().collect();
                found.extend(by_ids(tx, clinic, criteria, &ids).await?);
            }
        }
        too_many(&found)?;
    }
    Ok(found)
}

fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

async fn by_patients(
    tx: &mut ReadTx,
    clinic: &str,
    criteria: &Criteria,
    names: &[String],
) -> Result<ResourcesById, Problem> {
    let known = patient::with_keys(tx, clinic, names).await?;
    let persons: HashSet<PatientId> = known.into_iter().map(|key| key.patient_id).collect();
    let mut found = ResourcesById::new();
    for person in persons {
        let limit = i64::try_from(MOST_SORTED + 1).unwrap_or(i64::MAX);
        let rows = resource::of_patient(tx, clinic, criteria.kind.name(), person, limit).await?;
        found.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
        too_many(&found)?;
    }
    Ok(found)
}

fn inside(row: &Resource) -> FormHeader<'_> {
    serde_json::from_str(&row.body).unwrap_or(FormHeader { questionnaire: None, status: None, authored: None })
}

/// Checks the criteria that need the resource itself.
fn looks_right(row: &Resource, criteria: &Criteria, zone: Tz) -> bool {
    if !criteria.looks_inside() {
        return true;
    }
    let inside = inside(row);
    let is_one_of = |lists: &[Vec<String>], is_it: &dyn Fn(&str) -> bool| {
        lists.iter().all(|list| list.iter().any(|value| is_it(value)))
    };
    let asks_for = |asked: &str| {
        let said = inside.questionnaire.as_deref().unwrap_or_default();
        said == asked || said.split_once('|').is_some_and(|(canonical, _)| canonical == asked)
    };
    // A code may be asked for with its system in front.
    let has_status = |asked: &str| inside.status.as_deref() == Some(asked.rsplit('|').next().unwrap_or(asked));
    let authored = inside.authored.as_deref().and_then(|date| dates::beginning(date, zone));
    is_one_of(&criteria.questionnaires, &asks_for)
        && is_one_of(&criteria.statuses, &has_status)
        && criteria.authored.iter().all(|asked| authored.is_some_and(|at| asked.holds(at)))
}

/// Where a resource stands in the order that is asked for.
fn place(row: &Resource, criteria: &Criteria, zone: Tz) -> DateTime<Utc> {
    match criteria.order {
        SearchOrder::Changed => row.updated_at,
        // Without a date: before all that have one, so that it is never taken for the latest.
        SearchOrder::Authored => {
            inside(row).authored.and_then(|date| dates::beginning(&date, zone)).unwrap_or(DateTime::UNIX_EPOCH)
        }
    }
}

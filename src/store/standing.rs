//! The standing of each episode, ready to read: the caseload.

/// Whether a standing's person is searched for: the name of the table, then the five places of [`PersonPatterns`].
#[rustfmt::skip]
macro_rules! is_searched {
    ($of:literal, $first:literal, $second:literal, $third:literal, $identifier:literal, $reference:literal) => {
        concat!(
            "($", $first, " IS NULL OR (", $of, ".folded_name LIKE $", $first, " ESCAPE '!'
               AND ", $of, ".folded_name LIKE $", $second, " ESCAPE '!'
               AND ", $of, ".folded_name LIKE $", $third, " ESCAPE '!')
             OR ($", $identifier, " IS NOT NULL AND ", $of, ".episode_id IN (
               SELECT e.id FROM patient_key k JOIN episode e ON e.clinic_id = k.clinic_id AND e.patient_id = k.patient_id
               WHERE k.clinic_id = $1 AND k.key NOT LIKE '%ssn%|%'
                 AND (LOWER(k.key) LIKE $", $identifier, " ESCAPE '!' OR LOWER(k.key) LIKE $", $reference, " ESCAPE '!'))))"
        )
    };
}

pub mod caseload;
pub mod doctor;

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::key::listed;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::domain::attention::Attention;
use crate::domain::caseload_row::CaseloadRow;
use crate::domain::instrument::Instrument;
use crate::domain::search::{MOST_WORDS, PersonSearch, folded};
use crate::domain::standing::Standing;
use crate::domain::target::MeasureSummary;
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;

/// The columns of a [`StandingRow`].
macro_rules! columns {
    () => {
        "s.episode_id, s.patient_id, p.reference, p.language, s.status, s.display_name, s.care_manager,
         s.psychiatric_consultant, s.enrolled_on, s.at_target, s.open_safety, s.attention, s.waiting_since, s.latest_score,
         s.rule_set, s.as_of, s.reevaluate_on, s.body, s.updated_at"
    };
}

/// One row of the caseload.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct StandingRow {
    pub episode_id: EpisodeId,
    pub patient_id: PatientId,
    pub reference: String,
    pub language: Option<String>,
    pub status: String,
    pub display_name: String,
    pub care_manager: Option<String>,
    pub psychiatric_consultant: Option<String>,
    pub enrolled_on: Option<NaiveDate>,
    pub at_target: bool,
    pub open_safety: bool,
    pub attention: i16,
    pub waiting_since: NaiveDate,
    pub latest_score: Option<i16>,
    pub rule_set: String,
    pub as_of: NaiveDate,
    pub reevaluate_on: Option<NaiveDate>,
    pub body: Json<Box<serde_json::value::RawValue>>,
    pub updated_at: DateTime<Utc>,
}

/// The columns written for an episode.
#[derive(Clone, Copy, Debug)]
pub struct StandingWrite<'a> {
    /// How the patient is shown.
    pub label: &'a str,
    /// The care manager, where known.
    pub care_manager: Option<&'a str>,
    /// The consultant, where known.
    pub psychiatric_consultant: Option<&'a str>,
    /// The whole standing.
    pub standing: &'a Standing,
    /// The row of the caseload page.
    pub line: &'a CaseloadRow,
}

static PUT: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO standing (clinic_id, episode_id, patient_id, status, display_name, care_manager, enrolled_on,
        primary_instrument, baseline_score, latest_score, latest_on, at_target, open_safety, attention, waiting_since,
        findings, rule_set, as_of, reevaluate_on, body, updated_at, psychiatric_consultant, line, depression_score,
        gad7_score, next_contact_on, reviewed_on, folded_name)";
    let tail = "ON CONFLICT (clinic_id, episode_id) DO UPDATE SET patient_id = excluded.patient_id,
        status = excluded.status, display_name = excluded.display_name, care_manager = excluded.care_manager,
        enrolled_on = excluded.enrolled_on, baseline_score = excluded.baseline_score,
        latest_score = excluded.latest_score, latest_on = excluded.latest_on, at_target = excluded.at_target,
        open_safety = excluded.open_safety, attention = excluded.attention, waiting_since = excluded.waiting_since,
        findings = excluded.findings, rule_set = excluded.rule_set, as_of = excluded.as_of,
        reevaluate_on = excluded.reevaluate_on, body = excluded.body, updated_at = excluded.updated_at,
        psychiatric_consultant = excluded.psychiatric_consultant, line = excluded.line,
        depression_score = excluded.depression_score, gad7_score = excluded.gad7_score,
        next_contact_on = excluded.next_contact_on, reviewed_on = excluded.reviewed_on,
        folded_name = excluded.folded_name";
    Texts::values(head, 27, tail)
});

fn small(score: Option<u16>) -> Option<i16> {
    score.and_then(|score| i16::try_from(score).ok())
}

impl StandingWrite<'_> {
    fn findings(&self) -> String {
        let mut findings = String::from(",");
        for finding in &self.standing.findings {
            findings.push_str(finding.rule.as_str());
            findings.push(',');
        }
        findings
    }

    fn enrolled_on(&self) -> Option<NaiveDate> {
        let standing = self.standing;
        let day = u64::try_from(standing.day?).ok()?;
        standing.discharged_on.unwrap_or(standing.as_of).checked_sub_days(chrono::Days::new(day))
    }

    fn primary(&self) -> Option<&MeasureSummary> {
        self.standing.measures.first()
    }

    fn baseline(&self) -> Option<i16> {
        small(self.primary()?.baseline.as_ref().map(|baseline| baseline.score))
    }

    fn latest(&self) -> (Option<i16>, Option<NaiveDate>) {
        let latest = self.primary().and_then(|measure| measure.latest.as_ref());
        (small(latest.map(|latest| latest.score)), latest.map(|latest| latest.taken_on))
    }
}

/// Writes the standings of episodes, each with its patient; each episode once.
pub async fn put_all(
    tx: &mut WriteTx,
    clinic: &str,
    all: &[(PatientId, StandingWrite<'_>)],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let rows: Vec<_> =
        all.iter().map(|(patient, written)| (patient, written, Attention::of(written.standing))).collect();
    execute_rows!(
        tx,
        PUT,
        clinic,
        &rows,
        |r| r.1.standing.episode,
        *r.0,
        r.1.standing.status.as_str(),
        listed(r.1.label),
        r.1.care_manager.map(listed),
        r.1.enrolled_on(),
        r.1.primary().map_or("", |measure| measure.instrument.id()),
        r.1.baseline(),
        r.1.latest().0,
        r.1.latest().1,
        r.1.standing.at_target,
        r.2.open_safety,
        r.2.rank,
        r.2.since,
        r.1.findings(),
        format!("{}/{}", r.1.standing.rule_set.id, r.1.standing.rule_set.version),
        r.1.standing.as_of,
        r.1.standing.reevaluate_on,
        Json(r.1.standing),
        now,
        r.1.psychiatric_consultant,
        Json(r.1.line),
        small(r.1.line.latest(Instrument::measures_depression)),
        small(r.1.line.latest(|instrument| instrument == Instrument::GAD7)),
        r.1.line.next_contact.map(|(on, _)| on),
        r.1.line.last_review,
        folded(listed(r.1.label))
    );
    Ok(())
}

/// Writes the standing of an episode.
pub async fn put(
    tx: &mut WriteTx,
    clinic: &str,
    patient: PatientId,
    written: StandingWrite<'_>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    put_all(tx, clinic, &[(patient, written)], now).await
}

/// A consultant and a care manager who have open episodes together.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TeamCount {
    /// The consultant, where known.
    pub psychiatric_consultant: Option<String>,
    /// The care manager, where known.
    pub care_manager: Option<String>,
    /// How many of their episodes are in the review queue.
    pub waiting: i64,
}

/// Pairs of consultant and care manager in a clinic, with the number of their episodes in the queue up to a place.
pub async fn teams(tx: &mut ReadTx, clinic: &str, up_to: i16) -> Result<Vec<TeamCount>, Problem> {
    fetch_all!(
        tx,
        TeamCount,
        "SELECT psychiatric_consultant, care_manager, SUM(CASE WHEN attention <= $2 THEN 1 ELSE 0 END) AS waiting
         FROM standing WHERE clinic_id = $1 AND status <> 'discharged' GROUP BY psychiatric_consultant, care_manager",
        clinic,
        up_to
    )
    .map_err(failed)
}

/// The whole standing of a patient's open episodes, most pressing first; what cannot be read any more is left out until
/// the next plan writes it.
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<Standing>, Problem> {
    // Ordered here: by the order of attention, SQLite would walk the whole clinic.
    let mut rows: Vec<(i16, NaiveDate, EpisodeId, Json<Box<serde_json::value::RawValue>>)> = fetch_all!(
        tx,
        (i16, NaiveDate, EpisodeId, Json<Box<serde_json::value::RawValue>>),
        "SELECT attention, waiting_since, episode_id, body FROM standing
         WHERE clinic_id = $1 AND patient_id = $2 AND status <> 'discharged'",
        clinic,
        patient
    )
    .map_err(failed)?;
    note([patient]);
    rows.sort_by_key(|(attention, since, episode, _)| (*attention, *since, *episode));
    Ok(rows.iter().filter_map(|(.., body)| serde_json::from_str(body.0.get()).ok()).collect())
}

/// Every standing of a patient, also of what has ended.
pub async fn every_of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<Standing>, Problem> {
    let mut rows: Vec<(EpisodeId, Json<Standing>)> = fetch_all!(
        tx,
        (EpisodeId, Json<Standing>),
        "SELECT episode_id, body FROM standing WHERE clinic_id = $1 AND patient_id = $2",
        clinic,
        patient
    )
    .map_err(failed)?;
    rows.sort_by_key(|(episode, _)| *episode);
    Ok(rows.into_iter().map(|(_, standing)| standing.0).collect())
}

/// Filter for the caseload; all given conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct StandingFilter {
    /// Only episodes of this care manager.
    pub care_manager: Option<String>,
    /// Only episodes of this consultant.
    pub psychiatric_consultant: Option<String>,
    /// In this phase; without one, everything that is not discharged.
    pub status: Option<String>,
    /// With this finding.
    pub finding: Option<String>,
    /// Only patients found by this text, as [`PersonSearch`] reads it.
    pub name: Option<String>,
}

impl StandingFilter {
    fn finding_pattern(&self) -> Option<String> {
        self.finding.as_ref().map(|f| format!("%,{f},%"))
    }

    fn person(&self) -> PersonPatterns {
        PersonPatterns::of(self.name.as_deref())
    }
}

/// Patterns (`ESCAPE '!'`) of a [`PersonSearch`]; all empty where everybody is meant.
#[derive(Clone, Debug, Default)]
struct PersonPatterns {
    /// Of the folded name; all must match.
    words: [Option<String>; MOST_WORDS],
    /// Of a key `system|value`.
    identifier: Option<String>,
    /// Of a key `Patient/123`.
    reference: Option<String>,
}

impl PersonPatterns {
    fn of(typed: Option<&str>) -> Self {
        let Some(search) = typed.and_then(PersonSearch::of) else { return Self::default() };
        let escaped = |text: &str| text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        let word = |n: usize| search.words.get(n).map(|word| format!("%{}%", escaped(word)));
        // A folded name contains no comma: this matches nobody.
        let first = if search.words.iter().all(String::is_empty) { Some(",".to_owned()) } else { word(0) };
        let number = search.number.as_deref().map(escaped);
        let any = || Some("%".to_owned());
        Self {
            words: [first, word(1).or_else(any), word(2).or_else(any)],
            identifier: number.as_ref().map(|number| format!("%|%{number}%")),
            reference: number.map(|number| format!("patient/%{number}%")),
        }
    }
}

/// Where a page of the caseload goes on: (place in the queue, waiting since, minus the latest score, episode).
pub type AttentionKey = (i16, NaiveDate, i32, EpisodeId);

impl StandingRow {
    /// Its place in the order of attention.
    pub fn attention_key(&self) -> AttentionKey {
        (self.attention, self.waiting_since, -self.latest_score.map_or(-1, i32::from), self.episode_id)
    }
}

/// A page of the caseload, most pressing first (R15): place in the queue, longest waiting, highest latest score, id.
/// With `up_to`, only the places up to that one.
pub async fn by_attention(
    tx: &mut ReadTx,
    clinic: &str,
    filter: &StandingFilter,
    up_to: Option<i16>,
    after: Option<AttentionKey>,
    limit: i64,
) -> Result<Vec<StandingRow>, Problem> {
    let person = filter.person();
    // No place is before this one.
    let (rank, since, score, id) = after.unwrap_or((i16::MIN, NaiveDate::default(), i32::MIN, EpisodeId(Uuid::nil())));
    fetch_all!(
        tx,
        StandingRow,
        concat!(
            "SELECT ",
            columns!(),
            " FROM standing s JOIN patient p ON p.clinic_id = s.clinic_id AND p.id = s.patient_id
         WHERE s.clinic_id = $1
           AND ($2 IS NULL OR s.care_manager = $2)
           AND (($3 IS NULL AND s.status <> 'discharged') OR s.status = $3)
           AND ($4 IS NULL OR s.findings LIKE $4)
           AND ($5 IS NULL OR s.attention <= $5)
           AND (s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id) > ($6, $7, $8, $9)
           AND ($10 IS NULL OR s.psychiatric_consultant = $10)
           AND ",
            is_searched!("s", "11", "12", "13", "14", "15"),
            " ORDER BY s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id LIMIT $16"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        up_to,
        rank,
        since,
        score,
        id,
        &filter.psychiatric_consultant,
        &person.words[0],
        &person.words[1],
        &person.words[2],
        &person.identifier,
        &person.reference,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

static OF_EPISODES: LazyLock<Texts> = LazyLock::new(|| {
    let head = concat!(
        "SELECT ",
        columns!(),
        " FROM standing s JOIN patient p ON p.clinic_id = s.clinic_id AND p.id = s.patient_id
         WHERE s.clinic_id = $1 AND s.episode_id IN"
    );
    Texts::list(head, 2, "")
});

/// The standings of these episodes, in their order.
pub async fn of_episodes(tx: &mut ReadTx, clinic: &str, episodes: &[EpisodeId]) -> Result<Vec<StandingRow>, Problem> {
    let rows = fetch_listed!(tx, StandingRow, OF_EPISODES, episodes, clinic);
    note(rows.iter().map(|row| row.patient_id));
    let mut read: HashMap<EpisodeId, StandingRow> = rows.into_iter().map(|row| (row.episode_id, row)).collect();
    Ok(episodes.iter().filter_map(|episode| read.remove(episode)).collect())
}

/// A page of the caseload by name: (name, episode).
pub async fn by_name(
    tx: &mut ReadTx,
    clinic: &str,
    filter: &StandingFilter,
    after: Option<(String, EpisodeId)>,
    limit: i64,
) -> Result<Vec<StandingRow>, Problem> {
    let person = filter.person();
    let (after_name, id) = match after {
        Some((name, id)) => (Some(name), Some(id)),
        None => (None, None),
    };
    fetch_all!(
        tx,
        StandingRow,
        concat!(
            "SELECT ",
            columns!(),
            " FROM standing s JOIN patient p ON p.clinic_id = s.clinic_id AND p.id = s.patient_id
         WHERE s.clinic_id = $1
           AND ($2 IS NULL OR s.care_manager = $2)
           AND (($3 IS NULL AND s.status <> 'discharged') OR s.status = $3)
           AND ($4 IS NULL OR s.findings LIKE $4)
           AND ($5 IS NULL OR s.display_name > $5 OR (s.display_name = $5 AND s.episode_id > $6))
           AND ($7 IS NULL OR s.psychiatric_consultant = $7)
           AND ",
            is_searched!("s", "8", "9", "10", "11", "12"),
            " ORDER BY s.display_name, s.episode_id LIMIT $13"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        after_name,
        id,
        &filter.psychiatric_consultant,
        &person.words[0],
        &person.words[1],
        &person.words[2],
        &person.identifier,
        &person.reference,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

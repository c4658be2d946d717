//! The standing of each episode, ready to read: the caseload.

pub mod caseload;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::access_trace::note;
use super::key::listed;
use super::{Tx, failed};
use crate::domain::attention::Attention;
use crate::domain::caseload_row::CaseloadRow;
use crate::domain::instrument::Instrument;
use crate::domain::standing::Standing;
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

/// Writes the standing of an episode.
pub async fn put(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    written: StandingWrite<'_>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let StandingWrite { label, care_manager, psychiatric_consultant, standing, line } = written;
    let attention = Attention::of(standing);
    let primary = standing.measures.first();
    let score = |s: Option<u16>| s.and_then(|s| i16::try_from(s).ok());
    let mut findings = String::from(",");
    for finding in &standing.findings {
        findings.push_str(finding.rule.as_str());
        findings.push(',');
    }
    let enrolled = standing.day.and_then(|day| {
        standing.discharged_on.unwrap_or(standing.as_of).checked_sub_days(chrono::Days::new(u64::try_from(day).ok()?))
    });
    execute!(
        tx,
        "INSERT INTO standing (clinic_id, episode_id, patient_id, status, display_name, care_manager, enrolled_on,
           primary_instrument, baseline_score, latest_score, latest_on, at_target, open_safety, attention, waiting_since,
           findings, rule_set, as_of, reevaluate_on, body, updated_at, psychiatric_consultant, line, depression_score,
           gad7_score, next_contact_on, reviewed_on, folded_name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
           $24, $25, $26, $27, $28)
         ON CONFLICT (clinic_id, episode_id) DO UPDATE SET patient_id = $3, status = $4, display_name = $5,
           care_manager = $6, enrolled_on = $7, baseline_score = $9, latest_score = $10, latest_on = $11, at_target = $12,
           open_safety = $13, attention = $14, waiting_since = $15, findings = $16, rule_set = $17, as_of = $18,
           reevaluate_on = $19, body = $20, updated_at = $21, psychiatric_consultant = $22, line = $23,
           depression_score = $24, gad7_score = $25, next_contact_on = $26, reviewed_on = $27,
           folded_name = $28",
        clinic,
        standing.episode,
        patient,
        standing.status.as_str(),
        listed(label),
        care_manager.map(listed),
        enrolled,
        primary.map_or("", |m| m.instrument.id()),
        score(primary.and_then(|m| m.baseline.as_ref()).map(|b| b.score)),
        score(primary.and_then(|m| m.latest.as_ref()).map(|l| l.score)),
        primary.and_then(|m| m.latest.as_ref()).map(|l| l.taken_on),
        standing.at_target,
        attention.open_safety,
        attention.rank,
        attention.since,
        &findings,
        format!("{}/{}", standing.rule_set.id, standing.rule_set.version),
        standing.as_of,
        standing.reevaluate_on,
        Json(standing),
        now,
        psychiatric_consultant,
        Json(line),
        score(line.latest(Instrument::measures_depression)),
        score(line.latest(|instrument| instrument == Instrument::GAD7)),
        line.next_contact.map(|(on, _)| on),
        line.last_review,
        listed(label).to_lowercase()
    )
    .map(|_| ())
    .map_err(failed)
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
pub async fn teams(tx: &mut Tx, clinic: &str, up_to: i16) -> Result<Vec<TeamCount>, Problem> {
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
pub async fn of_patient(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<Standing>, Problem> {
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
pub async fn every_of_patient(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<Standing>, Problem> {
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
    /// Only patients whose name contains this text, ignoring case.
    pub name: Option<String>,
}

impl StandingFilter {
    fn finding_pattern(&self) -> Option<String> {
        self.finding.as_ref().map(|f| format!("%,{f},%"))
    }

    fn name_pattern(&self) -> Option<String> {
        self.name.as_deref().map(containing)
    }
}

/// A pattern (`ESCAPE '!'`) of folded names that contain this, in any case.
fn containing(name: &str) -> String {
    format!("%{}%", name.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_"))
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
    tx: &mut Tx,
    clinic: &str,
    filter: &StandingFilter,
    up_to: Option<i16>,
    after: Option<AttentionKey>,
    limit: i64,
) -> Result<Vec<StandingRow>, Problem> {
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
           AND ($5 IS NULL OR s.folded_name LIKE $5 ESCAPE '!')
           AND ($6 IS NULL OR s.attention <= $6)
           AND (s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id) > ($7, $8, $9, $10)
           AND ($11 IS NULL OR s.psychiatric_consultant = $11)
         ORDER BY s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id LIMIT $12"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        filter.name_pattern(),
        up_to,
        rank,
        since,
        score,
        id,
        &filter.psychiatric_consultant,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

/// A page of the caseload by name: (name, episode).
pub async fn by_name(
    tx: &mut Tx,
    clinic: &str,
    filter: &StandingFilter,
    after: Option<(String, EpisodeId)>,
    limit: i64,
) -> Result<Vec<StandingRow>, Problem> {
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
           AND ($5 IS NULL OR s.folded_name LIKE $5 ESCAPE '!')
           AND ($6 IS NULL OR s.display_name > $6 OR (s.display_name = $6 AND s.episode_id > $7))
           AND ($8 IS NULL OR s.psychiatric_consultant = $8)
         ORDER BY s.display_name, s.episode_id LIMIT $9"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        filter.name_pattern(),
        after_name,
        id,
        &filter.psychiatric_consultant,
        limit
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

//! The standing of each episode, ready to read: the caseload.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::key::listed;
use super::shown::note;
use super::{Tx, failed};
use crate::domain::attention::Attention;
use crate::domain::finding::Rules;
use crate::domain::instrument::Instrument;
use crate::domain::line::Line;
use crate::domain::standing::Standing;
use crate::problem::Problem;

/// The columns of a [`Row`].
macro_rules! columns {
    () => {
        "s.episode_id, s.patient_id, p.reference, p.language, s.status, s.display_name, s.care_manager,
         s.psychiatric_consultant, s.enrolled_on, s.at_target, s.open_safety, s.attention, s.waiting_since, s.latest_score,
         s.rule_set, s.as_of, s.reevaluate_on, s.body, s.updated_at"
    };
}

/// One row of the caseload.
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are explained in the migration")]
pub struct Row {
    pub episode_id: Uuid,
    pub patient_id: Uuid,
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

/// What is written of an episode.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// How the patient is shown.
    pub label: &'a str,
    /// The care manager, where known.
    pub care_manager: Option<&'a str>,
    /// The consultant, where known.
    pub psychiatric_consultant: Option<&'a str>,
    /// The whole standing.
    pub standing: &'a Standing,
    /// The row of the caseload page.
    pub line: &'a Line,
}

/// Writes the standing of an episode.
pub async fn put(
    tx: &mut Tx,
    clinic: &str,
    patient: Uuid,
    written: Written<'_>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let Written { label, care_manager, psychiatric_consultant, standing, line } = written;
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
           gad7_score, next_contact_on, reviewed_on)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
           $24, $25, $26, $27)
         ON CONFLICT (clinic_id, episode_id) DO UPDATE SET patient_id = $3, status = $4, display_name = $5,
           care_manager = $6, enrolled_on = $7, baseline_score = $9, latest_score = $10, latest_on = $11, at_target = $12,
           open_safety = $13, attention = $14, waiting_since = $15, findings = $16, rule_set = $17, as_of = $18,
           reevaluate_on = $19, body = $20, updated_at = $21, psychiatric_consultant = $22, line = $23,
           depression_score = $24, gad7_score = $25, next_contact_on = $26, reviewed_on = $27",
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
        score(line.latest(|instrument| instrument == Instrument::Gad7)),
        line.next_contact.map(|(on, _)| on),
        line.last_review
    )
    .map(|_| ())
    .map_err(failed)
}

/// One row of the caseload page; what is drawn in it is read apart ([`drawn`]).
#[derive(Clone, Debug, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are explained in the migration")]
pub struct Lined {
    pub episode_id: Uuid,
    pub patient_id: Uuid,
    pub status: String,
    display_name: String,
    pub care_manager: Option<String>,
    pub enrolled_on: Option<NaiveDate>,
    pub at_target: bool,
    pub open_safety: bool,
    pub attention: i16,
    #[sqlx(try_from = "String")]
    pub findings: Rules,
}

impl Lined {
    /// The name, for whoever is shown it: the journal is told.
    pub fn name(&self) -> &str {
        note([self.patient_id]);
        &self.display_name
    }

    /// The name to find and to sort by.
    pub fn folded_name(&self) -> String {
        self.display_name.to_lowercase()
    }
}

/// What [`lines`] come in the order of; what is equal, and all without an order of its own, in that of attention (R15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most pressing first.
    Attention,
    /// The longest in care first.
    Enrolled,
    /// The highest latest score of depression first.
    Depression,
    /// The highest latest GAD-7 first.
    Gad7,
    /// The soonest contact first.
    NextContact,
    /// Who was never reviewed first, then the longest ago.
    LastReview,
}

/// Every open episode of a clinic (or every ended one): what the caseload page counts and finds. One index holds all of it,
/// so that no whole standing is read for it.
pub async fn lines(tx: &mut Tx, clinic: &str, discharged: bool, order: Order) -> Result<Vec<Lined>, Problem> {
    macro_rules! by {
        ($first:literal) => {
            concat!(
                "SELECT episode_id, patient_id, status, display_name, care_manager, enrolled_on, at_target, open_safety,
                   attention, findings
                 FROM standing WHERE clinic_id = $1 AND (status = 'discharged') = $2 ORDER BY ",
                $first,
                " attention, waiting_since, -COALESCE(latest_score, -1), episode_id"
            )
        };
    }
    let text = match order {
        Order::Attention => by!(""),
        Order::Enrolled => by!("enrolled_on NULLS LAST,"),
        Order::Depression => by!("depression_score DESC NULLS LAST,"),
        Order::Gad7 => by!("gad7_score DESC NULLS LAST,"),
        Order::NextContact => by!("next_contact_on NULLS LAST,"),
        Order::LastReview => by!("reviewed_on NULLS FIRST,"),
    };
    fetch_all!(tx, Lined, text, clinic, discharged).map_err(failed)
}

/// What is drawn of an episode.
#[derive(sqlx::FromRow)]
struct Drawn {
    episode_id: Uuid,
    /// Empty until the patient is planned once by a program that writes it. As text: it is read only where it is shown.
    line: Option<String>,
}

/// The most episodes that [`drawn`] is asked for at once.
pub const DRAWN: usize = 150;

static DRAW: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (2..DRAWN + 2).map(|place| format!("${place}")).collect();
    let head = "SELECT episode_id, CAST(line AS TEXT) AS line FROM standing WHERE clinic_id = $1 AND episode_id IN";
    format!("{head} ({})", places.join(", "))
});

/// What is drawn of these episodes, at most [`DRAWN`].
pub async fn drawn(tx: &mut Tx, clinic: &str, episodes: &[Uuid]) -> Result<HashMap<Uuid, Line>, Problem> {
    let text: &'static str = &DRAW;
    let rows = on!(tx, |conn| {
        let mut query = sqlx::query_as::<_, Drawn>(text).bind(clinic);
        // Where there are fewer, nobody's.
        for place in 0..DRAWN {
            query = query.bind(episodes.get(place).copied().unwrap_or_default());
        }
        query.fetch_all(conn).await
    })
    .map_err(failed)?;
    let line = |row: Drawn| Some((row.episode_id, serde_json::from_str(&row.line?).ok()?));
    Ok(rows.into_iter().filter_map(line).collect())
}

/// A consultant and a care manager who have open episodes together.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Team {
    /// The consultant, where known.
    pub psychiatric_consultant: Option<String>,
    /// The care manager, where known.
    pub care_manager: Option<String>,
    /// How many of their episodes are in the review queue.
    pub waiting: i64,
}

/// Who works together in a clinic, and how many of theirs stand in the queue up to a place.
pub async fn teams(tx: &mut Tx, clinic: &str, up_to: i16) -> Result<Vec<Team>, Problem> {
    fetch_all!(
        tx,
        Team,
        "SELECT psychiatric_consultant, care_manager, SUM(CASE WHEN attention <= $2 THEN 1 ELSE 0 END) AS waiting
         FROM standing WHERE clinic_id = $1 AND status <> 'discharged' GROUP BY psychiatric_consultant, care_manager",
        clinic,
        up_to
    )
    .map_err(failed)
}

/// The whole standing of a patient's open episodes, most pressing first; what cannot be read any more is left out until
/// the next plan writes it.
pub async fn of_patient(tx: &mut Tx, clinic: &str, patient: Uuid) -> Result<Vec<Standing>, Problem> {
    let rows = fetch_all!(
        tx,
        (Json<Box<serde_json::value::RawValue>>,),
        "SELECT body FROM standing WHERE clinic_id = $1 AND patient_id = $2 AND status <> 'discharged'
         ORDER BY attention, waiting_since, episode_id",
        clinic,
        patient
    )
    .map_err(failed)?;
    note([patient]);
    Ok(rows.iter().filter_map(|(body,)| serde_json::from_str(body.0.get()).ok()).collect())
}

/// What the caseload may be narrowed to; everything given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this care manager.
    pub care_manager: Option<String>,
    /// Of this consultant.
    pub psychiatric_consultant: Option<String>,
    /// In this phase; without one, everything that is not discharged.
    pub status: Option<String>,
    /// With this finding.
    pub finding: Option<String>,
    /// Whose name contains this, in any case.
    pub name: Option<String>,
}

impl Filter {
    fn finding_pattern(&self) -> Option<String> {
        self.finding.as_ref().map(|f| format!("%,{f},%"))
    }

    /// Lower-cased, and as names are written: SQLite knows upper and lower case of ASCII only.
    fn name_patterns(&self) -> (Option<String>, Option<String>) {
        let pattern = |name: &str| {
            let name = name.replace('!', "!!").replace('%', "!%").replace('_', "!_");
            format!("%{name}%")
        };
        (self.name.as_deref().map(|n| pattern(&n.to_lowercase())), self.name.as_deref().map(|n| pattern(&titled(n))))
    }
}

/// Each word with a capital letter.
fn titled(name: &str) -> String {
    let mut begins = true;
    let mut titled = String::with_capacity(name.len());
    for c in name.chars() {
        if begins {
            titled.extend(c.to_uppercase());
        } else {
            titled.extend(c.to_lowercase());
        }
        begins = !c.is_alphanumeric();
    }
    titled
}

/// Where a page of the caseload goes on: (place in the queue, waiting since, minus the latest score, episode).
pub type AttentionKey = (i16, NaiveDate, i32, Uuid);

impl Row {
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
    filter: &Filter,
    up_to: Option<i16>,
    after: Option<AttentionKey>,
    limit: i64,
) -> Result<Vec<Row>, Problem> {
    // No place is before this one.
    let (rank, since, score, id) = after.unwrap_or((i16::MIN, NaiveDate::default(), i32::MIN, Uuid::nil()));
    let (lower, name) = filter.name_patterns();
    fetch_all!(
        tx,
        Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM standing s JOIN patient p ON p.clinic_id = s.clinic_id AND p.id = s.patient_id
         WHERE s.clinic_id = $1
           AND ($2 IS NULL OR s.care_manager = $2)
           AND (($3 IS NULL AND s.status <> 'discharged') OR s.status = $3)
           AND ($4 IS NULL OR s.findings LIKE $4)
           AND ($5 IS NULL OR LOWER(s.display_name) LIKE $5 ESCAPE '!' OR s.display_name LIKE $6 ESCAPE '!')
           AND ($7 IS NULL OR s.attention <= $7)
           AND (s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id) > ($8, $9, $10, $11)
           AND ($13 IS NULL OR s.psychiatric_consultant = $13)
         ORDER BY s.attention, s.waiting_since, -COALESCE(s.latest_score, -1), s.episode_id LIMIT $12"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        lower,
        name,
        up_to,
        rank,
        since,
        score,
        id,
        limit,
        &filter.psychiatric_consultant
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

/// A page of the caseload by name: (name, episode).
pub async fn by_name(
    tx: &mut Tx,
    clinic: &str,
    filter: &Filter,
    after: Option<(String, Uuid)>,
    limit: i64,
) -> Result<Vec<Row>, Problem> {
    let (after_name, id) = match after {
        Some((name, id)) => (Some(name), Some(id)),
        None => (None, None),
    };
    let (lower, name) = filter.name_patterns();
    fetch_all!(
        tx,
        Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM standing s JOIN patient p ON p.clinic_id = s.clinic_id AND p.id = s.patient_id
         WHERE s.clinic_id = $1
           AND ($2 IS NULL OR s.care_manager = $2)
           AND (($3 IS NULL AND s.status <> 'discharged') OR s.status = $3)
           AND ($4 IS NULL OR s.findings LIKE $4)
           AND ($5 IS NULL OR LOWER(s.display_name) LIKE $5 ESCAPE '!' OR s.display_name LIKE $6 ESCAPE '!')
           AND ($7 IS NULL OR s.display_name > $7 OR (s.display_name = $7 AND s.episode_id > $8))
           AND ($10 IS NULL OR s.psychiatric_consultant = $10)
         ORDER BY s.display_name, s.episode_id LIMIT $9"
        ),
        clinic,
        &filter.care_manager,
        &filter.status,
        filter.finding_pattern(),
        lower,
        name,
        after_name,
        id,
        limit,
        &filter.psychiatric_consultant
    )
    .inspect(|rows| note(rows.iter().map(|s| s.patient_id)))
    .map_err(failed)
}

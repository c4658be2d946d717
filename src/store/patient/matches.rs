//! Records that are perhaps one person.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::rows::Texts;
use super::super::{ReadTx, WriteTx, failed};
use crate::domain::patient_match::{MatchReason, MatchState};
use crate::id::PatientId;
use crate::problem::Problem;

/// Two records, why they may be one person, and what somebody decided.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct PatientMatch {
    pub id: Uuid,
    pub one_id: PatientId,
    pub other_id: PatientId,
    pub reasons: Json<Vec<MatchReason>>,
    pub state: String,
    pub found_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
    pub decided_by: Option<String>,
    pub decision_reason: Option<String>,
}

impl PatientMatch {
    pub fn state(&self) -> MatchState {
        MatchState::of(&self.state)
    }
}

static NOTE: LazyLock<Texts> = LazyLock::new(|| {
    let head = "INSERT INTO patient_match (clinic_id, id, one_id, other_id, reasons, state, found_at)";
    Texts::values(head, 6, "ON CONFLICT DO NOTHING")
});

/// Notes matches, unless they are known.
pub async fn note_all(tx: &mut WriteTx, clinic: &str, found: &[&PatientMatch]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        NOTE,
        clinic,
        found,
        |found| found.id,
        found.one_id,
        found.other_id,
        &found.reasons,
        &found.state,
        found.found_at
    );
    Ok(())
}

/// Writes what somebody decided.
pub async fn decide(tx: &mut WriteTx, clinic: &str, decided: &PatientMatch) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE patient_match SET state = $3, decided_at = $4, decided_by = $5, decision_reason = $6
         WHERE clinic_id = $1 AND id = $2",
        clinic,
        decided.id,
        &decided.state,
        decided.decided_at,
        &decided.decided_by,
        &decided.decision_reason
    )
    .map(|_| ())
    .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, id: Uuid) -> Result<Option<PatientMatch>, Problem> {
    fetch_optional!(
        tx,
        PatientMatch,
        "SELECT id, one_id, other_id, reasons, state, found_at, decided_at, decided_by, decision_reason
         FROM patient_match WHERE clinic_id = $1 AND id = $2",
        clinic,
        id
    )
    .map_err(failed)
}

/// A page in order of finding. What the chart has made one person since is not open any more.
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    state: MatchState,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<PatientMatch>, Problem> {
    let (found_at, id) = after.unzip();
    fetch_all!(
        tx,
        PatientMatch,
        "SELECT m.id, m.one_id, m.other_id, m.reasons, m.state, m.found_at, m.decided_at, m.decided_by, m.decision_reason
         FROM patient_match m
         JOIN patient a ON a.clinic_id = m.clinic_id AND a.id = m.one_id
         JOIN patient b ON b.clinic_id = m.clinic_id AND b.id = m.other_id
         WHERE m.clinic_id = $1 AND m.state = $2
           AND ($2 = 'joined' OR COALESCE(a.merged_into, a.id) <> COALESCE(b.merged_into, b.id))
           AND ($3 IS NULL OR m.found_at > $3 OR (m.found_at = $3 AND m.id > $4))
         ORDER BY m.found_at, m.id LIMIT $5",
        clinic,
        state.as_str(),
        found_at,
        id,
        limit
    )
    .map_err(failed)
}

/// Those of a person's records that nobody has decided about yet.
pub async fn of_person(tx: &mut ReadTx, clinic: &str, person: PatientId) -> Result<Vec<PatientMatch>, Problem> {
    fetch_all!(
        tx,
        PatientMatch,
        "SELECT m.id, m.one_id, m.other_id, m.reasons, m.state, m.found_at, m.decided_at, m.decided_by, m.decision_reason
         FROM patient_match m
         JOIN patient a ON a.clinic_id = m.clinic_id AND a.id = m.one_id
         JOIN patient b ON b.clinic_id = m.clinic_id AND b.id = m.other_id
         WHERE m.clinic_id = $1 AND m.state = 'open'
           AND COALESCE(a.merged_into, a.id) <> COALESCE(b.merged_into, b.id)
           AND m.id IN (
             SELECT id FROM patient_match WHERE clinic_id = $1 AND one_id = $2
             UNION SELECT id FROM patient_match WHERE clinic_id = $1 AND other_id = $2
             UNION SELECT o.id FROM patient p JOIN patient_match o ON o.clinic_id = p.clinic_id AND o.one_id = p.id
               WHERE p.clinic_id = $1 AND p.merged_into = $2
             UNION SELECT o.id FROM patient p JOIN patient_match o ON o.clinic_id = p.clinic_id AND o.other_id = p.id
               WHERE p.clinic_id = $1 AND p.merged_into = $2)
         ORDER BY m.found_at, m.id LIMIT 100",
        clinic,
        person
    )
    .map_err(failed)
}

static NAMESAKES: LazyLock<Texts> = LazyLock::new(|| {
    Texts::pairs(|born, name| {
        format!(
            "SELECT birth_date, display_name, id FROM patient WHERE clinic_id = $1 AND birth_date = ${born}
             AND display_name = ${name} AND merged_into IS NULL AND seen LIMIT {MOST_NAMESAKES}"
        )
    })
});

/// More of one name and birth date are a placeholder, or a joke.
const MOST_NAMESAKES: usize = 6;

/// A birth date and a name, and who has them.
pub type Namesake = (String, String, PatientId);

/// Who was born on one of these days and has the name beside it: (birth date, name); of each, a few.
pub async fn namesakes(tx: &mut ReadTx, clinic: &str, of: &[(String, String)]) -> Result<Vec<Namesake>, Problem> {
    let mut all: Vec<Namesake> = Vec::new();
    for (text, room, pairs) in NAMESAKES.lists(of) {
        let rows = on!(tx, |conn| {
            let mut query = sqlx::query_as::<_, Namesake>(text).bind(clinic);
            for place in 0..room {
                let (born, name) = pairs.get(place).unwrap_or(&pairs[0]);
                query = query.bind(born).bind(name);
            }
            query.fetch_all(conn).await
        });
        all.extend(rows.map_err(failed)?);
    }
    Ok(all)
}

/// The day of birth and the name, where both say enough: a year or a month alone says little.
pub fn full_name(born: Option<&str>, name: Option<&str>) -> Option<(String, String)> {
    let born = born.filter(|born| born.len() == "2026-01-05".len())?;
    Some((born.to_owned(), name?.to_owned()))
}

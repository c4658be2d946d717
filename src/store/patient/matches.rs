//! Records that are perhaps one person.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{Tx, failed};
use super::Patient;
use crate::domain::patient_match::{MatchReason, MatchState};
use crate::id::PatientId;
use crate::problem::Problem;

/// Two records, why they may be one person, and what somebody decided.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns are explained in the migration")]
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

/// Notes a match, unless it is known.
pub async fn note(tx: &mut Tx, clinic: &str, found: &PatientMatch) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO patient_match (clinic_id, id, one_id, other_id, reasons, state, found_at)
         VALUES ($1, $2, $3, $4, $5, 'open', $6) ON CONFLICT DO NOTHING",
        clinic,
        found.id,
        found.one_id,
        found.other_id,
        &found.reasons,
        found.found_at
    )
    .map(|_| ())
    .map_err(failed)
}

/// Writes what somebody decided.
pub async fn decide(tx: &mut Tx, clinic: &str, decided: &PatientMatch) -> Result<(), Problem> {
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

pub async fn find(tx: &mut Tx, clinic: &str, id: Uuid) -> Result<Option<PatientMatch>, Problem> {
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
    tx: &mut Tx,
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
pub async fn of_person(tx: &mut Tx, clinic: &str, person: PatientId) -> Result<Vec<PatientMatch>, Problem> {
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

/// Others of the same name who were born on the same day.
pub async fn namesakes(tx: &mut Tx, clinic: &str, of: &Patient) -> Result<Vec<PatientId>, Problem> {
    let (Some(name), Some(born)) = (&of.display_name, &of.birth_date) else { return Ok(Vec::new()) };
    // A year or a month alone says little.
    if born.len() != "2026-01-05".len() {
        return Ok(Vec::new());
    }
    fetch_all!(
        tx,
        (PatientId,),
        "SELECT id FROM patient WHERE clinic_id = $1 AND birth_date = $2 AND display_name = $3 AND id <> $4
           AND merged_into IS NULL AND seen LIMIT 5",
        clinic,
        born,
        name,
        of.id
    )
    .map(|rows| rows.into_iter().map(|(id,)| id).collect())
    .map_err(failed)
}

//! Which records are one person, and who says so.

use chrono::{DateTime, Utc};

use super::super::key::indexed;
use super::super::{Tx, failed};
use super::Patient;
use crate::id::PatientId;
use crate::problem::Problem;

/// Two records are one person: the one is used no more, the other instead of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Link {
    /// The record that is used no more.
    #[sqlx(rename = "from_id")]
    pub from: PatientId,
    /// The one that is used instead.
    #[sqlx(rename = "into_id")]
    pub into: PatientId,
}

/// What a source says.
pub async fn of_source(tx: &mut Tx, clinic: &str, source: &str) -> Result<Vec<Link>, Problem> {
    fetch_all!(
        tx,
        Link,
        "SELECT from_id, into_id FROM patient_link WHERE clinic_id = $1 AND source = $2 ORDER BY from_id, into_id",
        clinic,
        indexed(source)
    )
    .map_err(failed)
}

/// Everything that is said about the records that were merged into a person.
pub async fn of_person(tx: &mut Tx, clinic: &str, person: PatientId) -> Result<Vec<Link>, Problem> {
    fetch_all!(
        tx,
        Link,
        "SELECT DISTINCT from_id, into_id FROM patient_link WHERE clinic_id = $1 AND from_id IN (
           SELECT id FROM patient WHERE clinic_id = $1 AND id = $2
           UNION SELECT id FROM patient WHERE clinic_id = $1 AND merged_into = $2)",
        clinic,
        person
    )
    .map_err(failed)
}

/// Keeps a statement.
pub async fn add(tx: &mut Tx, clinic: &str, source: &str, link: Link, now: DateTime<Utc>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO patient_link (clinic_id, source, from_id, into_id, stated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        clinic,
        indexed(source),
        link.from,
        link.into,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

/// Takes a statement back.
pub async fn remove(tx: &mut Tx, clinic: &str, source: &str, link: Link) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM patient_link WHERE clinic_id = $1 AND source = $2 AND from_id = $3 AND into_id = $4",
        clinic,
        indexed(source),
        link.from,
        link.into
    )
    .map(|_| ())
    .map_err(failed)
}

/// Takes back whatever Patients of the chart say about two records.
pub async fn remove_from_chart(tx: &mut Tx, clinic: &str, link: Link) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM patient_link WHERE clinic_id = $1 AND from_id = $2 AND into_id = $3 AND SUBSTR(source, 1, 8) = 'Patient/'",
        clinic,
        link.from,
        link.into
    )
    .map(|_| ())
    .map_err(failed)
}

/// The record that carries a key, whoever it was merged into. One that carries it now comes before one that did once.
pub async fn record_of(tx: &mut Tx, clinic: &str, key: &str) -> Result<Option<PatientId>, Problem> {
    fetch_optional!(
        tx,
        (PatientId,),
        "SELECT COALESCE(origin_id, patient_id) FROM patient_key WHERE clinic_id = $1 AND key = $2
         ORDER BY former, patient_id LIMIT 1",
        clinic,
        indexed(key)
    )
    .map(|row| row.map(|(id,)| id))
    .map_err(failed)
}

/// A record by its id, merged or not.
pub async fn record(tx: &mut Tx, clinic: &str, id: PatientId) -> Result<Option<Patient>, Problem> {
    fetch_patient!(tx, "FROM patient WHERE clinic_id = $1 AND id = $2", clinic, id).map_err(failed)
}

/// The record of a name that was merged into a person.
pub async fn merged_record(
    tx: &mut Tx,
    clinic: &str,
    person: PatientId,
    reference: &str,
) -> Result<Option<Patient>, Problem> {
    fetch_patient!(
        tx,
        "FROM patient WHERE clinic_id = $1 AND merged_into = $2 AND reference = $3 ORDER BY id LIMIT 1",
        clinic,
        person,
        reference
    )
    .map_err(failed)
}

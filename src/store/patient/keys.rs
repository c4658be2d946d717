//! The names that persons are known by.

use std::sync::LazyLock;

use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::key::indexed;
use crate::store::rows::Texts;
use crate::store::{ReadTx, WriteTx, failed};

/// A name that a person is known by.
#[derive(Clone, Copy, Debug)]
pub struct KeyRow<'a> {
    /// `Patient/123`, `urn:uuid:…`, `system|value`.
    pub key: &'a str,
    /// Who is found by it.
    pub patient: PatientId,
    /// The record that carries it, where that was merged into the person.
    pub origin: Option<PatientId>,
    /// The person had it once.
    pub former: bool,
}

/// A name as it is stored, and whom it leads to.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredKey {
    pub key: String,
    pub patient_id: PatientId,
    pub origin_id: Option<PatientId>,
    pub former: bool,
}

static WITH_KEYS: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list("SELECT key, patient_id, origin_id, former FROM patient_key WHERE clinic_id = $1 AND key IN", 2, "")
});

/// Whom these keys lead to.
pub async fn with_keys(tx: &mut ReadTx, clinic: &str, keys: &[String]) -> Result<Vec<StoredKey>, Problem> {
    let mut keys: Vec<String> = keys.iter().map(|key| indexed(key).into_owned()).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(fetch_listed!(tx, StoredKey, WITH_KEYS, &keys, clinic))
}

static WRITE_KEYS: LazyLock<Texts> = LazyLock::new(|| {
    let tail = "ON CONFLICT (clinic_id, key, patient_id) DO UPDATE SET origin_id = excluded.origin_id, former = excluded.former";
    Texts::values("INSERT INTO patient_key (clinic_id, key, patient_id, origin_id, former)", 4, tail)
});

/// Writes keys of locked persons as they are now, each key and person once.
pub async fn write_keys(tx: &mut WriteTx, clinic: &str, rows: &[&StoredKey]) -> Result<(), Problem> {
    execute_rows!(tx, WRITE_KEYS, clinic, rows, |row| &row.key, row.patient_id, row.origin_id, row.former);
    Ok(())
}

static KEYS_OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list("SELECT patient_id, key FROM patient_key WHERE clinic_id = $1 AND patient_id IN", 2, "")
});

/// The keys that each of these patients is known by, in order: (patient, key).
pub async fn keys_of_each(
    tx: &mut ReadTx,
    clinic: &str,
    ids: &[PatientId],
) -> Result<Vec<(PatientId, String)>, Problem> {
    let mut rows = fetch_listed!(tx, (PatientId, String), KEYS_OF_EACH, ids, clinic);
    rows.sort_unstable();
    Ok(rows)
}

/// Some identifiers of a clinic's patients, `system|value`: what their namespaces look like.
pub async fn some_identifiers(tx: &mut ReadTx, clinic: &str, limit: i64) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT key FROM patient_key WHERE clinic_id = $1 AND key LIKE '%|%' LIMIT $2",
        clinic,
        limit
    )
    .map(|rows| rows.into_iter().map(|(key,)| key).collect())
    .map_err(failed)
}

/// A key as it is stored and compared.
pub fn stored_key(key: &str) -> String {
    indexed(key).into_owned()
}

/// Lets a person be known by one more key; one that is carried now is no former one any more.
pub async fn put_key(tx: &mut WriteTx, clinic: &str, row: KeyRow<'_>) -> Result<(), Problem> {
    execute!(
        tx,
        "INSERT INTO patient_key (clinic_id, key, patient_id, origin_id, former) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (clinic_id, key, patient_id) DO UPDATE SET former = patient_key.former AND excluded.former",
        clinic,
        indexed(row.key),
        row.patient,
        row.origin.filter(|origin| *origin != row.patient),
        row.former
    )
    .map(|_| ())
    .map_err(failed)
}

/// Lets a person be known by one more key.
pub async fn add_key(tx: &mut WriteTx, clinic: &str, key: &str, patient: PatientId) -> Result<(), Problem> {
    put_key(tx, clinic, KeyRow { key, patient, origin: None, former: false }).await
}

/// The keys a person is known by.
pub async fn keys(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<String>, Problem> {
    fetch_all!(
        tx,
        (String,),
        "SELECT key FROM patient_key WHERE clinic_id = $1 AND patient_id = $2 ORDER BY key",
        clinic,
        patient
    )
    .map(|rows| rows.into_iter().map(|(key,)| key).collect())
    .map_err(failed)
}

/// Forgets a key of a person: no resource of theirs carries it any more.
pub async fn drop_key(tx: &mut WriteTx, clinic: &str, key: &str, patient: PatientId) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM patient_key WHERE clinic_id = $1 AND key = $2 AND patient_id = $3",
        clinic,
        indexed(key),
        patient
    )
    .map(|_| ())
    .map_err(failed)
}

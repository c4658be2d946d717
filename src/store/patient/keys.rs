//! The names that persons are known by.

use std::sync::LazyLock;

use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::key::indexed;
use crate::store::rows::Texts;
use crate::store::{ReadTx, WriteTx, failed};

static WITH_KEYS: LazyLock<Texts> =
    LazyLock::new(|| Texts::list("SELECT key, patient_id FROM patient_key WHERE clinic_id = $1 AND key IN", 2, ""));

/// Whom these keys belong to, as they are stored: (key, patient).
pub async fn with_keys(tx: &mut ReadTx, clinic: &str, keys: &[String]) -> Result<Vec<(String, PatientId)>, Problem> {
    let mut keys: Vec<String> = keys.iter().map(|key| indexed(key).into_owned()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut rows = fetch_listed!(tx, (String, PatientId), WITH_KEYS, &keys, clinic);
    rows.sort_unstable();
    Ok(rows)
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

static ADD_KEYS: LazyLock<Texts> = LazyLock::new(|| {
    Texts::values("INSERT INTO patient_key (clinic_id, key, patient_id)", 2, "ON CONFLICT DO NOTHING")
});

/// A key as it is stored and compared.
pub fn stored_key(key: &str) -> String {
    indexed(key).into_owned()
}

/// Lets persons be known by more keys: (key, patient).
pub async fn add_keys(tx: &mut WriteTx, clinic: &str, keys: &[(&str, PatientId)]) -> Result<(), Problem> {
    execute_rows!(tx, ADD_KEYS, clinic, keys, |key| indexed(key.0).into_owned(), key.1);
    Ok(())
}

/// Lets a person be known by one more key.
pub async fn add_key(tx: &mut WriteTx, clinic: &str, key: &str, patient: PatientId) -> Result<(), Problem> {
    add_keys(tx, clinic, &[(key, patient)]).await
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

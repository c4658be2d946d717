//! FHIR resources as they came.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use super::access_trace::note;
use super::journal::ResourceDigest;
use super::key::indexed;
use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// A stored resource.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Resource {
    #[sqlx(rename = "type")]
    pub kind: String,
    pub id: String,
    pub version: i64,
    pub source_version: Option<String>,
    pub source_updated: Option<DateTime<Utc>>,
    pub patient_id: Option<PatientId>,
    pub deleted: bool,
    pub updated_at: DateTime<Utc>,
    pub body: String,
}

impl Resource {
    /// What the journal attests of it.
    pub fn digest(&self) -> ResourceDigest {
        let name = format!("{}/{}", self.kind, self.id);
        ResourceDigest::of(name, self.version, Some(self.body.as_str()).filter(|_| !self.deleted))
    }
}

/// Every resource, deleted ones too, in order of type and id, after one.
pub async fn page(
    tx: &mut ReadTx,
    clinic: &str,
    (kind, id): (&str, &str),
    limit: i64,
) -> Result<Vec<Resource>, Problem> {
    fetch_all!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND (type, id) > ($2, $3) ORDER BY type, id LIMIT $4",
        clinic,
        kind,
        id,
        limit
    )
    .map_err(failed)
}

pub async fn find(tx: &mut ReadTx, clinic: &str, kind: &str, id: &str) -> Result<Option<Resource>, Problem> {
    fetch_optional!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND type = $2 AND id = $3",
        clinic,
        kind,
        id
    )
    .inspect(|row| note(row.as_ref().and_then(|r| r.patient_id)))
    .map_err(failed)
}

static INSERT: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO resource (clinic_id, type, id, version, source_version, source_updated, patient_id, deleted,
        updated_at, body)";
    Texts::values(head, 9, "ON CONFLICT DO NOTHING")
});

static UPDATE: LazyLock<Texts> = LazyLock::new(|| {
    let columns = ["version", "source_version", "source_updated", "patient_id", "deleted", "updated_at", "body"];
    Texts::update("resource", &["type", "id"], &columns)
});

async fn write(tx: &mut WriteTx, texts: &'static Texts, clinic: &str, resources: &[&Resource]) -> Result<u64, Problem> {
    Ok(execute_rows!(
        tx,
        texts,
        clinic,
        resources,
        |r| &r.kind,
        &r.id,
        r.version,
        &r.source_version,
        r.source_updated,
        r.patient_id,
        r.deleted,
        r.updated_at,
        &r.body
    ))
}

/// Stores new ones. `false` if there is one of these types and ids already: then not all of them were stored.
pub async fn insert_all(tx: &mut WriteTx, clinic: &str, resources: &[&Resource]) -> Result<bool, Problem> {
    let stored = write(tx, &INSERT, clinic, resources).await?;
    Ok(usize::try_from(stored).is_ok_and(|stored| stored == resources.len()))
}

/// Replaces those that are there.
pub async fn update_all(tx: &mut WriteTx, clinic: &str, resources: &[&Resource]) -> Result<(), Problem> {
    write(tx, &UPDATE, clinic, resources).await.map(|_| ())
}

static EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
        FROM resource WHERE clinic_id = $1 AND type = $2 AND id IN";
    Texts::list(head, 3, "")
});

/// Reads those of a type that are there, in no order.
pub async fn find_each(tx: &mut ReadTx, clinic: &str, kind: &str, ids: &[String]) -> Result<Vec<Resource>, Problem> {
    Ok(fetch_listed!(tx, Resource, EACH, ids, clinic, kind))
}

/// A business identifier as it is stored and compared.
pub fn stored_token(token: &str) -> String {
    indexed(token).into_owned()
}

static HOLDERS: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list(
        "SELECT token, id FROM resource_identifier WHERE clinic_id = $1 AND type = $2 AND id <> '' AND token IN",
        3,
        "",
    )
});

/// The ids of the resources of a type that carry one of these business identifiers, deleted or not: (token, id).
pub async fn identifier_holders(
    tx: &mut ReadTx,
    clinic: &str,
    kind: &str,
    tokens: &[String],
) -> Result<Vec<(String, String)>, Problem> {
    let tokens: Vec<String> = tokens.iter().map(|token| indexed(token).into_owned()).collect();
    let mut rows = fetch_listed!(tx, (String, String), HOLDERS, &tokens, clinic, kind);
    rows.sort_unstable();
    Ok(rows)
}

/// A business identifier of a resource.
#[derive(Clone, Copy, Debug)]
pub struct CarriedIdentifier<'a> {
    /// The type of the resource.
    pub kind: &'a str,
    pub token: &'a str,
    /// The resource's id.
    pub id: &'a str,
}

static ADD_IDENTIFIERS: LazyLock<Texts> = LazyLock::new(|| {
    Texts::values("INSERT INTO resource_identifier (clinic_id, type, token, id)", 3, "ON CONFLICT DO NOTHING")
});

/// Lets resources be found by their business identifiers.
pub async fn add_identifiers(tx: &mut WriteTx, clinic: &str, carried: &[CarriedIdentifier<'_>]) -> Result<(), Problem> {
    execute_rows!(tx, ADD_IDENTIFIERS, clinic, carried, |c| c.kind, indexed(c.token).into_owned(), c.id);
    Ok(())
}

/// Stores a new one. `false` if there is one of that type and id already.
pub async fn insert(tx: &mut WriteTx, clinic: &str, r: &Resource) -> Result<bool, Problem> {
    insert_all(tx, clinic, &[r]).await
}

pub async fn update(tx: &mut WriteTx, clinic: &str, r: &Resource) -> Result<(), Problem> {
    update_all(tx, clinic, &[r]).await
}

/// Lets a resource be found by a business identifier.
pub async fn add_identifier(tx: &mut WriteTx, clinic: &str, kind: &str, token: &str, id: &str) -> Result<(), Problem> {
    add_identifiers(tx, clinic, &[CarriedIdentifier { kind, token, id }]).await
}

/// Lets nobody else look for a business identifier on a condition until the end of the transaction: two who would
/// each create the resource that is not there yet have nothing else to wait for. Where only one writes at a time there
/// is nothing to hold.
pub async fn hold_identifier(tx: &mut WriteTx, clinic: &str, kind: &str, token: &str) -> Result<(), Problem> {
    if !tx.has_many_writers() {
        return Ok(());
    }
    // No resource has an empty id, so this row is never found.
    execute!(
        tx,
        "INSERT INTO resource_identifier (clinic_id, type, token, id) VALUES ($1, $2, $3, '')
         ON CONFLICT (clinic_id, type, token, id) DO UPDATE SET id = ''",
        clinic,
        kind,
        indexed(token)
    )
    .map(|_| ())
    .map_err(failed)
}

/// Forgets a business identifier of a resource: its new version does not carry it any more.
pub async fn drop_identifier(tx: &mut WriteTx, clinic: &str, kind: &str, token: &str, id: &str) -> Result<(), Problem> {
    execute!(
        tx,
        "DELETE FROM resource_identifier WHERE clinic_id = $1 AND type = $2 AND token = $3 AND id = $4",
        clinic,
        kind,
        indexed(token),
        id
    )
    .map(|_| ())
    .map_err(failed)
}

/// Resources that carry a business identifier, not deleted, oldest id first. `token` is `system|value`.
pub async fn by_identifier(tx: &mut ReadTx, clinic: &str, kind: &str, token: &str) -> Result<Vec<Resource>, Problem> {
    fetch_all!(
        tx,
        Resource,
        "SELECT r.type, r.id, r.version, r.source_version, r.source_updated, r.patient_id, r.deleted, r.updated_at, r.body
         FROM resource_identifier i JOIN resource r ON r.clinic_id = i.clinic_id AND r.type = i.type AND r.id = i.id
         WHERE i.clinic_id = $1 AND i.type = $2 AND i.token = $3 AND NOT r.deleted ORDER BY i.id LIMIT 1000",
        clinic,
        kind,
        indexed(token)
    )
    .inspect(|rows| note(rows.iter().filter_map(|r| r.patient_id)))
    .map_err(failed)
}

/// The business identifiers of a type that look like a pattern of LIKE (escaped with `!`), with the ids that carry them.
pub async fn tokens_like(
    tx: &mut ReadTx,
    clinic: &str,
    kind: &str,
    pattern: &str,
) -> Result<Vec<(String, String)>, Problem> {
    fetch_all!(
        tx,
        (String, String),
        "SELECT token, id FROM resource_identifier
         WHERE clinic_id = $1 AND type = $2 AND token LIKE $3 ESCAPE '!' ORDER BY token, id LIMIT 1000",
        clinic,
        kind,
        pattern
    )
    .map_err(failed)
}

/// Resources of a type about a patient, not deleted, in no order: to ask for one by id would lead SQLite to walk
/// through the whole type.
pub async fn of_patient(
    tx: &mut ReadTx,
    clinic: &str,
    kind: &str,
    patient: PatientId,
    limit: i64,
) -> Result<Vec<Resource>, Problem> {
    fetch_all!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND patient_id = $2 AND type = $3 AND NOT deleted LIMIT $4",
        clinic,
        patient,
        kind,
        limit
    )
    .inspect(|rows| note(rows.iter().filter_map(|r| r.patient_id)))
    .map_err(failed)
}

/// The forms that name a Questionnaire, not deleted, in order of id; after an id. It looks through all forms of a clinic,
/// once for each Questionnaire.
pub async fn forms_that_name(
    tx: &mut ReadTx,
    clinic: &str,
    canonical: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Resource>, Problem> {
    let literal = canonical.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    fetch_all!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND type = 'QuestionnaireResponse' AND id > $2 AND NOT deleted
           AND body LIKE $3 ESCAPE '!'
         ORDER BY id LIMIT $4",
        clinic,
        after,
        format!("%{literal}%"),
        limit
    )
    .inspect(|rows| note(rows.iter().filter_map(|r| r.patient_id)))
    .map_err(failed)
}

/// A stretch of time: from `since` on, before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeWindow {
    /// Its first instant.
    pub since: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
}

impl ChangeWindow {
    /// All time that both databases can name.
    pub fn always() -> Self {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        // To the last second of the year 9999.
        Self { since: at(0), until: at(253_402_300_799) }
    }

    /// Whether an instant is in it.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.since <= at && at < self.until
    }
}

/// How many resources of a type, not deleted, changed in a stretch of time.
pub async fn count(tx: &mut ReadTx, clinic: &str, kind: &str, changed: ChangeWindow) -> Result<i64, Problem> {
    fetch_optional!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM resource
         WHERE clinic_id = $1 AND type = $2 AND updated_at >= $3 AND updated_at < $4 AND NOT deleted",
        clinic,
        kind,
        changed.since,
        changed.until
    )
    .map(|row| row.map_or(0, |(count,)| count))
    .map_err(failed)
}

/// Resources of a type, not deleted, that changed in a stretch of time, in order of (change, id); after an (instant, id).
pub async fn changed(
    tx: &mut ReadTx,
    clinic: &str,
    kind: &str,
    changed: ChangeWindow,
    after: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> Result<Vec<Resource>, Problem> {
    // Nothing has an empty id, so "after the empty id of the first instant" is the beginning.
    let (after_at, after_id) = after.unwrap_or((changed.since, ""));
    fetch_all!(
        tx,
        Resource,
        "SELECT type, id, version, source_version, source_updated, patient_id, deleted, updated_at, body
         FROM resource WHERE clinic_id = $1 AND type = $2 AND updated_at >= $3 AND updated_at < $4
           AND (updated_at > $3 OR id > $5) AND NOT deleted
         ORDER BY updated_at, id LIMIT $6",
        clinic,
        kind,
        changed.since.max(after_at),
        changed.until,
        after_id,
        limit
    )
    .inspect(|rows| note(rows.iter().filter_map(|r| r.patient_id)))
    .map_err(failed)
}

/// When a resource of a type arrived last.
pub async fn last_arrival(tx: &mut ReadTx, clinic: &str, kind: &str) -> Result<Option<DateTime<Utc>>, Problem> {
    fetch_optional!(
        tx,
        (DateTime<Utc>,),
        "SELECT updated_at FROM resource WHERE clinic_id = $1 AND type = $2 ORDER BY updated_at DESC LIMIT 1",
        clinic,
        kind
    )
    .map(|row| row.map(|(at,)| at))
    .map_err(failed)
}

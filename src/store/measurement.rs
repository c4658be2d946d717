//! Measurements, and single items until they are joined.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{DataQualityIssue, EvidenceStatus, Measurement, Quality, SelfHarm};
use crate::id::{MeasurementId, PatientId};
use crate::problem::Problem;

#[derive(sqlx::FromRow)]
struct MeasurementRow {
    patient_id: PatientId,
    id: MeasurementId,
    #[sqlx(try_from = "String")]
    instrument: Instrument,
    taken_at: DateTime<Utc>,
    taken_on: NaiveDate,
    total: Option<i16>,
    #[sqlx(try_from = "String")]
    quality: Quality,
    item9: Option<i16>,
    item9_unknown: bool,
    #[sqlx(try_from = "String")]
    counting: EvidenceStatus,
    source: String,
    answers: Json<Vec<Option<u8>>>,
    issues: Json<Vec<DataQualityIssue>>,
    language: Option<String>,
    self_harm: Json<SelfHarm>,
}

impl From<MeasurementRow> for Measurement {
    fn from(row: MeasurementRow) -> Self {
        Self {
            id: row.id,
            instrument: row.instrument,
            taken_at: row.taken_at,
            taken_on: row.taken_on,
            answers: row.answers.0,
            total: row.total.and_then(|t| u16::try_from(t).ok()),
            quality: row.quality,
            item9: row.item9.and_then(|i| u8::try_from(i).ok()),
            item9_unknown: row.item9_unknown,
            self_harm: row.self_harm.0,
            counting: row.counting,
            source: row.source,
            issues: row.issues.0,
            language: row.language,
        }
    }
}

/// Every measurement of a patient, in order of time.
pub async fn of_patient(tx: &mut ReadTx, clinic: &str, patient: PatientId) -> Result<Vec<Measurement>, Problem> {
    fetch_all!(
        tx,
        MeasurementRow,
        "SELECT patient_id, id, instrument, taken_at, taken_on, total, quality, item9, item9_unknown, counting, source, answers,
           issues, language, self_harm
         FROM measurement WHERE clinic_id = $1 AND patient_id = $2 ORDER BY taken_at, id",
        clinic,
        patient
    )
    .map(|rows| rows.into_iter().map(Measurement::from).collect())
    .map_err(failed)
}

static OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "SELECT patient_id, id, instrument, taken_at, taken_on, total, quality, item9, item9_unknown, counting, source,
        answers, issues, language, self_harm
        FROM measurement WHERE clinic_id = $1 AND patient_id IN";
    Texts::list(head, 2, "")
});

/// Every measurement of each of these patients, of one patient in order of time.
pub async fn of_each(
    tx: &mut ReadTx,
    clinic: &str,
    patients: &[PatientId],
) -> Result<Vec<(PatientId, Measurement)>, Problem> {
    let mut rows = fetch_listed!(tx, MeasurementRow, OF_EACH, patients, clinic);
    rows.sort_by_key(|row| (row.taken_at, row.id));
    Ok(rows.into_iter().map(|row| (row.patient_id, Measurement::from(row))).collect())
}

/// Every measurement of the patients from one id to another, by patient and in order of time.
pub async fn of_patients(
    tx: &mut ReadTx,
    clinic: &str,
    from: PatientId,
    to: PatientId,
) -> Result<Vec<(PatientId, Measurement)>, Problem> {
    fetch_all!(
        tx,
        MeasurementRow,
        "SELECT patient_id, id, instrument, taken_at, taken_on, total, quality, item9, item9_unknown, counting, source, answers,
           issues, language, self_harm
         FROM measurement WHERE clinic_id = $1 AND patient_id >= $2 AND patient_id <= $3 ORDER BY patient_id, taken_at, id",
        clinic,
        from,
        to
    )
    .map(|rows| rows.into_iter().map(|row| (row.patient_id, Measurement::from(row))).collect())
    .map_err(failed)
}

static PUT: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO measurement (clinic_id, patient_id, id, instrument, taken_at, taken_on, total, quality, item9,
        item9_unknown, counting, source, answers, issues, recorded_at, language, self_harm)";
    let tail = "ON CONFLICT (clinic_id, patient_id, id) DO UPDATE SET taken_at = excluded.taken_at,
        taken_on = excluded.taken_on, total = excluded.total, quality = excluded.quality, item9 = excluded.item9,
        item9_unknown = excluded.item9_unknown, counting = excluded.counting, source = excluded.source,
        answers = excluded.answers, issues = excluded.issues, recorded_at = excluded.recorded_at,
        language = excluded.language, self_harm = excluded.self_harm";
    Texts::values(head, 16, tail)
});

/// A measurement to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    pub patient: PatientId,
    /// What was measured.
    pub measurement: &'a Measurement,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// Stores measurements, or replaces what was known under their ids; each id once.
pub async fn put_all(tx: &mut WriteTx, clinic: &str, takings: &[Taking<'_>]) -> Result<(), Problem> {
    let small = |n: Option<u16>| n.and_then(|n| i16::try_from(n).ok());
    execute_rows!(
        tx,
        PUT,
        clinic,
        takings,
        |t| t.patient,
        t.measurement.id,
        t.measurement.instrument.id(),
        t.measurement.taken_at,
        t.measurement.taken_on,
        small(t.measurement.total),
        t.measurement.quality.as_str(),
        t.measurement.item9.map(i16::from),
        t.measurement.item9_unknown,
        t.measurement.counting.as_str(),
        &t.measurement.source,
        Json(&t.measurement.answers),
        Json(&t.measurement.issues),
        t.recorded_at,
        &t.measurement.language,
        Json(&t.measurement.self_harm)
    );
    Ok(())
}

/// Stores measurements of one patient, or replaces what was known under their ids; each id once.
pub async fn put(
    tx: &mut WriteTx,
    clinic: &str,
    patient: PatientId,
    measurements: &[Measurement],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let takings: Vec<Taking<'_>> =
        measurements.iter().map(|measurement| Taking { patient, measurement, recorded_at: now }).collect();
    put_all(tx, clinic, &takings).await
}

/// The patient and the ids of what was measured from one source.
pub async fn of_source(
    tx: &mut ReadTx,
    clinic: &str,
    source: &str,
) -> Result<Vec<(PatientId, MeasurementId)>, Problem> {
    fetch_all!(
        tx,
        (PatientId, MeasurementId),
        "SELECT patient_id, id FROM measurement WHERE clinic_id = $1 AND source = $2",
        clinic,
        source
    )
    .map(|mut rows: Vec<(PatientId, MeasurementId)>| {
        rows.sort_unstable();
        rows
    })
    .map_err(failed)
}

/// Moves what was measured from one source to another patient: the source names somebody else now.
pub async fn move_source(
    tx: &mut WriteTx,
    clinic: &str,
    source: &str,
    from: PatientId,
    to: PatientId,
) -> Result<(), Problem> {
    for statement in [
        "UPDATE measurement SET patient_id = $4 WHERE clinic_id = $1 AND source = $2 AND patient_id = $3",
        "UPDATE observation_item SET patient_id = $4 WHERE clinic_id = $1 AND source = $2 AND patient_id = $3",
    ] {
        execute!(tx, statement, clinic, source, from, to).map_err(failed)?;
    }
    Ok(())
}

/// One answer that arrived by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemObservation {
    /// `Observation/123`.
    pub source: String,
    /// The instrument.
    pub instrument: Instrument,
    pub taken_at: DateTime<Utc>,
    /// Item number, from 0.
    pub item: usize,
    /// The answer; `None` where it cannot be read.
    pub answer: Option<u8>,
    /// Whether it counts.
    pub counting: EvidenceStatus,
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    source: String,
    #[sqlx(try_from = "String")]
    instrument: Instrument,
    taken_at: DateTime<Utc>,
    item: i16,
    answer: Option<i16>,
    #[sqlx(try_from = "String")]
    counting: EvidenceStatus,
}

impl From<ItemRow> for ItemObservation {
    fn from(row: ItemRow) -> Self {
        Self {
            source: row.source,
            instrument: row.instrument,
            taken_at: row.taken_at,
            item: usize::try_from(row.item).unwrap_or(0),
            answer: row.answer.and_then(|a| u8::try_from(a).ok()),
            counting: row.counting,
        }
    }
}

static PUT_ITEMS: LazyLock<Texts> = LazyLock::new(|| {
    let head =
        "INSERT INTO observation_item (clinic_id, patient_id, source, instrument, taken_at, item, answer, counting)";
    let tail = "ON CONFLICT (clinic_id, patient_id, source) DO UPDATE SET instrument = excluded.instrument,
        taken_at = excluded.taken_at, item = excluded.item, answer = excluded.answer, counting = excluded.counting";
    Texts::values(head, 7, tail)
});

/// Stores single items, or replaces what their sources said before: (patient, item).
pub async fn put_items(tx: &mut WriteTx, clinic: &str, items: &[(PatientId, &ItemObservation)]) -> Result<(), Problem> {
    execute_rows!(
        tx,
        PUT_ITEMS,
        clinic,
        items,
        |i| i.0,
        &i.1.source,
        i.1.instrument.id(),
        i.1.taken_at,
        i16::try_from(i.1.item).unwrap_or(0),
        i.1.answer.map(i16::from),
        i.1.counting.as_str()
    );
    Ok(())
}

static ITEMS_OF_EACH: LazyLock<Texts> = LazyLock::new(|| {
    let head = "SELECT patient_id, source, instrument, taken_at, item, answer, counting FROM observation_item
        WHERE clinic_id = $1 AND patient_id IN";
    Texts::list(head, 2, "")
});

#[derive(sqlx::FromRow)]
struct OwnedItemRow {
    patient_id: PatientId,
    #[sqlx(flatten)]
    item: ItemRow,
}

/// Every single item of these patients.
pub async fn items_of_each(
    tx: &mut ReadTx,
    clinic: &str,
    patients: &[PatientId],
) -> Result<Vec<(PatientId, ItemObservation)>, Problem> {
    let rows = fetch_listed!(tx, OwnedItemRow, ITEMS_OF_EACH, patients, clinic);
    Ok(rows.into_iter().map(|row| (row.patient_id, row.item.into())).collect())
}

//! Measurements, and single items until they are joined.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;

use super::{Tx, failed, rows};
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
pub async fn of_patient(tx: &mut Tx, clinic: &str, patient: PatientId) -> Result<Vec<Measurement>, Problem> {
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

/// Every measurement of the patients from one id to another, by patient and in order of time.
pub async fn of_patients(
    tx: &mut Tx,
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

static PUT: LazyLock<Vec<String>> = LazyLock::new(|| {
    let head =
        "INSERT INTO measurement (clinic_id, patient_id, id, instrument, taken_at, taken_on, total, quality, item9,
        item9_unknown, counting, source, answers, issues, recorded_at, language, self_harm)";
    let tail = "ON CONFLICT (clinic_id, patient_id, id) DO UPDATE SET taken_at = excluded.taken_at,
        taken_on = excluded.taken_on, total = excluded.total, quality = excluded.quality, item9 = excluded.item9,
        item9_unknown = excluded.item9_unknown, counting = excluded.counting, source = excluded.source,
        answers = excluded.answers, issues = excluded.issues, recorded_at = excluded.recorded_at,
        language = excluded.language, self_harm = excluded.self_harm";
    rows::texts(head, 16, tail)
});

/// Stores measurements, each once, or replaces what was known under their ids.
pub async fn put(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    measurements: &[Measurement],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    for some in measurements.chunks(rows::MOST) {
        let text: &'static str = &PUT[some.len() - 1];
        on!(tx, |conn| {
            let mut query = sqlx::query(text).bind(clinic);
            for m in some {
                query = query.bind(patient).bind(m.id).bind(m.instrument.id()).bind(m.taken_at).bind(m.taken_on);
                query = query.bind(m.total.and_then(|t| i16::try_from(t).ok())).bind(m.quality.as_str());
                query = query.bind(m.item9.map(i16::from)).bind(m.item9_unknown).bind(m.counting.as_str());
                query = query.bind(&m.source).bind(Json(&m.answers)).bind(Json(&m.issues)).bind(now).bind(&m.language);
                query = query.bind(Json(&m.self_harm));
            }
            query.execute(conn).await.map(|_| ())
        })
        .map_err(failed)?;
    }
    Ok(())
}

/// The patient and the ids of what was measured from one source.
pub async fn of_source(tx: &mut Tx, clinic: &str, source: &str) -> Result<Vec<(PatientId, MeasurementId)>, Problem> {
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
    tx: &mut Tx,
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

/// The single item of a source.
pub async fn item_of(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    source: &str,
) -> Result<Option<ItemObservation>, Problem> {
    fetch_optional!(
        tx,
        ItemRow,
        "SELECT source, instrument, taken_at, item, answer, counting FROM observation_item
         WHERE clinic_id = $1 AND patient_id = $2 AND source = $3",
        clinic,
        patient,
        source
    )
    .map(|row| row.map(ItemObservation::from))
    .map_err(failed)
}

/// Stores a single item, or replaces what its source said before; answers what that was.
pub async fn put_item(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    item: &ItemObservation,
) -> Result<Option<ItemObservation>, Problem> {
    let before = item_of(tx, clinic, patient, &item.source).await?;
    execute!(
        tx,
        "INSERT INTO observation_item (clinic_id, patient_id, source, instrument, taken_at, item, answer, counting)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (clinic_id, patient_id, source) DO UPDATE SET instrument = $4, taken_at = $5, item = $6, answer = $7, counting = $8",
        clinic,
        patient,
        &item.source,
        item.instrument.id(),
        item.taken_at,
        i16::try_from(item.item).unwrap_or(0),
        item.answer.map(i16::from),
        item.counting.as_str()
    )
    .map_err(failed)?;
    Ok(before)
}

/// The panel that claims a single item.
pub async fn panel_of(tx: &mut Tx, clinic: &str, member: &str) -> Result<Option<String>, Problem> {
    let found: Result<Option<(String,)>, _> = fetch_optional!(
        tx,
        (String,),
        "SELECT panel FROM observation_member WHERE clinic_id = $1 AND member = $2",
        clinic,
        member
    );
    found.map(|row| row.map(|(panel,)| panel)).map_err(failed)
}

/// The single items of an instrument that a panel claims.
pub async fn items_of_panel(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    instrument: Instrument,
    panel: &str,
) -> Result<Vec<ItemObservation>, Problem> {
    fetch_all!(
        tx,
        ItemRow,
        "SELECT i.source, i.instrument, i.taken_at, i.item, i.answer, i.counting
         FROM observation_member m
         JOIN observation_item i ON i.clinic_id = m.clinic_id AND i.source = m.member
         WHERE m.clinic_id = $1 AND m.panel = $2 AND i.patient_id = $3 AND i.instrument = $4
         ORDER BY i.item, i.source",
        clinic,
        panel,
        patient,
        instrument.id()
    )
    .map(|rows| rows.into_iter().map(ItemObservation::from).collect())
    .map_err(failed)
}

/// Stores the items that a panel claims, instead of those before; answers these.
pub async fn put_members(tx: &mut Tx, clinic: &str, panel: &str, members: &[String]) -> Result<Vec<String>, Problem> {
    let former: Result<Vec<(String,)>, _> = fetch_all!(
        tx,
        (String,),
        "SELECT member FROM observation_member WHERE clinic_id = $1 AND panel = $2 ORDER BY member",
        clinic,
        panel
    );
    let former: Vec<String> = former.map_err(failed)?.into_iter().map(|(member,)| member).collect();
    for gone in former.iter().filter(|member| !members.contains(member)) {
        let statement = "DELETE FROM observation_member WHERE clinic_id = $1 AND member = $2 AND panel = $3";
        execute!(tx, statement, clinic, gone, panel).map_err(failed)?;
    }
    for member in members.iter().filter(|member| !former.contains(member)) {
        let statement = "INSERT INTO observation_member (clinic_id, member, panel) VALUES ($1, $2, $3)
            ON CONFLICT (clinic_id, member) DO UPDATE SET panel = excluded.panel";
        execute!(tx, statement, clinic, member, panel).map_err(failed)?;
    }
    Ok(former)
}

/// The single items of an instrument from one instant to another that no panel claims, in order of time, item and source.
pub async fn items_between(
    tx: &mut Tx,
    clinic: &str,
    patient: PatientId,
    instrument: Instrument,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<ItemObservation>, Problem> {
    fetch_all!(
        tx,
        ItemRow,
        "SELECT source, instrument, taken_at, item, answer, counting FROM observation_item
         WHERE clinic_id = $1 AND patient_id = $2 AND instrument = $3 AND taken_at >= $4 AND taken_at <= $5
           AND NOT EXISTS (SELECT 1 FROM observation_member m WHERE m.clinic_id = $1 AND m.member = observation_item.source)
         ORDER BY taken_at, item, source",
        clinic,
        patient,
        instrument.id(),
        from,
        to
    )
    .map(|rows| rows.into_iter().map(ItemObservation::from).collect())
    .map_err(failed)
}

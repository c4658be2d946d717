//! Rows that move from one person to another, and back.
//!
//! Every row that a merge moves keeps in `origin_id` whose it was, so that the merge can be undone. What arrived after the
//! merge has none: it follows its episode, or the resource that it was read from, which names its subject itself.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{ReadTx, WriteTx, failed};
use crate::id::PatientId;
use crate::problem::Problem;

/// What marks the key of a delivery that the survivor of a merge had already.
const MERGED: &str = "/merged/";

/// Moves everything known about one person to another: one story from now on.
pub async fn merge(
    tx: &mut WriteTx,
    clinic: &str,
    from: PatientId,
    into: PatientId,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    // Keys, measurements and ledger rows of the same name stay with the survivor.
    for statement in [
        "INSERT INTO patient_key (clinic_id, key, patient_id, origin_id, former)
         SELECT clinic_id, key, $3, COALESCE(origin_id, $2), former FROM patient_key WHERE clinic_id = $1 AND patient_id = $2
         ON CONFLICT DO NOTHING",
        "UPDATE measurement SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id)
         WHERE clinic_id = $1 AND patient_id = $2
           AND NOT EXISTS (SELECT 1 FROM measurement m WHERE m.clinic_id = $1 AND m.patient_id = $3 AND m.id = measurement.id)",
        "UPDATE observation_item SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id)
         WHERE clinic_id = $1 AND patient_id = $2
           AND NOT EXISTS (SELECT 1 FROM observation_item o
             WHERE o.clinic_id = $1 AND o.patient_id = $3 AND o.source = observation_item.source)",
        "UPDATE episode SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id) WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE standing SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE recommendation SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE fact SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id) WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE resource SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id) WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE quarantine SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2",
        "UPDATE delivery SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id) WHERE clinic_id = $1 AND patient_id = $2
           AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.clinic_id = $1 AND d.patient_id = $3 AND d.key = delivery.key)",
    ] {
        execute!(tx, statement, clinic, from, into).map_err(failed)?;
    }
    // An item that both patients have stays once, with the survivor; the other one is withdrawn under a key of its own.
    execute!(
        tx,
        "UPDATE delivery SET patient_id = $3, origin_id = COALESCE(origin_id, patient_id), key = key || $4
         WHERE clinic_id = $1 AND patient_id = $2",
        clinic,
        from,
        into,
        format!("{MERGED}{from}")
    )
    .map_err(failed)?;
    // Pending deliveries move to the survivor's lane.
    execute!(
        tx,
        "INSERT INTO lane (clinic_id, patient_id, due_at, wanted)
         SELECT clinic_id, $3, due_at, 1 FROM lane WHERE clinic_id = $1 AND patient_id = $2
         ON CONFLICT (clinic_id, patient_id) DO UPDATE SET wanted = lane.wanted + 1,
           due_at = CASE WHEN lane.due_at < excluded.due_at THEN lane.due_at ELSE excluded.due_at END",
        clinic,
        from,
        into
    )
    .map_err(failed)?;
    for statement in [
        "DELETE FROM patient_key WHERE clinic_id = $1 AND patient_id = $2",
        "DELETE FROM lane WHERE clinic_id = $1 AND patient_id = $2",
    ] {
        execute!(tx, statement, clinic, from).map_err(failed)?;
    }
    for statement in [
        "UPDATE patient SET merged_into = $3, updated_at = $4, reevaluate_on = NULL, candidate_since = NULL, candidate = NULL
         WHERE clinic_id = $1 AND id = $2",
        "UPDATE patient SET merged_into = $3, updated_at = $4 WHERE clinic_id = $1 AND merged_into = $2",
    ] {
        execute!(tx, statement, clinic, from, into, now).map_err(failed)?;
    }
    Ok(())
}

/// Gives back what a record had before it was merged: to `to`, which is the record itself or what it is merged into now.
pub async fn give_back(
    tx: &mut WriteTx,
    clinic: &str,
    person: PatientId,
    record: PatientId,
    to: PatientId,
) -> Result<(), Problem> {
    for statement in [
        "UPDATE measurement SET patient_id = $4 WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        "UPDATE observation_item SET patient_id = $4 WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        "UPDATE episode SET patient_id = $4 WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        "UPDATE fact SET patient_id = $4 WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        "UPDATE resource SET patient_id = $4 WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        "INSERT INTO patient_key (clinic_id, key, patient_id, origin_id, former)
         SELECT clinic_id, key, $4, origin_id, former FROM patient_key WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3
         ON CONFLICT DO NOTHING",
    ] {
        execute!(tx, statement, clinic, person, record, to).map_err(failed)?;
    }
    execute!(
        tx,
        "DELETE FROM patient_key WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        clinic,
        person,
        record
    )
    .map_err(failed)?;
    let deliveries = fetch_all!(
        tx,
        (String,),
        "SELECT key FROM delivery WHERE clinic_id = $1 AND patient_id = $2 AND origin_id = $3",
        clinic,
        person,
        record
    )
    .map_err(failed)?;
    for (key,) in deliveries {
        let own = key.split_once(MERGED).map_or(key.as_str(), |(own, _)| own);
        execute!(
            tx,
            "UPDATE delivery SET patient_id = $4, key = $5 WHERE clinic_id = $1 AND patient_id = $2 AND key = $3
               AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.clinic_id = $1 AND d.patient_id = $4 AND d.key = $5)",
            clinic,
            person,
            &key,
            to,
            own
        )
        .map_err(failed)?;
    }
    Ok(())
}

/// Lets what belongs to a person's episodes follow them.
pub async fn follow_episodes(tx: &mut WriteTx, clinic: &str, person: PatientId, to: PatientId) -> Result<(), Problem> {
    for statement in [
        "UPDATE fact SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2
           AND episode_id IN (SELECT id FROM episode WHERE clinic_id = $1 AND patient_id = $3)",
        "UPDATE standing SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2
           AND episode_id IN (SELECT id FROM episode WHERE clinic_id = $1 AND patient_id = $3)",
        "UPDATE recommendation SET patient_id = $3 WHERE clinic_id = $1 AND patient_id = $2
           AND episode_id IN (SELECT id FROM episode WHERE clinic_id = $1 AND patient_id = $3)",
    ] {
        execute!(tx, statement, clinic, person, to).map_err(failed)?;
    }
    Ok(())
}

/// Moves a resource and everything that was read from it from one person to another.
pub async fn move_resource(
    tx: &mut WriteTx,
    clinic: &str,
    (kind, id): (&str, &str),
    from: PatientId,
    to: PatientId,
) -> Result<(), Problem> {
    let source = format!("{kind}/{id}");
    execute!(
        tx,
        "UPDATE resource SET patient_id = $5 WHERE clinic_id = $1 AND type = $2 AND id = $3 AND patient_id = $4",
        clinic,
        kind,
        id,
        from,
        to
    )
    .map_err(failed)?;
    execute!(
        tx,
        "UPDATE quarantine SET patient_id = $5 WHERE clinic_id = $1 AND type = $2 AND resource_id = $3 AND patient_id = $4",
        clinic,
        kind,
        id,
        from,
        to
    )
    .map_err(failed)?;
    for statement in [
        "UPDATE measurement SET patient_id = $4 WHERE clinic_id = $1 AND source = $2 AND patient_id = $3
           AND NOT EXISTS (SELECT 1 FROM measurement m WHERE m.clinic_id = $1 AND m.patient_id = $4 AND m.id = measurement.id)",
        "UPDATE observation_item SET patient_id = $4 WHERE clinic_id = $1 AND source = $2 AND patient_id = $3
           AND NOT EXISTS (SELECT 1 FROM observation_item o
             WHERE o.clinic_id = $1 AND o.patient_id = $4 AND o.source = observation_item.source)",
    ] {
        execute!(tx, statement, clinic, &source, from, to).map_err(failed)?;
    }
    Ok(())
}

/// The lines of a person's log that tell of resources: (line, source).
pub async fn entries_naming_sources(
    tx: &mut ReadTx,
    clinic: &str,
    person: PatientId,
) -> Result<Vec<(Uuid, String)>, Problem> {
    let rows = fetch_all!(
        tx,
        (Uuid, Json<Value>),
        "SELECT id, body FROM fact WHERE clinic_id = $1 AND patient_id = $2 AND origin_id IS NULL
           AND kind IN ('measurement', 'retraction', 'patient')",
        clinic,
        person
    )
    .map_err(failed)?;
    let source = |(id, body): (Uuid, Json<Value>)| Some((id, body.0["source"].as_str()?.to_owned()));
    Ok(rows.into_iter().filter_map(source).collect())
}

/// Moves a line of the log.
pub async fn move_fact(
    tx: &mut WriteTx,
    clinic: &str,
    id: Uuid,
    from: PatientId,
    to: PatientId,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE fact SET patient_id = $4 WHERE clinic_id = $1 AND id = $2 AND patient_id = $3",
        clinic,
        id,
        from,
        to
    )
    .map(|_| ())
    .map_err(failed)
}

/// Records that were merged are merged into another one now, or are persons again (`into` none).
pub async fn set_merged(
    tx: &mut WriteTx,
    clinic: &str,
    record: PatientId,
    into: Option<PatientId>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    execute!(
        tx,
        "UPDATE patient SET merged_into = $3, updated_at = $4 WHERE clinic_id = $1 AND id = $2",
        clinic,
        record,
        into,
        now
    )
    .map(|_| ())
    .map_err(failed)
}

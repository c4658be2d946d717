//! What somebody decides about records that are perhaps one person.

use serde_json::json;
use uuid::Uuid;

use super::dossier::Dossiers;
use super::identify::locked;
use super::merge::{join, part};
use super::possible_match::of_two;
use super::settle::{NewEvent, settle};
use super::{CommandEffect, RecordContext, Recorded};
use crate::domain::patient_match::{MatchDecision, MatchReason, MatchState};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::Tx;
use crate::store::patient::link::{self, Link};
use crate::store::patient::matches::{self, PatientMatch};

/// Somebody names two records that may be one person.
pub async fn named(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    [one, other]: [PatientId; 2],
) -> Result<Recorded, Problem> {
    let (one, other) = (locked(tx, context, one).await?.id, locked(tx, context, other).await?.id);
    if one == other {
        return Err(Problem::conflict("the two are one person already").at("other"));
    }
    let found = of_two(context, one, other, MatchReason::NamedByHand);
    let known = matches::find(tx, context.clinic, found.id).await?.is_some();
    matches::note(tx, context.clinic, &found).await?;
    let effect = if known { CommandEffect::Unchanged } else { CommandEffect::Created };
    Ok(recorded(context, effect, found.id, one))
}

fn recorded(context: &RecordContext<'_>, effect: CommandEffect, id: Uuid, patient: PatientId) -> Recorded {
    let (id, at) = (id.to_string(), context.now);
    Recorded { effect, id, version: 1, at, patient: Some(patient), quarantined: None, added: None }
}

/// Somebody decides about a match.
pub async fn decided(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    dossiers: &mut Dossiers,
    (id, decision): (Uuid, MatchDecision),
    reason: &str,
) -> Result<Recorded, Problem> {
    let mut found = matches::find(tx, context.clinic, id).await?.ok_or_else(|| Problem::not_found("match"))?;
    let source = format!("decision/{id}");
    let (state, speaks_for) = match (decision, found.state()) {
        (MatchDecision::Join { survivor }, MatchState::Open) => {
            let link = into(tx, context, &found, survivor).await?;
            join(tx, context, dossiers, link, &source).await?;
            (MatchState::Joined, link.into)
        }
        (MatchDecision::KeepApart, MatchState::Open) => (MatchState::KeptApart, found.one_id),
        (MatchDecision::Reopen, MatchState::Joined) => {
            for link in link::of_source(tx, context.clinic, &source).await? {
                link::remove(tx, context.clinic, &source, link).await?;
                part(tx, context, dossiers, link, &source).await?;
            }
            (MatchState::Open, found.one_id)
        }
        (MatchDecision::Reopen, MatchState::KeptApart) => (MatchState::Open, found.one_id),
        (_, state) => {
            let mut problem = Problem::conflict(format!("the match is {} already", state.as_str()));
            let allowed: &[&str] = if state == MatchState::Open { &["join", "keep_apart"] } else { &["reopen"] };
            problem.allowed = allowed.iter().map(|decision| (*decision).to_owned()).collect();
            return Err(problem);
        }
    };
    state.as_str().clone_into(&mut found.state);
    found.decided_at = Some(context.now);
    found.decided_by = Some(context.by.to_owned());
    found.decision_reason = Some(reason.to_owned());
    matches::decide(tx, context.clinic, &found).await?;
    let row = locked(tx, context, speaks_for).await?;
    let patient = row.id;
    let dossier = dossiers.take(tx, context, row).await?;
    let line = NewEvent {
        id: context.clock.id(),
        episode: None,
        kind: "patient_match".to_owned(),
        is_care: false,
        on: context.today,
        at: context.now,
        outcome: Some(found.state.clone()),
        minutes: None,
        body: json!({"match": id, "one": found.one_id, "other": found.other_id, "reason": reason}),
    };
    settle(tx, context, dossiers, dossier, Some(line)).await?;
    Ok(recorded(context, CommandEffect::Updated, id, patient))
}

/// The other record is used no more, the survivor instead of it. A person is named by any of their records.
async fn into(
    tx: &mut Tx,
    context: &RecordContext<'_>,
    found: &PatientMatch,
    survivor: PatientId,
) -> Result<Link, Problem> {
    let (one, other) = (locked(tx, context, found.one_id).await?.id, locked(tx, context, found.other_id).await?.id);
    if [one, found.one_id].contains(&survivor) {
        Ok(Link { from: found.other_id, into: found.one_id })
    } else if [other, found.other_id].contains(&survivor) {
        Ok(Link { from: found.one_id, into: found.other_id })
    } else {
        Err(Problem::unprocessable("neither of the two").at("survivor"))
    }
}

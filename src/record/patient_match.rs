//! What somebody decides about records that are perhaps one person.

use serde_json::json;
use uuid::Uuid;

use super::identify::locked;
use super::merge::{Applied, Remainder, RowMove, finish};
use super::new_event::NewEvent;
use super::possible_match::of_two;
use super::working_set::WorkingSet;
use super::{CommandEffect, RecordContext, Recorded};
use crate::domain::patient_match::{MatchDecision, MatchReason, MatchState};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::Link;
use crate::store::patient::matches::PatientMatch;

/// Somebody names two records that may be one person.
pub fn named(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    [one, other]: [PatientId; 2],
) -> Result<Recorded, Problem> {
    let (one, other) = (locked(set, one)?.id, locked(set, other)?.id);
    if one == other {
        return Err(Problem::conflict("the two are one person already").at("other"));
    }
    let found = of_two(context, one, other, MatchReason::NamedByHand);
    let known = set.patient_match(found.id)?.is_some();
    set.note_match(found.clone());
    let effect = if known { CommandEffect::Unchanged } else { CommandEffect::Created };
    Ok(recorded(context, effect, found.id, one))
}

fn recorded(context: &RecordContext<'_>, effect: CommandEffect, id: Uuid, patient: PatientId) -> Recorded {
    let (id, at) = (id.to_string(), context.now);
    Recorded { effect, id, version: 1, at, patient: Some(patient), quarantined: None, added: None }
}

/// Somebody decides about a match.
pub fn decided(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    (id, decision): (Uuid, MatchDecision),
    reason: &str,
) -> Result<Applied, Problem> {
    let mut found = set.patient_match(id)?.ok_or_else(|| Problem::not_found("match"))?;
    let source = format!("decision/{id}");
    let mut moves = Vec::new();
    let (state, speaks_for) = match (decision, found.state()) {
        (MatchDecision::Join { survivor }, MatchState::Open) => {
            let link = into(set, &found, survivor)?;
            moves.push(RowMove::Join(link, source));
            (MatchState::Joined, link.into)
        }
        (MatchDecision::KeepApart, MatchState::Open) => (MatchState::KeptApart, found.one_id),
        (MatchDecision::Reopen, MatchState::Joined) => {
            moves.extend(set.links_of(&source)?.into_iter().map(|link| RowMove::Part(link, source.clone())));
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
    set.decide_match(found.clone());
    let event = NewEvent {
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
    let recorded = recorded(context, CommandEffect::Updated, id, speaks_for);
    let left = Remainder { record: speaks_for, event, recorded };
    if moves.is_empty() {
        return finish(set, context, &[], &left).map(Applied::Done);
    }
    Ok(Applied::Moves(moves, Box::new(left)))
}

/// The other record is used no more, the survivor instead of it. A person is named by any of their records.
fn into(set: &mut WorkingSet, found: &PatientMatch, survivor: PatientId) -> Result<Link, Problem> {
    let (one, other) = (locked(set, found.one_id)?.id, locked(set, found.other_id)?.id);
    if [one, found.one_id].contains(&survivor) {
        Ok(Link { from: found.other_id, into: found.one_id })
    } else if [other, found.other_id].contains(&survivor) {
        Ok(Link { from: found.one_id, into: found.other_id })
    } else {
        Err(Problem::unprocessable("neither of the two").at("survivor"))
    }
}

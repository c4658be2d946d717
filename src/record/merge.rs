//! Records of one person become one story, and records of two persons two stories again.
//!
//! Each statement that two records are one person is kept (`patient_link`): a Patient of the chart that names the other, a
//! name that both carry, somebody's decision. The first makes one story of two; when the last is taken back, each gets
//! back what was its own, and what has arrived since goes to whom it names.
//!
//! A command says which statements are new and which are gone. Then the rows move (`row_moves`), and then it goes on here.

use serde_json::json;

use super::identify::{PersonMatch, locked, subject};
use super::new_event::NewEvent;
use super::possible_match;
use super::settle::settle;
use super::working_set::WorkingSet;
use super::{RecordContext, Recorded};
use crate::domain::patient_match::MatchReason;
use crate::fhir::content::{LinkKind, PatientLink};
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::patient::link::Link;

/// The source of a statement that two records carry the same name, one of them nothing else.
pub const SHARED_KEY: &str = "key";

/// A statement about two records, for which rows move from one person to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowMove {
    /// The two are one person, says the source.
    Join(Link, String),
    /// The source says so no more.
    Part(Link, String),
    /// A record that was replaced is in use again, whatever an older version of the other one says.
    Release(Link, String),
}

/// Two persons who were one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    pub persons: [PatientId; 2],
    /// Who took the statement back.
    pub source: String,
}

/// How far a command came.
pub enum Applied {
    Done(Recorded),
    /// Rows move before it can go on.
    Moves(Vec<RowMove>, Box<Remainder>),
}

/// What is left of a command once rows have moved.
pub struct Remainder {
    /// The record whose person it is about.
    pub record: PatientId,
    pub event: NewEvent,
    pub recorded: Recorded,
}

/// What the Patient `source` says about other records holds from now on, and nothing else that it said before.
pub fn relink(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    (record, source): (PatientId, &str),
    links: &[PatientLink],
) -> Result<Vec<RowMove>, Problem> {
    let before = set.links_of(source)?;
    let mut stated = Vec::new();
    for one in links {
        let Some(other) = record_of(set, context, one)? else { continue };
        let pair = match one.kind {
            LinkKind::ReplacedBy => Link { from: record, into: other },
            LinkKind::Replaces => Link { from: other, into: record },
            // Both are in use: whether they are one story is for somebody to decide.
            LinkKind::SamePerson => {
                possible_match::note(set, context, record, &[other], MatchReason::LinkedInChart);
                continue;
            }
        };
        if pair.from != pair.into && !stated.contains(&pair) {
            stated.push(pair);
        }
    }
    let gone = before.iter().filter(|link| !stated.contains(link)).map(|link| {
        let is_own = link.from == record;
        if is_own { RowMove::Release(*link, source.to_owned()) } else { RowMove::Part(*link, source.to_owned()) }
    });
    let new = stated.iter().filter(|link| !before.contains(link));
    Ok(gone.chain(new.map(|link| RowMove::Join(*link, source.to_owned()))).collect())
}

/// The record that a link names, made if it is not known yet. `None` where it could be several.
fn record_of(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    link: &PatientLink,
) -> Result<Option<PatientId>, Problem> {
    if let [key] = link.other.keys().as_slice()
        && let Some(known) = set.record_by_key(key)?
    {
        return Ok(Some(known));
    }
    Ok(match subject(set, context, &link.other)? {
        PersonMatch::One(dossier) => {
            let id = dossier.patient.id;
            set.put(*dossier);
            Some(id)
        }
        PersonMatch::Several => None,
    })
}

/// Finishes a command after rows have moved: both of those who were one person are planned anew, then the one it is about.
pub fn finish(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    parted: &[Parted],
    left: &Remainder,
) -> Result<Recorded, Problem> {
    for Parted { persons: [one, other], source } in parted {
        for (id, other) in [(one, other), (other, one)] {
            let row = locked(set, *id)?;
            let dossier = set.take(row)?;
            for standing in &dossier.plan.standings {
                set.settle_episode(standing)?;
            }
            let event = NewEvent {
                id: context.clock.id(),
                episode: None,
                kind: "split".to_owned(),
                is_care: false,
                on: context.today,
                at: context.now,
                outcome: None,
                minutes: None,
                body: json!({"source": source, "other": other}),
            };
            settle(set, context, dossier, Some(event))?;
        }
    }
    let row = locked(set, left.record)?;
    let dossier = set.take(row)?;
    if dossier.patient.seen {
        set.release_patient(dossier.patient.id);
    }
    let mut event = left.event.clone();
    if let Some(known) = event.body.get_mut("known") {
        *known = json!({"inactive": dossier.patient.inactive, "deceased_on": dossier.patient.deceased_on});
    }
    let patient = Some(dossier.patient.id);
    settle(set, context, dossier, Some(event))?;
    Ok(Recorded { patient, ..left.recorded.clone() })
}

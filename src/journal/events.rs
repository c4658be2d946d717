//! Public events: the journal's changes, one event for each name that an entry carries.
//!
//! An event holds ids and codes only. Details must be requested, with authentication.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::ReadTx;
use crate::store::journal::{self, JournalEntry};

/// How many lines are looked at in one go.
const WINDOW: i64 = 500;

/// A listener's position: after an entry (`7`), or after one of its events (`7.1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventPosition {
    pub seq: i64,
    /// The last event of the entry, from 1; 0 for all of them.
    pub part: i32,
}

impl EventPosition {
    pub fn whole(seq: i64) -> Self {
        Self { seq, part: 0 }
    }

    /// Whether there may be something to tell, if the chain ends at `head`.
    pub fn is_before(self, head: i64) -> bool {
        self.seq < head || (self.seq == head && self.part > 0)
    }
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            0 => write!(f, "{}", self.seq),
            part => write!(f, "{}.{part}", self.seq),
        }
    }
}

impl FromStr for EventPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, part) = text.split_once('.').unwrap_or((text, "0"));
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
        let mark = number(seq).zip(number(part).and_then(|part| i32::try_from(part).ok()));
        mark.map(|(seq, part)| Self { seq, part }).ok_or_else(|| "not the id of an event".to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalEvent {
    /// Event id, for `Last-Event-ID`.
    #[serde(serialize_with = "as_text")]
    pub id: EventPosition,
    /// Its name, such as `safety.opened`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The patient it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient: Option<PatientId>,
    /// The episode it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<EpisodeId>,
    /// The object it is about: `QuestionnaireResponse/1`, `delivery/…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Changes, as codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Value>,
}

fn as_text<S: serde::Serializer>(mark: &EventPosition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(mark)
}

/// Event names to receive; `safety.*` matches a prefix, and an empty list matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter(Vec<String>);

impl EventFilter {
    /// Reads names.
    ///
    /// # Errors
    /// Names what cannot be the name of an event.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
        let is_name = |name: &str| {
            let plain = name.strip_suffix('*').unwrap_or(name);
            !name.is_empty()
                && plain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
        };
        if names.iter().all(|name| is_name(name)) {
            Ok(Self(names))
        } else {
            Err("names of events, such as safety.opened or safety.*, with commas between".to_owned())
        }
    }

    /// Whether an event is among them.
    pub fn holds(&self, kind: &str) -> bool {
        let is_it = |name: &String| match name.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => name == kind,
        };
        self.0.is_empty() || self.0.iter().any(is_it)
    }
}

/// Events after a position, up to the end of the chain or of a window, and the position reached.
pub async fn after(
    tx: &mut ReadTx,
    clinic: &str,
    mark: EventPosition,
    head: i64,
    wanted: &EventFilter,
) -> Result<(Vec<JournalEvent>, EventPosition), Problem> {
    let begin = if mark.part > 0 { mark.seq - 1 } else { mark.seq };
    let end = head.min(begin + WINDOW);
    let mut selected = Vec::new();
    for line in journal::changes(tx, clinic, begin, end).await? {
        let entry =
            JournalEntry::read(&line.entry).ok_or_else(|| Problem::internal("a line of the journal cannot be read"))?;
        let already = if line.seq == mark.seq { mark.part } else { 0 };
        let events = of_line(&entry, line.seq).into_iter().skip(usize::try_from(already).unwrap_or(0));
        selected.extend(events.filter(|event| wanted.holds(&event.kind)));
    }
    Ok((selected, EventPosition::whole(end)))
}

/// The events of a line, in its order.
fn of_line(entry: &JournalEntry, seq: i64) -> Vec<JournalEvent> {
    let last = entry.events.len();
    let events = entry.events.iter().zip(1..).map(|(kind, part)| JournalEvent {
        id: if usize::try_from(part).is_ok_and(|part| part == last) {
            EventPosition::whole(seq)
        } else {
            EventPosition { seq, part }
        },
        kind: kind.clone(),
        at: entry.at,
        patient: entry.patient,
        episode: entry.episode,
        subject: entry.subject.clone(),
        changes: entry.changes.as_ref().and_then(|changes| changes_of(kind, changes)),
    });
    events.collect()
}

fn changes_of(kind: &str, changes: &Value) -> Option<Value> {
    match kind {
        "standing.changed" => changes.get("episodes").cloned(),
        "safety.opened" => changes.get("safety_opened").cloned(),
        "safety.closed" => changes.get("safety_closed").cloned(),
        "plan.changed" => Some(json!({"planned": changes.get("planned"), "ended": changes.get("ended")})),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_mark_reads_as_it_is_written() {
        for (text, mark) in [("7", EventPosition { seq: 7, part: 0 }), ("7.2", EventPosition { seq: 7, part: 2 })] {
            assert_eq!((mark.to_string().as_str(), text.parse()), (text, Ok(mark)));
        }
        for bad in ["", "x", "-1", "7.x", "+7", "7.-1", "99999999999999999999"] {
            assert!(bad.parse::<EventPosition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_event_of_a_line_has_an_id_and_the_last_one_names_the_line() {
        let at = DateTime::UNIX_EPOCH;
        let mut entry = JournalEntry::new(Uuid::nil(), "demo", at, "x", None);
        entry.events = vec!["measurement.recorded".into(), "standing.changed".into(), "safety.opened".into()];
        entry.changes = Some(json!({"episodes": [1], "safety_opened": ["key"]}));
        let ids: Vec<String> = of_line(&entry, 9).iter().map(|selected| selected.id.to_string()).collect();
        assert_eq!(ids, ["9.1", "9.2", "9"]);
        assert_eq!(of_line(&entry, 9)[2].changes, Some(json!(["key"])));
    }

    #[test]
    fn wanted_names_may_end_in_a_star() {
        let wanted = EventFilter::new("safety.*, delivery.parked".split(',')).unwrap();
        assert!(wanted.holds("safety.opened") && wanted.holds("delivery.parked") && !wanted.holds("delivery.written"));
        assert!(EventFilter::default().holds("anything"));
        assert!(EventFilter::new(["Safety"]).is_err() && EventFilter::new([""]).is_err());
    }
}

//! Unassessed answers to PHQ-9 item 9: a strip on every page, and a list of its own.

use askama::Template;
use axum::response::Response;

use super::response::{ProblemPage, html};
use super::safety_strip::{SafetyItem, waiting};
use super::session::Visitor;
use super::shell::{NavSection, ProblemPage, Shell, html};
use super::{date_texts, words};
use crate::api::request::READERS;

/// More open concerns than any clinic should have: the list shows the oldest so many.
const MOST: i64 = 1000;
/// Among how many of the oldest the strip looks for those that are due first: every page has it.
const NEAREST: i64 = 100;
/// How many of them it names.
const NAMED: usize = 4;

/// The strip on every page: how many wait, and the first few.
pub struct SafetyStrip {
    pub count: i64,
    pub first: Vec<SafetyItem>,
}

impl SafetyStrip {
    pub async fn read(visitor: &Visitor) -> Result<Self, Problem> {
        let mut tx = visitor.pages.app.db.read().await?;
        let count = safety::count_open(&mut tx, visitor.clinic()).await?;
        drop(tx);
        let first = if count > 0 { waiting(visitor, NEAREST, NAMED).await? } else { Vec::new() };
        Ok(Self { count, first })
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many it does not name.
    pub fn more(&self) -> i64 {
        self.count - i64::try_from(self.first.len()).unwrap_or_default()
    }
}

/// Somebody who waits for an assessment.
pub struct SafetyItem {
    pub patient: PatientId,
    pub name: String,
    pub priority: Priority,
    /// Why, in a sentence.
    pub reason: String,
    /// Minutes since it came to be known.
    pub minutes: i64,
    /// The same in words.
    pub elapsed: String,
    pub due: String,
    pub overdue: bool,
    pub owner: Option<String>,
    /// Whether the chart has been told.
    pub told: &'static str,
    pub told_tone: words::Tone,
}

impl SafetyItem {
    pub fn level(&self) -> &'static str {
        match self.priority {
            Priority::Stat => "now",
            Priority::Urgent => "today",
            Priority::Routine => "routine",
        }
    }
}

/// The oldest who wait, longest due first, graver first.
/// Of so many of the oldest, so many that are due first.
async fn waiting(visitor: &Visitor, many: i64, first: usize) -> Result<Vec<SafetyItem>, Problem> {
    let mut tx = visitor.pages.app.db.read().await?;
    let mut rows = safety::open(&mut tx, visitor.clinic(), many).await?;
    drop(tx);
    rows.sort_by_key(|row| (row.intent.desired.due_on, std::cmp::Reverse(row.intent.desired.priority), row.id));
    let (now, today) = (visitor.now(), visitor.today());
    Ok(rows
        .into_iter()
        .take(first)
        .map(|row| {
            let intent = row.intent.0;
            let desired = intent.desired;
            let open_for = now - intent.authored_on;
            let overdue = desired.due_on.is_some_and(|due| due < today);
            let (told, told_tone) = words::delivery(row.state, row.rung.as_deref().and_then(|rung| rung.parse().ok()));
            SafetyItem {
                patient: row.patient_id,
                name: row.display_name.unwrap_or(row.reference),
                priority: desired.priority,
                reason: date_texts::in_sentence(words::without_notice(&desired.reason), today),
                minutes: open_for.num_minutes().max(0),
                elapsed: date_texts::elapsed(open_for),
                due: match desired.due_on {
                    Some(due) if due == today => "due today".to_owned(),
                    Some(due) if overdue => format!("was due {}", date_texts::day(due, today)),
                    Some(due) => format!("due {}", date_texts::day(due, today)),
                    None => "no date".to_owned(),
                },
                overdue,
                owner: intent.owner_display,
                told,
                told_tone,
            }
        })
        .collect())
}

#[derive(Template)]
#[template(path = "safety.html")]
struct SafetyPage {
    shell: Shell,
    waiting: Vec<SafetyItem>,
    /// How many are not shown.
    more: i64,
    assesses: bool,
}

pub async fn show(visitor: Visitor) -> Result<Response, ProblemPage> {
    visitor.caller.require(READERS)?;
    let shell = Shell::around(&visitor, "Safety", NavSection::Safety).await?;
    let waiting = waiting(&visitor, MOST, usize::MAX).await?;
    let more = shell.safety.count - i64::try_from(waiting.len()).unwrap_or_default();
    let assesses = visitor.is(crate::api::request::CLINICIANS);
    Ok(html(&SafetyPage { shell, waiting, more, assesses }))
}

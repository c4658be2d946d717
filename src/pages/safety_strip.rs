//! Patients who wait for a safety assessment: the strip on every page names the first few.

use super::session::Visitor;
use super::{date_texts, words};
use crate::domain::task::Priority;
use crate::id::PatientId;
use crate::problem::Problem;
use crate::store::safety;

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

/// A patient who waits for an assessment.
pub struct SafetyItem {
    pub patient: PatientId,
    pub name: String,
    pub priority: Priority,
    /// Why, in a sentence.
    pub reason: String,
    /// Minutes since it became known.
    pub minutes: i64,
    /// The same in words.
    pub elapsed: String,
    pub due: String,
    pub overdue: bool,
    pub owner: Option<String>,
    /// Delivery state.
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
pub(super) async fn waiting(visitor: &Visitor, many: i64, first: usize) -> Result<Vec<SafetyItem>, Problem> {
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

//! Who is to be talked about, in the order of R15, and who has been today.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::attention::LAST_IN_QUEUE;
use crate::pages::caseload::choice::place;
use crate::pages::moment::{day, in_sentence};
use crate::pages::session::Visitor;
use crate::pages::words;
use crate::problem::Problem;
use crate::store::standing;

/// One patient of the agenda.
#[derive(Clone)]
pub struct Item {
    pub episode: Uuid,
    pub name: String,
    pub care_manager: Option<String>,
    /// Why in this place.
    pub place: &'static str,
    pub why: String,
    pub since: String,
    pub latest: Option<i16>,
    pub last_review: Option<String>,
    /// Reviewed today.
    pub done: bool,
    pub danger: bool,
}

/// The agenda of today: whom the queue names, and who was reviewed.
pub struct Agenda {
    /// Those who were reviewed today stay where one can go back to them: at the end.
    pub items: Vec<Item>,
    pub open: usize,
    pub done: usize,
}

pub async fn read(visitor: &Visitor) -> Result<Vec<Item>, Problem> {
    let today = visitor.today();
    let mut tx = visitor.pages.app.db.read().await?;
    let rows = standing::lines(&mut tx, visitor.clinic(), false).await?;
    drop(tx);
    let items = rows.into_iter().filter_map(|row| {
        let line = row.line().unwrap_or_default();
        let done = line.last_review == Some(today);
        (done || row.attention <= LAST_IN_QUEUE).then(|| Item {
            episode: row.episode_id,
            name: row.display_name,
            care_manager: row.care_manager,
            place: place(row.attention).unwrap_or(""),
            why: in_sentence(words::without_notice(line.why.as_deref().unwrap_or_default()), today),
            since: day(row.waiting_since, today),
            latest: row.latest_score,
            last_review: line.last_review.map(|on| day(on, today)),
            done,
            danger: row.open_safety,
        })
    });
    Ok(items.collect())
}

/// The care managers of the agenda, and which one is chosen.
pub fn managers(all: &[Item], chosen: &str) -> Vec<(String, bool)> {
    let names: BTreeSet<&str> = all.iter().filter_map(|item| item.care_manager.as_deref()).collect();
    names.into_iter().map(|name| (name.to_owned(), name == chosen)).collect()
}

impl Agenda {
    pub fn of(all: Vec<Item>, care_manager: &str) -> Self {
        let mut items: Vec<Item> = all
            .into_iter()
            .filter(|item| care_manager.is_empty() || item.care_manager.as_deref() == Some(care_manager))
            .collect();
        items.sort_by_key(|item| item.done);
        let done = items.iter().filter(|item| item.done).count();
        Self { open: items.len() - done, done, items }
    }
}

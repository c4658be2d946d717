//! Queries of the caseload page: counts per group, matching episodes, and the rows to draw.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::NaiveDate;

use super::PersonPatterns;
use crate::domain::attention::LAST_IN_QUEUE;
use crate::domain::caseload_row::CaseloadRow;
use crate::domain::finding::{Rule, Rules};
use crate::id::{EpisodeId, PatientId};
use crate::problem::Problem;
use crate::store::access_trace::note;
use crate::store::{ReadTx, failed};

/// Episodes that are alike in all that the page counts by.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CaseloadCount {
    pub care_manager: Option<String>,
    pub status: String,
    pub at_target: bool,
    pub open_safety: bool,
    /// In the review queue.
    pub queued: bool,
    #[sqlx(try_from = "String")]
    pub findings: Rules,
    /// How many there are.
    #[sqlx(try_from = "i64")]
    pub episodes: usize,
    /// How many of them have the name that was asked for.
    #[sqlx(try_from = "i64")]
    pub named: usize,
}

/// Every open episode of a clinic (or every ended one), counted. One index holds all of it, so that no whole standing is read.
pub async fn tally(
    tx: &mut ReadTx,
    clinic: &str,
    discharged: bool,
    name: Option<&str>,
) -> Result<Vec<CaseloadCount>, Problem> {
    let person = PersonPatterns::of(name);
    fetch_all!(
        tx,
        CaseloadCount,
        concat!(
            "SELECT care_manager, status, at_target, open_safety, attention <= $3 AS queued, findings, COUNT(*) AS episodes,
           SUM(CASE WHEN ",
            is_searched!("standing", "4", "5", "6", "7", "8"),
            " THEN 1 ELSE 0 END) AS named
         FROM standing WHERE clinic_id = $1 AND (status = 'discharged') = $2 GROUP BY 1, 2, 3, 4, 5, 6"
        ),
        clinic,
        discharged,
        LAST_IN_QUEUE,
        &person.words[0],
        &person.words[1],
        &person.words[2],
        &person.identifier,
        &person.reference
    )
    .map_err(failed)
}

/// Most rules in one filter.
pub const MOST_RULES: usize = 6;

/// A kind of episodes: all that is given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseloadGroup {
    /// A safety answer waits for its assessment.
    pub open_safety: bool,
    /// Every measure is at its target.
    pub at_target: bool,
    /// In the review queue.
    pub queued: bool,
    /// At least one of these rules has a finding; at most [`MOST_RULES`].
    pub any_of: Option<&'static [Rule]>,
}

impl CaseloadGroup {
    /// Whether these episodes are of this kind.
    pub fn holds(&self, tally: &CaseloadCount) -> bool {
        (!self.open_safety || tally.open_safety)
            && (!self.at_target || tally.at_target)
            && (!self.queued || tally.queued)
            && self.any_of.is_none_or(|rules| tally.findings.has_any(rules))
    }
}

/// Filter of the caseload page; all given conditions must hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaseloadFilter<'a> {
    /// List discharged episodes instead of open ones.
    pub discharged: bool,
    /// Only episodes of this care manager.
    pub care_manager: Option<&'a str>,
    pub status: Option<&'a str>,
    /// Only patients found by this text, as `PersonSearch` reads it.
    pub name: Option<&'a str>,
    pub kind: CaseloadGroup,
}

impl CaseloadFilter<'_> {
    /// Whether it shows these, but for the name.
    pub fn admits(&self, tally: &CaseloadCount) -> bool {
        self.care_manager.is_none_or(|manager| tally.care_manager.as_deref() == Some(manager))
            && self.status.is_none_or(|status| tally.status == status)
            && self.kind.holds(tally)
    }
}

/// Sort order. Ties, and columns without an order of their own, sort by attention (R15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseloadOrder {
    /// The most pressing first.
    Attention,
    Name,
    /// The longest in care first.
    Enrolled,
    /// The highest latest score of depression first.
    Depression,
    /// The highest latest GAD-7 first.
    Gad7,
    /// The soonest contact first.
    NextContact,
    /// Never reviewed first, then longest ago.
    LastReview,
}

/// The episodes of a page. The same index holds what they are found and ordered by.
pub async fn found(
    tx: &mut ReadTx,
    clinic: &str,
    choice: CaseloadFilter<'_>,
    order: CaseloadOrder,
    from: usize,
) -> Result<Vec<EpisodeId>, Problem> {
    macro_rules! by {
        ($first:literal) => {
            concat!(
                "SELECT episode_id FROM standing
                 WHERE clinic_id = $1 AND (status = 'discharged') = $2
                   AND ($3 IS NULL OR care_manager = $3)
                   AND ($4 IS NULL OR status = $4)
                   AND (NOT $5 OR open_safety) AND (NOT $6 OR at_target) AND (NOT $7 OR attention <= $8)
                   AND ($9 IS NULL OR findings LIKE $9 OR findings LIKE $10 OR findings LIKE $11 OR findings LIKE $12
                     OR findings LIKE $13 OR findings LIKE $14)
                   AND ",
                is_searched!("standing", "15", "16", "17", "18", "19"),
                " ORDER BY ",
                $first,
                " attention, waiting_since, -COALESCE(latest_score, -1), episode_id LIMIT $20 OFFSET $21"
            )
        };
    }
    let person = PersonPatterns::of(choice.name);
    let text = match order {
        CaseloadOrder::Attention => by!(""),
        CaseloadOrder::Name => by!("folded_name,"),
        CaseloadOrder::Enrolled => by!("enrolled_on NULLS LAST,"),
        CaseloadOrder::Depression => by!("depression_score DESC NULLS LAST,"),
        CaseloadOrder::Gad7 => by!("gad7_score DESC NULLS LAST,"),
        CaseloadOrder::NextContact => by!("next_contact_on NULLS LAST,"),
        CaseloadOrder::LastReview => by!("reviewed_on NULLS FIRST,"),
    };
    let rule = |n: usize| choice.kind.any_of?.get(n).map(|rule| format!("%,{rule},%"));
    fetch_all!(
        tx,
        (EpisodeId,),
        text,
        clinic,
        choice.discharged,
        choice.care_manager,
        choice.status,
        choice.kind.open_safety,
        choice.kind.at_target,
        choice.kind.queued,
        LAST_IN_QUEUE,
        rule(0),
        rule(1),
        rule(2),
        rule(3),
        rule(4),
        rule(5),
        &person.words[0],
        &person.words[1],
        &person.words[2],
        &person.identifier,
        &person.reference,
        i64::try_from(ROWS).unwrap_or(i64::MAX),
        i64::try_from(from).unwrap_or(i64::MAX)
    )
    .map(|rows| rows.into_iter().map(|(episode,)| episode).collect())
    .map_err(failed)
}

/// One row of the page.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EpisodeListing {
    pub episode_id: EpisodeId,
    pub patient_id: PatientId,
    pub status: String,
    pub display_name: String,
    pub care_manager: Option<String>,
    pub enrolled_on: Option<NaiveDate>,
    pub at_target: bool,
    pub open_safety: bool,
    #[sqlx(try_from = "String")]
    pub findings: Rules,
    /// Kept as text: it is parsed only where it is shown.
    line: Option<String>,
}

impl EpisodeListing {
    /// The row to draw; `None` until the patient has been planned once by a version that writes it.
    pub fn line(&self) -> Option<CaseloadRow> {
        serde_json::from_str(self.line.as_ref()?).ok()
    }
}

/// Rows on one page: everybody of one care manager, and what a browser lays out at once.
pub const ROWS: usize = 150;

static READ: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (2..ROWS + 2).map(|place| format!("${place}")).collect();
    let head = "SELECT episode_id, patient_id, status, display_name, care_manager, enrolled_on, at_target, open_safety, findings,
       CAST(line AS TEXT) AS line FROM standing WHERE clinic_id = $1 AND episode_id IN";
    format!("{head} ({})", places.join(", "))
});

/// The rows of these episodes, in their order.
pub async fn rows(tx: &mut ReadTx, clinic: &str, episodes: &[EpisodeId]) -> Result<Vec<EpisodeListing>, Problem> {
    let text: &'static str = &READ;
    let mut read: HashMap<EpisodeId, EpisodeListing> = HashMap::with_capacity(episodes.len());
    for some in episodes.chunks(ROWS) {
        let rows = on!(tx, |conn| {
            let mut query = sqlx::query_as::<_, EpisodeListing>(text).bind(clinic);
            // Where there are fewer, nobody's.
            for place in 0..ROWS {
                query = query.bind(some.get(place).copied().unwrap_or_default());
            }
            query.fetch_all(conn).await
        })
        .map_err(failed)?;
        note(rows.iter().map(|row| row.patient_id));
        read.extend(rows.into_iter().map(|row| (row.episode_id, row)));
    }
    Ok(episodes.iter().filter_map(|episode| read.remove(episode)).collect())
}

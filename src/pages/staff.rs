//! Staff of the clinic: names to choose from, and whose patients wait.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::session::Visitor;
use crate::domain::attention::LAST_IN_QUEUE;
use crate::problem::Problem;
use crate::store::standing;

/// The care managers and consultants of the open episodes; whose patients wait for a review most come first.
#[derive(Default)]
pub struct Teams {
    pub consultants: Vec<String>,
    pub care_managers: Vec<String>,
    /// Patients in the review queue.
    pub waiting: i64,
}

impl Teams {
    pub async fn read(visitor: &Visitor) -> Result<Self, Problem> {
        let mut tx = visitor.pages.app.db.read().await?;
        let teams = standing::teams(&mut tx, visitor.clinic(), LAST_IN_QUEUE).await?;
        drop(tx);
        let (mut consultants, mut care_managers) = (BTreeMap::new(), BTreeMap::new());
        let waiting = teams.iter().map(|team| team.waiting).sum();
        for team in teams {
            let both = [(team.psychiatric_consultant, &mut consultants), (team.care_manager, &mut care_managers)];
            for (name, counts) in both {
                if let Some(name) = name {
                    *counts.entry(name).or_insert(0) += team.waiting;
                }
            }
        }
        Ok(Self { consultants: ranked(consultants), care_managers: ranked(care_managers), waiting })
    }
}

fn ranked(counts: BTreeMap<String, i64>) -> Vec<String> {
    let mut names: Vec<(String, i64)> = counts.into_iter().collect();
    names.sort_by_key(|(_, waiting)| Reverse(*waiting));
    names.into_iter().map(|(name, _)| name).collect()
}

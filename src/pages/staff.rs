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

/// Titles that people put before or after a name.
const TITLES: [&str; 12] = ["dr", "md", "do", "np", "pa", "rn", "lcsw", "msw", "phd", "psyd", "mr", "ms"];

/// The words of a name without titles, in order of the alphabet.
fn words_of(name: &str) -> Vec<String> {
    let words = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let mut words: Vec<String> = words.filter(|word| !word.is_empty() && !TITLES.contains(&word.as_str())).collect();
    words.sort_unstable();
    words
}

/// The one of these names that is a person's own, whatever the title and the order of first and last name.
pub fn one_of<'a>(own: &str, names: &[&'a str]) -> Option<&'a str> {
    let own = words_of(own);
    let mut same = names.iter().filter(|name| !own.is_empty() && words_of(name) == own);
    match (same.next(), same.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

fn ranked(counts: BTreeMap<String, i64>) -> Vec<String> {
    let mut names: Vec<(String, i64)> = counts.into_iter().collect();
    names.sort_by_key(|(_, waiting)| Reverse(*waiting));
    names.into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::one_of;

    #[test]
    fn a_person_is_found_under_the_name_that_episodes_use() {
        let names = ["Dr. A. Brandt", "Okafor, Ruth, LCSW", "Kim"];
        assert_eq!(one_of("A. Brandt, MD", &names), Some("Dr. A. Brandt"));
        assert_eq!(one_of("ruth okafor", &names), Some("Okafor, Ruth, LCSW"));
        assert_eq!(one_of("Kim Lee", &names), None, "half a name is nobody's");
        assert_eq!(one_of("Dr.", &["MD"]), None, "a title is no name");
        assert_eq!(one_of("Kim", &["Kim", "Kim, RN"]), None, "two who could be meant");
    }
}

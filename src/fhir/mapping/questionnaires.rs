//! Questionnaires that forms name by a canonical that says nothing here: the EHR is asked for each of them once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A sender who makes up canonicals fills no memory.
const MOST_UNASKED: usize = 200;

/// What a clinic's EHR answered. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct KnownQuestionnaires(Arc<RwLock<QuestionnaireCache>>);

#[derive(Debug, Default)]
struct QuestionnaireCache {
    by_canonical: HashMap<String, Option<Arc<str>>>,
    unasked: BTreeSet<String>,
}

impl KnownQuestionnaires {
    /// The Questionnaire of a canonical. One that nobody has asked for yet is noted.
    pub(in crate::fhir) fn get(&self, canonical: &str) -> Option<Arc<str>> {
        let canonical = without_version(canonical);
        let known = self.read();
        if let Some(answer) = known.by_canonical.get(canonical) {
            return answer.clone();
        }
        let is_noted = known.unasked.contains(canonical) || known.unasked.len() >= MOST_UNASKED;
        drop(known);
        if !is_noted {
            self.write().unasked.insert(canonical.to_owned());
        }
        None
    }

    /// The canonicals that nobody has asked for yet.
    pub fn unasked(&self) -> Vec<String> {
        self.read().unasked.iter().cloned().collect()
    }

    /// Keeps what the EHR answered.
    pub fn learn(&self, canonical: &str, body: Option<&str>) {
        let mut known = self.write();
        known.unasked.remove(canonical);
        known.by_canonical.insert(canonical.to_owned(), body.map(Arc::from));
    }

    fn read(&self) -> RwLockReadGuard<'_, QuestionnaireCache> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, QuestionnaireCache> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_version(canonical: &str) -> &str {
    canonical.split('|').next().unwrap_or(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_canonical_is_asked_for_once() {
        let known = KnownQuestionnaires::default();
        assert_eq!(known.get("https://x/q|1"), None);
        assert_eq!(known.clone().get("https://x/q|2"), None);
        assert_eq!(known.unasked(), ["https://x/q"]);
        known.learn("https://x/q", None);
        assert_eq!((known.get("https://x/q"), known.unasked()), (None, vec![]));
        known.learn("https://x/q", Some("{}"));
        assert_eq!(known.get("https://x/q|3").as_deref(), Some("{}"));
        for n in 0..1_000 {
            known.get(&format!("https://x/{n}"));
        }
        assert_eq!(known.unasked().len(), MOST_UNASKED);
    }
}

//! All the figures of a month, as they are kept when it is closed; and how they differ from later ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::tally::Tallies;
use super::{Metric, Month, Narrowing, aims_tallies, fidelity_tallies, for_export, nys_tallies};
use crate::domain::care::Payer;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;

/// Every figure of a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// NYS OMH, all payers.
    pub nys: Vec<Metric>,
    /// NYS OMH, narrowed to each payer.
    pub nys_by_payer: BTreeMap<Payer, Vec<Metric>>,
    /// Fidelity.
    pub fidelity: Vec<Metric>,
    /// AIMS process measures.
    pub aims: Vec<Metric>,
}

/// Every figure of a month while it is counted.
pub struct MonthTallies<'a> {
    rules: &'a RuleSet,
    month: Month,
    fte: Option<f64>,
    nys: Tallies,
    by_payer: Vec<(Payer, Tallies)>,
    fidelity: Tallies,
    aims: Tallies,
}

fn narrowed(payer: Payer) -> Narrowing {
    Narrowing { payer: Some(payer), care_manager: None }
}

impl<'a> MonthTallies<'a> {
    /// Of nobody yet. `fte` is what is attested for the month.
    pub fn new(rules: &'a RuleSet, month: Month, fte: Option<f64>) -> Self {
        let all = Narrowing::default();
        Self {
            rules,
            month,
            fte,
            nys: nys_tallies(&[], rules, month, &all, fte),
            by_payer: Payer::ALL.iter().map(|p| (*p, nys_tallies(&[], rules, month, &narrowed(*p), fte))).collect(),
            fidelity: fidelity_tallies(&[], rules, month, &all),
            aims: aims_tallies(&[], rules, month, &all),
        }
    }

    /// Counts some patients, each of them once.
    pub fn count(&mut self, stories: &[Story]) {
        let (all, exported) = (Narrowing::default(), for_export(stories));
        self.nys.absorb(nys_tallies(&exported, self.rules, self.month, &all, self.fte));
        for (payer, tallies) in &mut self.by_payer {
            tallies.absorb(nys_tallies(&exported, self.rules, self.month, &narrowed(*payer), self.fte));
        }
        self.fidelity.absorb(fidelity_tallies(stories, self.rules, self.month, &all));
        self.aims.absorb(aims_tallies(stories, self.rules, self.month, &all));
    }

    /// What it comes to.
    pub fn figures(self) -> Figures {
        Figures {
            nys: self.nys.metrics(),
            nys_by_payer: self.by_payer.into_iter().map(|(payer, tallies)| (payer, tallies.metrics())).collect(),
            fidelity: self.fidelity.metrics(),
            aims: self.aims.metrics(),
        }
    }
}

/// What a metric came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counted {
    /// Its numerator.
    pub numerator: Option<usize>,
    /// Its denominator.
    pub denominator: Option<usize>,
    /// Its value.
    pub value: Option<f64>,
}

impl From<&Metric> for Counted {
    fn from(m: &Metric) -> Self {
        Self { numerator: m.numerator, denominator: m.denominator, value: m.value }
    }
}

/// How a metric of a closed month would come out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The metric's number.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// What was reported.
    pub reported: Counted,
    /// What it would be now.
    pub now: Counted,
    /// Newly in the numerator.
    pub numerator_entered: Vec<Uuid>,
    /// No longer in the numerator.
    pub numerator_left: Vec<Uuid>,
    /// Newly in the denominator.
    pub denominator_entered: Vec<Uuid>,
    /// No longer in the denominator.
    pub denominator_left: Vec<Uuid>,
}

impl Difference {
    /// Every id that entered or left.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        [&self.numerator_entered, &self.numerator_left, &self.denominator_entered, &self.denominator_left]
            .into_iter()
            .flatten()
            .copied()
    }
}

/// The metrics that came out differently. A mean differs also where the same episodes are behind it.
pub fn differences(reported: &[Metric], now: &[Metric]) -> Vec<Difference> {
    let difference = |was: &Metric, now: &Metric| {
        let gone = |a: &[Uuid], b: &[Uuid]| -> Vec<Uuid> {
            let b: BTreeSet<&Uuid> = b.iter().collect();
            a.iter().filter(|id| !b.contains(id)).copied().collect()
        };
        Difference {
            number: now.number,
            name: now.name.clone(),
            reported: was.into(),
            now: now.into(),
            numerator_entered: gone(&now.numerator_episodes, &was.numerator_episodes),
            numerator_left: gone(&was.numerator_episodes, &now.numerator_episodes),
            denominator_entered: gone(&now.denominator_episodes, &was.denominator_episodes),
            denominator_left: gone(&was.denominator_episodes, &now.denominator_episodes),
        }
    };
    now.iter()
        .filter_map(|now| reported.iter().find(|was| was.number == now.number).map(|was| difference(was, now)))
        .filter(|d| d.ids().next().is_some() || !is_same(d.reported, d.now))
        .collect()
}

/// A figure that was written as text and read again may differ in its last bit.
fn is_same(a: Counted, b: Counted) -> bool {
    let value = match (a.value, b.value) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a.is_none() && b.is_none(),
    };
    value && (a.numerator, a.denominator) == (b.numerator, b.denominator)
}

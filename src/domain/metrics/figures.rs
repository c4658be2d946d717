//! All the figures of a month, as they are kept when it is closed; and how they differ from later ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::episode_month::{CareManager, caseloads};
use super::tally::Tallies;
use super::{Metric, MetricsFilter, Month, aims_tallies, fidelity_tallies, for_export, nys_tallies};
use crate::domain::care::Payer;
use crate::domain::rules::RuleSet;
use crate::domain::story::Story;

/// Every figure of a month, of a clinic or of one care manager.
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

/// Every figure of a month, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthFigures {
    /// The clinic's.
    #[serde(flatten)]
    pub clinic: Figures,
    /// Figures of each care manager who had episodes in the month; absent in reports older than this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_care_manager: Option<Vec<CareManagerFigures>>,
}

/// Every figure of one care manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CareManagerFigures {
    /// Care manager; `null` for episodes without one.
    pub care_manager: Option<String>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Rule set, month and staffing of a count.
#[derive(Clone, Copy)]
struct FiguresScope<'a> {
    rules: &'a RuleSet,
    month: Month,
    fte: Option<f64>,
}

/// Every figure of a clinic or of one care manager while it is counted.
struct ClinicTally {
    nys: Tallies,
    by_payer: Vec<(Payer, Tallies)>,
    fidelity: Tallies,
    aims: Tallies,
}

impl ClinicTally {
    fn new(of: &MetricsFilter, stories: &[Story], FiguresScope { rules, month, fte }: FiguresScope<'_>) -> Self {
        let exported = for_export(stories);
        let paid_by = |payer: Payer| {
            let narrowed = MetricsFilter { payer: Some(payer), ..of.clone() };
            (payer, nys_tallies(&exported, rules, month, &narrowed, fte))
        };
        Self {
            nys: nys_tallies(&exported, rules, month, of, fte),
            by_payer: Payer::ALL.iter().copied().map(paid_by).collect(),
            fidelity: fidelity_tallies(stories, rules, month, of),
            aims: aims_tallies(stories, rules, month, of),
        }
    }

    fn absorb(&mut self, other: Self) {
        self.nys.absorb(other.nys);
        for ((_, mine), (_, theirs)) in self.by_payer.iter_mut().zip(other.by_payer) {
            mine.absorb(theirs);
        }
        self.fidelity.absorb(other.fidelity);
        self.aims.absorb(other.aims);
    }

    fn figures(self) -> Figures {
        Figures {
            nys: self.nys.metrics(),
            nys_by_payer: self.by_payer.into_iter().map(|(payer, tallies)| (payer, tallies.metrics())).collect(),
            fidelity: self.fidelity.metrics(),
            aims: self.aims.metrics(),
        }
    }
}

/// Every figure of a month while it is counted.
pub struct MonthTallies<'a> {
    scope: FiguresScope<'a>,
    clinic: ClinicTally,
    by_care_manager: BTreeMap<CareManager, ClinicTally>,
}

impl<'a> MonthTallies<'a> {
    /// An empty count. `fte` is the staffing attested for the month.
    pub fn new(rules: &'a RuleSet, month: Month, fte: Option<f64>) -> Self {
        let scope = FiguresScope { rules, month, fte };
        Self {
            scope,
            clinic: ClinicTally::new(&MetricsFilter::default(), &[], scope),
            by_care_manager: BTreeMap::new(),
        }
    }

    /// Counts some patients, each of them once.
    pub fn count(&mut self, stories: &[Story]) {
        self.clinic.absorb(ClinicTally::new(&MetricsFilter::default(), stories, self.scope));
        for (care_manager, stories) in caseloads(stories, self.scope.month) {
            let some = ClinicTally::new(&MetricsFilter::to(care_manager.clone()), &stories, self.scope);
            match self.by_care_manager.get_mut(&care_manager) {
                Some(there) => there.absorb(some),
                None => drop(self.by_care_manager.insert(care_manager, some)),
            }
        }
    }

    /// The figures so far.
    pub fn figures(self) -> MonthFigures {
        let of = |(who, counting): (CareManager, ClinicTally)| CareManagerFigures {
            care_manager: who.into(),
            figures: counting.figures(),
        };
        MonthFigures {
            clinic: self.clinic.figures(),
            by_care_manager: Some(self.by_care_manager.into_iter().map(of).collect()),
        }
    }
}

/// Value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricValue {
    /// Its numerator.
    pub numerator: Option<usize>,
    /// Its denominator.
    pub denominator: Option<usize>,
    /// Its value.
    pub value: Option<f64>,
}

impl From<&Metric> for MetricValue {
    fn from(m: &Metric) -> Self {
        Self { numerator: m.numerator, denominator: m.denominator, value: m.value }
    }
}

/// How a metric of a closed month would come out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The metric's number.
    pub number: u8,
    /// Name.
    pub name: String,
    /// The reported value.
    pub reported: MetricValue,
    /// The value if counted now.
    pub now: MetricValue,
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
fn is_same(a: MetricValue, b: MetricValue) -> bool {
    let value = match (a.value, b.value) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a.is_none() && b.is_none(),
    };
    value && (a.numerator, a.denominator) == (b.numerator, b.denominator)
}

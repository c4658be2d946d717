//! Tallies: what has been counted so far, page by page.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use uuid::Uuid;

use super::Metric;

/// Data counted for one metric.
#[derive(Clone, Debug, PartialEq)]
enum TallyKind {
    Count(Vec<Uuid>),
    /// A rate: (id, whether it is in the numerator).
    Rate(Vec<(Uuid, bool)>),
    /// The mean of an amount, divided by `per`, to one decimal.
    Mean {
        of: Vec<(Uuid, i64)>,
        per: f64,
    },
    /// Share of the weeks in which something was held; weeks by their Monday.
    Weeks {
        all: BTreeSet<NaiveDate>,
        held: BTreeSet<NaiveDate>,
    },
    /// Said by somebody, not counted.
    Attested(Option<f64>),
}

/// One metric while it is counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricTally {
    number: u8,
    name: &'static str,
    target: Option<f64>,
    remark: Option<&'static str>,
    kind: TallyKind,
}

impl MetricTally {
    fn new(number: u8, name: &'static str, kind: TallyKind) -> Self {
        Self { number, name, target: None, remark: None, kind }
    }

    pub(super) fn count(number: u8, name: &'static str, of: Vec<Uuid>) -> Self {
        Self::new(number, name, TallyKind::Count(of))
    }

    /// `among`: (id, whether it is in the numerator).
    pub(super) fn rate(number: u8, name: &'static str, target: Option<f64>, among: Vec<(Uuid, bool)>) -> Self {
        Self { target, ..Self::new(number, name, TallyKind::Rate(among)) }
    }

    pub(super) fn mean(number: u8, name: &'static str, per: f64, of: Vec<(Uuid, i64)>) -> Self {
        Self::new(number, name, TallyKind::Mean { of, per })
    }

    pub(super) fn weeks(number: u8, name: &'static str, all: BTreeSet<NaiveDate>, held: BTreeSet<NaiveDate>) -> Self {
        Self { target: Some(1.0), ..Self::new(number, name, TallyKind::Weeks { all, held }) }
    }

    pub(super) fn attested(number: u8, name: &'static str, value: Option<f64>) -> Self {
        Self::new(number, name, TallyKind::Attested(value))
    }

    pub(super) fn target(self, target: Option<f64>) -> Self {
        Self { target, ..self }
    }

    pub(super) fn remark(self, remark: &'static str) -> Self {
        Self { remark: Some(remark), ..self }
    }

    fn absorb(&mut self, other: Self) {
        match (&mut self.kind, other.kind) {
            (TallyKind::Count(mine), TallyKind::Count(theirs)) => mine.extend(theirs),
            (TallyKind::Rate(mine), TallyKind::Rate(theirs)) => mine.extend(theirs),
            (TallyKind::Mean { of: mine, .. }, TallyKind::Mean { of: theirs, .. }) => mine.extend(theirs),
            (TallyKind::Weeks { held: mine, .. }, TallyKind::Weeks { held: theirs, .. }) => mine.extend(theirs),
            // Attested values are the same on every page; other kinds never meet, because they come from one measure.
            _ => {}
        }
    }

    fn metric(self) -> Metric {
        let mut metric = Metric {
            number: self.number,
            name: self.name.to_owned(),
            numerator: None,
            denominator: None,
            value: None,
            target: self.target,
            remark: self.remark.map(str::to_owned),
            numerator_episodes: Vec::new(),
            denominator_episodes: Vec::new(),
        };
        match self.kind {
            TallyKind::Count(of) => {
                metric.numerator = Some(of.len());
                metric.value = Some(figure(of.len()));
                metric.numerator_episodes = of;
            }
            TallyKind::Rate(among) => {
                metric.numerator_episodes = among.iter().filter(|(_, counts)| *counts).map(|(id, _)| *id).collect();
                metric.denominator_episodes = among.into_iter().map(|(id, _)| id).collect();
                let (numerator, denominator) = (metric.numerator_episodes.len(), metric.denominator_episodes.len());
                (metric.numerator, metric.denominator) = (Some(numerator), Some(denominator));
                metric.value = rate(numerator, denominator);
            }
            TallyKind::Mean { of, per } => {
                metric.denominator = Some(of.len());
                let sum: i64 = of.iter().map(|(_, amount)| amount).sum();
                let sum = f64::from(i32::try_from(sum).unwrap_or(i32::MAX));
                metric.value = (!of.is_empty()).then(|| (sum / per / figure(of.len()) * 10.0).round() / 10.0);
                metric.denominator_episodes = of.into_iter().map(|(id, _)| id).collect();
            }
            TallyKind::Weeks { all, held } => {
                let numerator = held.intersection(&all).count();
                (metric.numerator, metric.denominator) = (Some(numerator), Some(all.len()));
                metric.value = rate(numerator, all.len());
            }
            TallyKind::Attested(value) => metric.value = value,
        }
        metric
    }
}

fn rate(numerator: usize, denominator: usize) -> Option<f64> {
    (denominator > 0).then(|| figure(numerator) / figure(denominator))
}

fn figure(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The metrics of one measure while they are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tallies(pub(super) Vec<MetricTally>);

impl Tallies {
    /// Adds what was counted elsewhere: by the same measure, over other patients.
    pub fn absorb(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.absorb(theirs);
        }
    }

    /// The figures so far.
    pub fn metrics(self) -> Vec<Metric> {
        self.0.into_iter().map(MetricTally::metric).collect()
    }
}

//! The small trend of a row: scores since the baseline, with the baseline, the half and remission.

use askama::Template;
use std::fmt::Write as _;

use crate::domain::caseload_row::MeasureCell;

/// Its size, in its own units.
const WIDTH: i64 = 96;
const HEIGHT: i64 = 34;
const EDGE: i64 = 3;
/// Twenty weeks fill the width; who is longer in care is drawn closer.
const DAYS: i32 = 140;

/// A small picture of one measure. The figures stand beside it in words.
#[derive(Template, Default)]
#[template(path = "sparkline.html")]
pub struct Sparkline {
    baseline: Option<i64>,
    response: Option<i64>,
    remission: i64,
    path: String,
    last: Option<(i64, i64)>,
    good: bool,
}

impl Sparkline {
    pub fn of(gauge: &MeasureCell) -> Option<Self> {
        let (baseline, ..) = gauge.baseline?;
        // The axis is as high as the scores need, so that changes are visible; never higher than the scale.
        let highest = gauge.series.iter().map(|(_, score)| *score).chain([baseline, gauge.remission_below * 2]).max();
        let top = i64::from(highest.unwrap_or(1).min(gauge.instrument.max_total()).max(1));
        let y = |score: u16| EDGE + nearest((top - i64::from(score).min(top)) * (HEIGHT - 2 * EDGE), top);
        let days = gauge.series.last().map_or(0, |(day, _)| *day).max(DAYS);
        let x = |day: i32| EDGE + nearest(i64::from(day.max(0)) * (WIDTH - 2 * EDGE), i64::from(days));
        let mut path = String::new();
        for (n, (day, score)) in gauge.series.iter().enumerate() {
            let _ = write!(path, "{}{} {}", if n == 0 { 'M' } else { 'L' }, x(*day), y(*score));
        }
        let last = gauge.series.last().map(|(day, score)| (x(*day), y(*score)));
        Some(Self {
            baseline: Some(y(baseline)),
            response: gauge.response_at.map(y),
            remission: y(gauge.remission_below),
            path,
            last,
            good: gauge.at_target,
        })
    }
}

/// A quotient of two positive numbers, to the nearest whole.
fn nearest(part: i64, whole: i64) -> i64 {
    (part + whole / 2) / whole
}

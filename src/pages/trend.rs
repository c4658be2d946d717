//! The small trend of a row: scores since the baseline, with the baseline, the half and remission.

use askama::Template;
use std::fmt::Write as _;

use crate::domain::line::Gauge;

/// Its size, in its own units.
const WIDTH: f32 = 96.0;
const HEIGHT: f32 = 34.0;
const EDGE: f32 = 3.0;
/// Twenty weeks fill the width; who is longer in care is drawn closer.
const DAYS: i32 = 140;

/// A small picture of one measure. The figures stand beside it in words.
#[derive(Template, Default)]
#[template(path = "trend.html")]
pub struct Trend {
    baseline: Option<String>,
    response: Option<String>,
    remission: String,
    path: String,
    /// The last score.
    last: Option<(String, String)>,
    good: bool,
}

impl Trend {
    pub fn of(gauge: &Gauge) -> Option<Self> {
        let (baseline, ..) = gauge.baseline?;
        // As high as the scores need, so that a change is seen; never higher than the scale.
        let highest = gauge.series.iter().map(|(_, score)| *score).chain([baseline, gauge.remission_below * 2]).max();
        let top = f32::from(highest.unwrap_or(1).min(gauge.instrument.max_total()).max(1));
        let y = |score: f32| EDGE + (top - score.min(top)) * (HEIGHT - 2.0 * EDGE) / top;
        let days = gauge.series.last().map_or(0, |(day, _)| *day).max(DAYS);
        #[expect(clippy::cast_precision_loss, reason = "days of a course of care")]
        let x = |day: i32| EDGE + day.max(0) as f32 * (WIDTH - 2.0 * EDGE) / days as f32;
        let mut path = String::new();
        for (n, (day, score)) in gauge.series.iter().enumerate() {
            let _ = write!(path, "{}{:.0} {:.0}", if n == 0 { 'M' } else { 'L' }, x(*day), y(f32::from(*score)));
        }
        let last =
            gauge.series.last().map(|(day, score)| (format!("{:.0}", x(*day)), format!("{:.0}", y(f32::from(*score)))));
        Some(Self {
            baseline: Some(format!("{:.0}", y(f32::from(baseline)))),
            response: gauge.response_at.map(|score| format!("{:.0}", y(f32::from(score)))),
            remission: format!("{:.0}", y(f32::from(gauge.remission_below))),
            path,
            last,
            good: gauge.at_target,
        })
    }
}

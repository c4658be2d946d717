//! The program's metrics by calendar month: numerator, denominator, and the episodes behind each.
//!
//! New York State OMH CoCM metrics 2025, HEDIS DRR-E, CMS159, the AIMS Center's process measures, and the fidelity of the
//! program itself. Each is tallied story by story, so that a clinic can be read page by page, and counted at the end.

mod aims;
mod fidelity;
mod figures;
mod month;
mod nys;
mod remission;
mod episode_month;
mod tally;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use aims::aims_tallies;
pub use episode_month::{CareManager, MetricsFilter, caseloads};
pub use fidelity::{fidelity, fidelity_tallies};
pub use figures::{CareManagerFigures, Difference, Figures, MetricValue, MonthFigures, MonthTallies, differences};
pub use month::Month;
pub use nys::{nys, nys_tallies};
pub use remission::{cms159, cms159_tallies, hedis_drr, hedis_drr_tallies};
pub use tally::Tallies;

use super::measurement::Quality;
use super::story::Story;

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metric {
    /// Its number in the specification.
    pub number: u8,
    /// Stable name.
    pub name: String,
    /// Episodes (or patients, where the metric counts those) in the numerator; `null` for a mean.
    pub numerator: Option<usize>,
    /// In the denominator; `null` for a count.
    pub denominator: Option<usize>,
    /// A rate is a fraction (0.8 is 80 %), a count a number, a mean in weeks; `null` with an empty denominator.
    pub value: Option<f64>,
    /// The program's target, in the same unit.
    pub target: Option<f64>,
    /// Remark that is needed to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The ids behind the numerator: of episodes, or of patients where the metric counts those.
    pub numerator_episodes: Vec<Uuid>,
    /// The ids behind the denominator.
    pub denominator_episodes: Vec<Uuid>,
}

/// A story without prorated scores: they drive worklists and are left out of quality exports.
fn exported(story: &Story) -> Story {
    let mut story = story.clone();
    story.measurements.retain(|m| m.quality != Quality::Prorated);
    story
}

/// The stories that quality exports are computed from.
pub fn for_export(stories: &[Story]) -> Vec<Story> {
    stories.iter().map(exported).collect()
}

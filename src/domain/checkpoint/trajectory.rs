//! R5 and R9: what the shape of the course shows on any day.

use chrono::NaiveDate;

use super::{change, since};
use crate::domain::conclusion::{Conclusion, PlateauLimits};
use crate::domain::day;
use crate::domain::episode::{Course, Phase};
use crate::domain::finding::Finding;
use crate::domain::rules::RuleSet;
use crate::domain::story::Score;
use crate::domain::target::Track;

/// R5: a later score reaches the threshold, or rises by the important difference.
pub(super) fn subthreshold_worsened(track: &Track<'_>) -> Option<Finding> {
    let baseline = &track.baseline.as_ref()?.score;
    let numbers = track.numbers;
    let risen = baseline.total.saturating_add(numbers.important_difference);
    let first = since(&track.followups, |s| s.total >= numbers.elevated_at.min(risen))?;
    let latest = track.latest()?;
    let conclusion = Conclusion::SubthresholdWorsened {
        change: change(track, latest, baseline),
        elevated_at: numbers.elevated_at,
        difference: numbers.important_difference,
    };
    Some(Finding::new(conclusion, first.on).on_scores([latest, first, baseline]))
}

/// R9: above baseline by the important difference, and severe now and not before. Each has its own day: a patient who
/// was reviewed for the one and then comes to the other is reviewed again.
pub(super) fn worsening(track: &Track<'_>) -> Vec<Finding> {
    let (Some(baseline), Some(latest)) = (track.baseline.as_ref().map(|b| &b.score), track.latest()) else {
        return Vec::new();
    };
    let numbers = track.numbers;
    let risen = baseline.total.saturating_add(numbers.important_difference);
    let above = since(&track.followups, |s| s.total >= risen);
    let severe = numbers.severe_at.and_then(|severe_at| {
        let first = since(&track.followups, |s| s.total >= severe_at)?;
        let before = track.followups.iter().rev().find(|s| s.on < first.on).unwrap_or(baseline);
        (before.total < severe_at).then_some((first, before, severe_at))
    });
    let difference = numbers.important_difference;
    let mut found: Vec<Finding> = Vec::new();
    if let Some(first) = above {
        let conclusion = Conclusion::Worsened { change: change(track, latest, baseline), since: first.on, difference };
        found.push(Finding::new(conclusion, first.on).on_scores([latest, first, baseline]));
    }
    if let Some((first, before, severe_at)) = severe
        && above.is_none_or(|above| above.on != first.on)
    {
        let change = change(track, latest, before);
        let conclusion = Conclusion::BecameSevere { change, since: first.on, severe_at, difference };
        found.push(Finding::new(conclusion, first.on).on_scores([latest, first, before]));
    }
    found.sort_by_key(|f| f.since);
    found
}

/// R9: had recovered, and is back above the threshold and above the best by the important difference.
pub(super) fn relapse(track: &Track<'_>, course: &Course<'_>) -> Option<Finding> {
    let numbers = track.numbers;
    let latest = track.latest()?;
    // In order of time: the best so far, whether there was a recovery, and since when it is lost.
    let (mut best, mut recovered, mut first): (Option<&Score<'_>>, bool, Option<(&Score<'_>, &Score<'_>)>) =
        (None, false, None);
    for score in &track.followups {
        let lost = best.filter(|best| {
            recovered
                && score.total >= numbers.elevated_at
                && score.total >= best.total.saturating_add(numbers.important_difference)
        });
        first = lost.map(|best| first.unwrap_or((score, best)));
        recovered |= track.has_recovered(score.total);
        if best.is_none_or(|best| score.total < best.total) {
            best = Some(score);
        }
    }
    let (first, best) = first?;
    let conclusion = Conclusion::Relapse {
        change: change(track, latest, best),
        in_relapse_prevention: course.phase == Phase::RelapsePrevention,
        elevated_at: numbers.elevated_at,
        difference: numbers.important_difference,
    };
    Some(Finding::new(conclusion, first.on).on_scores([latest, first, best]))
}

/// R9: the last scores on this plan lie within less than the important difference.
pub(super) fn plateau(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    plan_start: NaiveDate,
) -> Option<Finding> {
    let t = &rules.trajectory;
    let date = course.holds.after(plan_start, t.plateau_day);
    if course.as_of < date || track.improved_now() {
        return None;
    }
    let baseline = track.baseline.iter().map(|b| &b.score);
    let on_plan: Vec<&Score<'_>> = baseline.chain(&track.followups).filter(|s| s.on >= plan_start).collect();
    let range = |last: &[&Score<'_>]| {
        let low = last.iter().map(|s| s.total).min()?;
        Some((low, last.iter().map(|s| s.total).max()?))
    };
    let flat = |last: &[&Score<'_>]| {
        let [first, .., latest] = last else { return false };
        !track.is_improved(latest.total)
            && latest.on >= day::after(first.on, t.plateau_span_days)
            && range(last).is_some_and(|(low, high)| high - low < track.numbers.important_difference)
    };
    let several = usize::from(t.plateau_scores).max(2);
    let flat_now = on_plan.windows(several).rev().take_while(|last| flat(last));
    let since = flat_now.last()?.last()?.on.max(date);
    let last = on_plan.get(on_plan.len().checked_sub(several)?..)?;
    let (first, latest, (low, high)) = (last.first()?, last.last()?, range(last)?);
    let conclusion = Conclusion::Plateau {
        instrument: track.instrument,
        first: (*first).into(),
        latest: (*latest).into(),
        low,
        high,
        limits: PlateauLimits {
            scores: t.plateau_scores,
            span_days: t.plateau_span_days,
            difference: track.numbers.important_difference,
        },
    };
    Some(Finding::new(conclusion, since).on_scores(last.iter().rev().copied()))
}

/// R9: in remission on two scores far enough apart, and on every one between.
pub(super) fn sustained_remission(track: &Track<'_>, rules: &RuleSet) -> Option<Finding> {
    let span_days = rules.trajectory.sustained_remission_span_days;
    let first = since(&track.followups, |s| track.is_remission(s.total))?;
    let latest = track.latest()?;
    let proof = track.followups.iter().find(|s| s.on >= day::after(first.on, span_days))?;
    let conclusion = Conclusion::SustainedRemission {
        instrument: track.instrument,
        first: first.into(),
        latest: latest.into(),
        below: track.numbers.remission_below,
        span_days,
    };
    Some(Finding::new(conclusion, proof.on).on_scores([latest, first]))
}

/// R13: the first score of the present run at target, and the day on which it had lasted long enough to suggest relapse
/// prevention.
pub fn target_run<'s, 'a>(track: &'s Track<'a>, rules: &RuleSet) -> Option<(&'s Score<'a>, Option<NaiveDate>)> {
    let first = since(&track.followups, |s| track.is_at_target(s.total))?;
    let lasting = day::after(first.on, rules.trajectory.response_span_days);
    Some((first, track.followups.iter().find(|s| s.on >= lasting).map(|s| s.on)))
}

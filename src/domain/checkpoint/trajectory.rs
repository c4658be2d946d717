//! R5 and R9: what the shape of the course shows on any day.

use chrono::NaiveDate;

use super::{course_in_words, since};
use crate::domain::day;
use crate::domain::episode::{Course, Phase};
use crate::domain::finding::{Finding, Rule};
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
    Some(
        Finding::new(
            Rule::SubthresholdWorsened,
            Some(track.instrument),
            first.on,
            format!(
                "{} was {} on {}, below the threshold of {}, and is {} on {}: reassess and set a new baseline.",
                track.instrument, baseline.total, baseline.on, numbers.elevated_at, latest.total, latest.on
            ),
        )
        .on_scores([latest, first, baseline])
        .against("elevated_at", numbers.elevated_at)
        .against("important_difference", numbers.important_difference),
    )
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
        (before.total < severe_at).then_some((first, severe_at))
    });
    let words = course_in_words(track, latest, baseline);
    let finding = |first: &Score<'_>, why: String| {
        Finding::new(Rule::Worsening, Some(track.instrument), first.on, format!("{words}: worse, {why}."))
            .on_scores([latest, first, baseline])
            .against("important_difference", numbers.important_difference)
    };
    let mut found: Vec<Finding> = Vec::new();
    if let Some(first) = above {
        let why = format!("by {} points or more since {}", numbers.important_difference, first.on);
        found.push(finding(first, why));
    }
    if let Some((first, severe_at)) = severe
        && above.is_none_or(|above| above.on != first.on)
    {
        let why = format!("and severe ({severe_at} or more) since {}", first.on);
        found.push(finding(first, why).against("severe_at", severe_at));
    }
    found.sort_by_key(|f| f.since);
    found
}

/// R9: had improved, and is back above the threshold and above the best by the important difference.
pub(super) fn relapse(track: &Track<'_>, course: &Course<'_>) -> Option<Finding> {
    let numbers = track.numbers;
    let latest = track.latest()?;
    // In order of time: the best so far, whether there was improvement, and since when it is lost.
    let (mut best, mut improved, mut first): (Option<&Score<'_>>, bool, Option<(&Score<'_>, &Score<'_>)>) =
        (None, false, None);
    for score in &track.followups {
        let lost = best.filter(|best| {
            improved
                && score.total >= numbers.elevated_at
                && score.total >= best.total.saturating_add(numbers.important_difference)
        });
        first = lost.map(|best| first.unwrap_or((score, best)));
        improved |= track.is_improved(score.total);
        if best.is_none_or(|best| score.total < best.total) {
            best = Some(score);
        }
    }
    let (first, best) = first?;
    let advice = match course.phase {
        Phase::RelapsePrevention => "; consider returning to active treatment",
        _ => "",
    };
    Some(
        Finding::new(
            Rule::Relapse,
            Some(track.instrument),
            first.on,
            format!("{}, its best: a relapse after improvement{advice}.", course_in_words(track, latest, best)),
        )
        .on_scores([latest, first, best])
        .against("elevated_at", numbers.elevated_at)
        .against("important_difference", numbers.important_difference),
    )
}

/// R9: the last scores on this plan lie within less than the important difference.
pub(super) fn plateau(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    plan_start: NaiveDate,
) -> Option<Finding> {
    let t = &rules.trajectory;
    let date = day::after(plan_start, t.plateau_day);
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
    Some(
        Finding::new(
            Rule::Plateau,
            Some(track.instrument),
            since,
            format!(
                "The last {} {} scores, {} to {}, lie between {low} and {high}: a plateau.",
                t.plateau_scores, track.instrument, first.on, latest.on
            ),
        )
        .on_scores(last.iter().rev().copied())
        .against("plateau_scores", t.plateau_scores)
        .against("plateau_span_days", t.plateau_span_days)
        .against("important_difference", track.numbers.important_difference),
    )
}

/// R9: in remission on two scores far enough apart, and on every one between.
pub(super) fn sustained_remission(track: &Track<'_>, rules: &RuleSet) -> Option<Finding> {
    let span = rules.trajectory.sustained_remission_span_days;
    let first = since(&track.followups, |s| track.is_remission(s.total))?;
    let latest = track.latest()?;
    let proof = track.followups.iter().find(|s| s.on >= day::after(first.on, span))?;
    Some(
        Finding::new(
            Rule::SustainedRemission,
            Some(track.instrument),
            proof.on,
            format!(
                "{} below {} from {} ({}) to {} ({}): sustained remission.",
                track.instrument, track.numbers.remission_below, first.on, first.total, latest.on, latest.total
            ),
        )
        .on_scores([latest, first])
        .against("remission_below", track.numbers.remission_below)
        .against("span_days", span),
    )
}

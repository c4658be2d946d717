//! R5, R8, R9: what a measure's course calls for.

use chrono::{Days, NaiveDate};

use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::rules::RuleSet;
use super::story::Score;
use super::target::Track;

/// Findings about one measure of an episode that is in treatment.
pub fn findings(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(start) = course.start().filter(|_| course.in_treatment()) else { return found };
    if track.baseline.is_some() && !track.elevated() {
        found.extend(subthreshold_worsened(track));
        return found;
    }
    let relapse = relapse(track);
    if course.phase == Phase::Active {
        let plan_start = course.plan_start().unwrap_or(start);
        at_checkpoints(track, course, rules, plan_start, relapse.is_some(), &mut found);
        found.extend(plateau(track, course, rules, plan_start));
    }
    found.extend(relapse);
    found.extend(worsening(track));
    found.extend(sustained_remission(track, course, rules).into_iter().flatten());
    found
}

/// The last run of scores, without a gap, for which something holds: its first score, if it holds now.
fn since<'s, 'a>(scores: &'s [Score<'a>], holds: impl Fn(&Score<'a>) -> bool) -> Option<&'s Score<'a>> {
    scores.iter().rev().take_while(|s| holds(s)).last()
}

fn after(date: NaiveDate, days: u16) -> NaiveDate {
    date + Days::new(days.into())
}

/// R5: a later score reaches the threshold, or rises by the important difference.
fn subthreshold_worsened(track: &Track<'_>) -> Option<Finding> {
    let baseline = &track.baseline.as_ref()?.score;
    let numbers = track.numbers;
    let worse =
        |s: &Score<'_>| s.total >= numbers.elevated_at || s.total >= baseline.total + numbers.important_difference;
    let first = since(&track.followups, worse)?;
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

/// The course of the scores in words: nothing that changes with the day it is read.
fn course_in_words(track: &Track<'_>, latest: &Score<'_>, reference: &Score<'_>) -> String {
    let change = i32::from(latest.total) - i32::from(reference.total);
    let moved = match change {
        0 => "unchanged".to_owned(),
        c if c < 0 => format!("down {}", -c),
        c => format!("up {c}"),
    };
    format!(
        "{} {} on {}, {moved} from {} on {}",
        track.instrument, latest.total, latest.on, reference.total, reference.on
    )
}

/// R8. A checkpoint is judged on a score that was fresh when the checkpoint was reached; otherwise the scale is asked
/// for first. A score that has gone stale since then does not undo what it showed.
fn at_checkpoints(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    plan_start: NaiveDate,
    relapsed: bool,
    found: &mut Vec<Finding>,
) {
    let c = &rules.checkpoints;
    let first_checkpoint = after(plan_start, c.early_watch_day);
    if course.as_of < first_checkpoint {
        return;
    }
    found.extend(unmeasured(track, course, rules, first_checkpoint).into_iter().flatten());
    let (Some(latest), Some(reference), Some(baseline)) =
        (track.latest_on_plan(), &track.plan_reference, &track.baseline)
    else {
        return;
    };
    let reached = |day: u16| {
        let date = after(plan_start, day);
        (course.as_of >= date && after(latest.on, c.stale_after_days) >= date).then_some(date)
    };
    let difference = track.numbers.important_difference;
    let on_plan: Vec<Score<'_>> = track.followups.iter().filter(|s| s.on > reference.on).cloned().collect();
    let not_improved = |s: &Score<'_>| !track.is_improved(s.total);
    let hardly_moved =
        |s: &Score<'_>| not_improved(s) && i32::from(reference.total) - i32::from(s.total) < i32::from(difference);

    let finding = |rule, day: u16, date: NaiveDate, first: &Score<'_>, sentence: String| {
        Finding::new(rule, Some(track.instrument), date.max(first.on), sentence)
            .on_scores([latest, reference, &baseline.score])
            .against("plan_day", day)
            .against("stale_after_days", c.stale_after_days)
    };

    // The rows for weeks 4 and 6 give way to the next one.
    for (rule, day, until) in [
        (Rule::EarlyWatch, c.early_watch_day, c.inadequate_response_day),
        (Rule::InadequateResponse, c.inadequate_response_day, c.nonresponse_day),
    ] {
        if course.as_of < after(plan_start, until)
            && course.as_of >= after(plan_start, day)
            && let Some(date) = reached(day)
            && let Some(first) = since(&on_plan, hardly_moved)
        {
            let sentence = format!(
                "{}: less than {difference} points of improvement by day {day} of the plan that began {plan_start}.",
                course_in_words(track, latest, reference)
            );
            found.push(finding(rule, day, date, first, sentence).against("important_difference", difference));
        }
    }
    let Some(first) = since(&on_plan, not_improved) else { return };
    if relapsed {
        return;
    }
    let words = course_in_words(track, latest, &baseline.score);
    for (rule, day) in
        [(Rule::Nonresponse, c.nonresponse_day), (Rule::PersistentNonresponse, c.persistent_nonresponse_day)]
    {
        if let Some(date) = reached(day) {
            let sentence = format!(
                "{words}: no clinically significant improvement by day {day} of the plan that began {plan_start}."
            );
            found.push(finding(rule, day, date, first, sentence));
        }
    }
    let failed = failed_plans(track, course, rules) + u16::from(reached(c.nonresponse_day).is_some());
    let by_day = reached(c.specialty_referral_day);
    let by_plans = (failed >= c.specialty_referral_failed_plans).then(|| reached(c.nonresponse_day)).flatten();
    if let Some(date) = [by_day, by_plans].into_iter().flatten().min() {
        let why = if by_plans.is_some() {
            format!("{failed} treatment plans without clinically significant improvement")
        } else {
            format!("no clinically significant improvement by day {} of the plan", c.specialty_referral_day)
        };
        found.push(
            finding(
                Rule::ConsiderSpecialtyReferral,
                c.specialty_referral_day,
                date,
                first,
                format!("{words}: {why}; consider referral to specialty care."),
            )
            .against("failed_plans", c.specialty_referral_failed_plans),
        );
    }
}

/// Plans that were given at least until the first checkpoint and ended, by a treatment change, without improvement.
fn failed_plans(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> u16 {
    let Some(start) = course.start() else { return 0 };
    let mut began = start;
    let mut failed = 0;
    for changed in course.treatment_changes() {
        let given = (changed - began).num_days() >= i64::from(rules.checkpoints.early_watch_day);
        let last = track.followups.iter().rev().find(|s| s.on > began && s.on <= changed);
        if given && last.is_some_and(|s| !track.is_improved(s.total)) {
            failed += 1;
        }
        began = changed;
    }
    failed
}

/// No score on this plan, or one that is too old to be judged.
fn unmeasured(
    track: &Track<'_>,
    course: &Course<'_>,
    rules: &RuleSet,
    first_checkpoint: NaiveDate,
) -> [Option<Finding>; 2] {
    let c = &rules.checkpoints;
    let (stale_from, last) = match track.latest_on_plan() {
        Some(latest) => (after(latest.on, c.stale_after_days + 1).max(first_checkpoint), Some(latest)),
        None => (first_checkpoint, track.plan_reference.as_ref()),
    };
    if course.as_of < stale_from {
        return [None, None];
    }
    let name = track.instrument;
    let what = match last {
        Some(score) => format!("{name} was last taken on {} ({})", score.on, score.total),
        None => format!("{name} has not been taken in this episode"),
    };
    let finding = |rule, since, sentence| {
        Finding::new(rule, Some(name), since, sentence)
            .on_scores(last)
            .against("stale_after_days", c.stale_after_days)
            .against("unmeasured_after_days", c.unmeasured_after_days)
    };
    let stale = finding(
        Rule::MeasureStale,
        stale_from,
        format!("{what}: no score from the last {} days to judge the plan by; measure again.", c.stale_after_days),
    );
    let unmeasured_from = after(stale_from, c.unmeasured_after_days);
    let unmeasured = (course.as_of >= unmeasured_from).then(|| {
        finding(
            Rule::Unmeasured,
            unmeasured_from,
            format!("{what}: still not measured {} days after it was asked for.", c.unmeasured_after_days),
        )
    });
    [Some(stale), unmeasured]
}

/// R9: above baseline by the important difference, or severe now and not before.
fn worsening(track: &Track<'_>) -> Option<Finding> {
    let baseline = &track.baseline.as_ref()?.score;
    let numbers = track.numbers;
    let latest = track.latest()?;
    let above = since(&track.followups, |s| s.total >= baseline.total + numbers.important_difference);
    let severe = numbers.severe_at.and_then(|severe_at| {
        let first = since(&track.followups, |s| s.total >= severe_at)?;
        let before = track.followups.iter().rev().find(|s| s.on < first.on).unwrap_or(baseline);
        (before.total < severe_at).then_some(first)
    });
    let first = [above, severe].into_iter().flatten().min_by_key(|s| s.on)?;
    Some(
        Finding::new(
            Rule::Worsening,
            Some(track.instrument),
            first.on,
            format!("{}: worse.", course_in_words(track, latest, baseline)),
        )
        .on_scores([latest, first, baseline])
        .against("important_difference", numbers.important_difference)
        .against("severe_at", numbers.severe_at.unwrap_or_default()),
    )
}

/// R9: had improved, and is back above the threshold and above the best by the important difference.
fn relapse(track: &Track<'_>) -> Option<Finding> {
    let numbers = track.numbers;
    let latest = track.latest()?;
    let relapsed_at = |i: usize| {
        let earlier = &track.followups[..i];
        let improved = earlier.iter().any(|s| track.is_improved(s.total));
        let best = earlier.iter().map(|s| s.total).min();
        let now = track.followups[i].total;
        improved
            && now >= numbers.elevated_at
            && best.is_some_and(|best| now >= best.saturating_add(numbers.important_difference))
    };
    let first = (0..track.followups.len()).rev().take_while(|i| relapsed_at(*i)).last()?;
    let first = &track.followups[first];
    let best = track.followups.iter().filter(|s| s.on < first.on).min_by_key(|s| (s.total, s.on))?;
    Some(
        Finding::new(
            Rule::Relapse,
            Some(track.instrument),
            first.on,
            format!("{}, its best: a relapse after improvement.", course_in_words(track, latest, best)),
        )
        .on_scores([latest, first, best])
        .against("elevated_at", numbers.elevated_at)
        .against("important_difference", numbers.important_difference),
    )
}

/// R9: the last scores on this plan lie within less than the important difference.
fn plateau(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet, plan_start: NaiveDate) -> Option<Finding> {
    let t = &rules.trajectory;
    let date = after(plan_start, t.plateau_day);
    if course.as_of < date || track.improved_now() {
        return None;
    }
    let baseline = track.baseline.iter().map(|b| &b.score);
    let on_plan: Vec<&Score<'_>> = baseline.chain(&track.followups).filter(|s| s.on >= plan_start).collect();
    let last = on_plan.get(on_plan.len().checked_sub(t.plateau_scores.into())?..)?;
    let (first, latest) = (last.first()?, last.last()?);
    let (low, high) = (last.iter().map(|s| s.total).min()?, last.iter().map(|s| s.total).max()?);
    let span = (latest.on - first.on).num_days();
    if span < i64::from(t.plateau_span_days) || high - low >= track.numbers.important_difference {
        return None;
    }
    Some(
        Finding::new(
            Rule::Plateau,
            Some(track.instrument),
            date.max(latest.on),
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
fn sustained_remission(track: &Track<'_>, course: &Course<'_>, rules: &RuleSet) -> [Option<Finding>; 2] {
    let span = rules.trajectory.sustained_remission_span_days;
    let in_remission = |s: &Score<'_>| track.is_remission(s.total);
    let (Some(first), Some(latest)) = (since(&track.followups, in_remission), track.latest()) else {
        return [None, None];
    };
    let Some(proof) = track.followups.iter().find(|s| s.on >= after(first.on, span)) else { return [None, None] };
    let finding = |rule, sentence| {
        Finding::new(rule, Some(track.instrument), proof.on, sentence)
            .on_scores([latest, first])
            .against("remission_below", track.numbers.remission_below)
            .against("span_days", span)
    };
    let words = format!(
        "{} below {} from {} ({}) to {} ({})",
        track.instrument, track.numbers.remission_below, first.on, first.total, latest.on, latest.total
    );
    let suggestion = (course.phase == Phase::Active)
        .then(|| finding(Rule::RelapsePreventionSuggested, format!("{words}: ready for relapse prevention.")));
    [Some(finding(Rule::SustainedRemission, format!("{words}: sustained remission."))), suggestion]
}

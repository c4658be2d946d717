//! R11 and the review rule of R8: what is due, what is overdue.

use chrono::{Days, NaiveDate};

use super::care::{Care, ContactOutcome};
use super::episode::{Course, Phase};
use super::finding::{Finding, Rule};
use super::rules::RuleSet;
use super::story::Story;
use super::target::Track;

fn after(date: NaiveDate, days: u16) -> NaiveDate {
    date + Days::new(days.into())
}

/// Findings about contacts, measuring and reviews of an episode that is in treatment.
pub fn findings(story: &Story, course: &Course<'_>, tracks: &[Track<'_>], rules: &RuleSet) -> Vec<Finding> {
    let Some(start) = course.start().filter(|_| course.in_treatment()) else { return Vec::new() };
    let mut found = contacts(course, start, rules);
    found.extend(tracks.iter().filter_map(|t| measure_overdue(story, course, t, start, rules)));
    found.extend(review_overdue(course, start, rules));
    found.extend(review_required(course, tracks, start, rules));
    found.extend(engagement(course, rules));
    found
}

fn contacts(course: &Course<'_>, start: NaiveDate, rules: &RuleSet) -> Vec<Finding> {
    let c = &rules.cadence;
    let active = course.phase == Phase::Active;
    let (last, due) = match course.last_contact() {
        Some(last) => {
            (last, after(last, if active { c.contact_active_days } else { c.contact_relapse_prevention_days }))
        }
        None => (start, after(start, c.first_contact_days)),
    };
    let words = match course.last_contact() {
        Some(last) => format!("the last treatment contact was on {last}"),
        None => format!("no treatment contact since enrolment on {start}"),
    };
    let mut found = Vec::new();
    let amber = after(last, c.contact_amber_days + 1);
    let red = after(last, c.contact_red_days + 1);
    if course.as_of >= amber {
        let grade = if course.as_of >= red { "red" } else { "amber" };
        found.push(
            Finding::new(Rule::ContactOverdue, None, amber, format!("A contact is overdue ({grade}): {words}."))
                .against("contact_amber_days", c.contact_amber_days)
                .against("contact_red_days", c.contact_red_days),
        );
    } else if course.as_of >= due {
        found.push(
            Finding::new(Rule::ContactDue, None, due, format!("A contact is due since {due}: {words}."))
                .against("contact_due_days", (due - last).num_days()),
        );
    }
    let inactive = after(last, c.inactivity_days);
    if course.as_of >= inactive {
        found.push(
            Finding::new(
                Rule::InactivityDischargeProposed,
                None,
                inactive,
                format!("Discharge for inactivity as of {inactive} may be considered: {words}. A person decides."),
            )
            .against("inactivity_days", c.inactivity_days),
        );
    }
    found
}

/// A targeted scale is overdue; any score counts, the baseline too.
fn measure_overdue(
    story: &Story,
    course: &Course<'_>,
    track: &Track<'_>,
    start: NaiveDate,
    rules: &RuleSet,
) -> Option<Finding> {
    let days = match course.phase {
        Phase::RelapsePrevention => rules.cadence.measure_relapse_prevention_days,
        _ => rules.cadence.measure_active_days,
    };
    let scores = story.scores(track.instrument, course.as_of);
    let last = scores.last();
    let overdue = after(last.map_or(start, |s| s.on.max(start)), days + 1);
    (course.as_of >= overdue).then(|| {
        let words = match last {
            Some(s) => format!("was last taken on {} ({})", s.on, s.total),
            None => "has never been taken".to_owned(),
        };
        Finding::new(
            Rule::MeasureOverdue,
            Some(track.instrument),
            overdue,
            format!("{} {words}: overdue after {days} days.", track.instrument),
        )
        .on_scores(last)
        .against("measure_days", days)
    })
}

fn review_overdue(course: &Course<'_>, start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.cadence;
    let (last, days) = match course.reviews(false).last() {
        None => (start, c.review_first_days),
        Some(last) if course.phase == Phase::RelapsePrevention => (last, c.review_relapse_prevention_days),
        Some(last) => (last, c.review_active_days),
    };
    let overdue = after(last, days + 1);
    (course.as_of >= overdue).then(|| {
        let words = match course.reviews(false).last() {
            Some(last) => format!("the last was on {last}"),
            None => format!("none since enrolment on {start}"),
        };
        Finding::new(Rule::ReviewOverdue, None, overdue, format!("A psychiatric case review is overdue: {words}."))
            .against("review_days", days)
    })
}

/// R8, episode clock: not improved, and no review with a recommendation in the required time.
fn review_required(course: &Course<'_>, tracks: &[Track<'_>], start: NaiveDate, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.checkpoints;
    let not_improved: Vec<&Track<'_>> = tracks.iter().filter(|t| t.elevated() && !t.improved_now()).collect();
    let track = not_improved.first()?;
    let from = after(start, c.review_required_day);
    let last = course.reviews(true).last();
    let since = last.map_or(from, |last| from.max(after(last, c.review_required_every_days + 1)));
    (course.as_of >= since).then(|| {
        let words = match last {
            Some(last) => format!("the last review with a recommendation was on {last}"),
            None => "no review has recommended anything yet".to_owned(),
        };
        Finding::new(
            Rule::ReviewRequired,
            Some(track.instrument),
            since,
            format!(
                "Not improved on day {} of treatment or later, and {words}: a review with a recommendation is required every {} days.",
                c.review_required_day, c.review_required_every_days
            ),
        )
        .on_scores(track.latest())
        .against("review_required_day", c.review_required_day)
        .against("review_required_every_days", c.review_required_every_days)
    })
}

fn engagement(course: &Course<'_>, rules: &RuleSet) -> Option<Finding> {
    let c = &rules.cadence;
    let mut attended = 0_u32;
    let mut scheduled = 0_u32;
    let mut last = None;
    for entry in &course.entries {
        if let Care::Contact { scheduled: true, outcome, .. } = &entry.care
            && *outcome != ContactOutcome::NotReached
        {
            scheduled += 1;
            attended += u32::from(*outcome == ContactOutcome::Attended);
            last = Some(entry.on);
        }
    }
    let enough = scheduled >= u32::from(c.engagement_min_scheduled);
    (enough && attended * 100 < scheduled * u32::from(c.engagement_percent)).then(|| {
        Finding::new(
            Rule::LowEngagement,
            None,
            last.unwrap_or(course.as_of),
            format!("{attended} of {scheduled} scheduled contacts were attended, below {} %.", c.engagement_percent),
        )
        .against("engagement_percent", c.engagement_percent)
        .against("engagement_min_scheduled", c.engagement_min_scheduled)
    })
}

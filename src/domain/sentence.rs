//! The words for what the rules conclude: every sentence that a clinician reads is made here.
//!
//! A sentence names what was answered and not only its number, names the score it compares with, says what to do, and
//! knows neither colors nor names of rules. Nothing in it counts days up to today: it stays true until something changes.

use chrono::NaiveDate;

use super::conclusion::{AskReason, Conclusion, Disclosure, LastContact, MissingScore, ScoreChange, ScorePoint};
use super::history::Assessment;
use super::instrument::{Instrument, Scale};
use super::measurement::Supplement;
use super::task::Code;

/// What every Task about suicide risk says: nobody watches this service around the clock.
pub const NOT_A_CRISIS_SERVICE: &str = "This service is not a crisis service: assess suicide risk.";

/// What a conclusion says.
pub fn of(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::EarlyWatch { change, at, difference }
        | Conclusion::InadequateResponse { change, at, difference } => {
            format!(
                "{}: less than {difference} points better after {} days of the treatment that began on {}.",
                changed(change),
                at.day,
                at.plan_start
            )
        }
        Conclusion::Nonresponse { change, at } | Conclusion::PersistentNonresponse { change, at } => format!(
            "{}: no clinically significant improvement after {} days of the treatment that began on {}.",
            changed(change),
            at.day,
            at.plan_start
        ),
        Conclusion::ConsiderSpecialtyReferral { change, at, failed_plans, .. } => {
            let why = match failed_plans {
                Some(plans) => format!("{plans} treatment plans without clinically significant improvement"),
                None => format!("no clinically significant improvement after {} days of treatment", at.day),
            };
            format!("{}: {why}. Consider a referral to specialty care.", changed(change))
        }
        Conclusion::MeasureStale { instrument, last, lack, .. } => {
            let lack = match lack {
                MissingScore::Old { days } => format!("more than {days} days ago"),
                MissingScore::SincePlan(on) => format!("not since the treatment began on {on}"),
                MissingScore::SinceResumed(on) => format!("not since treatment was resumed on {on}"),
            };
            match last {
                Some(_) => format!("{}, {lack}: no recent score to judge the treatment by.", taken(*instrument, *last)),
                None => format!("{}: no score to judge the treatment by.", taken(*instrument, *last)),
            }
        }
        Conclusion::Unmeasured { instrument, last, asked_on, .. } => {
            format!("{}, and has not been repeated since it was requested on {asked_on}.", taken(*instrument, *last))
        }
        Conclusion::Worsened { change, since, difference } => {
            format!("{}: worse by {difference} points or more since {since}.", changed(change))
        }
        Conclusion::BecameSevere { change, since, severe_at, .. } => {
            format!("{}: severe ({severe_at} or more) since {since}.", changed(change))
        }
        Conclusion::Relapse { change, in_relapse_prevention, .. } => {
            let advice = if *in_relapse_prevention { " Consider returning to active treatment." } else { "" };
            format!("{}, the best score so far: relapse after improvement.{advice}", changed(change))
        }
        Conclusion::Plateau { instrument, first, latest, low, high, limits } => format!(
            "The last {} {instrument} scores, from {} to {}, lie between {low} and {high}: no further improvement.",
            limits.scores, first.on, latest.on
        ),
        Conclusion::SustainedRemission { instrument, first, latest, below, .. } => format!(
            "{instrument} below {below} from {} ({}) to {} ({}): sustained remission.",
            first.on, first.total, latest.on, latest.total
        ),
        Conclusion::SubthresholdWorsened { change, elevated_at, .. } => format!(
            "{} was {} on {}, below {elevated_at}, and is {} on {}.",
            change.instrument, change.from.total, change.from.on, change.latest.total, change.latest.on
        ),
        Conclusion::RelapsePreventionSuggested { changes, since, .. } => {
            let scores: Vec<String> = changes.iter().map(changed).collect();
            format!("At target since {since}: {}. Ready for relapse prevention.", scores.join("; "))
        }
        Conclusion::SafetyAnswer { sentence, closed_in_chart_on, .. } => match closed_in_chart_on {
            Some(on) => {
                format!("Its Task was closed in the chart on {on}, and no assessment is documented. {sentence}")
            }
            None => sentence.clone(),
        },
        Conclusion::AskSelfHarm { sentence } => sentence.clone(),
        Conclusion::ReviewUndocumented { completed_on } => {
            format!("The case review was marked as completed in the chart on {completed_on}, and none is documented.")
        }
        Conclusion::RecommendationOverdue { count: 1, since, .. } => {
            format!("A recommendation of a case review is not done, past due since {since}.")
        }
        Conclusion::RecommendationOverdue { count, since, .. } => {
            format!("{count} recommendations of case reviews are not done, the first past due since {since}.")
        }
        cadence => of_cadence(cadence),
    }
}

/// R11: contacts, scales and reviews that are due.
fn of_cadence(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::ContactDue { due, last, resumed_on, .. } => match resumed_on {
            Some(on) => format!("A contact is due since {due}: treatment was resumed on {on}, and {}.", contact(*last)),
            None => format!("A contact is due since {due}: {}.", contact(*last)),
        },
        Conclusion::ContactOverdue { last, red, limits, .. } => {
            let days = if *red { limits.contact_red_days } else { limits.contact_amber_days };
            format!("No treatment contact for more than {days} days: {}.", contact(*last))
        }
        Conclusion::InactivityDischargeProposed { as_of, last, .. } => {
            format!(
                "Discharge for inactivity as of {as_of} may be considered: {}. The care team decides.",
                contact(*last)
            )
        }
        Conclusion::MeasureOverdue { instrument, last, days } => {
            format!("{}: overdue after {days} days.", taken(*instrument, *last))
        }
        Conclusion::ReviewOverdue { last, start, .. } => match last {
            Some(last) => format!("A psychiatric case review is overdue: the last was on {last}."),
            None => format!("A psychiatric case review is overdue: none since enrollment on {start}."),
        },
        Conclusion::ReviewRequired { instruments, last, limits } => {
            let last = match last {
                Some(last) => format!("the last review with a recommendation was on {last}"),
                None => "no review has recommended anything yet".to_owned(),
            };
            format!(
                "{} not improved after {} days of treatment, and {last}: a review with a recommendation is required every {} days.",
                list(instruments.iter().map(ToString::to_string)),
                limits.review_required_day,
                limits.review_required_every_days
            )
        }
        Conclusion::LowEngagement { attended, scheduled, percent, .. } => {
            format!("{attended} of {scheduled} scheduled contacts were attended, below {percent}%.")
        }
        _ => String::new(),
    }
}

/// What a Task says to the one who has to act: what to do and by when, then why.
pub fn task<'a>(
    code: Code,
    instruments: impl Iterator<Item = Instrument>,
    due_on: Option<NaiveDate>,
    reasons: impl Iterator<Item = &'a str>,
) -> String {
    let by = due_on.map(|on| format!(" by {on}")).unwrap_or_default();
    let what = match code {
        Code::Measure => format!("Repeat the {}{by}.", list_with(instruments.map(|i| i.to_string()), " and the ")),
        Code::PsychiatricCaseReview => format!("Review this patient with the psychiatric consultant{by}."),
        Code::Reassess => format!("Reassess the patient and set a new baseline{by}."),
        Code::Contact => format!("Contact the patient{by}."),
        Code::RelapsePreventionPlan => format!("Write the relapse-prevention plan with the patient{by}."),
        Code::DischargeReview => format!("Decide{by} whether to discharge the patient."),
        Code::AskItem9 => format!("Ask the patient about thoughts of death or self-harm{by}."),
        Code::SafetyAssessment => format!("Assess the patient's suicide risk{by}."),
        Code::SafetyEscalation | Code::Recommendation | Code::CocmNotAtTarget | Code::CocmSafety => String::new(),
    };
    let mut said = what;
    for reason in reasons {
        if !said.contains(reason) {
            if !said.is_empty() {
                said.push(' ');
            }
            said.push_str(reason);
        }
    }
    said
}

/// A date as a person writes it, wherever a sentence carries one.
pub fn with_spoken_dates(sentence: &str) -> String {
    let mut said = String::with_capacity(sentence.len() + 8);
    let mut rest = sentence;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        said.push_str(before);
        let is_date = |text: &&str| text.as_bytes()[4] == b'-' && !before.ends_with(|c: char| c.is_alphanumeric());
        let date = from.get(..10).filter(is_date).and_then(|text| text.parse::<NaiveDate>().ok());
        let taken = if let Some(on) = date {
            said.push_str(&on.format("%B %-d, %Y").to_string());
            10
        } else {
            let digits = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            said.push_str(&from[..digits]);
            digits
        };
        rest = &from[taken..];
    }
    said.push_str(rest);
    said
}

/// The answer about self-harm that was given before.
#[derive(Clone, Copy, Debug)]
pub struct EarlierAnswer {
    pub instrument: Instrument,
    pub answer: u8,
    pub on: NaiveDate,
}

/// What a patient disclosed, and why it stands at its level.
#[derive(Debug)]
pub struct ConcernFacts<'a> {
    /// The questionnaire.
    pub instrument: Instrument,
    pub on: NaiveDate,
    /// What was disclosed.
    pub disclosures: &'a [Disclosure],
    /// Higher than this answer before.
    pub higher_than: Option<EarlierAnswer>,
    /// With this total, which is severe.
    pub severe_total: Option<u16>,
    /// The assessment shortly before that has looked at the same level.
    pub assessed_before: Option<&'a Assessment<'a>>,
    /// The form was not finished.
    pub unfinished: bool,
}

/// R10: what a concern says, without the notice.
pub fn concern(facts: &ConcernFacts<'_>) -> String {
    let said: Vec<String> = facts.disclosures.iter().map(|one| disclosed(facts.instrument, *one)).collect();
    let mut said = format!("{} on {}", capital(&said.join("; ")), facts.on);
    if facts.unfinished {
        said.push_str(", on a form that was not finished");
    }
    if let Some(EarlierAnswer { instrument, answer, on }) = facts.higher_than {
        let which = if instrument == facts.instrument { String::new() } else { format!(" to {}", item_of(instrument)) };
        said = format!("{said}; the answer{which} on {on} was {answer}{}", in_words(instrument, answer, ", "));
    }
    if let Some(total) = facts.severe_total {
        said = format!("{said}; total {total}, severe");
    }
    if let Some(assessed) = facts.assessed_before {
        let risk = assessed.risk.map(|risk| format!("{risk} risk")).unwrap_or_default();
        said = format!(
            "{said}. No higher than on {}, when {} assessed {risk} ({})",
            assessed.on, assessed.assessor, assessed.instrument
        );
    }
    said.push('.');
    said
}

fn disclosed(instrument: Instrument, disclosure: Disclosure) -> String {
    let item = instrument.self_harm_item().map_or(0, |item| item + 1);
    match disclosure {
        Disclosure::Answered(answer) => match scale(instrument).and_then(|scale| scale.sentence(answer)) {
            Some(words) => {
                format!("reported thoughts of death or self-harm {words} ({instrument} item {item} = {answer})")
            }
            None => format!(
                "reported thoughts of death or self-harm ({instrument} item {item} = {answer}{})",
                in_words(instrument, answer, ": ")
            ),
        },
        Disclosure::Implied { at_least, total } => format!(
            "reported thoughts of death or self-harm: a {instrument} of {total} is not possible without them (item {item} = {at_least}{})",
            if at_least < instrument.definition().item_max() { " or more" } else { "" }
        ),
        Disclosure::Supplement(supplement) => format!("reported {}", supplement_in_words(supplement)),
        Disclosure::Changed { from, to: Some(to) } => format!(
            "the answer about thoughts of death or self-harm changed from {from} to {to} ({instrument} item {item}): confirm with the patient; answered"
        ),
        Disclosure::Changed { from, to: None } => format!(
            "the form that reported thoughts of death or self-harm ({instrument} item {item} = {from}) was withdrawn: confirm with the patient; answered"
        ),
    }
}

/// Why the self-harm item has to be asked.
pub fn ask(instrument: Instrument, on: NaiveDate, reason: AskReason) -> String {
    let item = instrument.self_harm_item().map_or(0, |item| item + 1);
    match reason {
        AskReason::Open => {
            format!("{instrument} of {on}: item {item}, on thoughts of death or self-harm, was not answered.")
        }
        AskReason::Unreadable => format!(
            "{instrument} of {on}: item {item}, on thoughts of death or self-harm, was answered in a way that cannot be read."
        ),
        AskReason::SevereTotal(total) => format!(
            "{instrument} of {on}: a total of {total} arrived without its items, and nobody knows the answer about thoughts of death or self-harm."
        ),
    }
}

fn supplement_in_words(supplement: Supplement) -> &'static str {
    match supplement {
        Supplement::SeriousThoughts => "serious thoughts of ending their life in the past month",
        Supplement::Intention => "some intention of acting on thoughts of suicide",
        Supplement::Plan => "a worked-out plan for suicide",
        Supplement::Attempt => "a suicide attempt in their life",
        Supplement::Behavior => "a suicide attempt, or preparation for one, in their life",
        Supplement::RecentBehavior => "a suicide attempt, or preparation for one, within the past three months",
    }
}

/// The scale of the self-harm item.
fn scale(instrument: Instrument) -> Option<&'static Scale> {
    Some(&instrument.definition().items[instrument.self_harm_item()?].scale)
}

/// The self-harm item: `PHQ-9 item 9`.
fn item_of(instrument: Instrument) -> String {
    format!("{instrument} item {}", instrument.self_harm_item().map_or(0, |item| item + 1))
}

/// An answer to the self-harm item in words, after a separator; nothing where the scale has none.
fn in_words(instrument: Instrument, answer: u8, separator: &str) -> String {
    let words = scale(instrument).and_then(|scale| scale.sentence(answer).or_else(|| scale.label(answer)));
    words.map(|words| format!("{separator}{words}")).unwrap_or_default()
}

/// `PHQ-9 16 on D, down 2 from 18 on D`.
fn changed(change: &ScoreChange) -> String {
    let moved = match i32::from(change.latest.total) - i32::from(change.from.total) {
        0 => "unchanged".to_owned(),
        points if points < 0 => format!("down {}", -points),
        points => format!("up {points}"),
    };
    format!(
        "{} {} on {}, {moved} from {} on {}",
        change.instrument, change.latest.total, change.latest.on, change.from.total, change.from.on
    )
}

fn taken(instrument: Instrument, last: Option<ScorePoint>) -> String {
    match last {
        Some(score) => format!("{instrument} was last taken on {} ({})", score.on, score.total),
        None => format!("{instrument} has never been taken in this episode"),
    }
}

fn contact(last: LastContact) -> String {
    match last {
        LastContact::On(on) => format!("the last was on {on}"),
        LastContact::NoneSince(start) => format!("none since enrollment on {start}"),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(words: impl Iterator<Item = String>) -> String {
    list_with(words, " and ")
}

fn list_with(words: impl Iterator<Item = String>, last: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for word in words {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    match all.split_last() {
        Some((end, before)) if !before.is_empty() => format!("{}{last}{end}", before.join(", ")),
        _ => all.concat(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_date_in_a_sentence_is_said_as_a_person_says_it() {
        let said = with_spoken_dates(
            "Repeat the PHQ-9 by 2026-06-02. PHQ-9 20 on 2026-05-18, up 3 from 17; 2026-1 x2026-05-18",
        );
        assert_eq!(
            said,
            "Repeat the PHQ-9 by June 2, 2026. PHQ-9 20 on May 18, 2026, up 3 from 17; 2026-1 x2026-05-18"
        );
    }

    #[test]
    fn a_task_says_what_to_do_and_by_when_and_each_reason_once() {
        let measures = [Instrument::PHQ9, Instrument::GAD7, Instrument::PHQ9];
        let said = task(
            Code::Measure,
            measures.into_iter(),
            Some(date("2026-06-02")),
            ["It is old.", "It is old."].into_iter(),
        );
        assert_eq!(said, "Repeat the PHQ-9 and the GAD-7 by 2026-06-02. It is old.");
    }

    #[test]
    fn an_answer_is_named_and_not_only_its_number() {
        let facts = ConcernFacts {
            instrument: Instrument::PHQ9,
            on: date("2026-01-05"),
            disclosures: &[Disclosure::Answered(2)],
            higher_than: Some(EarlierAnswer { instrument: Instrument::PHQ9, answer: 0, on: date("2025-12-05") }),
            severe_total: Some(21),
            assessed_before: None,
            unfinished: false,
        };
        assert_eq!(
            concern(&facts),
            "Reported thoughts of death or self-harm on more than half the days (PHQ-9 item 9 = 2) on 2026-01-05; \
             the answer on 2025-12-05 was 0, not at all; total 21, severe."
        );
    }
}

//! A mapping guessed from the titles, as the AIMS Center's and similar tracking spreadsheets write them.

use super::mapping::{ColumnField, ColumnMapping, ScoreColumns};
use super::sheet::Sheet;
use crate::domain::instrument::Instrument;

/// For each field the titles it is known by; the first column that has one of them is taken, in this order.
const TITLES: &[(ColumnField, &[&str])] = &[
    (
        ColumnField::Identifier,
        &["mrn", "medical record number", "medical record", "patient id", "chart number", "patient mrn"],
    ),
    (ColumnField::GivenName, &["first name", "given name", "patient first name"]),
    (ColumnField::FamilyName, &["last name", "family name", "surname", "patient last name"]),
    (ColumnField::Name, &["patient name", "name", "patient", "client name", "client", "full name"]),
    (ColumnField::BirthDate, &["dob", "date of birth", "birth date", "birthdate", "birthday"]),
    (
        ColumnField::EnrolledOn,
        &[
            "date of initial assessment",
            "initial assessment date",
            "initial assessment",
            "enrollment date",
            "enrolment date",
            "date enrolled",
            "date of enrollment",
            "enrolled on",
            "enrolled",
            "start date",
            "intake date",
        ],
    ),
    (ColumnField::ConsentOn, &["consent date", "date of consent", "consent"]),
    (ColumnField::CareManager, &["care manager", "bhcm", "behavioral health care manager", "cm", "bh care manager"]),
    (
        ColumnField::PrimaryCareProvider,
        &["pcp", "primary care provider", "primary care", "provider", "primary care physician"],
    ),
    (
        ColumnField::PsychiatricConsultant,
        &["psychiatric consultant", "consultant", "psychiatrist", "consulting psychiatrist"],
    ),
    (ColumnField::Status, &["status", "treatment status", "episode status", "phase", "patient status"]),
    (
        ColumnField::LastContactOn,
        &[
            "last contact",
            "last contact date",
            "date of last contact",
            "date of most recent contact",
            "most recent contact",
            "last follow up contact",
            "date of last follow up contact",
        ],
    ),
    (
        ColumnField::LastReviewOn,
        &[
            "last psychiatric consultation",
            "date of last psychiatric consultation",
            "last case review",
            "date of last case review",
            "last psychiatric case review",
            "last review",
            "most recent psychiatric case review note",
            "date of most recent psychiatric case review",
            "psychiatric consult date",
        ],
    ),
    (ColumnField::HeldOn, &["on hold since", "hold date", "held on"]),
    (
        ColumnField::RelapsePreventionOn,
        &[
            "relapse prevention date",
            "relapse prevention plan date",
            "date of relapse prevention plan",
            "relapse prevention plan",
            "relapse prevention",
            "rp date",
            "rpp date",
        ],
    ),
    (
        ColumnField::DischargedOn,
        &[
            "discharge date",
            "date discharged",
            "date of discharge",
            "discharged on",
            "discharged",
            "end date",
            "date closed",
        ],
    ),
    (
        ColumnField::DischargeReason,
        &["discharge reason", "reason for discharge", "reason", "reason closed", "disposition"],
    ),
    (ColumnField::Payer, &["payer", "payor", "insurance", "insurance type", "coverage"]),
    (ColumnField::Note, &["notes", "note", "comments", "comment"]),
];

/// Guesses which column is what. The answer to a dry run shows it, so that it can be corrected.
pub fn mapping(sheet: &Sheet) -> ColumnMapping {
    let plain: Vec<String> = sheet.titles.iter().map(|title| simplified(title)).collect();
    let mut mapping = ColumnMapping::default();
    for (field, titles) in TITLES {
        let column = titles.iter().find_map(|title| plain.iter().position(|known| known == title));
        if let Some(column) = column {
            mapping.columns.insert(*field, sheet.titles[column].clone());
        }
    }
    let leftwards = dates_stand_in_front(&plain);
    for (column, title) in plain.iter().enumerate() {
        let Some(instrument) = scored(title) else { continue };
        let date = date_of(&plain, column, leftwards);
        // A follow-up without a date is no score; a baseline is taken at enrollment.
        if date.is_some() || is_baseline(title) {
            mapping.scores.push(ScoreColumns {
                instrument,
                score: sheet.titles[column].clone(),
                taken_on: date.map(|date| sheet.titles[date].clone()),
            });
        }
    }
    mapping
}

fn is_baseline(title: &str) -> bool {
    ["baseline", "initial", "intake", "enrollment", "first"].iter().any(|word| title.contains(word))
}

/// In small letters, with one space between words; the number of a repeated title left out.
fn simplified(title: &str) -> String {
    let title = match title.rsplit_once('#') {
        Some((title, number)) if number.parse::<u8>().is_ok() => title,
        _ => title,
    };
    let words: String = title.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn instrument(title: &str) -> Option<Instrument> {
    let squeezed = title.replace(' ', "");
    if squeezed.contains("phq9") || squeezed == "phq" || squeezed.starts_with("phqscore") {
        Some(Instrument::Phq9)
    } else if squeezed.contains("gad7") || squeezed == "gad" || squeezed.starts_with("gadscore") {
        Some(Instrument::Gad7)
    } else {
        None
    }
}

/// The instrument of a column of scores: not of its date, nor of what was computed from it.
fn scored(title: &str) -> Option<Instrument> {
    let beside =
        ["date", "change", "percent", "%", "goal", "target", "severity", "item", "reduction", "days", "due", "drop"];
    instrument(title).filter(|_| !beside.iter().any(|word| title.split(' ').any(|part| part == *word)))
}

/// Whether a column holds the date of a score of this instrument.
fn is_date_of(title: &str, of: Instrument) -> bool {
    let is_date = title.split(' ').any(|word| word == "date") || title == "on";
    let is_of_another = instrument(title).is_some_and(|other| other != of);
    let is_a_field = TITLES.iter().any(|(_, names)| names.contains(&title));
    is_date && !is_of_another && !is_a_field
}

/// Whether a visit is written "date, score" and not "score, date": the first score that is no baseline tells.
fn dates_stand_in_front(titles: &[String]) -> bool {
    let mut followups = titles.iter().enumerate().filter(|(_, title)| !is_baseline(title));
    let first = followups.find_map(|(n, title)| scored(title).map(|of| (n, of)));
    first.is_some_and(|(n, of)| {
        let is_date = |n: Option<usize>| n.and_then(|n| titles.get(n)).is_some_and(|title| is_date_of(title, of));
        is_date(n.checked_sub(1)) && !is_date(Some(n + 1))
    })
}

/// The column beside a score that holds its date; another instrument's score of the same visit may stand between.
fn date_of(titles: &[String], score: usize, leftwards: bool) -> Option<usize> {
    let of = scored(&titles[score])?;
    let step = |from: usize| if leftwards { from.checked_sub(1) } else { Some(from + 1).filter(|n| *n < titles.len()) };
    let next = step(score)?;
    if is_date_of(&titles[next], of) {
        return Some(next);
    }
    let is_same_visit = scored(&titles[next]).is_some_and(|other| other != of)
        && is_baseline(&titles[next]) == is_baseline(&titles[score]);
    step(next).filter(|after| is_same_visit && is_date_of(&titles[*after], of))
}

#[cfg(test)]
mod tests {
    use super::{ColumnField, ColumnMapping, ScoreColumns, mapping};
    use crate::intake::spreadsheet::sheet::Sheet;

    #[test]
    fn a_tracking_spreadsheet_is_understood_by_its_titles() {
        let head = "MRN,Patient Name,DOB,Date of Initial Assessment,Baseline PHQ-9,Baseline GAD-7,PHQ-9 Score,Date,PHQ-9 Score,Date,\
            GAD-7,GAD-7 date,% change PHQ-9,Status,Discharge Date,Discharge Reason,Comments";
        let found = mapping(&Sheet::read(head).unwrap());
        assert_eq!(found.columns[&ColumnField::Identifier], "MRN");
        assert_eq!(found.columns[&ColumnField::EnrolledOn], "Date of Initial Assessment");
        assert_eq!(found.columns[&ColumnField::DischargeReason], "Discharge Reason");
        assert_eq!(
            scores(&found),
            [
                "phq9 Baseline PHQ-9 -",
                "gad7 Baseline GAD-7 -",
                "phq9 PHQ-9 Score Date",
                "phq9 PHQ-9 Score#2 Date#2",
                "gad7 GAD-7 GAD-7 date",
            ]
        );
    }

    fn scores(found: &ColumnMapping) -> Vec<String> {
        let date = |s: &ScoreColumns| s.taken_on.clone().unwrap_or_else(|| "-".to_owned());
        found.scores.iter().map(|s| format!("{} {} {}", s.instrument.id(), s.score, date(s))).collect()
    }

    #[test]
    fn a_date_in_front_of_its_scores_is_not_taken_for_that_of_the_visit_before() {
        let found = mapping(&Sheet::read("MRN,Date,PHQ-9,GAD-7,Date,PHQ-9,GAD-7").unwrap());
        assert_eq!(
            scores(&found),
            ["phq9 PHQ-9 Date", "gad7 GAD-7 Date", "phq9 PHQ-9#2 Date#2", "gad7 GAD-7#2 Date#2"]
        );
    }
}

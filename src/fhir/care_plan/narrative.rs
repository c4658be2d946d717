//! The same for people: one page of XHTML, everything that anybody wrote escaped.

use std::fmt::Write as _;

use super::{CarePlanDocument, NO_CRISIS_SERVICE, in_words};
use crate::domain::care::{Care, FitDecision};
use crate::domain::finding::Rule;
use crate::domain::story::CarePlanVersion;

/// Purpose of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NarrativeKind {
    Plan,
    /// The plan and what happened, for whoever receives the patient.
    Handover,
}

impl NarrativeKind {
    fn title(self) -> &'static str {
        match self {
            Self::Plan => "Shared care plan",
            Self::Handover => "Handover",
        }
    }
}

pub fn page(sheet: &CarePlanDocument<'_>, kind: NarrativeKind) -> String {
    let language = "en";
    format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\"/><title>{}</title><style>\
         body{{font:16px/1.4 sans-serif;max-width:48em;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse}}td,th{{border:1px solid #999;padding:.2em .6em;text-align:left}}\
         </style></head><body>{}</body></html>\n",
        kind.title(),
        fragment(sheet, kind)
    )
}

/// Content as the `div` of a FHIR narrative.
pub fn fragment(sheet: &CarePlanDocument<'_>, kind: NarrativeKind) -> String {
    let mut page = HtmlPage(String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\">"));
    page.element("h1", kind.title());
    head(&mut page, sheet);
    let team = sheet.team().into_iter().filter_map(|(role, name)| Some(format!("{role}: {}", name?)));
    page.list("Team", team);
    match sheet.plan {
        Some(version) => plan(&mut page, sheet, version),
        None => page.element("p", "No care plan has been written."),
    }
    if let Some((on, prevention)) = sheet.relapse_prevention() {
        page.element("h2", "Relapse prevention plan");
        page.element("p", &format!("Of {on}."));
        page.element("p", prevention);
    }
    if kind == NarrativeKind::Handover {
        summary(&mut page, sheet);
    }
    page.element("h2", "Safety");
    let open = |rule: Rule| matches!(rule, Rule::SafetyItem9 | Rule::SafetyItem9High);
    if sheet.standing.findings.iter().any(|f| open(f.rule)) {
        page.element("p", "An answer about thoughts of death or self-harm has not been assessed yet.");
    }
    page.element("p", NO_CRISIS_SERVICE);
    page.0.push_str("</div>");
    page.0
}

fn head(page: &mut HtmlPage, sheet: &CarePlanDocument<'_>) {
    let mut who = sheet.name.to_owned();
    if let Some(born) = sheet.birth_date {
        let _ = write!(who, ", born {born}");
    }
    if let Some(language) = sheet.language {
        let _ = write!(who, ", language {language}");
    }
    page.element("p", &who);
    if let Some(version) = sheet.plan {
        let state = if version.taken_back {
            " It was taken back."
        } else if sheet.holds {
            ""
        } else {
            " It has been replaced by a later version."
        };
        let (number, on, by) = (version.number, version.entry.on, &version.plan.by);
        page.element("p", &format!("Version {number} of {on}, written by {by}.{state}"));
    }
    page.element("p", &format!("Scores as of {}.", sheet.standing.as_of));
}

fn by(on: Option<chrono::NaiveDate>) -> String {
    on.map_or_else(String::new, |on| format!(", by {on}"))
}

fn plan(page: &mut HtmlPage, sheet: &CarePlanDocument<'_>, version: CarePlanVersion<'_>) {
    let plan = version.plan;
    page.list("Problems", plan.problems.iter().cloned());
    page.list(
        "The patient's own goals",
        plan.goals.iter().map(|goal| {
            let reached = goal.reached_on.map_or_else(String::new, |on| format!(" (reached on {on})"));
            format!("{}{}{reached}", goal.text, by(goal.by))
        }),
    );
    if !plan.targets.is_empty() {
        page.element("h2", "Targets");
        page.0.push_str("<table><tr><th>Measure</th><th>Target</th><th>By</th><th>Now</th></tr>");
        for target in &plan.targets {
            let now = match sheet.present(target.instrument) {
                Some((score, on, language)) => {
                    let reached = if score <= target.at_most { ", reached" } else { "" };
                    let language = language.map_or_else(String::new, |l| format!(", taken in {l}"));
                    format!("{score} on {on}{reached}{language}")
                }
                None => "not measured".to_owned(),
            };
            let by = target.by.map_or_else(String::new, |by| by.to_string());
            page.0.push_str("<tr>");
            let most = format!("at most {}", target.at_most);
            for cell in [target.instrument.definition().title, &most, &by, &now] {
                page.element("td", cell);
            }
            page.0.push_str("</tr>");
        }
        page.0.push_str("</table>");
    }
    page.list(
        "Interventions",
        plan.interventions.iter().map(|i| {
            let mut line = in_words(&i.intervention);
            for more in i.detail.iter().chain(&i.who) {
                line.push_str(", ");
                line.push_str(more);
            }
            line
        }),
    );
    page.list(
        "Medication",
        plan.medication.iter().map(|m| {
            let more: Vec<&str> = m.dose.as_deref().into_iter().chain(m.note.as_deref()).collect();
            if more.is_empty() { m.name.clone() } else { format!("{}: {}", m.name, more.join("; ")) }
        }),
    );
    page.list("Who does what", plan.responsibilities.iter().map(|r| format!("{}: {}", r.who, r.what)));
    if let Some(note) = &plan.note {
        page.element("h2", "Note");
        page.element("p", note);
    }
}

/// Summary of the episode for the next clinician.
fn summary(page: &mut HtmlPage, sheet: &CarePlanDocument<'_>) {
    let standing = sheet.standing;
    let mut lines = Vec::new();
    if let Some(enrolled) = sheet.episode.enrolled_on {
        lines.push(format!("Enrolled on {enrolled}."));
    }
    match (standing.discharged_on, standing.discharge_reason) {
        (Some(on), Some(reason)) => lines.push(format!("Ended on {on}: {}.", reason.as_str().replace('_', " "))),
        _ => lines.push(format!("Now: {}.", standing.status.as_str().replace('_', " "))),
    }
    for measure in &standing.measures {
        let title = measure.instrument.definition().title;
        let baseline = measure.baseline.as_ref().map(|b| format!("{} on {} at the start", b.score, b.taken_on));
        let latest = measure.latest.as_ref().map(|l| format!("{} on {} ({})", l.score, l.taken_on, l.severity));
        let said: Vec<String> = baseline.into_iter().chain(latest).collect();
        let said = if said.is_empty() { "not measured".to_owned() } else { said.join(", then ") };
        lines.push(format!("{title}: {said}; {}.", measure.status.as_str().replace('_', " ")));
    }
    if let Some(fit) = sheet.story.fit_check(sheet.episode.id) {
        let concerns: Vec<String> = fit.concerns.iter().map(|c| c.as_str().replace('_', " ")).collect();
        let concerns = if concerns.is_empty() { String::new() } else { format!(" ({})", concerns.join(", ")) };
        let decision = match fit.decision {
            FitDecision::Suitable => "suitable for collaborative care",
            FitDecision::SpecialtyCare => "direct specialty care",
        };
        let reason = fit.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        lines.push(format!("Fit check by {}: {decision}{concerns}{reason}", fit.by));
    }
    let (mut contacts, mut reviews) = (0, 0);
    for entry in sheet.story.standing_entries().into_iter().filter(|e| e.episode == Some(sheet.episode.id)) {
        match &entry.care {
            Care::TreatmentChange { summary, medication, .. } => {
                let taken: Vec<String> = medication.iter().map(|m| format!(" {}.", m.phrase())).collect();
                lines.push(format!("Treatment changed on {}: {summary}{}", entry.on, taken.concat()));
            }
            Care::CaseReview { .. } => reviews += 1,
            care if care.is_clinical_contact() => contacts += 1,
            _ => {}
        }
    }
    lines.push(format!("{contacts} treatment contacts were attended, {reviews} psychiatric case reviews were held."));
    page.list("Course", lines.into_iter());
}

struct HtmlPage(String);

impl HtmlPage {
    fn element(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "<{name}>{}</{name}>", escaped(text));
    }

    /// A heading and its items; nothing where there are none.
    fn list(&mut self, title: &str, items: impl Iterator<Item = String>) {
        let mut items = items.peekable();
        if items.peek().is_none() {
            return;
        }
        self.element("h2", title);
        self.0.push_str("<ul>");
        for item in items {
            self.element("li", &item);
        }
        self.0.push_str("</ul>");
    }
}

/// Text within an element. What XML cannot carry is left out; a new line stays one.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' => safe.push_str("<br/>"),
            '\t' => safe.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

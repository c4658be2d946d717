//! A resource that could not be understood, with help for mapping it.

use std::fmt::Write as _;

use askama::Template;
use axum::extract::{Path, RawQuery};
use axum::response::Response;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::instrument::Instrument;
use crate::pages::date_texts::instant;
use crate::pages::item_texts;
use crate::pages::response::{ProblemPage, html};
use crate::pages::roles::OPERATORS;
use crate::pages::session::Visitor;
use crate::pages::shell::{NavSection, Shell};
use crate::pages::words;
use crate::problem::Problem;
use crate::store::{quarantine, resource};

/// A question of the form.
struct QuarantineQuestion {
    link_id: String,
    text: String,
    answer: String,
    /// Possible meanings: (value, label, chosen).
    meanings: Vec<(String, String, bool)>,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    shell: Shell,
    id: Uuid,
    resource: String,
    code: String,
    detail: String,
    received: String,
    /// The form's canonical.
    questionnaire: Option<String>,
    forms: Vec<(&'static str, &'static str, bool)>,
    questions: Vec<QuarantineQuestion>,
    /// Configuration lines to copy.
    mapping: Option<String>,
}

/// The page; what is chosen stands in the address, and changes nothing.
pub async fn show(
    visitor: Visitor,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ProblemPage> {
    visitor.caller.require(OPERATORS)?;
    let absent = || Problem::not_found("item in quarantine");
    let id: Uuid = id.parse().map_err(|_| absent())?;
    let chosen: Vec<(String, String)> =
        form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut tx = visitor.pages.app.db.read().await?;
    let kept = quarantine::find(&mut tx, visitor.clinic(), id).await?.ok_or_else(absent)?;
    let stored = resource::find(&mut tx, visitor.clinic(), &kept.kind, &kept.resource_id).await?;
    drop(tx);
    let body: Value = stored.and_then(|r| serde_json::from_str(&r.body).ok()).unwrap_or_default();
    let mut questions = Vec::new();
    gather(&body["item"], &mut questions, &chosen);
    let questionnaire = body["questionnaire"].as_str().map(str::to_owned);
    let form = value_of(&chosen, "form");
    let page = QuarantinePage {
        shell: Shell::around(&visitor, "Quarantine", NavSection::Operations).await?,
        id,
        resource: format!("{}/{}", kept.kind, kept.resource_id),
        code: words::spaced(&kept.code),
        detail: kept.detail,
        received: instant(kept.received_at, visitor.zone(), visitor.today()),
        forms: [
            ("", "not said"),
            ("phq9", "PHQ-9"),
            ("gad7", "GAD-7"),
            ("phq9+gad7", "PHQ-9 and GAD-7"),
            ("ignore", "none of ours: ignore it"),
        ]
        .map(|(value, words)| (value, words, form == Some(value)))
        .to_vec(),
        mapping: (!chosen.is_empty()).then(|| mapping(questionnaire.as_deref(), form, &questions)),
        questionnaire,
        questions,
    };
    Ok(html(&page))
}

fn value_of<'a>(chosen: &'a [(String, String)], name: &str) -> Option<&'a str> {
    chosen.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn gather(list: &Value, questions: &mut Vec<QuarantineQuestion>, chosen: &[(String, String)]) {
    for one in list.as_array().into_iter().flatten() {
        if let (Some(link_id), true) = (one["linkId"].as_str(), one["answer"].is_array()) {
            let text = one["text"].as_str().unwrap_or_default().to_owned();
            let picked = value_of(chosen, &format!("item.{link_id}")).map(str::to_owned);
            let picked = picked.unwrap_or_else(|| if chosen.is_empty() { guess(&text) } else { String::new() });
            questions.push(QuarantineQuestion {
                link_id: link_id.to_owned(),
                answer: answer(&one["answer"][0]),
                meanings: meanings(&picked),
                text,
            });
        }
        gather(&one["item"], questions, chosen);
    }
}

fn answer(answer: &Value) -> String {
    let coding = &answer["valueCoding"];
    let said = coding["display"].as_str().or(coding["code"].as_str()).or(answer["valueString"].as_str());
    said.map(str::to_owned)
        .or_else(|| {
            ["valueInteger", "valueDecimal", "valueBoolean"]
                .iter()
                .map(|k| &answer[*k])
                .find(|v| !v.is_null())
                .map(Value::to_string)
        })
        .unwrap_or_else(|| "–".to_owned())
}

fn meanings(picked: &str) -> Vec<(String, String, bool)> {
    let mut all = vec![(String::new(), "not said".to_owned(), picked.is_empty())];
    for instrument in [Instrument::Phq9, Instrument::Gad7] {
        for n in 0..instrument.definition().item_count {
            let value = format!("{}/{}", instrument.id(), n + 1);
            let words = format!("{instrument} {}: {}", n + 1, item_texts::item(instrument, n));
            let chosen = value == picked;
            all.push((value, words, chosen));
        }
        let value = format!("{}/total", instrument.id());
        let chosen = value == picked;
        all.push((value, format!("{instrument}: total"), chosen));
    }
    for (value, words) in [("difficulty", "how difficult it made life"), ("ignore", "nothing of ours")] {
        all.push((value.to_owned(), words.to_owned(), value == picked));
    }
    all
}

/// Words that only one item has: a first suggestion, for a person to correct.
const TELLING: [(&str, &str); 17] = [
    ("interest", "phq9/1"),
    ("hopeless", "phq9/2"),
    ("asleep", "phq9/3"),
    ("energy", "phq9/4"),
    ("appetite", "phq9/5"),
    ("failure", "phq9/6"),
    ("concentrating", "phq9/7"),
    ("slowly", "phq9/8"),
    ("better off dead", "phq9/9"),
    ("on edge", "gad7/1"),
    ("control worrying", "gad7/2"),
    ("worrying too much", "gad7/3"),
    ("relaxing", "gad7/4"),
    ("hard to sit still", "gad7/5"),
    ("irritable", "gad7/6"),
    ("awful", "gad7/7"),
    ("difficult", "difficulty"),
];

fn guess(text: &str) -> String {
    let text = text.to_lowercase();
    TELLING.iter().find(|(word, _)| text.contains(word)).map_or_else(String::new, |(_, meaning)| (*meaning).to_owned())
}

/// The lines for the configuration, of what was chosen.
fn mapping(questionnaire: Option<&str>, form: Option<&str>, questions: &[QuarantineQuestion]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = String::new();
    if let (Some(canonical), Some(form)) = (questionnaire, form.filter(|form| !form.is_empty())) {
        let _ = writeln!(text, "[ehr.mapping.questionnaires]\n{} = {}\n", quoted(canonical), quoted(form));
    }
    let said = questions.iter().filter_map(|q| {
        let (meaning, ..) = q.meanings.iter().find(|(value, _, chosen)| *chosen && !value.is_empty())?;
        Some((q.link_id.as_str(), meaning.as_str()))
    });
    let mut first = true;
    for (link_id, meaning) in said {
        if std::mem::take(&mut first) {
            text.push_str("[ehr.mapping.items]\n");
        }
        let _ = writeln!(text, "{} = {}", quoted(link_id), quoted(meaning));
    }
    text
}

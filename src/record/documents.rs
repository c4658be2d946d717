//! What an entry changed in the documents of its episode, for the timeline: the fit check and the care plan.

use serde_json::{Value, json};

use super::new_event::NewEvent;
use crate::domain::story::Story;

/// Adds what became of the fit check and of the care plan to `changes`. The entry of `line` is in the story already.
pub(super) fn changes(story: &Story, line: &NewEvent, changes: &mut Value) {
    let Some(episode) = line.episode else { return };
    if !matches!(line.kind.as_str(), "fit_check" | "care_plan" | "taken_back") {
        return;
    }
    let mut before = story.clone();
    before.entries.retain(|e| e.id != line.id);
    let fit = |story: &Story| json!(story.fit_check(episode).map(|fit| fit.decision));
    let plan = |story: &Story| json!(story.care_plan(episode).map(|version| version.number));
    for (name, was, is) in [("fit_check", fit(&before), fit(story)), ("care_plan_version", plan(&before), plan(story))]
    {
        if was != is {
            changes[name] = json!({"from": was, "to": is});
        }
    }
}

//! Probe of a CapabilityStatement: what we can do on this server.

use serde_json::Value;

use super::{ProbeResult, broken, limited, works};
use crate::config::WriteConfig;
use crate::domain::chart_plan::Rung;
use crate::domain::task::ChartResource;
use crate::ehr::capability_statement::can;
use crate::ehr::ladder::Ladder;
use crate::ehr::offers::Offers;
use crate::fhir::write::WriteForm;

/// Whether it is one, of the right version.
pub(super) fn speaks(statement: &Value, base: &str) -> Vec<ProbeResult> {
    let version = statement["fhirVersion"].as_str().unwrap_or("no version");
    if statement["resourceType"] != "CapabilityStatement" {
        return vec![broken(format!(
            "{base}: what answers GET metadata is no CapabilityStatement, so it is not the FHIR base; correct base_url"
        ))];
    }
    if !version.starts_with("4.0") && !version.starts_with("4.3") {
        return vec![broken(format!(
            "{base}: it speaks FHIR {version}, and R4 (4.0.1) is needed; set base_url to its R4 endpoint"
        ))];
    }
    let software = statement["software"]["name"].as_str().unwrap_or("a server that does not say its name");
    vec![works(format!("{base}: {software} answers, FHIR {version}"))]
}

/// The rung that each kind of resource takes, and why.
pub(super) fn rungs(statement: &Value, write: WriteConfig) -> Vec<ProbeResult> {
    let ladder = Ladder::of(statement);
    ChartResource::ALL.iter().map(|kind| rung(&ladder, write, *kind)).collect()
}

fn rung(ladder: &Ladder, write: WriteConfig, kind: ChartResource) -> ProbeResult {
    let rung = ladder.rung(write, kind);
    let key = format!("write.{}", kind.as_str().to_lowercase());
    let way = match rung {
        Rung::TaskAndFlag => format!("goes into the chart as a {kind}"),
        Rung::Communication => "goes into the chart as a Communication".to_owned(),
        Rung::DocumentReference => "goes into the chart as a note (DocumentReference)".to_owned(),
        Rung::CdsCard => "is not written; the CDS Hooks card in the chart says what stands".to_owned(),
        Rung::Worklist => "is not written; people work from our own list".to_owned(),
    };
    let follow_ups = match ladder.route(write, rung, kind) {
        Some(route) if !route.updates => "; what is no longer called for is said in a follow-up",
        _ => "",
    };
    let said = match write.set_for(kind) {
        Some(_) => format!("writing: what a {kind} says {way}, because {key} says so{follow_ups}"),
        None if rung == Rung::TaskAndFlag => {
            return works(format!("writing: a {kind} {way}: the server offers to create, change and find it"));
        }
        None => {
            let lacking = lacking(ladder, write, rung, kind).join(", nor ");
            let hint = if rung.is_written() { String::new() } else { format!(" ({key} can say otherwise)") };
            format!("writing: what a {kind} says {way}: the server does not offer {lacking}{hint}{follow_ups}")
        }
    };
    if !ladder.reaches(rung, kind) {
        let form = WriteForm::of(rung, kind).map_or("it", WriteForm::as_str);
        return broken(format!("{said}; but the server does not offer to create and find a {form}: see {key}"));
    }
    if rung == Rung::TaskAndFlag { works(said) } else { limited(said) }
}

/// Capabilities that a better rung would need.
fn lacking(ladder: &Ladder, write: WriteConfig, taken: Rung, kind: ChartResource) -> Vec<String> {
    let better = Rung::ALL.iter().copied().take_while(|rung| *rung != taken);
    let forms =
        better.filter(|rung| *rung != Rung::CdsCard || write.cards).filter_map(|rung| WriteForm::of(rung, kind));
    let named = forms.map(|form| {
        let offer = ladder.offer(form);
        let wanted = match form {
            WriteForm::Task | WriteForm::Flag => "create, change and find",
            WriteForm::Communication | WriteForm::DocumentReference => "create and find",
        };
        let only = match (offer.creates, offer.searches) {
            (true, false) => ", only to create it",
            (false, true) => ", only to read it",
            (true, true) => ", only to create and find it",
            (false, false) => "",
        };
        format!("to {wanted} a {}{only}", form.as_str())
    });
    named.collect()
}

/// Whether it can tell us of changes.
pub(super) fn subscriptions(statement: &Value) -> Option<ProbeResult> {
    let sentence = match Offers::of(statement).topics {
        Some(topics) if topics.is_empty() => "topics, without naming any (notify.topics names them)".to_owned(),
        Some(topics) => format!("the topics {} (notify.subscribe = \"topics\")", topics.join(", ")),
        None if can(statement, "Subscription", "create") => "Subscriptions (notify.subscribe makes them)".to_owned(),
        None => return None,
    };
    Some(works(format!("notifications: the server takes {sentence}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::capability_statement::statement;
    use crate::ehr::probe::Verdict;
    use serde_json::json;

    #[test]
    fn the_rung_of_each_kind_is_told_with_its_reason() {
        let all: &[&str] = &["create", "update", "search-type"];
        let told = |kinds: &[(&str, &[&str])], write: WriteConfig| {
            rungs(&statement(kinds), write).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let auto = WriteConfig::default();
        insta::assert_snapshot!(told(&[("Task", all), ("Flag", all)], auto), @r"
        ok      writing: a Task goes into the chart as a Task: the server offers to create, change and find it
        ok      writing: a Flag goes into the chart as a Flag: the server offers to create, change and find it
        ");
        insta::assert_snapshot!(told(&[("Task", all), ("Flag", &["search-type"]), ("Communication", &["create", "search-type"])], auto), @r"
        ok      writing: a Task goes into the chart as a Task: the server offers to create, change and find it
        limited writing: what a Flag says goes into the chart as a Communication: the server does not offer to create, change and find a Flag, only to read it; what is no longer called for is said in a follow-up
        ");
        insta::assert_snapshot!(told(&[("Task", &["create", "search-type"]), ("Communication", &["create"])], auto), @r"
        limited writing: what a Task says is not written; people work from our own list: the server does not offer to create, change and find a Task, only to create and find it, nor to create and find a Communication, only to create it, nor to create and find a DocumentReference (write.task can say otherwise)
        limited writing: what a Flag says is not written; people work from our own list: the server does not offer to create, change and find a Flag, nor to create and find a Communication, only to create it, nor to create and find a DocumentReference (write.flag can say otherwise)
        ");
        let set = WriteConfig { task: Some(Rung::Communication), flag: Some(Rung::Worklist), cards: true, ..auto };
        insta::assert_snapshot!(told(&[("Task", all)], set), @r"
        BROKEN  writing: what a Task says goes into the chart as a Communication, because write.task says so; what is no longer called for is said in a follow-up; but the server does not offer to create and find a Communication: see write.task
        limited writing: what a Flag says is not written; people work from our own list, because write.flag says so
        ");
        insta::assert_snapshot!(told(&[], WriteConfig { cards: true, ..auto }), @r"
        limited writing: what a Task says is not written; the CDS Hooks card in the chart says what stands: the server does not offer to create, change and find a Task, nor to create and find a Communication, nor to create and find a DocumentReference (write.task can say otherwise)
        limited writing: what a Flag says is not written; the CDS Hooks card in the chart says what stands: the server does not offer to create, change and find a Flag, nor to create and find a Communication, nor to create and find a DocumentReference (write.flag can say otherwise)
        ");
    }

    #[test]
    fn another_version_is_told() {
        let mut other = statement(&[]);
        assert_eq!(speaks(&other, "x")[0].verdict, Verdict::Works);
        other["fhirVersion"] = json!("5.0.0");
        assert!(speaks(&other, "x")[0].sentence.contains("FHIR 5.0.0"));
        assert_eq!(speaks(&json!({}), "x")[0].verdict, Verdict::Broken);
    }
}

//! A page for people who look into the sandbox's chart.

use std::fmt::Write as _;

use super::SandboxState;

/// The list of what is in the chart.
pub(super) fn page(state: &SandboxState) -> String {
    let mut html = String::from(
        "<!doctype html><meta charset=utf-8><title>Sandbox EHR</title>\
         <style>body{font:15px system-ui;margin:2em}td,th{padding:.2em .8em;text-align:left}</style>\
         <h1>Sandbox EHR</h1><p>Plays the EHR. Nothing here is real.",
    );
    for (kind, count) in state.chart.kinds() {
        // Writing to a String does not fail.
        let _ = write!(html, "<h2><a href=\"/{kind}\">{kind}</a> ({count})</h2><table>");
        for resource in state.chart.all(kind).into_iter().take(100) {
            let text = |pointer| resource.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default();
            let id = escape(text("/id"));
            let _ = write!(html, "<tr><td><a href=\"/{kind}/{id}\">{id}</a>");
            for pointer in ["/status", "/code/text", "/for/reference", "/subject/reference", "/description"] {
                let _ = write!(html, "<td>{}", escape(text(pointer)));
            }
            let _ = write!(html, "<td><a href=\"/{kind}/{id}/_history\">history</a>");
        }
        html.push_str("</table>");
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

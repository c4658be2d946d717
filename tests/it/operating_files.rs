//! The files that operators take from `docker/` speak of this program: its metrics, its version, its sources.

use std::collections::BTreeSet;
use std::fs;

use crate::architecture::{files, source};

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn is_metric(word: &str) -> bool {
    ["cocm_", "http_"].iter().any(|start| word.starts_with(start)) && word.bytes().all(is_of_a_name)
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'_'
}

/// What the program calls its metrics.
fn printed() -> BTreeSet<String> {
    let texts = files(&source()).into_iter().map(|path| fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| text.split('"').filter(|word| is_metric(word)).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The metrics that a file speaks of, without what Prometheus adds to the name of a histogram.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| is_metric(word));
    let base = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

#[test]
fn every_metric_of_the_program_is_on_the_dashboard_and_no_other() {
    assert_eq!(named(&file("docker/grafana/dashboard.json")), printed());
}

#[test]
fn alerts_and_documents_name_metrics_that_the_program_prints() {
    let printed = printed();
    for name in ["docker/prometheus/alerts.yaml", "docker/CONNECTING.md", "README.md"] {
        let unknown: Vec<String> = named(&file(name)).difference(&printed).cloned().collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_and_the_chart_installs_this_version() {
    serde_json::from_str::<serde_json::Value>(&file("docker/grafana/dashboard.json")).unwrap();
    let chart = file("docker/helm/cocm-registry/Chart.yaml");
    assert!(chart.contains(&format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"))), "{chart}");
}

#[test]
fn the_image_is_built_from_everything_that_the_build_reads() {
    let context = file(".dockerignore");
    for name in ["Cargo.toml", "Cargo.lock", ".cargo", "askama.toml", "build.rs", "migrations", "src"] {
        assert!(context.lines().any(|line| line == format!("!{name}")), "{name} is left out of the image's sources");
    }
}

//! Metrics as a FHIR MeasureReport.

use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::domain::metrics::Metric;

const POPULATIONS: &str = "http://terminology.hl7.org/CodeSystem/measure-population";

/// What is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The measure's name.
    pub measure: &'a str,
    /// First day of the period.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
    /// The metrics, one group each.
    pub metrics: &'a [Metric],
}

/// A summary report: counts and scores, nobody's data.
pub fn summary(report: &Report<'_>) -> Value {
    let groups: Vec<Value> = report.metrics.iter().map(group).collect();
    json!({
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": format!("https://cocm-registry.dev/fhir/Measure/{}", report.measure),
        "period": {"start": report.from, "end": report.to},
        "group": groups,
    })
}

fn group(metric: &Metric) -> Value {
    let mut group = json!({"code": {"text": format!("{} {}", metric.number, metric.name)}});
    let population =
        |code: &str, count: usize| json!({"code": {"coding": [{"system": POPULATIONS, "code": code}]}, "count": count});
    let populations: Vec<Value> = [("denominator", metric.denominator), ("numerator", metric.numerator)]
        .into_iter()
        .filter_map(|(code, count)| count.map(|count| population(code, count)))
        .collect();
    if !populations.is_empty() {
        group["population"] = populations.into();
    }
    if let Some(value) = metric.value {
        group["measureScore"] = json!({"value": value});
    }
    group
}

//! Metrics as FHIR `MeasureReport` (R4): a summary of counts, or one report for each subject.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::metrics::Metric;

const POPULATIONS: &str = "http://terminology.hl7.org/CodeSystem/measure-population";
const SUBJECTS: &str = "https://cocm-registry.dev/fhir/identifier/metric-subject";

/// Content of a report.
#[derive(Clone, Copy, Debug)]
pub struct MeasureReportData<'a> {
    /// The measure's name.
    pub measure: &'a str,
    /// First day of the period.
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// The metrics, one group each.
    pub metrics: &'a [Metric],
}

/// A summary report: counts and scores, nobody's data.
pub fn summary(report: &MeasureReportData<'_>) -> Value {
    let groups: Vec<Value> = report.metrics.iter().map(group).collect();
    let mut summary = resource(report, "summary");
    summary["group"] = groups.into();
    summary
}

/// One report for each episode or patient behind the metrics, with the metrics that count it. `subjects` are the chart's
/// references of patients, by episode and by patient.
pub fn individual(report: &MeasureReportData<'_>, subjects: &BTreeMap<Uuid, String>) -> Value {
    let mut groups: BTreeMap<Uuid, Vec<Value>> = BTreeMap::new();
    for metric in report.metrics {
        let counted = |ids: &[Uuid]| -> BTreeSet<Uuid> { ids.iter().copied().collect() };
        let numerator = counted(&metric.numerator_episodes);
        for id in &counted(&metric.denominator_episodes) {
            let mut group = json!({"code": code(metric)});
            if metric.numerator.is_some() {
                let counts = usize::from(numerator.contains(id));
                group["population"] = json!([population("denominator", 1), population("numerator", counts)]);
                group["measureScore"] = json!({"value": counts});
            } else {
                group["population"] = json!([population("measure-population", 1)]);
            }
            groups.entry(*id).or_default().push(group);
        }
        if metric.denominator.is_none() {
            for id in &numerator {
                let group = json!({"code": code(metric), "population": [population("initial-population", 1)]});
                groups.entry(*id).or_default().push(group);
            }
        }
    }
    let entries: Vec<Value> = groups
        .into_iter()
        .map(|(id, groups)| {
            let name = format!("{}/{}/{id}", report.measure, report.from);
            let mut one = resource(report, "individual");
            one["identifier"] = json!([{"system": SUBJECTS, "value": id}]);
            // A patient who was joined with another since the month was closed is named by our id.
            one["subject"] = match subjects.get(&id) {
                Some(reference) => json!({"reference": reference}),
                None => json!({"identifier": {"system": SUBJECTS, "value": id}}),
            };
            one["group"] = groups.into();
            let full_url = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).urn().to_string();
            json!({"fullUrl": full_url, "resource": one})
        })
        .collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "collection"});
    // FHIR's JSON knows no empty lists.
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

fn resource(report: &MeasureReportData<'_>, kind: &str) -> Value {
    json!({
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": kind,
        "measure": format!("https://cocm-registry.dev/fhir/Measure/{}", report.measure),
        "period": {"start": report.from, "end": report.to},
    })
}

fn code(metric: &Metric) -> Value {
    json!({"text": format!("{} {}", metric.number, metric.name)})
}

fn population(code: &str, count: usize) -> Value {
    json!({"code": {"coding": [{"system": POPULATIONS, "code": code}]}, "count": count})
}

/// A count is a cohort, a mean is taken over a measure population, a rate has a denominator and a numerator.
fn group(metric: &Metric) -> Value {
    let mut group = json!({"code": code(metric)});
    let populations = match (metric.denominator, metric.numerator) {
        (Some(denominator), Some(numerator)) => {
            vec![population("denominator", denominator), population("numerator", numerator)]
        }
        (Some(among), None) => vec![population("measure-population", among)],
        (None, Some(count)) => vec![population("initial-population", count)],
        (None, None) => Vec::new(),
    };
    if !populations.is_empty() {
        group["population"] = populations.into();
    }
    if let Some(value) = metric.value {
        group["measureScore"] = json!({"value": value});
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metrics::hedis_drr;

    fn rate(numerator: &[u128], denominator: &[u128]) -> Metric {
        let ids = |of: &[u128]| -> Vec<Uuid> { of.iter().map(|n| Uuid::from_u128(*n)).collect() };
        Metric {
            numerator: Some(numerator.len()),
            denominator: Some(denominator.len()),
            numerator_episodes: ids(numerator),
            denominator_episodes: ids(denominator),
            value: None,
            ..hedis_drr(&[], 2026).remove(0)
        }
    }

    #[test]
    fn an_individual_report_counts_its_subject_once_or_not_at_all() {
        let date = |text: &str| text.parse().unwrap();
        let metrics = [rate(&[1], &[1, 2, 3])];
        let report =
            MeasureReportData { measure: "m", from: date("2026-03-01"), to: date("2026-03-31"), metrics: &metrics };
        let subjects = [(Uuid::from_u128(1), "Patient/a".to_owned()), (Uuid::from_u128(2), "Patient/b".to_owned())];
        let bundle = individual(&report, &subjects.into());
        assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("collection")));
        let entries = bundle["entry"].as_array().unwrap();
        let of = |n: usize| {
            let one = &entries[n]["resource"];
            let counts: Vec<&Value> =
                one["group"][0]["population"].as_array().unwrap().iter().map(|p| &p["count"]).collect();
            (one["type"].as_str().unwrap(), one["subject"]["reference"].as_str().unwrap(), counts)
        };
        assert_eq!(of(0), ("individual", "Patient/a", vec![&json!(1), &json!(1)]));
        assert_eq!(of(1), ("individual", "Patient/b", vec![&json!(1), &json!(0)]));
        assert_eq!(entries.len(), 3);
        let unnamed = &entries[2]["resource"]["subject"]["identifier"]["value"];
        assert_eq!(*unnamed, json!(Uuid::from_u128(3)), "nobody is dropped");
        assert_eq!(summary(&report)["group"][0]["population"][0]["code"]["coding"][0]["code"], "denominator");
        let nobody = MeasureReportData { metrics: &[], ..report };
        assert_eq!(individual(&nobody, &BTreeMap::new()), json!({"resourceType": "Bundle", "type": "collection"}));
    }
}

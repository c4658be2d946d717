//! A caseload of ten, worked by hand for March 2026. Day 0 is 2026-01-05, the month's last day is day 85.

use cocm_registry::domain::care::{Care, ContactKind, ContactOutcome, DischargeReason, Payer};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::Quality;
use cocm_registry::domain::metrics::{Metric, for_export, nys};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::story::Story;

use crate::rules_story::{Tale, date, enrolled as patient};

const MARCH: &str = "2026-03";

fn covered(tale: &mut Tale, payer: Payer, from: &str, to: Option<&str>) {
    let care = Care::Coverage { payer, from: from.parse().unwrap(), to: to.map(|to| to.parse().unwrap()) };
    tale.entry(0, care);
}

fn treated(tale: &mut Tale, day: i64) {
    tale.contact_with(day, ContactKind::Treatment, ContactOutcome::Attended);
}

fn caseload() -> Vec<Story> {
    vec![
        // A: day 70 on the last day of March; exactly half; contact and scale in March.
        patient(0xA, 15, |t| {
            t.phq9(15, 20).phq9(60, 10);
            treated(t, 60);
        }),
        // B: day 69; in remission on a score of March.
        patient(0xB, 16, |t| {
            t.phq9(16, 18).phq9(80, 4);
        }),
        // C: no score after the baseline.
        patient(0xC, 0, |t| {
            t.phq9(0, 16);
        }),
        // D: not improved; a review with a recommendation on day 40.
        patient(0xD, 0, |t| {
            t.phq9(0, 18).phq9(70, 17);
            t.review(40);
        }),
        // E: in remission, discharged on day 77: eleven weeks.
        patient(0xE, 0, |t| {
            t.phq9(0, 20).phq9(70, 4);
            treated(t, 70);
            t.entry(77, Care::Discharge { reason: DischargeReason::Graduated, note: None });
        }),
        // F: discharged in February.
        patient(0xF, 0, |t| {
            t.phq9(0, 20);
            t.entry(40, Care::Discharge { reason: DischargeReason::Withdrew, note: None });
        }),
        // G: new in March; a contact, no scale; the score before enrollment is no baseline of the export.
        patient(0x10, 60, |t| {
            t.phq9(50, 15);
            treated(t, 70);
        }),
        // H: Medicaid until 1 March; below 10 since February, not measured in March.
        patient(0x11, 0, |t| {
            t.phq9(0, 12).phq9(50, 9);
            covered(t, Payer::Medicaid, "2026-01-01", Some("2026-03-01"));
        }),
        // I: Medicaid from April; below the threshold at baseline: no credit for a low score.
        patient(0x12, 0, |t| {
            t.phq9(0, 8).phq9(80, 3);
            covered(t, Payer::Medicaid, "2026-04-01", None);
        }),
        // J: the only score since is prorated, and is left out; the review recommended nothing.
        patient(0x13, 0, |t| {
            t.phq9(0, 14);
            t.measurement(Instrument::Phq9, 75, Some(4)).quality = Quality::Prorated;
            t.entry(
                60,
                Care::CaseReview {
                    reviewer: "c".into(),
                    summary: None,
                    minutes: None,
                    recommendations: vec![],
                    session: None,
                },
            );
        }),
    ]
}

fn of(metrics: &[Metric], number: u8) -> (Option<usize>, Option<usize>, Option<f64>) {
    let metric = metrics.iter().find(|m| m.number == number).unwrap();
    assert_eq!(metric.numerator.unwrap_or(0), metric.numerator_episodes.len(), "{metric:?}");
    if metric.numerator.is_some() && metric.denominator.is_some() {
        let within = metric.numerator_episodes.iter().all(|id| metric.denominator_episodes.contains(id));
        assert!(within, "the numerator is part of the denominator: {metric:?}");
    }
    (metric.numerator, metric.denominator, metric.value)
}

#[test]
fn the_metrics_of_ten_patients_come_out_as_worked_by_hand() {
    assert_eq!(date(85).to_string(), "2026-03-31");
    let metrics = nys(&for_export(&caseload()), &RuleSet::default(), MARCH.parse().unwrap(), None, Some(0.1));
    assert_eq!(of(&metrics, 1), (Some(9), None, Some(9.0)), "everybody but F");
    assert_eq!(metrics[0].target, Some(7.5));
    assert_eq!(of(&metrics, 2), (Some(1), None, Some(1.0)), "H");
    assert_eq!(of(&metrics, 3), (Some(1), None, Some(1.0)), "G");
    assert_eq!(of(&metrics, 4), (None, Some(1), Some(11.0)), "E");
    assert_eq!(of(&metrics, 5), (Some(2), Some(9), Some(2.0 / 9.0)), "A and E");
    assert_eq!(of(&metrics, 6), (Some(3), Some(6), Some(0.5)), "A, E, H of A, C, D, E, H, J");
    assert_eq!(of(&metrics, 7), (Some(2), Some(9), Some(2.0 / 9.0)), "B and E");
    assert_eq!(of(&metrics, 8), (Some(1), Some(3), Some(1.0 / 3.0)), "D of C, D, J");
    assert_eq!(of(&metrics, 9), (Some(6), Some(6), Some(1.0)), "A, B, D, E, G, I");
    assert_eq!(of(&metrics, 10), (Some(0), Some(0), None), "nobody's first PHQ-9 was in March");
    assert_eq!(of(&metrics, 11).2, Some(0.1));
}

#[test]
fn a_payer_narrows_metrics_two_to_eight_and_not_the_first() {
    let payer = Some(Payer::Medicaid);
    let metrics = nys(&for_export(&caseload()), &RuleSet::default(), MARCH.parse().unwrap(), payer, None);
    assert_eq!(of(&metrics, 1).0, Some(9));
    assert_eq!(of(&metrics, 3).0, Some(0));
    assert_eq!(of(&metrics, 5), (Some(0), Some(1), Some(0.0)));
    assert_eq!(of(&metrics, 6), (Some(1), Some(1), Some(1.0)));
}

#[test]
fn a_month_is_written_with_four_and_two_digits() {
    for text in ["2026-3", "2026-13", "202603", "2026-03-01", ""] {
        assert!(text.parse::<cocm_registry::domain::metrics::Month>().is_err(), "{text}");
    }
}

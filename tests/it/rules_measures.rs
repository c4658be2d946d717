//! HEDIS DRR-E, CMS159, fidelity and the process measures, each on a small caseload worked by hand.

use cocm_registry::domain::care::{ContactKind, ContactOutcome};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::measurement::Quality;
use cocm_registry::domain::metrics::{
    CareManager, Metric, MetricsFilter, Month, aims_tallies, caseloads, cms159, differences, fidelity,
    fidelity_tallies, for_export, hedis_drr, nys_tallies,
};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::story::{Handover, Story};
use cocm_registry::id::PatientId;
use uuid::Uuid;

use crate::rules_story::{Tale, date, enrolled};

/// A patient who is in no episode, with an id of their own.
fn patient(n: u128, told: impl FnOnce(&mut Tale)) -> Story {
    let mut tale = Tale::of_a_patient();
    told(&mut tale);
    tale.story.patient.id = PatientId(Uuid::from_u128(n));
    tale.story
}

fn ids(of: &[Uuid]) -> Vec<u128> {
    of.iter().map(Uuid::as_u128).collect()
}

fn counted(metrics: &[Metric], name: &str) -> (Vec<u128>, Vec<u128>) {
    let metric = metrics.iter().find(|m| m.name == name).unwrap();
    (ids(&metric.numerator_episodes), ids(&metric.denominator_episodes))
}

#[test]
fn the_dates_of_these_caseloads_are_what_their_comments_say() {
    for (day, on) in [(-431, "2024-10-31"), (-365, "2025-01-05"), (-249, "2025-05-01"), (-66, "2025-10-31")] {
        assert_eq!(date(day).to_string(), on);
    }
    for (day, on) in [(55, "2026-03-01"), (85, "2026-03-31"), (115, "2026-04-30"), (299, "2026-10-31")] {
        assert_eq!(date(day).to_string(), on);
    }
}

#[test]
fn hedis_drr_comes_out_as_worked_by_hand() {
    let caseload = [
        patient(1, |t| {
            t.phq9(0, 10).phq9(120, 4);
        }), // the first day of the follow-up
        patient(2, |t| {
            t.phq9(0, 20).phq9(240, 10);
        }), // the last day; exactly half
        patient(3, |t| {
            t.phq9(0, 15).phq9(119, 3).phq9(241, 3);
        }), // a day early and a day late
        patient(4, |t| {
            t.phq9(0, 9).phq9(150, 2);
        }), // 9 is no index
        patient(5, |t| {
            t.phq9(0, 12).phq9(130, 4).phq9(200, 5);
        }), // the last score counts: 5 is a response
        patient(6, |t| {
            t.phq9(0, 12).phq9(150, 7);
        }), // neither
        patient(7, |t| {
            t.phq9(0, 16).phq9(150, 3);
            t.story.patient.deceased_on = Some("2026-12-31".parse().unwrap());
        }),
        patient(8, |t| {
            t.phq9(-250, 20).phq9(-100, 3);
        }), // 30 April: of the year before
        patient(9, |t| {
            t.phq9(-249, 18).phq9(-9, 9);
        }), // 1 May; 240 days later exactly half
        patient(10, |t| {
            t.phq9(115, 11).phq9(235, 4);
        }), // 30 April
        patient(11, |t| {
            t.phq9(116, 20).phq9(250, 4);
        }), // 1 May: of the year after
        patient(12, |t| {
            t.score(Instrument::Phq9Modified, 0, 14).score(Instrument::Phq9Modified, 200, 4);
        }),
        patient(13, |t| {
            t.measurement(Instrument::Phq9, 0, Some(20)).quality = Quality::Prorated; // left out
            t.phq9(20, 11).phq9(139, 11).phq9(260, 5);
        }),
    ];
    let metrics = hedis_drr(&for_export(&caseload), 2026);
    let index = vec![1, 2, 3, 5, 6, 9, 10, 12, 13];
    assert_eq!(counted(&metrics, "follow_up"), (vec![1, 2, 5, 6, 9, 10, 12, 13], index.clone()));
    assert_eq!(counted(&metrics, "remission"), (vec![1, 10, 12], index.clone()));
    assert_eq!(counted(&metrics, "response"), (vec![1, 2, 5, 9, 10, 12, 13], index));
    assert!(metrics.iter().all(|m| m.remark.as_ref().unwrap().contains("not known here")));
}

#[test]
fn cms159_comes_out_as_worked_by_hand() {
    let died = |t: &mut Tale, on: i64| t.story.patient.deceased_on = Some(date(on));
    let caseload = [
        patient(1, |t| {
            t.phq9(-365, 10).phq9(-60, 4);
        }), // 60 days before the anniversary
        patient(2, |t| {
            t.phq9(-365, 10).phq9(60, 4);
        }), // 60 days after it
        patient(3, |t| {
            t.phq9(-365, 10).phq9(-61, 4).phq9(61, 4);
        }), // outside
        patient(4, |t| {
            t.phq9(-365, 15).phq9(10, 5);
        }), // 5 is no remission
        patient(5, |t| {
            t.phq9(-365, 9).phq9(0, 2);
        }), // 9 is no index
        patient(6, |t| {
            t.phq9(-365, 15).phq9(-10, 4).phq9(50, 6);
        }), // the last score counts
        patient(7, |t| {
            t.phq9(-365, 15).phq9(0, 3);
            died(t, 60);
        }),
        patient(8, |t| {
            t.phq9(-365, 15).phq9(0, 3);
            died(t, 61);
        }),
        patient(9, |t| {
            t.phq9(-431, 15).phq9(-66, 3);
        }), // an index of the year before
        patient(10, |t| {
            t.phq9(-430, 12).phq9(-5, 4);
        }), // 1 November; 60 days after the year
        patient(11, |t| {
            t.phq9(-66, 12).phq9(239, 4);
        }), // 31 October; 60 days before the year
        patient(12, |t| {
            t.phq9(-65, 12).phq9(300, 4);
        }), // an index of the year after
        patient(13, |t| {
            t.score(Instrument::Phq9Modified, -365, 12).phq9(0, 4);
        }),
    ];
    let metrics = cms159(&for_export(&caseload), 2026);
    let expected = (vec![1, 2, 8, 10, 11, 13], vec![1, 2, 3, 4, 6, 8, 10, 11, 13]);
    assert_eq!(counted(&metrics, "remission_at_12_months"), expected);
}

const A: u128 = 0xA;
const B: u128 = 0xB;
const C: u128 = 0xC;
const D: u128 = 0xD;
const E: u128 = 0xE;
const F: u128 = 0xF;
const G: u128 = 0x10;

/// March 2026: days 55 to 85.
fn caseload() -> Vec<Story> {
    let mut all = vec![
        // Met twice, reviewed on Tuesday the 3rd, measured 30 days before the end, not improved.
        enrolled(A, 0, |t| {
            t.phq9(0, 18).phq9(55, 17).review(57).contact(60).contact(61);
        }),
        // Measured 31 days before the end, treatment changed 60 days before it; nothing happened in March.
        enrolled(B, 0, |t| {
            t.phq9(0, 20).change(25).phq9(54, 19);
        }),
        // In remission and in relapse prevention.
        enrolled(C, 0, |t| {
            t.phq9(0, 16).relapse_prevention(70).phq9(80, 4).contact(84);
        }),
        // In relapse prevention, measured 60 days before the end: that is on schedule. Nothing happened in March.
        enrolled(D, 0, |t| {
            t.phq9(0, 15).phq9(25, 7).relapse_prevention(30);
        }),
        // On hold; looked at in the weekly meetings of Sunday the 1st, a week of February, and Wednesday 1 April.
        enrolled(E, 0, |t| {
            t.phq9(0, 15).meeting(55).hold(80).meeting(86);
        }),
        // 69 days in treatment; did not come.
        enrolled(F, 16, |t| {
            t.phq9(16, 20).phq9(70, 20).no_show(75);
        }),
        // Discharged on day 77; reviewed 60 days before, changed 61 days before, measured 37 days before.
        enrolled(G, 0, |t| {
            t.phq9(0, 18).change(16).review(17).phq9(40, 18).discharge(77);
        }),
    ];
    for (n, care_manager) in [(0, "Kim"), (1, "Kim"), (2, "Lee")] {
        all[n].episodes[0].care_manager = Some(care_manager.to_owned());
    }
    all
}

fn march() -> Month {
    "2026-03".parse().unwrap()
}

#[test]
fn fidelity_comes_out_as_worked_by_hand() {
    let metrics = fidelity(&caseload(), &RuleSet::default(), march());
    let in_care = vec![A, B, C, D, F, G];
    assert_eq!(counted(&metrics, "caseload").0, in_care);
    assert_eq!(counted(&metrics, "treatment_contact_in_month"), (vec![A, C], in_care.clone()));
    assert_eq!(counted(&metrics, "scale_in_month"), (vec![A, C, F], in_care.clone()));
    assert_eq!(counted(&metrics, "measured_on_schedule"), (vec![A, C, D, F], in_care.clone()));
    assert_eq!(counted(&metrics, "not_improved_treatment_changed"), (vec![B], vec![A, B, G]));
    assert_eq!(counted(&metrics, "registry_kept"), (vec![A, C, F, G], in_care));
    let weeks = metrics.iter().find(|m| m.name == "weeks_with_a_case_review").unwrap();
    assert_eq!(
        (weeks.numerator, weeks.denominator),
        (Some(2), Some(5)),
        "of 2, 9, 16, 23, 30 March the first and last"
    );
}

#[test]
fn the_process_measures_come_out_as_worked_by_hand() {
    let metrics = aims_tallies(&caseload(), &RuleSet::default(), march(), &MetricsFilter::default()).metrics();
    let in_care = vec![A, B, C, D, F, G];
    assert_eq!(counted(&metrics, "caseload").0, in_care);
    let contacts = metrics.iter().find(|m| m.name == "contacts_per_patient").unwrap();
    assert_eq!((contacts.denominator, contacts.value), (Some(6), Some(0.5)), "three contacts, six patients");
    assert_eq!(counted(&metrics, "treatment_contact_in_month"), (vec![A, C], in_care.clone()));
    assert_eq!(counted(&metrics, "reviewed_in_month"), (vec![A], in_care));
    assert_eq!(counted(&metrics, "not_improved_reviewed"), (vec![A, G], vec![A, B, G]));
    assert_eq!(counted(&metrics, "not_improved_treatment_changed"), (vec![B], vec![A, B, G]));
}

#[test]
fn a_care_manager_sees_the_own_caseload_and_a_handover_counts_from_its_day() {
    let mut all = caseload();
    let rules = RuleSet::default();
    let kim = MetricsFilter::to(CareManager::Named("Kim".into()));
    let of = |all: &[Story], of: &MetricsFilter| {
        counted(&fidelity_tallies(all, &rules, march(), of).metrics(), "caseload").0
    };
    assert_eq!(of(&all, &kim), vec![A, B]);
    assert_eq!(of(&all, &MetricsFilter::to(CareManager::Nobody)), vec![D, F, G]);
    let shared = caseloads(&all, march());
    let sizes: Vec<usize> = shared.values().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 4], "Kim, Lee and nobody");
    let nys = nys_tallies(&for_export(&all), &rules, march(), &kim, Some(2.0)).metrics();
    assert_eq!(counted(&nys, "enrolled").0, vec![A, B]);
    assert_eq!((nys[0].target, nys[10].value), (None, None), "what is attested is attested for the clinic");
    // B is handed to Lee on the last day of March, C to Kim on the day after and to Ray later; D had nobody before April.
    for (n, day, from, to) in
        [(1, 85, Some("Kim"), "Lee"), (2, 86, Some("Lee"), "Kim"), (2, 90, Some("Kim"), "Ray"), (3, 86, None, "Kim")]
    {
        let episode = &mut all[n].episodes[0];
        episode.care_manager = Some(to.into());
        let handover = Handover { episode: episode.id, on: date(day), from: from.map(str::to_owned) };
        all[n].handovers.push(handover);
    }
    assert_eq!(of(&all, &kim), vec![A]);
    assert_eq!(of(&all, &MetricsFilter::to(CareManager::Named("Lee".into()))), vec![B, C]);
    assert_eq!(of(&all, &MetricsFilter::to(CareManager::Nobody)), vec![D, F, G]);
}

#[test]
fn an_attempt_is_no_contact() {
    let mut all = vec![enrolled(A, 0, |t| {
        t.phq9(0, 18);
    })];
    let told = |t: &mut Tale| {
        t.contact_with(60, ContactKind::Outreach, ContactOutcome::NotReached);
    };
    all.push(enrolled(B, 0, told));
    let metrics = fidelity(&all, &RuleSet::default(), march());
    assert_eq!(counted(&metrics, "treatment_contact_in_month").0, Vec::<u128>::new());
    assert_eq!(counted(&metrics, "registry_kept").0, vec![B], "but it was documented");
}

#[test]
fn who_is_seen_was_screened_by_a_phq_of_the_twelve_months_up_to_the_end_of_this_one() {
    let all = [
        patient(1, |t| {
            t.gad7(60, 12);
        }), // another scale is no screening
        patient(2, |t| {
            t.gad7(60, 3).phq9(-280, 12);
        }), // 31 March of the year before: a day too old
        patient(3, |t| {
            t.gad7(60, 3).score(Instrument::Phq2, -279, 1);
        }), // 1 April: not yet
        patient(4, |t| {
            t.gad7(85, 3).phq9(86, 15);
        }), // screened in April, for the first time
        patient(5, |t| {
            t.phq9(85, 10);
        }), // the first one: elevated
        patient(6, |t| {
            t.phq9(55, 9);
        }), // the first one: not elevated
        patient(7, |t| {
            t.phq9(54, 20).phq9(55, 20);
        }), // the second one
        patient(8, |t| {
            t.phq9(54, 20);
        }), // not seen in March
    ];
    let metrics = nys_tallies(&all, &RuleSet::default(), march(), &MetricsFilter::default(), None).metrics();
    assert_eq!(date(-280).to_string(), "2025-03-31");
    assert_eq!(counted(&metrics, "phq_screened"), (vec![3, 5, 6, 7], vec![1, 2, 3, 4, 5, 6, 7]));
    assert_eq!(counted(&metrics, "initial_phq9_elevated"), (vec![5], vec![5, 6]));
}

#[test]
fn a_mean_differs_also_where_the_same_patients_are_behind_it() {
    let of = |contacts: i64| {
        let told = enrolled(A, 0, |t| {
            for n in 0..contacts {
                t.contact(60 + n);
            }
        });
        aims_tallies(&[told], &RuleSet::default(), march(), &MetricsFilter::default()).metrics()
    };
    assert_eq!(differences(&of(2), &of(2)), []);
    let differs = differences(&of(2), &of(3));
    assert_eq!((differs.len(), differs[0].name.as_str()), (1, "contacts_per_patient"));
    assert_eq!((differs[0].reported.value, differs[0].now.value), (Some(2.0), Some(3.0)));
    assert_eq!(differs[0].ids().count(), 0);
}

//! Where a metric ends: the first and the last day that counts, one point more, one month later. Each worked by hand for
//! March 2026, days 55 to 85 of a story.

use cocm_registry::domain::care::{Care, ChangeKind, Payer, RecommendationDecision};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::metrics::{
    Metric, MetricsFilter, Month, MonthTallies, aims_tallies, differences, fidelity, for_export, hedis_drr, nys,
};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::story::Story;
use uuid::Uuid;

use crate::rules_story::{self, Tale, date};

fn enrolled(n: u128, on: i64, told: impl FnOnce(&mut Tale) -> &mut Tale) -> Story {
    rules_story::enrolled(n, on, |tale| {
        told(tale);
    })
}

fn march() -> Month {
    "2026-03".parse().unwrap()
}

fn nys_of(all: &[Story]) -> Vec<Metric> {
    nys(&for_export(all), &RuleSet::default(), march(), None, None)
}

fn fidelity_of(all: &[Story]) -> Vec<Metric> {
    fidelity(all, &RuleSet::default(), march())
}

fn aims_of(all: &[Story]) -> Vec<Metric> {
    aims_tallies(all, &RuleSet::default(), march(), &MetricsFilter::default()).metrics()
}

fn named<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|m| m.name == name).unwrap()
}

/// Who is in the numerator of a metric.
fn counted(metrics: &[Metric], name: &str) -> Vec<u128> {
    named(metrics, name).numerator_episodes.iter().map(Uuid::as_u128).collect()
}

/// Who is in its denominator.
fn among(metrics: &[Metric], name: &str) -> Vec<u128> {
    named(metrics, name).denominator_episodes.iter().map(Uuid::as_u128).collect()
}

#[test]
fn a_registry_is_kept_by_a_score_or_an_enrolment_or_an_entry_each_by_itself() {
    let all = [
        enrolled(1, 0, |t| t.phq9(55, 12)), // a score on the first day of the month, and nothing else
        enrolled(2, 85, |t| t),             // enrolled on its last day, and nothing else
        enrolled(3, 0, |t| t.no_show(85)),  // an entry on its last day, and nothing else
        enrolled(4, 0, |t| t.phq9(54, 12).no_show(54)), // all of it in February
    ];
    assert_eq!(counted(&fidelity_of(&all), "registry_kept"), [1, 2, 3]);
}

#[test]
fn a_scale_counts_when_it_is_the_episodes_own_and_scored_and_taken_in_treatment() {
    let all = [
        enrolled(1, 0, |t| t.gad7(60, 12)), // not a measure of this episode
        enrolled(2, 0, |t| {
            t.measurement(Instrument::Phq9, 60, None);
            t
        }), // too little was answered
        enrolled(3, 60, |t| t.phq9(59, 12)), // the day before enrollment
        enrolled(4, 60, |t| t.phq9(60, 12)), // the day of enrollment
        enrolled(5, 0, |t| t.phq9(70, 12).discharge(70)), // the day of discharge
        enrolled(6, 0, |t| t.phq9(71, 12).discharge(70)), // the day after it
        enrolled(7, 0, |t| t.phq9(54, 12)), // the last day of February
        enrolled(8, 0, |t| t.phq9(85, 0)),  // nothing at all is a score too
    ];
    assert_eq!(counted(&fidelity_of(&all), "scale_in_month"), [4, 5, 8]);
}

#[test]
fn an_episode_is_of_the_month_when_it_ended_on_its_first_day_and_not_the_day_before() {
    let all = [
        enrolled(1, 0, |t| t.discharge(54)),
        enrolled(2, 0, |t| t.discharge(55)),
        enrolled(3, 86, |t| t),               // enrolled in April
        enrolled(4, 70, |t| t.discharge(70)), // in and out on one day
        enrolled(5, 70, |t| t.discharge(69)), // ended before it began: a mistake of dates
    ];
    let metrics = nys_of(&all);
    assert_eq!(counted(&metrics, "enrolled"), [2, 4]);
    assert_eq!(counted(&metrics, "newly_enrolled"), [4]);
    assert_eq!(among(&metrics, "weeks_in_treatment"), [2, 4]);
}

#[test]
fn weeks_in_treatment_are_a_mean_to_one_decimal_and_nobodys_is_none() {
    let of = |lengths: &[i64]| {
        let left = |(n, days): (u128, &i64)| enrolled(n, 77 - days, |t| t.discharge(77));
        let all: Vec<Story> = (1..).zip(lengths).map(left).collect();
        let metrics = nys_of(&all);
        (named(&metrics, "weeks_in_treatment").denominator, named(&metrics, "weeks_in_treatment").value)
    };
    assert_eq!(of(&[77]), (Some(1), Some(11.0)));
    assert_eq!(of(&[75]), (Some(1), Some(10.7)), "75 days are 10.71 weeks");
    assert_eq!(of(&[75, 70, 10]), (Some(3), Some(7.4)), "155 days, 3 patients: 7.38 weeks");
    assert_eq!(of(&[]), (Some(0), None));
}

#[test]
fn an_export_takes_no_baseline_from_before_enrolment_and_the_worklist_does() {
    // 18 a week before enrollment, and no score since: for the worklist a provisional baseline, for the export none.
    let all = [enrolled(1, 0, |t| t.phq9(-7, 18))];
    assert!(among(&nys_of(&all), "improved_after_70_days").is_empty());
    assert_eq!(among(&aims_of(&all), "not_improved_reviewed"), [1]);
}

#[test]
fn an_export_keeps_the_clinics_own_thresholds() {
    let all = [enrolled(1, 0, |t| t.phq9(0, 11).phq9(60, 10))];
    let mut strict = RuleSet::default();
    strict.measures.get_mut(&Instrument::Phq9).unwrap().elevated_at = 12;
    let due = |rules: &RuleSet| among(&nys(&all, rules, march(), None, None), "improved_after_70_days");
    assert_eq!(due(&RuleSet::default()), [1]);
    assert!(due(&strict).is_empty(), "a baseline of 11 is not elevated where that begins at 12");
}

#[test]
fn improvement_is_expected_on_day_70_and_half_or_below_10_is_enough() {
    let all = [
        enrolled(1, 15, |t| t.phq9(15, 20).phq9(60, 11)), // day 70; one point above half
        enrolled(2, 15, |t| t.phq9(15, 20).phq9(60, 10)), // exactly half
        enrolled(3, 15, |t| t.phq9(15, 12).phq9(60, 9)),  // below 10, not by half
        enrolled(4, 15, |t| t.phq9(15, 12).phq9(60, 10)), // 10 is not below 10
        enrolled(5, 16, |t| t.phq9(16, 20).phq9(60, 11)), // day 69
        enrolled(6, 15, |t| t.phq9(15, 9).phq9(60, 9)),   // 9 is no elevated baseline
        enrolled(7, 15, |t| t.phq9(15, 10)),              // 10 is; no score since: not improved
        enrolled(8, 0, |t| t.phq9(0, 20).phq9(40, 8).phq9(86, 20)), // what comes in April is April's
        enrolled(9, 0, |t| t.phq9(0, 20).discharge(69)),  // 69 days, then discharged
        enrolled(10, 0, |t| t.phq9(0, 20).discharge(70)), // 70 days
    ];
    let metrics = nys_of(&all);
    assert_eq!(among(&metrics, "improved_after_70_days"), [1, 2, 3, 4, 7, 8, 10]);
    assert_eq!(counted(&metrics, "improved_after_70_days"), [2, 3, 8]);
    assert_eq!(among(&metrics, "not_improved_reviewed"), [1, 4, 7, 10]);
}

#[test]
fn remission_is_below_5_from_an_elevated_baseline_on_a_score_of_this_month() {
    let all = [
        enrolled(1, 0, |t| t.phq9(0, 10).phq9(55, 4)),
        enrolled(2, 0, |t| t.phq9(0, 10).phq9(55, 5)),
        enrolled(3, 0, |t| t.phq9(0, 9).phq9(55, 0)), // never elevated: no credit
        enrolled(4, 0, |t| t.phq9(0, 10).phq9(54, 4)), // on a score of February
        enrolled(5, 0, |t| t.phq9(0, 10).phq9(60, 4).phq9(80, 6)), // the last score of the month counts
        enrolled(6, 60, |t| t.phq9(60, 3)),           // a baseline is no outcome
    ];
    let metrics = nys_of(&all);
    assert_eq!(counted(&metrics, "remission"), [1]);
    assert_eq!(among(&metrics, "remission"), [1, 2, 3, 4, 5, 6], "of everybody enrolled in the month");
}

#[test]
fn a_review_of_the_last_60_days_counts_and_what_comes_after_discharge_does_not() {
    let all = [
        enrolled(1, 0, |t| t.phq9(0, 18).review(25)), // 60 days before the end of the month
        enrolled(2, 0, |t| t.phq9(0, 18).review(24)), // 61
        enrolled(3, 0, |t| t.phq9(0, 18).review(85)), // its last day
        enrolled(4, 0, |t| t.phq9(0, 18).review(86)), // April
        enrolled(5, 0, |t| t.phq9(0, 18).meeting(60)), // nothing was recommended
        enrolled(6, 0, |t| {
            let id = t.phq9(0, 18).recommendation(10, ChangeKind::Medication);
            t.discharge(77).decision(80, id, RecommendationDecision::Done)
        }), // reviewed 67 days before discharge; carried out after it
        enrolled(7, 0, |t| {
            let id = t.phq9(0, 18).recommendation(17, ChangeKind::Medication);
            t.decision(77, id, RecommendationDecision::Done).discharge(77)
        }), // 60 days before discharge; carried out on its day
    ];
    let metrics = aims_of(&all);
    assert_eq!(among(&metrics, "not_improved_reviewed"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(counted(&metrics, "not_improved_reviewed"), [1, 3, 7]);
    assert_eq!(counted(&metrics, "not_improved_treatment_changed"), [7]);
    assert_eq!(counted(&metrics, "reviewed_in_month"), [3]);
}

#[test]
fn a_measure_is_on_schedule_for_30_days_in_treatment_and_60_in_relapse_prevention() {
    let all = [
        enrolled(1, 0, |t| t.phq9(55, 12)),                       // 30 days before the last
        enrolled(2, 0, |t| t.phq9(54, 12)),                       // 31
        enrolled(3, 0, |t| t.relapse_prevention(20).phq9(25, 4)), // 60
        enrolled(4, 0, |t| t.relapse_prevention(20).phq9(24, 4)), // 61
        enrolled(5, 55, |t| t),                                   // never measured: the clock runs from enrollment
        enrolled(6, 54, |t| t),
        enrolled(7, 55, |t| t.phq9(50, 12)), // an older score does not set it back
    ];
    assert_eq!(counted(&fidelity_of(&all), "measured_on_schedule"), [1, 3, 5, 7]);
}

#[test]
fn a_week_belongs_to_the_month_of_its_tuesday_and_any_day_of_it_holds_it() {
    let held = |reviews: &[i64]| {
        let metrics = fidelity_of(&[enrolled(1, 0, |t| {
            for day in reviews {
                t.meeting(*day);
            }
            t
        })]);
        let weeks = named(&metrics, "weeks_with_a_case_review").clone();
        (weeks.numerator.unwrap(), weeks.denominator.unwrap(), weeks.value, weeks.target)
    };
    // The Tuesdays of March 2026 are the 3rd, 10th, 17th, 24th and 31st.
    assert_eq!(held(&[]), (0, 5, Some(0.0), Some(1.0)));
    assert_eq!(held(&[55]).0, 0, "Sunday 1 March is of the week of Tuesday 24 February");
    assert_eq!(held(&[56]).0, 1, "Monday the 2nd");
    assert_eq!(held(&[62]).0, 1, "Sunday the 8th");
    assert_eq!(held(&[56, 62]).0, 1, "the same week");
    assert_eq!(held(&[62, 63]).0, 2, "Sunday, and Monday of the next");
    assert_eq!(held(&[90]).0, 1, "Sunday 5 April is of the week of Tuesday 31 March");
    assert_eq!(held(&[91]).0, 0, "Monday 6 April is not");
    assert_eq!(held(&[60, 65, 72, 80, 85]), (5, 5, Some(1.0), Some(1.0)));
}

#[test]
fn a_payer_counts_who_was_covered_on_any_day_of_the_month() {
    let covered = |n, from: i64, to: Option<i64>, payer| {
        let care = Care::Coverage { payer, from: date(from), to: to.map(date) };
        enrolled(n, 0, |t| t.entry(0, care))
    };
    let all = [
        covered(1, 0, Some(54), Payer::Medicaid),  // to the last day of February
        covered(2, 0, Some(55), Payer::Medicaid),  // to 1 March
        covered(3, 85, None, Payer::Medicaid),     // from 31 March
        covered(4, 86, None, Payer::Medicaid),     // from 1 April
        covered(5, 0, None, Payer::Medicare),      // by somebody else
        covered(6, 60, Some(60), Payer::Medicaid), // for a day
    ];
    let metrics = nys(&all, &RuleSet::default(), march(), Some(Payer::Medicaid), Some(2.0));
    assert_eq!(counted(&metrics, "enrolled_with_payer"), [2, 3, 6]);
    assert_eq!(among(&metrics, "contact_and_scale"), [2, 3, 6]);
    assert_eq!(counted(&metrics, "enrolled").len(), 6, "all payers");
    assert_eq!(counted(&nys_of(&all), "medicaid_enrolled"), [2, 3, 6]);
}

#[test]
fn the_targets_are_the_programmes_and_what_has_to_be_known_stands_beside_them() {
    let all = [enrolled(1, 0, |t| t)];
    let month = |fte| nys(&all, &RuleSet::default(), march(), None, fte);
    let targets: Vec<Option<f64>> = month(Some(2.0)).iter().map(|m| m.target).collect();
    let (eighty, sixty, screened) = (Some(0.8), Some(0.6), Some(0.85));
    assert_eq!(
        targets,
        [
            Some(150.0), // 75 for each of two
            None,
            None,
            None,
            eighty,
            sixty,
            None,
            eighty,
            screened,
            None,
            None
        ]
    );
    assert_eq!(named(&month(Some(2.0)), "care_manager_fte").value, Some(2.0));
    assert_eq!(month(None)[0].target, None);
    assert!(month(None)[0].remark.as_ref().unwrap().contains("no FTE is attested"));
    let targets: Vec<Option<f64>> = fidelity_of(&all).iter().map(|m| m.target).collect();
    assert_eq!(targets, [None, eighty, eighty, eighty, None, Some(1.0), None]);
}

#[test]
fn only_a_contact_that_took_place_in_the_month_makes_somebody_seen() {
    let all = [
        enrolled(1, 0, |t| t.phq9(0, 12).contact(85)),
        enrolled(2, 0, |t| t.phq9(0, 12).contact(54)), // in February
        enrolled(3, 0, |t| t.phq9(0, 12).no_show(60)), // did not come
        enrolled(4, 0, |t| t.contact(55)),             // came, and was never screened
    ];
    let metrics = nys_of(&all);
    assert_eq!(among(&metrics, "phq_screened"), [1, 4]);
    assert_eq!(counted(&metrics, "phq_screened"), [1]);
    let rate = named(&metrics, "phq_screened");
    assert_eq!((rate.numerator, rate.denominator, rate.value), (Some(1), Some(2), Some(0.5)));
}

#[test]
fn a_second_episode_has_no_baseline_from_the_first_one() {
    // A score on the day of discharge belongs to the episode that ended; the day after, to none, and so may be the
    // provisional baseline of the next one.
    let again = |on: i64| {
        let mut tale = Tale::of_a_patient();
        tale.enroll(Some(-200), &[Instrument::Phq9]).discharge(-5).enroll(Some(0), &[Instrument::Phq9]).phq9(on, 18);
        among(&aims_of(&[tale.story]), "not_improved_reviewed").len()
    };
    assert_eq!((again(-5), again(-4)), (0, 1));
}

#[test]
fn a_patient_who_died_after_the_year_of_hedis_stays_in_it() {
    let died = |on: &str| {
        let mut tale = Tale::of_a_patient();
        tale.phq9(0, 16).phq9(150, 3);
        tale.story.patient.deceased_on = Some(on.parse().unwrap());
        hedis_drr(&[tale.story], 2026)[0].denominator
    };
    assert_eq!([died("2026-12-31"), died("2027-01-01")], [Some(0), Some(1)]);
}

#[test]
fn a_month_counted_in_parts_comes_to_what_it_comes_to_at_once() {
    let covered = Care::Coverage { payer: Payer::Medicaid, from: date(0), to: None };
    let mut all = vec![
        enrolled(1, 0, |t| t.phq9(0, 18).phq9(60, 8).contact(60).meeting(57).entry(0, covered.clone())),
        enrolled(2, 0, |t| t.phq9(0, 18).phq9(70, 17).meeting(70).discharge(77)),
        enrolled(3, 57, |t| t.phq9(57, 12).contact(58).contact(59).entry(0, covered)),
    ];
    all[0].episodes[0].care_manager = Some("Kim".into());
    all[2].episodes[0].care_manager = Some("Kim".into());
    let rules = RuleSet::default();
    let mut tallies = MonthTallies::new(&rules, march(), Some(0.02));
    for one in &all {
        tallies.count(std::slice::from_ref(one));
    }
    let month = tallies.figures();
    let clinic = &month.clinic;
    assert_eq!(counted(&clinic.nys, "enrolled"), [1, 2, 3]);
    assert_eq!(named(&clinic.nys, "enrolled").target, Some(1.5));
    assert_eq!(named(&clinic.nys, "weeks_in_treatment").value, Some(11.0));
    assert_eq!(counted(&clinic.nys, "contact_and_scale"), [1, 3]);
    assert_eq!(counted(&clinic.nys_by_payer[&Payer::Medicaid], "enrolled_with_payer"), [1, 3]);
    assert_eq!(counted(&clinic.nys_by_payer[&Payer::Medicaid], "newly_enrolled"), [3]);
    assert_eq!(counted(&clinic.nys_by_payer[&Payer::Medicare], "enrolled_with_payer"), [0_u128; 0]);
    assert_eq!(named(&clinic.fidelity, "weeks_with_a_case_review").numerator, Some(2), "the weeks of the 3rd and 17th");
    assert_eq!(named(&clinic.aims, "contacts_per_patient").value, Some(1.0), "three contacts, three patients");
    let by_care_manager = month.by_care_manager.unwrap();
    let of =
        |n: usize| (by_care_manager[n].care_manager.as_deref(), counted(&by_care_manager[n].figures.nys, "enrolled"));
    assert_eq!([of(0), of(1)], [(Some("Kim"), vec![1, 3]), (None, vec![2])]);
    assert_eq!(named(&by_care_manager[0].figures.aims, "contacts_per_patient").value, Some(1.5));
    assert_eq!(counted(&by_care_manager[0].figures.nys_by_payer[&Payer::Medicaid], "enrolled_with_payer"), [1, 3]);
    assert_eq!(named(&by_care_manager[0].figures.nys, "enrolled").target, None, "no target of their own");
}

#[test]
fn a_difference_names_who_entered_and_who_left() {
    // Reported: 1 and 2 new in March, 1 of them treated. Now: 2 was enrolled in February, 3 in March; 2 and 3 treated.
    let reported = [enrolled(1, 60, |t| t.phq9(60, 9).contact(60)), enrolled(2, 60, |t| t.phq9(60, 9))];
    let now = [enrolled(2, 54, |t| t.phq9(60, 9).contact(61)), enrolled(3, 60, |t| t.phq9(60, 9).contact(61))];
    let all = differences(&nys_of(&reported), &nys_of(&now));
    let of = |name: &str| all.iter().find(|d| d.name == name);
    let ids = |ids: &[Uuid]| ids.iter().map(Uuid::as_u128).collect::<Vec<_>>();
    let new = of("newly_enrolled").unwrap();
    assert_eq!((new.reported.numerator, new.now.numerator), (Some(2), Some(1)));
    assert_eq!((ids(&new.numerator_entered), ids(&new.numerator_left)), (vec![3], vec![1, 2]));
    assert_eq!((new.denominator_entered.len(), new.denominator_left.len()), (0, 0));
    let treated = of("contact_and_scale").unwrap();
    assert_eq!((treated.number, treated.reported.value, treated.now.value), (5, Some(0.5), Some(1.0)));
    assert_eq!((ids(&treated.numerator_entered), ids(&treated.numerator_left)), (vec![2, 3], vec![1]));
    assert_eq!((ids(&treated.denominator_entered), ids(&treated.denominator_left)), (vec![3], vec![1]));
    assert_eq!(treated.ids().map(|id| id.as_u128()).collect::<Vec<_>>(), [2, 3, 1, 3, 1]);
    assert!(of("medicaid_enrolled").is_none() && of("weeks_in_treatment").is_none(), "what is the same is not named");
}

#[test]
fn a_figure_differs_by_its_value_or_by_its_counts_and_not_by_its_last_bit() {
    let weeks = fidelity_of(&[]).into_iter().find(|m| m.name == "weeks_with_a_case_review").unwrap();
    let of = |numerator, denominator, value| Metric { numerator, denominator, value, ..weeks.clone() };
    let differs = |reported: &Metric, now: &Metric| {
        !differences(std::slice::from_ref(reported), std::slice::from_ref(now)).is_empty()
    };
    let third = of(Some(1), Some(3), Some(1.0 / 3.0));
    assert!(!differs(&third, &of(Some(1), Some(3), Some(1.0 - 2.0 / 3.0))), "the last bit");
    assert!(differs(&third, &of(Some(1), Some(3), Some(0.3334))));
    assert!(differs(&of(Some(1), Some(4), Some(0.25)), &of(Some(2), Some(8), Some(0.25))), "of more weeks");
    // What is attested has no counts at all.
    let attested = |value| of(None, None, value);
    assert!(!differs(&attested(None), &attested(None)));
    assert!(differs(&attested(None), &attested(Some(1.0))) && differs(&attested(Some(1.0)), &attested(None)));
    // A metric that one of the two does not have is not compared with another.
    let other = Metric { number: weeks.number + 1, ..third.clone() };
    assert!(differences(&[third], &[other]).is_empty());
}

#[test]
fn a_month_begins_and_ends_with_its_own_days() {
    let march = march();
    for (on, within) in [("2026-02-28", false), ("2026-03-01", true), ("2026-03-31", true), ("2026-04-01", false)] {
        assert_eq!(march.contains(on.parse().unwrap()), within, "{on}");
    }
    for (on, month, days) in
        [("2024-02-29", "2024-02", 29), ("2025-12-31", "2025-12", 31), ("2026-01-01", "2026-01", 31)]
    {
        let month_of = Month::of(on.parse().unwrap());
        assert_eq!(
            (month_of.to_string().as_str(), month_of.first.iter_days().take_while(|d| *d <= month_of.last).count()),
            (month, days)
        );
        assert_eq!(month_of, month.parse().unwrap());
    }
    assert_eq!("2026-01".parse::<Month>().unwrap().before(), "2025-12".parse().unwrap());
}

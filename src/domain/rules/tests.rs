use super::*;
use rstest::rstest;

#[test]
fn the_default_rule_set_reads_and_has_no_fault() {
    assert_eq!(RuleSet::default().faults(), Vec::<String>::new());
    assert_eq!(RuleSet::default().label(), "default/1");
}

#[test]
fn exactly_half_is_a_response_and_one_point_more_is_not() {
    let half = ResponseRule::Half(Half::Half);
    assert!(half.reached(20, 10));
    assert!(!half.reached(20, 11));
    assert!(half.reached(15, 7));
    assert!(!half.reached(15, 8));
    assert!(ResponseRule::Points(12).reached(40, 28));
    assert!(!ResponseRule::Points(12).reached(40, 29));
}

type SetThreshold = fn(&mut RuleSet, u16);

#[test]
fn a_threshold_that_makes_no_sense_is_refused_with_one_sentence() {
    // The last value that may be activated, and the first that may not.
    let limits: [(&str, SetThreshold, u16, u16); 23] = [
        ("safety due the day after tomorrow", |r, n| r.safety.due_days = n, 1, 2),
        ("the same level again after a month", |r, n| r.safety.repeat_days = n, 30, 31),
        ("a routine assessment after a month", |r, n| r.safety.routine_due_days = n, 30, 31),
        ("an escalation after two weeks", |r, n| r.safety.escalation.last_mut().unwrap().days_past_due = n, 14, 15),
        ("week 4 with week 6", |r, n| r.checkpoints.early_watch_day = n, 41, 42),
        ("week 6 before week 4", |r, n| r.checkpoints.inadequate_response_day = n, 29, 28),
        ("week 6 with week 8", |r, n| r.checkpoints.inadequate_response_day = n, 55, 56),
        ("week 8 with week 12", |r, n| r.checkpoints.nonresponse_day = n, 83, 84),
        ("week 12 with week 20", |r, n| r.checkpoints.persistent_nonresponse_day = n, 139, 140),
        ("amber with red", |r, n| r.cadence.contact_amber_days = n, 59, 60),
        ("red after inactivity", |r, n| r.cadence.contact_red_days = n, 90, 91),
        ("years", |r, n| r.candidates.look_back_days = n, 1000, 1001),
        ("no score is ever stale", |r, n| r.checkpoints.stale_after_days = n, 1, 0),
        ("a plateau of one score", |r, n| r.trajectory.plateau_scores = n, 2, 1),
        ("more than all contacts", |r, n| r.cadence.engagement_percent = n, 100, 101),
        ("a treatment of no session", |r, n| r.brief_treatment.sessions = n, 1, 0),
        ("a treatment of many sessions", |r, n| r.brief_treatment.sessions = n, 50, 51),
        ("a threshold above the scale", |r, n| phq9(r).elevated_at = n, 27, 28),
        ("remission above elevation", |r, n| phq9(r).remission_below = n, 10, 11),
        ("no difference that matters", |r, n| phq9(r).important_difference = n, 1, 0),
        ("a difference above the scale", |r, n| phq9(r).important_difference = n, 27, 28),
        ("a response of no point", |r, n| phq9(r).response = ResponseRule::Points(n), 1, 0),
        ("a response above the scale", |r, n| phq9(r).response = ResponseRule::Points(n), 27, 28),
    ];
    for (what, set, good, bad) in limits {
        let faults = |n| {
            let mut rules = RuleSet::default();
            set(&mut rules, n);
            rules.faults()
        };
        assert_eq!(faults(good), Vec::<String>::new(), "{what}");
        assert_eq!(faults(bad).len(), 1, "{what}: {:?}", faults(bad));
    }
}

fn phq9(rules: &mut RuleSet) -> &mut InstrumentRules {
    rules.measures.get_mut(&Instrument::Phq9).unwrap()
}

#[test]
fn an_instrument_without_numbers_has_the_built_in_ones() {
    let mut rules = RuleSet::default();
    rules.measures.clear();
    assert_eq!(rules.measure(Instrument::Gad7).important_difference, 4);
}

#[rstest]
#[case::without_steps(&[], "must reach somebody besides the care manager")]
#[case::that_reminds_only_the_care_manager(&[(1, Owner::CareManager, Priority::Stat)], "besides the care manager")]
#[case::that_begins_before_the_due_date_has_passed(&[(0, Owner::PrimaryCareProvider, Priority::Stat)], "must begin")]
#[case::that_begins_late(&[(3, Owner::PrimaryCareProvider, Priority::Stat)], "must begin")]
#[case::that_goes_on_for_weeks(
    &[(1, Owner::PrimaryCareProvider, Priority::Stat), (15, Owner::PsychiatricConsultant, Priority::Stat)],
    "up to 14"
)]
#[case::out_of_order(
    &[(2, Owner::PrimaryCareProvider, Priority::Stat), (1, Owner::PsychiatricConsultant, Priority::Stat)],
    "in order"
)]
#[case::that_is_routine(&[(1, Owner::PrimaryCareProvider, Priority::Routine)], "never routine")]
#[case::that_names_one_twice(
    &[(1, Owner::PrimaryCareProvider, Priority::Urgent), (2, Owner::PrimaryCareProvider, Priority::Stat)],
    "each recipient once"
)]
fn an_escalation_that_would_switch_safety_off_is_refused(
    #[case] chain: &[(u16, Owner, Priority)],
    #[case] fault: &str,
) {
    let mut rules = RuleSet::default();
    let step = |(days_past_due, to, priority)| EscalationStep { days_past_due, to, priority };
    rules.safety.escalation = chain.iter().copied().map(step).collect();
    let faults = rules.faults();
    assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
}

#[test]
fn a_rule_set_stored_by_an_earlier_release_has_the_built_in_rest() {
    let mut stored = serde_json::to_value(RuleSet::default()).unwrap();
    stored["safety"].as_object_mut().unwrap().remove("escalation");
    for section in ["brief_treatment", "candidates", "recommendations"] {
        stored.as_object_mut().unwrap().remove(section);
    }
    assert_eq!(serde_json::from_value::<RuleSet>(stored).unwrap(), RuleSet::default());
}

//! What holds for the metrics of every caseload.

use std::collections::{BTreeSet, HashMap};

use chrono::Datelike;
use cocm_registry::domain::care::{Care, Payer};
use cocm_registry::domain::metrics::{
    Metric, MetricsFilter, Month, MonthFigures, MonthTallies, aims_tallies, caseloads, cms159, differences, fidelity,
    fidelity_tallies, for_export, hedis_drr, nys, nys_tallies,
};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::story::{Handover, Story};
use cocm_registry::id::{EpisodeId, PatientId};
use proptest::prelude::*;
use uuid::Uuid;

use crate::rules_properties::story;
use crate::rules_story::Tale;

/// Some patients whose ids differ, each with a payer or none and a care manager or none.
fn caseload() -> impl Strategy<Value = Vec<Story>> {
    let payer = prop::option::weighted(0.7, (prop::sample::select(Payer::ALL), -20..100_i64, 0..120_i64));
    prop::collection::vec((story(), payer, 0..3_usize), 1..7).prop_map(|told| {
        told.into_iter()
            .enumerate()
            .map(|(n, (mut story, payer, who))| {
                let renumbered = |id: Uuid| Uuid::from_u128(id.as_u128() | (u128::try_from(n).unwrap() + 1) << 64);
                if let Some((payer, from, days)) = payer {
                    let mut tale = Tale::of_a_patient();
                    let (from, to) = (crate::rules_story::date(from), crate::rules_story::date(from + days));
                    tale.entry(0, Care::Coverage { payer, from, to: Some(to) });
                    tale.story.entries[0].id = Uuid::from_u128(u128::MAX);
                    story.entries.extend(tale.story.entries);
                }
                story.patient.id = PatientId(renumbered(Uuid::nil()));
                for episode in &mut story.episodes {
                    episode.id = EpisodeId(renumbered(episode.id.0));
                    episode.care_manager = [None, Some("Kim"), Some("Lee")][who].map(str::to_owned);
                    if let Some((_, day, _)) = payer {
                        let on = crate::rules_story::date(day);
                        story.handovers.push(Handover { episode: episode.id, on, from: Some("Ray".into()) });
                    }
                }
                for entry in &mut story.entries {
                    entry.episode = entry.episode.map(|id| EpisodeId(renumbered(id.0)));
                }
                story
            })
            .collect()
    })
}

/// The months that these stories happen in.
fn months() -> Vec<Month> {
    let (from, to): (Month, Month) = ("2025-11".parse().unwrap(), "2026-09".parse().unwrap());
    from.through(to).collect()
}

fn set(ids: &[Uuid]) -> BTreeSet<Uuid> {
    ids.iter().copied().collect()
}

fn of(metrics: &[Metric], number: u8) -> &Metric {
    metrics.iter().find(|m| m.number == number).unwrap()
}

/// Counts people; its lists name episodes.
const OF_PEOPLE: &str = "enrolled";

fn is_sound(metric: &Metric, people: &HashMap<Uuid, PatientId>) -> Result<(), TestCaseError> {
    let (numerator, denominator) = (set(&metric.numerator_episodes), set(&metric.denominator_episodes));
    prop_assert_eq!(numerator.len(), metric.numerator_episodes.len(), "twice: {:?}", metric);
    prop_assert_eq!(denominator.len(), metric.denominator_episodes.len(), "twice: {:?}", metric);
    if let (Some(n), Some(d)) = (metric.numerator, metric.denominator) {
        prop_assert!(numerator.is_subset(&denominator), "{:?}", metric);
        prop_assert!(n <= d, "{:?}", metric);
        prop_assert_eq!(metric.value.is_none(), d == 0);
        prop_assert!(metric.value.is_none_or(|value| (0.0..=1.0).contains(&value)));
    }
    if metric.name == OF_PEOPLE {
        let enrolled: BTreeSet<PatientId> = numerator.iter().map(|episode| people[episode]).collect();
        prop_assert_eq!(metric.numerator, Some(enrolled.len()));
    } else if metric.name != "weeks_with_a_case_review" {
        prop_assert_eq!(metric.numerator.unwrap_or(numerator.len()), numerator.len());
        prop_assert_eq!(metric.denominator.unwrap_or(denominator.len()), denominator.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_numerator_is_part_of_its_denominator_and_nobody_counts_twice(stories in caseload()) {
        let (rules, exported) = (RuleSet::default(), for_export(&stories));
        let mut all = Vec::new();
        for month in months() {
            all.extend(nys(&exported, &rules, month, None, Some(1.0)));
            for payer in Payer::ALL {
                all.extend(nys(&exported, &rules, month, Some(*payer), None));
            }
            all.extend(fidelity(&stories, &rules, month));
            all.extend(aims_tallies(&stories, &rules, month, &MetricsFilter::default()).metrics());
        }
        for year in 2025..=2028 {
            all.extend(hedis_drr(&exported, year));
            all.extend(cms159(&exported, year));
        }
        let episodes = stories.iter().flat_map(|s| s.episodes.iter().map(|e| (e.id.0, s.patient.id)));
        let people = episodes.collect();
        for metric in &all {
            is_sound(metric, &people)?;
        }
    }

    #[test]
    fn who_is_enrolled_next_month_is_who_was_and_did_not_leave_and_who_is_new(stories in caseload()) {
        let (rules, exported) = (RuleSet::default(), for_export(&stories));
        let all: Vec<Vec<Metric>> = months().iter().map(|m| nys(&exported, &rules, *m, None, None)).collect();
        for two in all.windows(2) {
            let enrolled = set(&of(&two[0], 1).numerator_episodes);
            let left = set(&of(&two[0], 4).denominator_episodes);
            let new = set(&of(&two[1], 3).numerator_episodes);
            prop_assert!(left.is_subset(&enrolled));
            prop_assert!(new.is_disjoint(&enrolled));
            let expected: BTreeSet<Uuid> = enrolled.difference(&left).chain(&new).copied().collect();
            prop_assert_eq!(set(&of(&two[1], 1).numerator_episodes), expected);
        }
    }

    #[test]
    fn the_enrolments_and_discharges_of_the_months_are_those_of_the_year(stories in caseload()) {
        let (rules, exported) = (RuleSet::default(), for_export(&stories));
        let (from, to): (Month, Month) = ("2026-01".parse().unwrap(), "2026-12".parse().unwrap());
        let (mut enrolled, mut discharged) = (0, 0);
        for month in from.through(to) {
            let metrics = nys(&exported, &rules, month, None, None);
            enrolled += of(&metrics, 3).numerator.unwrap();
            discharged += of(&metrics, 4).denominator.unwrap();
        }
        let courses: Vec<_> = stories
            .iter()
            .flat_map(|s| s.courses("2026-12-31".parse().unwrap()))
            .filter(|c| c.start().is_some_and(|start| c.end.is_none_or(|end| end.on >= start)))
            .collect();
        let in_2026 = |on: chrono::NaiveDate| on.year() == 2026;
        prop_assert_eq!(enrolled, courses.iter().filter(|c| c.start().is_some_and(in_2026)).count());
        prop_assert_eq!(discharged, courses.iter().filter(|c| c.end.is_some_and(|end| in_2026(end.on))).count());
    }

    #[test]
    fn the_care_managers_share_the_clinic_among_them(stories in caseload()) {
        let (rules, exported) = (RuleSet::default(), for_export(&stories));
        for month in months() {
            let clinic = nys(&exported, &rules, month, None, None);
            let fidelity = fidelity(&stories, &rules, month);
            let aims = aims_tallies(&stories, &rules, month, &MetricsFilter::default()).metrics();
            let mut parts: Vec<[Vec<Metric>; 3]> = Vec::new();
            let mut kept = MonthTallies::new(&rules, month, None);
            kept.count(&stories);
            let mut kept = kept.figures().by_care_manager.unwrap().into_iter();
            for (care_manager, patients) in caseloads(&stories, month) {
                let of = MetricsFilter::to(care_manager.clone());
                let fidelity = fidelity_tallies(&stories, &rules, month, &of).metrics();
                let aims = aims_tallies(&stories, &rules, month, &of).metrics();
                let nys = nys_tallies(&exported, &rules, month, &of, None).metrics();
                prop_assert_eq!(&nys, &nys_tallies(&for_export(&patients), &rules, month, &of, None).metrics());
                let kept = kept.next().unwrap();
                prop_assert_eq!(kept.care_manager, Option::<String>::from(care_manager));
                prop_assert_eq!(
                    [&kept.figures.nys, &kept.figures.fidelity, &kept.figures.aims],
                    [&nys, &fidelity, &aims],
                    "from the own patients or from everybody's"
                );
                parts.push([nys, fidelity, aims]);
            }
            let adds_up = |whole: &Metric, parts: Vec<&Metric>| {
                let sum = |ids: fn(&Metric) -> &Vec<Uuid>| {
                    let mut all: Vec<Uuid> = parts.iter().flat_map(|p| ids(p).clone()).collect();
                    all.sort_unstable();
                    all
                };
                let sorted = |ids: &[Uuid]| {
                    let mut all = ids.to_vec();
                    all.sort_unstable();
                    all
                };
                prop_assert_eq!(sum(|m| &m.numerator_episodes), sorted(&whole.numerator_episodes), "{:?}", whole);
                prop_assert_eq!(sum(|m| &m.denominator_episodes), sorted(&whole.denominator_episodes), "{:?}", whole);
                Ok(())
            };
            // 9 and 10 are by patient, who may be in no episode.
            for number in 1..=8 {
                adds_up(of(&clinic, number), parts.iter().map(|[nys, _, _]| of(nys, number)).collect())?;
            }
            // Weeks are not shared: one review holds the week for everybody.
            for number in [1, 2, 3, 4, 5, 7] {
                adds_up(of(&fidelity, number), parts.iter().map(|[_, f, _]| of(f, number)).collect())?;
            }
            for number in 1..=6 {
                adds_up(of(&aims, number), parts.iter().map(|[_, _, a]| of(a, number)).collect())?;
            }
        }
    }

    #[test]
    fn payers_narrow_and_who_has_one_payer_counts_for_one(stories in caseload()) {
        let (rules, exported) = (RuleSet::default(), for_export(&stories));
        for month in months() {
            let whole = nys(&exported, &rules, month, None, None);
            let by_payer: Vec<Vec<Metric>> =
                Payer::ALL.iter().map(|p| nys(&exported, &rules, month, Some(*p), None)).collect();
            for number in 3..=8 {
                let whole = of(&whole, number);
                let mut seen = BTreeSet::new();
                for part in by_payer.iter().map(|metrics| of(metrics, number)) {
                    prop_assert!(set(&part.numerator_episodes).is_subset(&set(&whole.numerator_episodes)));
                    prop_assert!(set(&part.denominator_episodes).is_subset(&set(&whole.denominator_episodes)));
                    let ids: Vec<Uuid> = part.denominator_episodes.iter().chain(&part.numerator_episodes).copied().collect();
                    prop_assert!(set(&ids).iter().all(|id| seen.insert(*id)), "each of these has one payer at the most");
                }
            }
            let medicaid = Payer::ALL.iter().position(|p| *p == Payer::Medicaid).unwrap();
            prop_assert_eq!(&of(&whole, 2).numerator_episodes, &of(&by_payer[medicaid], 2).numerator_episodes);
        }
    }

    #[test]
    fn counting_page_by_page_is_counting_at_once_and_nothing_differs_from_itself(stories in caseload(), at in 0..7_usize) {
        let rules = RuleSet::default();
        let month: Month = "2026-03".parse().unwrap();
        let (one, other) = stories.split_at(at.min(stories.len()));
        let mut paged = MonthTallies::new(&rules, month, Some(0.5));
        paged.count(one);
        paged.count(other);
        let all = paged.figures();
        let figures = &all.clinic;
        prop_assert_eq!(&figures.nys, &nys(&for_export(&stories), &rules, month, None, Some(0.5)));
        prop_assert_eq!(&figures.fidelity, &fidelity(&stories, &rules, month));
        let kept = serde_json::to_string(&all).unwrap();
        let read: MonthFigures = serde_json::from_str(&kept).unwrap();
        let mut older: serde_json::Value = serde_json::from_str(&kept).unwrap();
        older.as_object_mut().unwrap().remove("by_care_manager");
        prop_assert!(serde_json::from_value::<MonthFigures>(older).unwrap().by_care_manager.is_none());
        let (whole, read) = (read.by_care_manager.clone(), read.clinic);
        prop_assert_eq!(whole.map(|all| all.len()), all.by_care_manager.as_ref().map(Vec::len));
        for (a, b) in [(&figures.nys, &read.nys), (&figures.fidelity, &read.fidelity), (&figures.aims, &read.aims)] {
            prop_assert!(differences(a, b).is_empty());
        }
    }
}

//! How long the planner takes to plan everybody anew, in memory, on one core: `cargo bench`.
//!
//! 10,000 patients, 20 weeks in treatment, 8–12 scores in two instruments, contacts, reviews, some safety answers.
//! Plain clocks: a number to compare with yesterday's, not a laboratory.
#![expect(clippy::cast_precision_loss, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cocm_registry::domain::chart_plan::{plan, plan_without_outlook};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::score::{Answers, score};
use cocm_registry::domain::story::Story;

#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/rules_story.rs"]
mod rules_story;

use rules_story::{Tale, date};

const PATIENTS: u64 = 10_000;

/// A small generator of numbers that look random and are the same on every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn small(&mut self, bound: u64) -> u16 {
        u16::try_from(self.below(bound)).unwrap_or(0)
    }

    fn day(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap_or(0)
    }
}

fn patient(seed: u64) -> Story {
    let mut n = Numbers(seed);
    let mut tale = Tale::enrolled(&[Instrument::Phq9, Instrument::Gad7]);
    let scores = 8 + n.day(5);
    let (mut phq9, mut gad7) = (12 + n.small(12), 8 + n.small(10));
    for i in 0..scores {
        let day = i * 140 / scores + n.day(5);
        if i % 2 == 0 || i == 1 {
            tale.phq9(day, phq9).last_measurement().item9 = Some(u8::from(n.below(12) == 0));
            phq9 = (phq9 + n.small(4)).saturating_sub(n.small(7)).min(27);
        }
        if i % 2 == 1 || i == 0 {
            tale.gad7(day, gad7);
            gad7 = (gad7 + n.small(4)).saturating_sub(n.small(6)).min(21);
        }
    }
    for i in 0..10 {
        let day = i * 14 + n.day(6);
        let _ = if n.below(6) == 0 { tale.no_show(day) } else { tale.contact(day) };
    }
    for i in 0..n.day(4) {
        tale.review(30 + i * 35 + n.day(10));
    }
    if n.below(3) == 0 {
        tale.change(45 + n.day(60));
    }
    if n.below(2) == 0 {
        tale.assessed(60 + n.day(60));
    }
    tale.story
}

fn timed(what: &str, count: u64, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    report(what, count, started.elapsed());
}

fn report(what: &str, count: u64, took: Duration) {
    let (seconds, each) = (took.as_secs_f64(), took.as_secs_f64() * 1e6 / count as f64);
    println!("{what:<44} {count:>9} in {seconds:>7.3} s  {each:>8.2} µs each  {:>10.0}/s", count as f64 / seconds);
}

fn main() {
    let rules = RuleSet::default();
    let stories: Vec<Story> = (0..PATIENTS).map(patient).collect();
    let mut said = 0;
    timed("plans with reevaluate_on", PATIENTS, || {
        for story in &stories {
            let plan = black_box(plan(story, &rules, date(140)));
            said += plan.standings[0].findings.len() + plan.desired.len();
        }
    });
    println!("{said} findings, Tasks and Flags in all");
    timed("plans without reevaluate_on", PATIENTS, || {
        for story in &stories {
            black_box(plan_without_outlook(story, &rules, date(140)));
        }
    });

    let forms: Vec<Answers> = (0..1_000)
        .map(|seed| {
            let mut n = Numbers(seed);
            let items = (0..9).map(|_| (n.below(40) > 0).then(|| u8::try_from(n.below(4)).unwrap_or(0))).collect();
            Answers { items, ..Answers::default() }
        })
        .collect();
    timed("forms scored", 1_000_000, || {
        for _ in 0..1_000 {
            for form in &forms {
                black_box(score(Instrument::Phq9, form));
            }
        }
    });
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", peak.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("peak RSS: unknown here"));
}

//! Filter and order of the caseload: all of it in the URL, so that it can be bookmarked and shared.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::attention::QueuePlace;
use crate::domain::episode::Phase;
use crate::domain::finding::{Rule, Rules};
use crate::pages::words;
use crate::store::standing::caseload::{self, CaseloadCount, CaseloadGroup, CaseloadOrder, MOST_RULES};

/// The address's words. What is unknown narrows nothing, and is shown as narrowing nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CaseloadChoice {
    /// Parts of a name, or a record number.
    pub q: String,
    /// Only episodes of this care manager.
    pub care_manager: String,
    pub status: String,
    /// With this finding, or one of the groups of [`CaseloadChoice::chips`].
    pub finding: String,
    pub sort: String,
    page: String,
    /// The chart from which one comes had somebody open who is not known here.
    launched: String,
}

/// A filter at one click, with how many it would leave.
pub struct FilterChip {
    pub words: &'static str,
    pub tone: words::Tone,
    pub count: usize,
    pub link: String,
    pub chosen: bool,
}

/// An option of a list.
pub struct SelectOption {
    pub value: String,
    pub words: String,
    pub chosen: bool,
}

/// A column, and what a click on it sorts by.
pub struct ColumnHeading {
    pub words: &'static str,
    pub class: &'static str,
    pub link: Option<String>,
    pub sorted: Option<&'static str>,
}

const ALL: CaseloadGroup = CaseloadGroup { open_safety: false, at_target: false, queued: false, any_of: None };

const fn speaking(rules: &'static [Rule]) -> CaseloadGroup {
    assert!(rules.len() <= MOST_RULES);
    CaseloadGroup { any_of: Some(rules), ..ALL }
}

/// The groups: (value, words, tone, who is in it).
const GROUPS: [(&str, &str, words::Tone, CaseloadGroup); 7] = [
    ("", "All", words::Tone::Plain, ALL),
    ("open_safety", "Safety", words::Tone::Danger, CaseloadGroup { open_safety: true, ..ALL }),
    ("not_improving", "Not improving", words::Tone::Bad, speaking(words::NOT_IMPROVING)),
    ("for_review", "For the review", words::Tone::Watch, CaseloadGroup { queued: true, ..ALL }),
    ("contact_overdue", "Contact overdue", words::Tone::Watch, speaking(&[Rule::ContactOverdue])),
    (
        "measure_due",
        "Score needed",
        words::Tone::Watch,
        speaking(&[Rule::MeasureStale, Rule::MeasureOverdue, Rule::Unmeasured]),
    ),
    ("at_target", "At target", words::Tone::Good, CaseloadGroup { at_target: true, ..ALL }),
];

/// Columns: (words, class, what it sorts by, which way).
const COLUMNS: [(&str, &str, &str, &str); 11] = [
    ("Patient", "person", "name", "ascending"),
    ("Born", "born", "", ""),
    ("Wk", "num", "week", "descending"),
    ("PHQ-9", "score", "phq9", "descending"),
    ("GAD-7", "score", "gad7", "descending"),
    ("Item 9", "item9", "", ""),
    ("Contact", "dates", "contact", "ascending"),
    ("Review", "dates", "review", "ascending"),
    ("Due", "due", "", ""),
    ("Why", "why", "attention", "ascending"),
    ("Care manager", "by", "", ""),
];

impl CaseloadChoice {
    /// Why one is here and not on the page of the patient whom the chart had open.
    pub fn remark(&self) -> Option<&'static str> {
        let is_unknown = self.launched == "unknown";
        is_unknown
            .then_some("The patient whom the chart has open is not known in this registry, or not in your clinic.")
    }

    /// Ended episodes are shown only if asked for.
    pub fn wants_discharged(&self) -> bool {
        self.status == Phase::Discharged.as_str()
    }

    pub fn page(&self) -> usize {
        self.page.parse::<usize>().unwrap_or(1).clamp(1, 10_000) - 1
    }

    /// The group or the rule that was asked for.
    fn kind(&self) -> CaseloadGroup {
        let group = GROUPS.iter().find(|(value, ..)| *value == self.finding).map(|(.., kind)| *kind);
        let rule = || Rule::ALL.iter().find(|rule| rule.as_str() == self.finding);
        group.or_else(|| Some(speaking(std::slice::from_ref(rule()?)))).unwrap_or(ALL)
    }

    fn phase(&self) -> Option<Phase> {
        self.status.parse().ok()
    }

    /// The filter for the store.
    pub fn asked(&self) -> caseload::CaseloadFilter<'_> {
        caseload::CaseloadFilter {
            discharged: self.wants_discharged(),
            care_manager: Some(self.care_manager.as_str()).filter(|manager| !manager.is_empty()),
            status: self.phase().map(Phase::as_str),
            name: Some(self.q.trim()).filter(|name| !name.is_empty()),
            kind: self.kind(),
        }
    }

    /// Sort order; R15's by default.
    pub fn order(&self) -> CaseloadOrder {
        match self.sort.as_str() {
            "name" => CaseloadOrder::Name,
            "week" => CaseloadOrder::Enrolled,
            "phq9" => CaseloadOrder::Depression,
            "gad7" => CaseloadOrder::Gad7,
            "contact" => CaseloadOrder::NextContact,
            "review" => CaseloadOrder::LastReview,
            _ => CaseloadOrder::Attention,
        }
    }

    /// How many of this kind the other filters leave.
    fn count(&self, tallies: &[CaseloadCount], kind: CaseloadGroup) -> usize {
        let asked = caseload::CaseloadFilter { kind, ..self.asked() };
        tallies.iter().filter(|tally| asked.admits(tally)).map(|tally| tally.named).sum()
    }

    /// How many are found.
    pub fn found(&self, tallies: &[CaseloadCount]) -> usize {
        self.count(tallies, self.kind())
    }

    /// The address of the same rows with one word changed.
    fn with(&self, name: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("/caseload?"), "/caseload?".len());
        for (known, kept) in [
            ("q", &self.q),
            ("care_manager", &self.care_manager),
            ("status", &self.status),
            ("finding", &self.finding),
            ("sort", &self.sort),
        ] {
            let value = if known == name { value } else { kept.as_str() };
            if !value.is_empty() {
                query.append_pair(known, value);
            }
        }
        if name == "page" && value != "1" {
            query.append_pair(name, value);
        }
        query.finish()
    }

    pub fn at_page(&self, page: usize) -> String {
        self.with("page", &(page + 1).to_string())
    }

    pub fn chips(&self, tallies: &[CaseloadCount]) -> Vec<FilterChip> {
        let chosen = self.kind();
        let chip = |(value, words, tone, kind): &(&str, &'static str, words::Tone, CaseloadGroup)| FilterChip {
            words,
            tone: *tone,
            count: self.count(tallies, *kind),
            link: self.with("finding", value),
            chosen: *kind == chosen,
        };
        GROUPS.iter().map(chip).collect()
    }

    /// A care manager's own caseload, and everybody's, at one click each.
    pub fn of_manager(&self, own: &str, tallies: &[CaseloadCount]) -> [FilterChip; 2] {
        [("My caseload", own), ("Everybody’s", "")].map(|(words, manager)| {
            let narrowed = Self { care_manager: manager.to_owned(), finding: String::new(), ..self.clone() };
            FilterChip {
                words,
                tone: words::Tone::Plain,
                count: narrowed.found(tallies),
                link: self.with("care_manager", manager),
                chosen: self.care_manager == manager,
            }
        })
    }

    pub fn managers(&self, tallies: &[CaseloadCount]) -> Vec<SelectOption> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tally in tallies {
            if let Some(manager) = &tally.care_manager {
                *counts.entry(manager).or_default() += tally.episodes;
            }
        }
        if !self.care_manager.is_empty() {
            counts.entry(&self.care_manager).or_default();
        }
        let named = |(name, count): (&str, usize)| SelectOption {
            value: name.to_owned(),
            words: format!("{name} ({count})"),
            chosen: name == self.care_manager,
        };
        counts.into_iter().map(named).collect()
    }

    pub fn statuses(&self) -> Vec<SelectOption> {
        let named = |phase: &Phase| SelectOption {
            value: phase.to_string(),
            words: words::phase(*phase).to_owned(),
            chosen: self.status == phase.as_str(),
        };
        Phase::ALL.iter().map(named).collect()
    }

    /// The groups, then every rule that speaks somewhere.
    pub fn findings(&self, tallies: &[CaseloadCount]) -> Vec<SelectOption> {
        let group = |(value, words, ..): &(&str, &str, words::Tone, CaseloadGroup)| SelectOption {
            value: (*value).to_owned(),
            words: (*words).to_owned(),
            chosen: self.finding == *value,
        };
        let groups = GROUPS.iter().filter(|(value, ..)| !value.is_empty() && value.parse::<Rule>().is_err()).map(group);
        let spoken = tallies.iter().fold(Rules::default(), |spoken, tally| spoken | tally.findings);
        let rules = Rule::ALL.iter().filter(|rule| spoken.has(**rule)).map(|rule| SelectOption {
            value: rule.to_string(),
            words: words::rule(*rule).0.to_owned(),
            chosen: self.finding == rule.as_str(),
        });
        groups.chain(rules).collect()
    }

    pub fn headings(&self) -> Vec<ColumnHeading> {
        let sort = if self.sort.is_empty() { "attention" } else { &self.sort };
        let heading = |(words, class, by, way): &(&'static str, &'static str, &str, &'static str)| ColumnHeading {
            words,
            class,
            link: (!by.is_empty()).then(|| self.with("sort", if *by == "attention" { "" } else { by })),
            sorted: (*by == sort && !by.is_empty()).then_some(*way),
        };
        COLUMNS.iter().map(heading).collect()
    }

    /// The query of these rows, on every page: an export is what is shown.
    pub fn for_export(&self) -> String {
        self.with("page", "1").trim_start_matches("/caseload").trim_end_matches('?').to_owned()
    }

    /// In words, for print.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        if let Some((_, group, ..)) = GROUPS.iter().find(|(value, ..)| !value.is_empty() && *value == self.finding) {
            words.push((*group).to_owned());
        } else if let Ok(rule) = self.finding.parse::<Rule>() {
            words.push(words::rule(rule).0.to_owned());
        }
        if let Ok(phase) = self.status.parse::<Phase>() {
            words.push(words::phase(phase).to_owned());
        }
        if !self.care_manager.is_empty() {
            words.push(self.care_manager.clone());
        }
        if !self.q.is_empty() {
            words.push(format!("search “{}”", self.q));
        }
        words.join(" · ")
    }
}

/// Name of a place in the queue.
pub fn place(attention: i16) -> Option<&'static str> {
    QueuePlace::of_rank(attention).map(|place| match place {
        QueuePlace::OpenSafety => "safety",
        QueuePlace::WorseningOrRelapse => "worsening or relapse",
        QueuePlace::Flagged => "flagged for discussion",
        QueuePlace::NonresponseWithoutReview => "nonresponse, not reviewed",
        QueuePlace::InadequateResponse => "inadequate response",
        QueuePlace::NewWithoutReview => "new, not reviewed",
        QueuePlace::UnmeasuredOrRed => "unmeasured or out of contact",
        QueuePlace::Plateau => "plateau",
        QueuePlace::ReviewOverdue => "review overdue",
        QueuePlace::ReadyToStepDown => "ready to step down",
    })
}

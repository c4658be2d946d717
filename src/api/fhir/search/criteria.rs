//! Criteria of a search.

use chrono_tz::Tz;

use super::cursor::SearchCursor;
use super::dates;
use crate::fhir::arrival::ResourceType;
use crate::fhir::query::listed;
use crate::problem::Problem;
use crate::store::resource::ChangeWindow;

/// Entries on a page, unless `_count` says otherwise.
const PAGE: usize = 50;
/// Entries on a page, at most.
const LONGEST_PAGE: usize = 1000;
/// Values in one list, at most.
const LONGEST_LIST: usize = 500;

/// Order of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchOrder {
    /// Our own moment of change.
    Changed,
    /// The form's own date.
    Authored,
}

/// Criteria of a search. All lists must match; within a list, one value must match.
#[derive(Clone, Debug)]
pub struct Criteria {
    pub kind: ResourceType,
    pub ids: Vec<Vec<String>>,
    pub identifiers: Vec<Vec<String>>,
    /// Names of patients, as they are stored: `Patient/1`.
    pub patients: Vec<Vec<String>>,
    pub questionnaires: Vec<Vec<String>>,
    pub statuses: Vec<Vec<String>>,
    pub authored: Vec<ChangeWindow>,
    pub changed: ChangeWindow,
    pub order: SearchOrder,
    pub descending: bool,
    pub count: usize,
    pub only_total: bool,
    pub after: Option<SearchCursor>,
    /// Parameters that are not known here.
    pub ignored: Vec<String>,
    /// Parameters that were understood, for the `self` link.
    pub understood: Vec<(String, String)>,
}

impl Criteria {
    /// Reads the parameters of a search.
    ///
    /// # Errors
    /// Names the parameter whose value cannot be understood. A parameter that is not known at all is only noted.
    pub fn read(kind: ResourceType, asked: Vec<(String, String)>, zone: Tz) -> Result<Self, Problem> {
        let mut criteria = Self {
            kind,
            ids: Vec::new(),
            identifiers: Vec::new(),
            patients: Vec::new(),
            questionnaires: Vec::new(),
            statuses: Vec::new(),
            authored: Vec::new(),
            changed: ChangeWindow::always(),
            order: SearchOrder::Changed,
            descending: false,
            count: PAGE,
            only_total: false,
            after: None,
            ignored: Vec::new(),
            understood: Vec::new(),
        };
        for (name, value) in asked {
            // FHIR: an empty value asks for nothing.
            if value.is_empty() {
                continue;
            }
            if value.contains('\0') {
                return Err(Problem::malformed("text cannot contain U+0000"));
            }
            if criteria.take(&name, &value, zone)? {
                if name != "_cursor" {
                    criteria.understood.push((name, value));
                }
            } else if !criteria.ignored.contains(&shown(&name)) {
                criteria.ignored.push(shown(&name));
            }
        }
        Ok(criteria)
    }

    /// Takes one parameter; `false` if it is not known.
    fn take(&mut self, name: &str, value: &str, zone: Tz) -> Result<bool, Problem> {
        let is_form = self.kind == ResourceType::QuestionnaireResponse;
        let bad = |why: &str| Problem::malformed(why).at(name.split(':').next().unwrap_or_default().to_owned());
        match name {
            "_id" => self.ids.push(list(value)?),
            "identifier" => self.identifiers.push(list(value)?),
            "patient" | "subject" | "subject:Patient" | "patient:Patient" if self.kind != ResourceType::Patient => {
                self.patients.push(list(value)?.iter().map(|name| patient(name)).collect());
            }
            "patient.identifier"
            | "subject.identifier"
            | "subject:Patient.identifier"
            | "patient:identifier"
            | "subject:identifier"
                if self.kind != ResourceType::Patient =>
            {
                let tokens = list(value)?;
                if tokens.iter().any(|token| !token.contains('|')) {
                    return Err(bad("must be `system|value`"));
                }
                self.patients.push(tokens);
            }
            "questionnaire" if is_form => self.questionnaires.push(list(value)?),
            "status" if is_form => self.statuses.push(list(value)?),
            "_lastUpdated" | "authored" if is_form || name == "_lastUpdated" => {
                let why = "must be a date, with eq, ge, gt, le or lt in front or nothing";
                let asked = dates::asked(value, zone).ok_or_else(|| bad(why))?;
                if name == "authored" {
                    self.authored.push(asked);
                } else {
                    self.changed.since = self.changed.since.max(asked.since);
                    self.changed.until = self.changed.until.min(asked.until);
                }
            }
            "_count" => {
                let count = value.parse().map_err(|_| bad("must be a number"))?;
                // `_count=0` asks for the total alone.
                self.only_total |= count == 0;
                self.count = usize::min(count, LONGEST_PAGE).max(1);
            }
            "_sort" => {
                let (field, descending) = value.strip_prefix('-').map_or((value, false), |field| (field, true));
                self.order = match field {
                    "_lastUpdated" => SearchOrder::Changed,
                    "authored" if is_form => SearchOrder::Authored,
                    _ => return Err(bad("must be _lastUpdated or, for forms, authored; with - in front to descend")),
                };
                self.descending = descending;
            }
            "_summary" => match value {
                "count" => self.only_total = true,
                "false" => {}
                _ => return Err(bad("must be count or false")),
            },
            "_cursor" => self.after = Some(SearchCursor::read(value).ok_or_else(|| bad("not a page of this search"))?),
            "_format" | "_pretty" => {}
            _ => {
                let plain = name.split([':', '.']).next().unwrap_or_default();
                let known = ["_id", "identifier", "_lastUpdated"].contains(&plain)
                    || (is_form && ["questionnaire", "status", "authored"].contains(&plain))
                    || (self.kind != ResourceType::Patient && ["patient", "subject"].contains(&plain));
                if known && name.contains(':') {
                    return Err(bad("this modifier is not supported"));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the resources' bodies have to be looked at.
    pub fn looks_inside(&self) -> bool {
        !self.questionnaires.is_empty() || !self.statuses.is_empty() || !self.authored.is_empty()
    }

    /// Whether it asks for something that narrows the answer to a few.
    pub fn is_narrow(&self) -> bool {
        !self.ids.is_empty() || !self.identifiers.is_empty() || !self.patients.is_empty()
    }
}

fn list(value: &str) -> Result<Vec<String>, Problem> {
    let list = listed(value);
    if list.len() > LONGEST_LIST {
        return Err(Problem::malformed(format!("a list may have {LONGEST_LIST} values here")));
    }
    Ok(list)
}

/// A patient's name as it is stored. Whatever stands in front of an absolute one is not looked at, as in the forms.
fn patient(name: &str) -> String {
    if name.starts_with("urn:") {
        return name.to_owned();
    }
    let path = name.split_once("/_history").map_or(name, |(path, _)| path);
    format!("Patient/{}", path.rsplit('/').next().unwrap_or_default())
}

/// A parameter's name, if it looks like one: it could be anything.
fn shown(name: &str) -> String {
    let is_plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.-".contains(&b));
    if is_plain { name.to_owned() } else { "(a parameter that is no name)".to_owned() }
}

//! The lists of a care plan as rows of fields: `goals.2.text` is the text of the third row.

use serde_json::{Map, Value};

use super::intervention;
use crate::domain::care::{Intervention, SharedCarePlan};
use crate::domain::instrument::Instrument;
use crate::pages::api_client::ApiRefusal;
use crate::pages::form::{Choices, Form, FormField};
use crate::pages::session::Visitor;

/// Empty rows beneath what is there.
const SPARE: usize = 2;
/// More rows than the API takes of any list.
const MOST: usize = 60;

/// Input of a column.
#[derive(Clone, Copy, Debug)]
pub enum ColumnKind {
    Text,
    Date,
    Number,
    Instrument,
    Intervention,
}

/// A list of the plan: its name in the API, its title, its columns (name, label, what it takes), and how many of them a
/// row needs.
pub struct PlanList {
    pub name: &'static str,
    pub title: &'static str,
    columns: &'static [(&'static str, &'static str, ColumnKind)],
    needs: usize,
}

pub const LISTS: [PlanList; 6] = [
    PlanList {
        name: "problems",
        title: "Problems",
        columns: &[("text", "What is treated", ColumnKind::Text)],
        needs: 1,
    },
    PlanList {
        name: "goals",
        title: "The patient’s goals",
        columns: &[
            ("text", "In the patient’s words", ColumnKind::Text),
            ("by", "By", ColumnKind::Date),
            ("reached_on", "Reached on", ColumnKind::Date),
        ],
        needs: 1,
    },
    PlanList {
        name: "targets",
        title: "Targets",
        columns: &[
            ("instrument", "Measure", ColumnKind::Instrument),
            ("at_most", "At most", ColumnKind::Number),
            ("by", "By", ColumnKind::Date),
        ],
        needs: 2,
    },
    PlanList {
        name: "interventions",
        title: "Interventions",
        columns: &[
            ("intervention", "What is done", ColumnKind::Intervention),
            ("detail", "How, how often", ColumnKind::Text),
            ("who", "By whom", ColumnKind::Text),
        ],
        needs: 1,
    },
    PlanList {
        name: "medication",
        title: "Medication",
        columns: &[
            ("name", "What is taken", ColumnKind::Text),
            ("dose", "Dose", ColumnKind::Text),
            ("note", "Note", ColumnKind::Text),
        ],
        needs: 1,
    },
    PlanList {
        name: "responsibilities",
        title: "Who does what",
        columns: &[("who", "Who", ColumnKind::Text), ("what", "What", ColumnKind::Text)],
        needs: 2,
    },
];

impl PlanList {
    /// Prefix of a row's field names.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand out references")]
    pub fn row(&self, number: &usize) -> String {
        format!("{}.{number}.", self.name)
    }

    /// The numbers of its rows in a form.
    pub fn rows(&self, form: &Form) -> Vec<usize> {
        (0..MOST).take_while(|n| self.fields(form, *n).next().is_some()).collect()
    }

    fn fields<'f>(&self, form: &'f Form, row: usize) -> impl Iterator<Item = &'f FormField> + use<'f> {
        let begins = self.row(&row);
        form.fields.iter().filter(move |field| field.name.starts_with(&begins))
    }

    /// The rows in which something was typed: what is sent, in order.
    fn typed(&self, form: &Form) -> Vec<usize> {
        let typed = |row: &usize| self.fields(form, *row).any(|field| !field.value().trim().is_empty());
        self.rows(form).into_iter().filter(typed).collect()
    }
}

/// Number of rows per list in a form.
pub fn sent(fields: &[(String, String)]) -> [usize; LISTS.len()] {
    LISTS.map(|list| {
        let rows = fields.iter().filter_map(|(name, _)| {
            let (number, _) = name.strip_prefix(list.name)?.strip_prefix('.')?.split_once('.')?;
            number.parse::<usize>().ok().filter(|n| *n < MOST).map(|n| n + 1)
        });
        rows.max().unwrap_or(0)
    })
}

/// The fields: what the plan says, and some empty rows.
pub fn fields(plan: &SharedCarePlan, at_least: [usize; LISTS.len()]) -> Vec<FormField> {
    // The stored form is the API's form.
    let plan = serde_json::to_value(plan).unwrap_or_default();
    let mut fields = Vec::new();
    for (list, at_least) in LISTS.iter().zip(at_least) {
        let there = plan[list.name].as_array().map_or(&[][..], Vec::as_slice);
        for n in 0..(there.len() + SPARE).max(at_least) {
            for (name, label, column) in list.columns {
                let said = there.get(n).map(|row| if row.is_string() { row } else { &row[name] });
                let said = said.map(|said| said.as_str().map_or_else(|| number(said), str::to_owned));
                fields.push(field(format!("{}.{n}.{name}", list.name), label, *column, said.unwrap_or_default()));
            }
        }
    }
    fields.push(FormField::area("note", "Note").with(plan["note"].as_str().unwrap_or_default()));
    fields
}

fn number(said: &Value) -> String {
    said.as_u64().map(|number| number.to_string()).unwrap_or_default()
}

fn field(name: String, label: &'static str, column: ColumnKind, said: String) -> FormField {
    let instruments = || -> Choices {
        Instrument::ALL.iter().map(|one| (one.id().into(), one.definition().title.to_owned())).collect()
    };
    let known = || Intervention::ALL.iter().map(|known| known.words().to_owned()).collect();
    match column {
        ColumnKind::Text => FormField::text(name, label).with(said),
        ColumnKind::Date => FormField::date(name, label, None).with(said),
        ColumnKind::Number => FormField::number(name, label).with(said),
        ColumnKind::Instrument => FormField::one(name, label, instruments()).with(said),
        ColumnKind::Intervention => FormField::text(name, label).with(intervention(&said)).suggest(known()),
    }
}

/// The plan as the API takes it; `None` where a row lacks what it needs.
pub fn body(form: &mut Form) -> Option<Map<String, Value>> {
    for list in &LISTS {
        for row in list.typed(form) {
            for (name, ..) in &list.columns[..list.needs] {
                let name = format!("{}{name}", list.row(&row));
                let found = form.fields.iter_mut().find(|field| field.name == name);
                if let Some(field) = found.filter(|field| field.value().trim().is_empty()) {
                    field.problem = Some("this is needed in this row".to_owned());
                }
            }
        }
    }
    let mut typed = form.json()?;
    let mut body = Map::new();
    for list in &LISTS {
        let mut rows = Vec::new();
        for row in list.typed(form) {
            let columns = list.columns.iter();
            let mut said: Map<String, Value> = columns
                .filter_map(|(name, ..)| {
                    Some(((*name).to_owned(), typed.remove(&format!("{}{name}", list.row(&row)))?))
                })
                .collect();
            rows.push(if list.columns.len() == 1 { said.remove("text").unwrap_or_default() } else { said.into() });
        }
        body.insert(list.name.to_owned(), rows.into());
    }
    body.extend(typed.remove_entry("note"));
    Some(body)
}

/// `goals[1].by` is the second row in which something was typed.
pub fn blame(form: &mut Form, mut refused: ApiRefusal, visitor: &Visitor) {
    let at = refused.expression.as_deref().and_then(|at| {
        let (name, rest) = at.split_once('[')?;
        let (n, column) = rest.split_once(']')?;
        let list = LISTS.iter().find(|list| list.name == name)?;
        let row = *list.typed(form).get(n.parse::<usize>().ok()?)?;
        let column = column.trim_start_matches('.');
        Some(format!("{}{}", list.row(&row), if column.is_empty() { "text" } else { column }))
    });
    if at.is_some() {
        refused.expression = at;
    }
    form.blame(refused, visitor);
}

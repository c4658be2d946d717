//! Forms as data: shown by one template, sent to the API as JSON, and shown again with what was typed when the API
//! refuses something, its words beside the field.

use std::borrow::Cow;

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use super::api_client::ApiRefusal;
use super::session::Visitor;

/// Options of a field: (value, label).
pub type Choices = Vec<(Cow<'static, str>, String)>;

/// Kind of input of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Area,
    Date,
    Number,
    One(Choices),
    Some(Choices),
    Yes,
}

#[derive(Clone, Debug)]
pub struct FormField {
    /// The API's name of it; `goals.2.text` is the text of the third goal.
    pub name: Cow<'static, str>,
    pub label: &'static str,
    pub kind: FieldKind,
    pub values: Vec<String>,
    pub hint: Option<&'static str>,
    /// Suggestions for the input.
    pub suggestions: Vec<String>,
    pub required: bool,
    /// Last error.
    pub problem: Option<String>,
}

impl FormField {
    fn new(name: impl Into<Cow<'static, str>>, label: &'static str, kind: FieldKind) -> Self {
        Self {
            name: name.into(),
            label,
            kind,
            values: Vec::new(),
            hint: None,
            suggestions: Vec::new(),
            required: false,
            problem: None,
        }
    }

    pub fn text(name: impl Into<Cow<'static, str>>, label: &'static str) -> Self {
        Self::new(name, label, FieldKind::Text)
    }

    pub fn area(name: impl Into<Cow<'static, str>>, label: &'static str) -> Self {
        Self::new(name, label, FieldKind::Area)
    }

    pub fn number(name: impl Into<Cow<'static, str>>, label: &'static str) -> Self {
        Self::new(name, label, FieldKind::Number)
    }

    pub fn date(name: impl Into<Cow<'static, str>>, label: &'static str, on: Option<NaiveDate>) -> Self {
        Self { values: on.iter().map(NaiveDate::to_string).collect(), ..Self::new(name, label, FieldKind::Date) }
    }

    pub fn yes(name: &'static str, label: &'static str, checked: bool) -> Self {
        Self {
            values: if checked { vec!["yes".to_owned()] } else { Vec::new() },
            ..Self::new(name, label, FieldKind::Yes)
        }
    }

    /// One of these. A required one without a value has to be chosen: what a person did not say is not recorded for them.
    pub fn one(name: impl Into<Cow<'static, str>>, label: &'static str, options: Choices) -> Self {
        Self::new(name, label, FieldKind::One(options))
    }

    pub fn some(name: &'static str, label: &'static str, options: Choices) -> Self {
        Self::new(name, label, FieldKind::Some(options))
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    pub fn suggest(mut self, known: Vec<String>) -> Self {
        self.suggestions = known;
        self
    }

    pub fn with(mut self, value: impl Into<String>) -> Self {
        self.values = vec![value.into()];
        self
    }

    pub fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    pub fn holds(&self, value: &str) -> bool {
        self.values.iter().any(|v| v == value)
    }

    /// Its value as the API reads it; `None` where it was left empty.
    fn json(&self) -> Result<Option<Value>, &'static str> {
        let value = self.value().trim();
        Ok(match &self.kind {
            FieldKind::Yes => Some(json!(!self.values.is_empty())),
            FieldKind::Some(_) if self.values.is_empty() && self.required => return Err("choose at least one"),
            FieldKind::Some(_) => Some(json!(self.values)),
            _ if value.is_empty() && self.required => return Err("this is needed"),
            _ if value.is_empty() => None,
            FieldKind::Number => Some(json!(value.parse::<u32>().map_err(|_| "a whole number, please")?)),
            _ => Some(json!(value)),
        })
    }
}

/// Some fields, as HTML.
#[derive(Template)]
#[template(path = "fields.html")]
pub struct FieldGroup<'a> {
    id: &'a str,
    fields: Vec<&'a FormField>,
}

// Templates escape what they are made of.
impl HtmlSafe for FieldGroup<'_> {}
impl HtmlSafe for Form {}

#[derive(Clone, Debug, Template)]
#[template(path = "form.html")]
pub struct Form {
    /// Names it within its page.
    pub id: String,
    pub action: String,
    /// Label of the button.
    pub submit: &'static str,
    pub csrf: String,
    /// Sent twice, it counts once.
    pub once: String,
    pub fields: Vec<FormField>,
    /// Error of the whole form.
    pub problem: Option<String>,
    /// Hidden fields: (name, value).
    pub hidden: Vec<(&'static str, String)>,
}

impl Form {
    pub fn new(
        visitor: &Visitor,
        id: impl Into<String>,
        action: String,
        submit: &'static str,
        fields: Vec<FormField>,
    ) -> Self {
        Self {
            id: id.into(),
            action,
            submit,
            csrf: visitor.session.csrf.clone(),
            once: visitor.pages.app.clock.id().to_string(),
            fields,
            problem: None,
            hidden: Vec::new(),
        }
    }

    /// Takes over what was typed.
    pub fn fill(&mut self, sent: &[(String, String)]) {
        for field in &mut self.fields {
            field.values = sent
                .iter()
                .filter(|(name, _)| *name == field.name)
                .map(|(_, value)| value.replace("\r\n", "\n"))
                .collect();
        }
        if let Some((_, once)) = sent.iter().find(|(name, once)| name == "once" && (8..=64).contains(&once.len())) {
            self.once.clone_from(once);
        }
    }

    /// Body for the API; `None` if a field has an error.
    pub fn json(&mut self) -> Option<Map<String, Value>> {
        let mut body = Map::new();
        for field in &mut self.fields {
            match field.json() {
                Ok(Some(value)) => {
                    body.insert(field.name.to_string(), value);
                }
                Ok(None) => {}
                Err(problem) => field.problem = Some(problem.to_owned()),
            }
        }
        let wrong = self.fields.iter().filter(|field| field.problem.is_some()).count();
        if wrong > 0 {
            self.problem = Some("Nothing was stored yet: please look at the fields that are marked.".to_owned());
            return None;
        }
        Some(body)
    }

    /// Puts the API's words where they belong. Another try is another request.
    pub fn blame(&mut self, refused: ApiRefusal, visitor: &Visitor) {
        self.once = visitor.pages.app.clock.id().to_string();
        let at = refused.expression.as_deref().unwrap_or_default();
        let last = at.rsplit(['.', ']']).next().unwrap_or_default();
        let found = self.fields.iter().position(|field| field.name == at);
        match found.or_else(|| self.fields.iter().position(|field| field.name == last)) {
            Some(n) => {
                let field = &mut self.fields[n];
                field.problem = Some(refused.detail);
                self.problem = Some("Nothing was stored yet: please look at the field that is marked.".to_owned());
            }
            None => self.problem = Some(format!("Nothing was stored: {}.", refused.detail.trim_end_matches('.'))),
        }
    }

    /// Every field, rendered.
    fn all(&self) -> FieldGroup<'_> {
        self.those(|_| true)
    }

    /// One field, rendered.
    pub fn only(&self, name: &str) -> FieldGroup<'_> {
        self.those(|field| field.name == name)
    }

    /// The fields of a numbered row, rendered: `kind2`, `text2`, …
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand out references")]
    pub fn row(&self, number: &usize) -> FieldGroup<'_> {
        let ending = number.to_string();
        self.those(|field| field.name.ends_with(&ending))
    }

    /// The fields whose names begin so, rendered: `goals.2.`
    pub fn beginning(&self, with: &str) -> FieldGroup<'_> {
        self.those(|field| field.name.starts_with(with))
    }

    /// Nothing was typed into a numbered row's text.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand out references")]
    pub fn is_empty_row(&self, number: &usize) -> bool {
        let ending = number.to_string();
        let mut row = self.fields.iter().filter(|field| field.name.ends_with(&ending));
        row.all(|field| field.problem.is_none() && (field.value().is_empty() || field.required))
    }

    fn those(&self, which: impl Fn(&FormField) -> bool) -> FieldGroup<'_> {
        FieldGroup { id: &self.id, fields: self.fields.iter().filter(|field| which(field)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, FormField};
    use askama::Template;

    fn form(fields: Vec<FormField>) -> Form {
        Form {
            id: "f".into(),
            action: "/x".into(),
            submit: "Save",
            csrf: "c".into(),
            once: "12345678".into(),
            fields,
            problem: None,
            hidden: Vec::new(),
        }
    }

    #[test]
    fn what_is_left_empty_is_left_out_and_numbers_are_numbers() {
        let mut form = form(vec![
            FormField::text("note", "Note"),
            FormField::number("minutes", "Minutes"),
            FormField::yes("scheduled", "Scheduled", true),
            FormField::some("kinds", "Kinds", vec![("a".into(), "A".into()), ("b".into(), "B".into())]),
        ]);
        form.fill(&[("minutes".into(), " 25 ".into()), ("kinds".into(), "a".into()), ("kinds".into(), "b".into())]);
        let json = serde_json::Value::Object(form.json().unwrap());
        assert_eq!(json, serde_json::json!({"minutes": 25, "scheduled": false, "kinds": ["a", "b"]}));
    }

    #[test]
    fn a_field_that_cannot_be_read_says_so_and_keeps_what_was_typed() {
        let mut form = form(vec![FormField::number("minutes", "Minutes"), FormField::text("plan", "Plan").required()]);
        form.fill(&[("minutes".into(), "<b>soon".into())]);
        assert!(form.json().is_none());
        assert!(form.fields.iter().all(|f| f.problem.is_some()));
        let html = form.render().unwrap();
        assert!(html.contains("a whole number, please") && html.contains("value=\"&#60;b&#62;soon\""), "{html}");
        assert!(html.contains("aria-invalid=\"true\"") && html.contains("aria-describedby=\"f-minutes-problem\""));
    }
}

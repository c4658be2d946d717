//! A document as a tree that borrows from its text: nothing in it can have a wrong type, so one odd element
//! somewhere never fails the rest. About a quarter of the cost of `serde_json::Value`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::limits::JsonBudget;
use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonNode<'a> {
    Null,
    Bool(bool),
    /// FHIR numbers that we look at are far below 2⁵³.
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<JsonNode<'a>>),
    Object(Vec<(Cow<'a, str>, JsonNode<'a>)>),
}

impl<'a> JsonNode<'a> {
    /// Reads a resource, within [`JsonBudget::RESOURCE`].
    pub(crate) fn read(raw: &'a str) -> Result<Self, Problem> {
        Self::read_within(raw, JsonBudget::RESOURCE).map_err(|problem| problem.at("Resource"))
    }

    /// Reads a document within a budget.
    pub(crate) fn read_within(raw: &'a str, budget: JsonBudget) -> Result<Self, Problem> {
        let raw = raw.trim_start_matches('\u{feff}');
        budget.check(raw.as_bytes())?;
        let mut reader = serde_json::Deserializer::from_str(raw);
        let read = Seed.deserialize(&mut reader).and_then(|node| reader.end().map(|()| node));
        read.map_err(|e| Problem::malformed(format!("not JSON: line {}, column {}", e.line(), e.column())))
    }

    /// A member of an object. Where a name is there twice the last counts, as in most parsers.
    pub(crate) fn get(&self, name: &str) -> Option<&JsonNode<'a>> {
        let Self::Object(members) = self else { return None };
        members.iter().rfind(|(key, value)| key == name && *value != Self::Null).map(|(_, value)| value)
    }

    /// The members of an object.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, JsonNode<'a>)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// A member that is a text and not blank.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// A member that repeats; a single value counts as a list of one.
    pub(crate) fn list(&self, name: &str) -> &[JsonNode<'a>] {
        match self.get(name) {
            Some(Self::List(list)) => list,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    /// Itself as a text that is not blank.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.trim()).filter(|t| !t.is_empty()) } else { None }
    }

    /// Itself as a number; a number in quotes counts.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                let text = text.trim();
                // Rust would also read `inf` and `NaN`.
                let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
                if is_plain { text.parse().ok() } else { None }
            }
            _ => None,
        }
    }

    /// A member that is true.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Self::Bool(true)))
    }
}

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = JsonNode<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<JsonNode<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = JsonNode<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "what we look at is far below 2⁵³")]
    fn visit_i64<E>(self, value: i64) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "what we look at is far below 2⁵³")]
    fn visit_u64<E>(self, value: u64) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<JsonNode<'de>, E> {
        Ok(JsonNode::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<JsonNode<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = access.next_element_seed(Seed)? {
            list.push(node);
        }
        Ok(JsonNode::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<JsonNode<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = access.next_key_seed(MemberName)? {
            members.push((key, access.next_value_seed(Seed)?));
        }
        Ok(JsonNode::Object(members))
    }
}

/// A member's name, borrowed where it has no escapes.
struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for MemberName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_may_nest_64_levels_and_no_more() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(JsonNode::read(&nested(64)).is_ok());
        let problem = JsonNode::read(&nested(65)).unwrap_err();
        assert_eq!((problem.category.status(), problem.expression.as_deref()), (413, Some("Resource")));
    }

    /// Bytes that a tree holds beside itself.
    fn heap(node: &JsonNode<'_>) -> usize {
        match node {
            JsonNode::List(list) => list.capacity() * size_of::<JsonNode<'_>>() + list.iter().map(heap).sum::<usize>(),
            JsonNode::Object(members) => {
                let own = members.capacity() * size_of::<(Cow<'_, str>, JsonNode<'_>)>();
                own + members.iter().map(|(_, value)| heap(value)).sum::<usize>()
            }
            _ => 0,
        }
    }

    #[test]
    fn the_largest_tree_of_a_permitted_document_takes_a_few_megabytes() {
        let largest = |element: &str, commas_and_brackets: usize| {
            let times = JsonBudget::RESOURCE.values / (commas_and_brackets + 1) - 2;
            let raw = format!("[{}{element}]", format!("{element},").repeat(times));
            heap(&JsonNode::read(&raw).unwrap())
        };
        for (element, tokens) in [("0", 0), ("[]", 1), ("{}", 1), ("[0]", 1), (r#"{"a":0}"#, 1), (r#"{"a":[0]}"#, 2)] {
            assert!(largest(element, tokens) < 8 << 20, "{element}: {}", largest(element, tokens));
        }
        let beyond = format!(r#"{{"entry":[{}{{}}]}}"#, "{},".repeat(2_800_000));
        assert_eq!(JsonNode::read(&beyond).unwrap_err().category.status(), 413);
    }

    #[test]
    fn what_is_not_json_is_named_by_its_place_only() {
        let problem = JsonNode::read("{\"family\": \"Secret\",}").unwrap_err();
        assert_eq!(problem.category.status(), 400);
        assert!(!problem.detail.contains("Secret"), "{}", problem.detail);
        assert!(JsonNode::read("{} {}").is_err());
    }
}

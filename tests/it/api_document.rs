//! The OpenAPI document, read by tests: which operations there are, and requests that they would accept.

use cocm_registry::api;
use serde_json::{Map, Value, json};

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `GET`, …
    pub method: String,
    /// `/api/v1/episodes/{id}`
    pub path: String,
    /// As documented.
    pub said: Value,
}

impl Operation {
    /// The names of its parameters in the query or in the path.
    pub fn parameters(&self, place: &str) -> Vec<String> {
        let all = self.said["parameters"].as_array().cloned().unwrap_or_default();
        let here = all.iter().filter(|p| p["in"] == place);
        here.map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// The document.
pub struct Document(pub Value);

impl Document {
    pub fn read() -> Self {
        Self(serde_json::to_value(api::openapi()).unwrap())
    }

    /// Every operation of it.
    pub fn operations(&self) -> Vec<Operation> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for method in ["get", "post", "put", "patch", "delete"] {
                if let Some(said) = item.get(method) {
                    all.push(Operation { method: method.to_uppercase(), path: path.clone(), said: said.clone() });
                }
            }
        }
        all
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.resolved(&self.0["components"]["schemas"][name.rsplit('/').next().unwrap()]),
            None => schema,
        }
    }

    /// Whether an operation answers a page of a list: `items` and `next`.
    pub fn is_list(&self, operation: &Operation) -> bool {
        let schema = &operation.said["responses"]["200"]["content"]["application/json"]["schema"];
        let properties = &self.resolved(schema)["properties"];
        properties.get("items").is_some() && properties.get("next").is_some()
    }

    /// A body that an operation would accept, made from its schema; what `known` says about a property of some name
    /// is put there, also where it may be left out. `None` where it takes none.
    pub fn body(&self, operation: &Operation, known: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
        let schema = operation.said["requestBody"]["content"].get("application/json")?.get("schema")?;
        Some(self.sample(schema, known))
    }

    /// The names of the properties anywhere in the body of an operation.
    pub fn names_in_body(&self, operation: &Operation) -> Vec<String> {
        let mut names = Vec::new();
        self.collect(&operation.said["requestBody"]["content"]["application/json"]["schema"], &mut names, 0);
        names
    }

    fn collect(&self, schema: &Value, names: &mut Vec<String>, depth: u8) {
        let schema = self.resolved(schema);
        if depth > 6 {
            return;
        }
        for (name, inner) in schema["properties"].as_object().unwrap_or(&Map::new()) {
            names.push(name.clone());
            self.collect(inner, names, depth + 1);
        }
        for way in ["oneOf", "allOf", "anyOf"] {
            for inner in schema[way].as_array().unwrap_or(&Vec::new()) {
                self.collect(inner, names, depth + 1);
            }
        }
        if schema["items"].is_object() {
            self.collect(&schema["items"], names, depth + 1);
        }
    }

    fn sample(&self, schema: &Value, known: &dyn Fn(&str) -> Option<Value>) -> Value {
        let schema = self.resolved(schema);
        if let Some(example) = schema.get("example") {
            return example.clone();
        }
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        for way in ["oneOf", "anyOf"] {
            let ways = schema[way].as_array().cloned().unwrap_or_default();
            if let Some(first) = ways.iter().find(|one| one["type"] != "null") {
                return self.sample(first, known);
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in parts {
                whole.extend(self.sample(part, known).as_object().cloned().unwrap_or_default());
            }
            return Value::Object(whole);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
            kind => kind.clone(),
        };
        match (kind.as_str().unwrap_or("object"), schema["format"].as_str()) {
            ("string", Some("date")) => json!("2026-02-02"),
            ("string", Some("date-time")) => json!("2026-02-02T08:00:00Z"),
            ("string", Some("uuid")) => json!("01890000-0000-7000-8000-000000000000"),
            ("string", _) => json!("words"),
            ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(1)),
            ("boolean", _) => json!(true),
            ("array", _) => json!([self.sample(&schema["items"], known)]),
            _ => {
                let required: Vec<&str> =
                    schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
                let mut object = Map::new();
                for (name, inner) in schema["properties"].as_object().unwrap_or(&Map::new()) {
                    if let Some(value) = known(name) {
                        object.insert(name.clone(), value);
                    } else if required.contains(&name.as_str()) {
                        object.insert(name.clone(), self.sample(inner, known));
                    }
                }
                Value::Object(object)
            }
        }
    }
}

#[test]
fn every_reference_of_the_document_resolves() {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|inner| collect(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
            _ => {}
        }
    }
    let document = Document::read();
    let mut references = Vec::new();
    collect(&document.0, &mut references);
    assert!(references.len() > 100, "{} references", references.len());
    references.retain(|name| document.0.pointer(name.trim_start_matches('#')).is_none());
    references.sort();
    references.dedup();
    assert!(references.is_empty(), "schemas that are not defined: {references:?}");
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let mut ids: Vec<String> =
        Document::read().operations().iter().map(|one| one.said["operationId"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    let repeated: Vec<&[String]> = ids.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
}

//! FHIR's interactions, as the sandbox understands them. No IO: a call in, a reply out.

use axum::http::Method;
use chrono::DateTime;
use serde_json::{Value, json};

use super::SandboxState;
use super::chart::ResourceVersion;
use super::exchange::{SandboxCall, SandboxReply};
use super::profile::Profile;
use super::search::{SandboxQuery, pairs};
use super::topics;

/// Executes one call, as far as the EHR that is played takes it, and answers in its manner.
pub(super) fn perform(state: &mut SandboxState, call: &SandboxCall, base: &str) -> SandboxReply {
    let profile = state.profile.clone();
    if !profile.takes(call) {
        return profile.refuses();
    }
    profile.in_its_manner(interact(state, call, base), base)
}

fn interact(state: &mut SandboxState, call: &SandboxCall, base: &str) -> SandboxReply {
    let parts: Vec<&str> = call.path.split('/').filter(|part| !part.is_empty()).collect();
    match (call.method.as_str(), parts.as_slice()) {
        ("GET", ["metadata"]) => SandboxReply::with(200, state.profile.statement()),
        ("PUT", ["$play"]) => play(state, call),
        ("PUT", ["$misbehave"]) => misbehave(state, call),
        ("GET", ["$misbehave"]) => SandboxReply::with(200, json!(state.misbehavior)),
        ("POST", []) => bundle(state, call, base),
        ("GET", ["Subscription", id, "$status"]) => state.subscription_status(id),
        ("GET", ["Subscription", id, "$events"]) => state.subscription_events(id, &call.query),
        ("GET", [kind, "_history"]) if is_type(kind) => history_of_type(state, kind, &call.query, base),
        ("GET", [kind]) | ("POST", [kind, "_search"]) if is_type(kind) => search(state, kind, &call.query, base),
        ("POST", [kind]) if is_type(kind) => create(state, kind, call, base),
        ("PUT", [kind]) if is_type(kind) => conditional_update(state, kind, call, base),
        ("GET", [kind, id]) if is_type(kind) => read(state, kind, id, base),
        ("PUT", [kind, id]) if is_type(kind) => update(state, kind, id, call, base),
        ("DELETE", [kind, id]) if is_type(kind) => {
            state.chart.delete(kind, id);
            SandboxReply { status: 204, headers: Vec::new(), body: None }
        }
        ("GET", [kind, id, "_history"]) if is_type(kind) => history(state, kind, id),
        ("GET", [kind, id, "_history", number]) if is_type(kind) => version(state, kind, id, number, base),
        _ => SandboxReply::refusal(404, "not-found", "no such interaction"),
    }
}

fn is_type(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.bytes().all(|b| b.is_ascii_alphabetic())
}

/// From now on it plays the EHR that `{"name": …}` says.
fn play(state: &mut SandboxState, call: &SandboxCall) -> SandboxReply {
    let name = call.body.as_ref().and_then(|body| body["name"].as_str()).unwrap_or_default();
    match Profile::named(name) {
        Some(profile) => {
            state.profile = profile;
            SandboxReply::with(200, json!({"name": name}))
        }
        None => SandboxReply::refusal(400, "invalid", "no such EHR"),
    }
}

fn misbehave(state: &mut SandboxState, call: &SandboxCall) -> SandboxReply {
    match serde_json::from_value(call.body.clone().unwrap_or_else(|| json!({}))) {
        Ok(how) => {
            state.set_misbehavior(how);
            SandboxReply::with(200, json!(state.misbehavior))
        }
        Err(error) => SandboxReply::refusal(400, "invalid", &error.to_string()),
    }
}

fn search(state: &SandboxState, kind: &str, query: &str, base: &str) -> SandboxReply {
    let how = &state.misbehavior;
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let is_there = |wanted: &str| wanted.is_empty() || query.split('&').any(|pair| name(pair) == wanted);
    let is_refused = query
        .split('&')
        .any(|pair| how.refuse_parameters.contains(&name(pair)) || state.profile.not_searched_by.contains(&name(pair)));
    if is_refused || !is_there(&how.wants_parameter) {
        return SandboxReply::refusal(400, "not-supported", "this parameter is not supported");
    }
    let heeded: Vec<&str> = query.split('&').filter(|pair| !how.ignore_parameters.contains(&name(pair))).collect();
    let read = match SandboxQuery::read(&heeded.join("&")) {
        Ok(read) => read,
        Err(why) => return SandboxReply::refusal(400, "not-supported", &why),
    };
    let found = state.chart.search(kind, &read);
    let page = found.iter().skip(read.offset).take(read.count);
    let entries: Vec<Value> = page
        .map(|resource| {
            let url = format!("{base}/{kind}/{}", resource["id"].as_str().unwrap_or_default());
            json!({"fullUrl": url, "resource": resource, "search": {"mode": "match"}})
        })
        .collect();
    let after = read.offset + entries.len();
    let mut links = vec![json!({"relation": "self", "url": format!("{base}/{kind}?{query}")})];
    if after < found.len() {
        let next = format!("{base}/{kind}?{}", SandboxQuery::at(query, after));
        let next = if how.next_elsewhere.is_empty() { next } else { how.next_elsewhere.clone() };
        links.push(json!({"relation": "next", "url": next}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": found.len(), "link": links});
    if !entries.is_empty() {
        bundle["entry"] = json!(entries);
    }
    SandboxReply::with(200, bundle)
}

/// The body as a resource of this type, with what the sandbox insists on.
fn resource(profile: &Profile, call: &SandboxCall, kind: &str) -> Result<Value, SandboxReply> {
    let Some(body) = call.body.clone().filter(Value::is_object) else {
        return Err(SandboxReply::refusal(400, "structure", "a JSON object is wanted"));
    };
    if body["resourceType"] != kind {
        return Err(SandboxReply::refusal(400, "invalid", "resourceType is not the path's"));
    }
    let required: &[&str] = match kind {
        "Task" => &["status", "intent"],
        "Flag" => &["status", "code", "subject"],
        "QuestionnaireResponse" => &["status"],
        "Observation" => &["status", "code"],
        "Communication" => &["status", "subject", "payload"],
        "DocumentReference" => &["status", "subject", "content"],
        "Provenance" => &["target", "recorded", "agent"],
        _ => &[],
    };
    if let Some(refusal) = (kind == "Subscription").then(|| topics::refused(profile, &body)).flatten() {
        return Err(refusal);
    }
    match required.iter().find(|field| body.get(**field).is_none()) {
        Some(field) => Err(SandboxReply::refusal(422, "required", &format!("{kind}.{field} is missing"))),
        None => Ok(body),
    }
}

fn create(state: &mut SandboxState, kind: &str, call: &SandboxCall, base: &str) -> SandboxReply {
    let mut body = match resource(&state.profile, call, kind) {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    if let Some(condition) = call.if_none_exist.as_ref().filter(|_| state.profile.conditions) {
        let (refuse, ignore) =
            (state.misbehavior.refuse_conditional_create, state.misbehavior.ignore_conditional_create);
        // Roll both each time, so that one does not shift the other.
        let (refused, ignored) = (state.dice.happens(refuse), state.dice.happens(ignore));
        if refused {
            return SandboxReply::refusal(state.misbehavior.refuse_with, "not-supported", "no conditional create here");
        }
        if !ignored {
            match one_match(state, kind, condition) {
                Ok(Some(found)) => return SandboxReply::resource(200, found, base),
                Ok(None) => {}
                Err(reply) => return reply,
            }
        }
    }
    // A create never chooses the id.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("id");
    }
    SandboxReply::resource(201, state.chart.put(body), base)
}

fn one_match(state: &SandboxState, kind: &str, condition: &str) -> Result<Option<Value>, SandboxReply> {
    let query = SandboxQuery::read(condition).map_err(|why| SandboxReply::refusal(400, "not-supported", &why))?;
    match state.chart.search(kind, &query).as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        _ => Err(SandboxReply::refusal(412, "multiple-matches", "several match")),
    }
}

fn conditional_update(state: &mut SandboxState, kind: &str, call: &SandboxCall, base: &str) -> SandboxReply {
    let mut body = match resource(&state.profile, call, kind) {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    match one_match(state, kind, &call.query) {
        Err(reply) => reply,
        Ok(found) => {
            let status = if found.is_some() { 200 } else { 201 };
            if let Some(id) = found.and_then(|found| found.get("id").cloned()) {
                body["id"] = id;
            }
            SandboxReply::resource(status, state.chart.put(body), base)
        }
    }
}

fn update(state: &mut SandboxState, kind: &str, id: &str, call: &SandboxCall, base: &str) -> SandboxReply {
    let body = match resource(&state.profile, call, kind) {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    if body["id"] != id {
        return SandboxReply::refusal(400, "invalid", "the id is not the path's");
    }
    let present = state.chart.get(kind, id).map(|one| one["meta"]["versionId"].clone());
    if let Some(wanted) = call.if_match.as_ref().filter(|_| state.profile.versions) {
        let wanted = wanted.trim_start_matches("W/").trim_matches('"');
        if present.as_ref().is_none_or(|version| *version != wanted) {
            return SandboxReply::refusal(412, "conflict", "another version is there");
        }
    }
    SandboxReply::resource(if present.is_some() { 200 } else { 201 }, state.chart.put(body), base)
}

fn read(state: &SandboxState, kind: &str, id: &str, base: &str) -> SandboxReply {
    match state.chart.get(kind, id) {
        Some(resource) => SandboxReply::resource(200, resource.clone(), base),
        None if state.chart.history(kind, id).is_empty() => SandboxReply::refusal(404, "not-found", "not here"),
        None => SandboxReply::refusal(410, "deleted", "was deleted"),
    }
}

fn history(state: &SandboxState, kind: &str, id: &str) -> SandboxReply {
    let entries: Vec<Value> = state.chart.history(kind, id).iter().rev().map(|one| as_entry(kind, id, one)).collect();
    if entries.is_empty() {
        return SandboxReply::refusal(404, "not-found", "not here");
    }
    SandboxReply::with(
        200,
        json!({"resourceType": "Bundle", "type": "history", "total": entries.len(), "entry": entries}),
    )
}

/// Every version of everything of a type, newest first, page by page.
fn history_of_type(state: &SandboxState, kind: &str, query: &str, base: &str) -> SandboxReply {
    let asked = pairs(query);
    let value = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let number = |name: &str, otherwise| value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let since = value("_since").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let (from, count): (usize, usize) = (number("_offset", 0), number("_count", 50));
    let mut versions = state.chart.versions(kind);
    versions.retain(|(_, version)| since.is_none_or(|since| version.at >= since));
    versions.sort_by_key(|(_, version)| std::cmp::Reverse(version.at));
    let page = versions.iter().skip(from).take(count);
    let entries: Vec<Value> = page.map(|(id, version)| as_entry(kind, id, version)).collect();
    let mut links = Vec::new();
    if from + count < versions.len() {
        let next = format!("{base}/{kind}/_history?{}", SandboxQuery::at(query, from + count));
        links.push(json!({"relation": "next", "url": next}));
    }
    SandboxReply::with(200, json!({"resourceType": "Bundle", "type": "history", "link": links, "entry": entries}))
}

fn as_entry(kind: &str, id: &str, version: &ResourceVersion) -> Value {
    let (method, status) = match version.change {
        "create" => ("POST", "201"),
        "delete" => ("DELETE", "204"),
        _ => ("PUT", "200"),
    };
    let mut entry = json!({
        "request": {"method": method, "url": format!("{kind}/{id}")},
        "response": {"status": status, "lastModified": version.at.to_rfc3339()},
    });
    if let Some(resource) = &version.resource {
        entry["resource"] = resource.clone();
    }
    entry
}

fn version(state: &SandboxState, kind: &str, id: &str, number: &str, base: &str) -> SandboxReply {
    let found = state.chart.history(kind, id).iter().find(|version| version.number.to_string() == number);
    match found.map(|version| version.resource.clone()) {
        Some(Some(resource)) => SandboxReply::resource(200, resource, base),
        Some(None) => SandboxReply::refusal(410, "deleted", "was deleted"),
        None => SandboxReply::refusal(404, "not-found", "not here"),
    }
}

/// A batch answers entry by entry; a transaction does all or nothing, in the order sent, and what names an earlier entry
/// by its `urn:uuid` names what became of it.
fn bundle(state: &mut SandboxState, call: &SandboxCall, base: &str) -> SandboxReply {
    let Some(bundle) = call.body.as_ref().filter(|body| body["resourceType"] == "Bundle") else {
        return SandboxReply::refusal(400, "invalid", "a Bundle is wanted here");
    };
    let all_or_nothing = match bundle["type"].as_str() {
        Some("batch") => false,
        Some("transaction") => true,
        _ => return SandboxReply::refusal(422, "invalid", "a batch or a transaction is wanted"),
    };
    let before = state.chart.clone();
    let mut entries = Vec::new();
    let mut became: Vec<(String, String)> = Vec::new();
    for entry in bundle["entry"].as_array().into_iter().flatten() {
        let entry = resolved(entry, &became);
        let reply = perform(state, &entry_call(&entry, base), base);
        if let (true, Some(name), Some(body)) = (all_or_nothing, entry["fullUrl"].as_str(), &reply.body) {
            let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
            became.push((name.to_owned(), format!("{}/{}", text("resourceType"), text("id"))));
        }
        if all_or_nothing && reply.status >= 400 {
            state.chart = before;
            return reply;
        }
        entries.push(entry_reply(reply));
    }
    let kind = if all_or_nothing { "transaction-response" } else { "batch-response" };
    SandboxReply::with(200, json!({"resourceType": "Bundle", "type": kind, "entry": entries}))
}

/// An entry, with the names of earlier ones replaced.
fn resolved(entry: &Value, became: &[(String, String)]) -> Value {
    let mut text = entry["resource"].to_string();
    for (name, place) in became {
        text = text.replace(&format!("\"{name}\""), &format!("\"{place}\""));
    }
    let mut entry = entry.clone();
    if entry["resource"].is_object() {
        entry["resource"] = serde_json::from_str(&text).unwrap_or_default();
    }
    entry
}

fn entry_call(entry: &Value, base: &str) -> SandboxCall {
    let request = &entry["request"];
    let text = |field: &str| request[field].as_str().map(str::to_owned);
    let url = text("url").unwrap_or_default();
    let url = url.strip_prefix(base).unwrap_or(&url).trim_start_matches('/');
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    SandboxCall {
        // An entry without a method reads; a Bundle in a Bundle is refused, because its path is empty.
        method: text("method").and_then(|name| name.parse().ok()).unwrap_or(Method::GET),
        path: if path.is_empty() { "-".to_owned() } else { path.to_owned() },
        query: query.to_owned(),
        if_match: text("ifMatch"),
        if_none_exist: text("ifNoneExist"),
        body: entry.get("resource").cloned(),
    }
}

fn entry_reply(reply: SandboxReply) -> Value {
    let mut response = json!({"status": reply.status.to_string()});
    for (name, field) in [("etag", "etag"), ("location", "location")] {
        if let Some((_, value)) = reply.headers.iter().find(|(header, _)| *header == name) {
            response[field] = json!(value);
        }
    }
    match reply.body {
        Some(outcome) if reply.status >= 400 => {
            response["outcome"] = outcome;
            json!({"response": response})
        }
        Some(resource) => json!({"resource": resource, "response": response}),
        None => json!({"response": response}),
    }
}

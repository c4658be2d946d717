//! What a token's SMART scopes allow, for every interaction alone and within a Bundle; and that the CapabilityStatement
//! lists what is answered and nothing else.

use cocm_registry::config::Issuer;
use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use crate::fhir_world::{Answer, FhirWorld, patient, phq9};
use crate::tokens::Key;

/// What is asked for, and the rights (of `cruds`) that all of it needs.
struct Interaction {
    needs: &'static str,
    method: &'static str,
    url: &'static str,
    body: Option<Value>,
}

fn interactions() -> Vec<Interaction> {
    let of = |needs, method, url, body| Interaction { needs, method, url, body };
    let mut new = patient("x", "9");
    new.as_object_mut().unwrap().remove("id");
    vec![
        of("c", "POST", "Patient", Some(new)),
        of("cu", "POST", "Patient", Some(patient("1", "7"))),
        of("u", "PUT", "Patient/1", Some(patient("1", "7"))),
        of("u", "PUT", "Patient?identifier=urn:mrn%7C7", Some(patient("1", "7"))),
        of("r", "GET", "Patient/1", None),
        of("s", "GET", "Patient?_id=1", None),
        of("d", "DELETE", "Patient/1", None),
    ]
}

/// The specification's words, read anew: version 1 has read, write and *, version 2 a part of `cruds` in this order.
fn rights(scope: &str) -> &str {
    let Some((context, rest)) = scope.split_once('/') else { return "" };
    let Some((name, rights)) = rest.split_once('.') else { return "" };
    match rights {
        _ if !["system", "user"].contains(&context) || !["Patient", "*"].contains(&name) => "",
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters if (1..32_u8).any(|set| subset(set) == letters) => letters,
        _ => "",
    }
}

fn subset(set: u8) -> String {
    "cruds".chars().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, letter)| letter).collect()
}

fn scopes() -> Vec<String> {
    let rights =
        (1..32).map(subset).chain(["read", "write", "*", "sr", "", "rr", "cruds?_id=1", "READ"].map(str::to_owned));
    let mut scopes: Vec<String> =
        rights.flat_map(|rights| [format!("system/Patient.{rights}"), format!("user/*.{rights}")]).collect();
    let others =
        ["system/Observation", "patient/Patient", "patient/*", "system/patient", "systems/Patient", "System/*"];
    for others in others {
        scopes.extend(["cruds", "read", "*"].map(|rights| format!("{others}.{rights}")));
    }
    scopes
}

struct Scoped {
    world: FhirWorld,
    key: Key,
}

impl Scoped {
    async fn new() -> Self {
        let key = Key::p256("k");
        let world = FhirWorld::with(|config| {
            let file = config.data_dir.join("scoped.json");
            std::fs::write(&file, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
            let issuer = Issuer::new("https://scopes.example", "cocm");
            config.auth.issuers.push(Issuer { jwks_file: Some(file), ..issuer });
        })
        .await;
        Self { world, key }
    }

    fn token(&self, scope: &str) -> String {
        let claims = json!({ "iss": "https://scopes.example", "aud": "cocm", "sub": "s", "exp": get_current_timestamp() + 600,
            "clinic": "demo", "role": "ehr", "scope": scope });
        format!("Bearer {}", self.key.sign(&json!({ "alg": "ES256", "kid": "k" }), &claims))
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let asking = self.world.ask(method, path).nobody().header("authorization", token);
        asking.send(body.map(Value::to_string).unwrap_or_default()).await
    }
}

fn entry(interaction: &Interaction) -> Value {
    let mut entry = json!({"request": {"method": interaction.method, "url": interaction.url}});
    if let Some(body) = &interaction.body {
        entry["resource"] = body.clone();
    }
    entry
}

#[tokio::test]
async fn a_scope_allows_what_it_says_and_nothing_else_alone_and_in_bundles() {
    let scoped = Scoped::new().await;
    let all = interactions();
    for scope in scopes() {
        let token = scoped.token(&format!("openid {scope}"));
        let may = |needs: &str| needs.chars().all(|letter| rights(&scope).contains(letter));
        for one in &all {
            let what = format!("{scope}: {} {}", one.method, one.url);
            let answer = scoped.ask(&token, one.method, &format!("/fhir/{}", one.url), one.body.as_ref()).await;
            assert_eq!(answer.status == 403, !may(one.needs), "{what} {}", answer.text);
            assert!(!answer.status.is_server_error(), "{what} {}", answer.text);
            // An answer to a write shows what is stored only to who may read.
            if answer.status.is_success() && one.body.is_some() {
                assert_eq!(answer.text.contains("Canary"), may("r"), "{what} {}", answer.text);
            }
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry(one)]});
            let answer = scoped.ask(&token, "POST", "/fhir", Some(&bundle)).await;
            assert_eq!(answer.status == 403, !may(one.needs), "transaction of {what} {}", answer.text);
        }
        // An address of its own, and a form.
        let answer = scoped.ask(&token, "GET", "/fhir/Patient/1/_history/1", None).await;
        assert_eq!(answer.status == 403, !may("r"), "{scope} {}", answer.text);
        let form = scoped.world.ask("POST", "/fhir/Patient/_search").nobody().header("authorization", &token);
        let form = form.header("content-type", "application/x-www-form-urlencoded").send("_id=1").await;
        assert_eq!(form.status == 403, !may("s"), "{scope} {}", form.text);
        let answer = scoped.ask(&token, "POST", "/fhir", Some(&patient("1", "7"))).await;
        assert_eq!(answer.status == 403, !may("cu"), "{scope} {}", answer.text);
        // Entry by entry.
        let entries: Vec<Value> = all.iter().map(entry).collect();
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        let answer = scoped.ask(&token, "POST", "/fhir", Some(&batch)).await;
        assert_eq!(answer.status, 200, "{scope} {}", answer.text);
        for (one, said) in all.iter().zip(answer.json()["entry"].as_array().unwrap()) {
            let refused = said["response"]["status"].as_str().unwrap().starts_with("403");
            assert_eq!(refused, !may(one.needs), "{scope}: {} {} in a batch: {said}", one.method, one.url);
        }
        let told = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("1", "7")}]});
        let answer = scoped.ask(&token, "POST", "/fhir", Some(&told)).await;
        assert_eq!(answer.text.contains("403"), !may("u"), "{scope} {}", answer.text);
    }
}

#[tokio::test]
async fn a_scope_for_one_type_says_nothing_about_another() {
    let scoped = Scoped::new().await;
    let token = scoped.token("system/QuestionnaireResponse.c system/Observation.rs");
    let form = phq9(None, "Patient/1", [1; 9], "2026-03-01");
    assert_eq!(scoped.ask(&token, "POST", "/fhir/QuestionnaireResponse", Some(&form)).await.status, 201);
    for (method, path, status) in [
        ("GET", "/fhir/QuestionnaireResponse", 403),
        ("GET", "/fhir/Observation", 200),
        ("GET", "/fhir/Observation/1", 404),
        ("DELETE", "/fhir/Observation/1", 403),
        ("GET", "/fhir/Patient", 403),
    ] {
        assert_eq!(scoped.ask(&token, method, path, None).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn every_scope_that_is_announced_is_understood() {
    let scoped = Scoped::new().await;
    let said = scoped.world.ask("GET", "/fhir/.well-known/smart-configuration").nobody().send("").await.json();
    let announced = said["scopes_supported"].as_array().unwrap();
    assert!(announced.len() > 8);
    for scope in announced {
        let scope = scope.as_str().unwrap();
        let (kind, rights) = scope.split_once('/').unwrap().1.split_once('.').unwrap();
        let reads = rights != "write";
        let answer = scoped.ask(&scoped.token(scope), "GET", &format!("/fhir/{kind}"), None).await;
        assert_eq!(answer.status, if reads { 200 } else { 403 }, "{scope}");
        let answer = scoped.ask(&scoped.token(scope), "DELETE", &format!("/fhir/{kind}/none"), None).await;
        assert_eq!(answer.status, if rights == "read" { 403 } else { 404 }, "{scope}");
    }
}

/// A resource of each type under an id, and the values by which its search parameters find it.
fn examples(kind: &str) -> (Value, Vec<(&'static str, &'static str, &'static str)>) {
    let about = [("patient", "Patient/1", "Patient/2"), ("subject", "1", "2")];
    let mut values =
        vec![("_id", "e", "f"), ("_lastUpdated", "ge2026-03-01", "lt2026-03-01"), ("identifier", "urn:x|e", "urn:x|f")];
    let identifier = json!([{"system": "urn:x", "value": "e"}]);
    let resource = match kind {
        "Patient" => json!({"resourceType": kind, "id": "e", "identifier": identifier}),
        "QuestionnaireResponse" => {
            values.extend(about);
            values.extend([
                ("questionnaire", "http://loinc.org/q/44249-1", "http://loinc.org/q/69737-5"),
                ("authored", "2026-03-01", "gt2026-03-01"),
                ("status", "completed", "amended"),
            ]);
            let mut form = phq9(Some("e"), "Patient/1", [1; 9], "2026-03-01");
            form["identifier"] = identifier[0].clone();
            form
        }
        "Observation" => {
            values.extend(about);
            json!({"resourceType": kind, "id": "e", "identifier": identifier, "status": "final", "valueQuantity": {"value": 9},
                "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-03-01",
                "code": {"coding": [{"system": "http://loinc.org", "code": "44261-6"}]}})
        }
        other => panic!("an example of {other} is needed"),
    };
    (resource, values)
}

#[tokio::test]
async fn the_capability_statement_lists_what_is_answered_and_nothing_else() {
    let world = FhirWorld::new().await;
    let said = world.get("/fhir/metadata").await.json();
    let rest = &said["rest"][0];
    for told in rest["resource"].as_array().unwrap() {
        let kind = told["type"].as_str().unwrap();
        let (resource, values) = examples(kind);
        let one = format!("/fhir/{kind}/e");
        let codes = |list: &Value, name: &str| -> Vec<String> {
            list.as_array().unwrap().iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
        };
        // updateCreate.
        assert_eq!(world.put(&resource).await.status, 201, "{kind}");
        let mut listed = codes(&told["interaction"], "code");
        for (code, method, path, status) in [
            ("read", "GET", one.clone(), 200),
            ("vread", "GET", format!("{one}/_history/1"), 200),
            ("search-type", "GET", format!("/fhir/{kind}"), 200),
            ("patch", "PATCH", one.clone(), 405),
            ("history-instance", "GET", format!("{one}/_history"), 404),
            ("history-type", "GET", format!("/fhir/{kind}/_history"), 404),
        ] {
            let answer = world.ask(method, &path).send("").await;
            assert_eq!(answer.status.as_u16(), status, "{kind} {code} {}", answer.text);
            assert_eq!(status == 200, listed.contains(&code.to_owned()), "{kind} {code}");
            listed.retain(|known| known != code);
        }
        let update = world.put(&resource).await;
        assert_eq!(update.status, 200, "{kind} {}", update.text);
        let mut new = resource.clone();
        new.as_object_mut().unwrap().remove("id");
        new["language"] = json!("en");
        let create = world.post(&format!("/fhir/{kind}"), &new).await;
        assert_eq!(create.status, 201, "{kind} {}", create.text);
        listed.retain(|known| !["create", "update", "delete"].contains(&known.as_str()));
        assert_eq!(listed, Vec::<String>::new(), "{kind}: nobody tried these");

        // Conditions, as they are told.
        let header = |name: &str, value: &str| world.ask("GET", &one).header(name, value).send("");
        assert_eq!(
            (told["conditionalRead"].as_str(), header("if-none-match", "W/\"1\"").await.status.as_u16()),
            (Some("not-match"), 304)
        );
        let again = world.ask("POST", &format!("/fhir/{kind}")).header("if-none-exist", "identifier=urn:y|z");
        let mut other = new.clone();
        other["identifier"] = if kind == "QuestionnaireResponse" {
            json!({"system": "urn:y", "value": "z"})
        } else {
            json!([{"system": "urn:y", "value": "z"}])
        };
        assert_eq!(
            (&told["conditionalCreate"], again.json(&other).await.status.as_u16()),
            (&json!(true), 201),
            "{kind}"
        );
        let again = world.ask("POST", &format!("/fhir/{kind}")).header("if-none-exist", "identifier=urn:y|z");
        assert_eq!(again.json(&other).await.status, 200, "{kind}");
        let where_it_is = world.ask("PUT", &format!("/fhir/{kind}?identifier=urn:y%7Cz")).json(&other).await;
        assert_eq!((&told["conditionalUpdate"], where_it_is.status.as_u16()), (&json!(true), 200), "{kind}");
        let unmatched = world.ask("PUT", &one).header("if-match", "W/\"99\"").json(&resource).await;
        assert_eq!((told["versioning"].as_str(), unmatched.status.as_u16()), (Some("versioned"), 412), "{kind}");
        let none = world.ask("DELETE", &format!("/fhir/{kind}?identifier=urn:y%7Cz")).send("").await;
        assert_eq!((told["conditionalDelete"].as_str(), none.status.as_u16()), (Some("not-supported"), 405), "{kind}");

        // Every parameter finds it by its own value, and does not by another.
        let mut parameters = codes(&told["searchParam"], "name");
        parameters.sort();
        let mut known: Vec<&str> = values.iter().map(|(name, ..)| *name).collect();
        known.sort_unstable();
        assert_eq!(parameters, known, "{kind}");
        for (name, its, others) in values {
            for (value, count) in [(its, 1), (others, 0)] {
                let value = value.replace('|', "%7C");
                let path = format!("/fhir/{kind}?{name}={value}&_count=100");
                let found = world.ask("GET", &path).header("prefer", "handling=strict").send("").await.json();
                let is_it = |entry: &&Value| entry["resource"]["id"] == "e";
                let found = found["entry"].as_array().into_iter().flatten().filter(is_it).count();
                assert_eq!(found, count, "{path}");
            }
        }
        for unlisted in ["name", "birthdate", "code", "category", "date", "_has", "_content", "_profile", "_include"] {
            let path = format!("/fhir/{kind}?{unlisted}=x");
            let strict = world.ask("GET", &path).header("prefer", "handling=strict").send("").await;
            assert_eq!(strict.status, 400, "{path}");
            let noted = world.get(&path).await;
            assert!(noted.text.contains(unlisted) && noted.text.contains("OperationOutcome"), "{path} {}", noted.text);
        }
        assert_eq!(world.ask("DELETE", &one).send("").await.status, 204, "{kind}");
    }
    let system: Vec<&str> =
        rest["interaction"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(system, ["transaction", "batch"]);
    for kind in system {
        assert_eq!(world.bundle(kind, json!([])).await.status, 200, "{kind}");
    }
    for unlisted in ["/fhir/_history", "/fhir?_type=Patient", "/fhir/$export", "/fhir/Patient/$match", "/fhir/Task"] {
        assert!([404, 405].contains(&world.get(unlisted).await.status.as_u16()), "{unlisted}");
    }
    let xml = world.ask("GET", "/fhir/metadata").header("accept", "application/fhir+xml").send("").await;
    assert_eq!((&said["format"][0], xml.status.as_u16()), (&json!("application/fhir+json"), 406));
}

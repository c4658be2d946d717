//! Records of one person become one story, and two again when the chart says so.

use cocm_registry::identity::Role;
use rstest::rstest;
use serde_json::{Value, json};

use super::api_world::{CLINIC, World};
use super::world::{Engine, patient, phq9, version};

/// A patient as the API shows them.
struct Shown(Value);

impl Shown {
    async fn of(world: &World, reference: &str) -> Option<Self> {
        let found = world.get(&format!("patients?reference={reference}")).await.expect(200).body;
        let id = found["items"][0]["id"].as_str()?;
        Some(Self(world.get(&format!("patients/{id}")).await.expect(200).body))
    }

    fn totals(&self) -> Vec<u64> {
        let all = self.0["measurements"].as_array().unwrap();
        let counted = all.iter().filter(|m| m["retracted"] == false);
        let mut totals: Vec<u64> = counted.filter_map(|m| m["total"].as_u64()).collect();
        totals.sort_unstable();
        totals
    }

    fn concerns(&self) -> usize {
        self.0["safety"]["open"].as_array().unwrap().len()
    }

    fn episodes(&self) -> Vec<&str> {
        self.0["episodes"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect()
    }

    fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    fn has_key(&self, key: &str) -> bool {
        self.0["keys"].as_array().unwrap().contains(&json!(key))
    }
}

async fn shown(world: &World, patient: &str) -> Shown {
    Shown::of(world, &format!("Patient/{patient}")).await.unwrap_or_else(|| panic!("nobody is Patient/{patient}"))
}

fn linked(patient: Value, kind: &str, other: &str) -> Value {
    let mut patient = patient;
    patient["link"] = json!([{"type": kind, "other": {"reference": format!("Patient/{other}")}}]);
    patient
}

async fn enrolled(world: &World, patient: &str) -> String {
    let body = json!({"patient": {"reference": format!("Patient/{patient}")}, "enrolled_on": "2026-01-05",
        "care_manager": format!("Manager of {patient}")});
    world.post("episodes", body).await.expect(201).id()
}

const QUIET: [u8; 9] = [1, 1, 1, 1, 1, 0, 0, 0, 0];
const SUICIDAL: [u8; 9] = [3, 3, 3, 0, 0, 0, 0, 0, 2];

#[rstest]
#[tokio::test]
async fn a_merge_that_the_chart_undoes_is_undone(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(world) = World::on_engine(engine, "2026-03-02").await else { return };
    for id in ["a", "b"] {
        world.arrives(patient(id)).await;
    }
    let (of_a, of_b) = (enrolled(&world, "a").await, enrolled(&world, "b").await);
    world.arrives(phq9("qa", "a", "2026-01-10T10:00:00Z", QUIET)).await;
    world.arrives(phq9("qb", "b", "2026-01-10T10:00:00Z", SUICIDAL)).await;
    world.arrives(version(linked(patient("b"), "replaced-by", "a"), 2)).await;
    world.arrives(version(linked(patient("a"), "replaces", "b"), 2)).await;

    let both = shown(&world, "b").await;
    assert_eq!((both.totals(), both.concerns(), both.episodes().len()), (vec![5, 11], 1, 2));
    assert_eq!(both.id(), shown(&world, "a").await.id());
    // While they are one, each gets more.
    world.arrives(phq9("qb2", "b", "2026-02-10T10:00:00Z", QUIET)).await;
    world.arrives(phq9("qa2", "a", "2026-02-11T10:00:00Z", QUIET)).await;
    let contact = json!({"on": "2026-02-01", "kind": "treatment", "outcome": "attended", "minutes": 20});
    world.post(&format!("episodes/{of_b}/contacts"), contact).await.expect(201);

    // The record that was replaced says so no more; the other one has not been sent again.
    world.arrives(version(patient("b"), 3)).await;
    let (a, b) = (shown(&world, "a").await, shown(&world, "b").await);
    assert_ne!(a.id(), b.id());
    assert_eq!((a.totals(), a.concerns(), a.episodes()), (vec![5, 5], 0, vec![of_a.as_str()]));
    assert_eq!((b.totals(), b.concerns(), b.episodes()), (vec![5, 11], 1, vec![of_b.as_str()]));
    assert!(a.has_key("urn:mrn|mrn-a") && !a.has_key("urn:mrn|mrn-b") && !a.has_key("Patient/b"));
    assert!(b.has_key("urn:mrn|mrn-b") && b.has_key("Patient/b") && !b.has_key("urn:mrn|mrn-a"));
    assert_eq!((b.0["display_name"].as_str(), b.0["inactive"].as_bool()), (Some("Given Family-b"), Some(false)));
    let timeline = world.get(&format!("episodes/{of_b}/timeline")).await.expect(200).body;
    assert!(timeline.to_string().contains("\"contact\""), "{timeline}");
    let caseload = world.get("caseload").await.expect(200).body;
    assert_eq!(caseload["items"].as_array().unwrap().len(), 2, "{caseload}");

    // What arrives from now on is each one's own, and the same again changes nothing.
    world.arrives(version(patient("a"), 3)).await;
    world.arrives(phq9("qb3", "b", "2026-02-20T10:00:00Z", SUICIDAL)).await;
    let (a, b) = (shown(&world, "a").await, shown(&world, "b").await);
    assert_eq!((a.totals(), a.concerns(), b.totals()), (vec![5, 5], 0, vec![5, 11, 11]));
    // And once more, the other way round.
    world.arrives(version(linked(patient("a"), "replaced-by", "b"), 4)).await;
    assert_eq!(shown(&world, "a").await.id(), b.id());
    world.arrives(version(patient("a"), 5)).await;
    let (a, b) = (shown(&world, "a").await, shown(&world, "b").await);
    assert_eq!((a.totals(), a.episodes(), b.episodes()), (vec![5, 5], vec![of_a.as_str()], vec![of_b.as_str()]));
}

#[tokio::test]
async fn a_chain_of_merges_comes_apart_link_by_link() {
    let world = World::on("2026-03-02").await;
    for id in ["a", "b", "c"] {
        world.arrives(patient(id)).await;
        world.arrives(phq9(&format!("q{id}"), id, "2026-01-10T10:00:00Z", QUIET)).await;
    }
    world.arrives(version(linked(patient("a"), "replaced-by", "b"), 2)).await;
    world.arrives(version(linked(patient("b"), "replaced-by", "c"), 2)).await;
    let totals = async |id: &str| shown(&world, id).await.totals().len();
    assert_eq!(totals("a").await, 3);
    // The last link goes: the first two stay one.
    world.arrives(version(patient("b"), 3)).await;
    assert_eq!((totals("a").await, totals("b").await, totals("c").await), (2, 2, 1));
    assert_eq!(shown(&world, "a").await.id(), shown(&world, "b").await.id());
    world.arrives(version(patient("a"), 3)).await;
    assert_eq!((totals("a").await, totals("b").await, totals("c").await), (1, 1, 1));
}

#[tokio::test]
async fn a_merge_stands_while_one_of_the_two_says_so() {
    let world = World::on("2026-03-02").await;
    for id in ["a", "b"] {
        world.arrives(patient(id)).await;
    }
    let is_one = async || shown(&world, "a").await.id() == shown(&world, "b").await.id();
    world.arrives(version(linked(patient("b"), "replaced-by", "a"), 2)).await;
    world.arrives(version(linked(patient("a"), "replaces", "b"), 2)).await;
    world.arrives(version(patient("a"), 3)).await;
    assert!(is_one().await, "the record that was replaced still says so");
    world.arrives(version(patient("b"), 3)).await;
    assert!(!is_one().await);
    // Records that are both in use are nobody's to merge.
    for kind in ["seealso", "refer"] {
        world.arrives(version(linked(patient("b"), kind, "a"), if kind == "refer" { 5 } else { 4 })).await;
        assert!(!is_one().await, "{kind}");
    }
    // A circle and a link to itself end.
    world.arrives(version(linked(patient("a"), "replaced-by", "b"), 6)).await;
    world.arrives(version(linked(patient("b"), "replaced-by", "a"), 6)).await;
    assert!(is_one().await);
    world.arrives(version(linked(patient("a"), "replaced-by", "a"), 7)).await;
    assert!(is_one().await, "the other one still says so");
    world.arrives(version(patient("b"), 7)).await;
    assert!(!is_one().await);
}

#[tokio::test]
async fn a_form_that_is_corrected_to_another_patient_goes_there_with_its_concern() {
    let world = World::on("2026-03-02").await;
    for id in ["a", "b"] {
        world.arrives(patient(id)).await;
    }
    world.arrives(phq9("q", "a", "2026-02-10T10:00:00Z", SUICIDAL)).await;
    world.arrives(version(phq9("q", "b", "2026-02-10T10:00:00Z", SUICIDAL), 2)).await;
    let (a, b) = (shown(&world, "a").await, shown(&world, "b").await);
    assert_eq!((a.totals(), b.totals(), b.concerns()), (vec![], vec![11], 1));
    let left = &a.0["measurements"][0];
    assert_eq!(left["retracted"], true);
    assert!(left["issues"].to_string().contains("about_another_patient"), "{left}");
    // The two turn out to be one: what was left behind does not stand in the way.
    world.arrives(version(linked(patient("a"), "replaced-by", "b"), 2)).await;
    assert_eq!(shown(&world, "a").await.totals(), [11]);
}

#[tokio::test]
async fn a_patient_of_another_server_is_somebody_else() {
    let world = World::configured(Engine::asked_for(), "2026-03-02", |config| {
        config.public_url = Some("https://registry.example".into());
    })
    .await
    .unwrap();
    world.arrives(patient("p1")).await;
    let mut form = phq9("x", "p1", "2026-02-10T10:00:00Z", SUICIDAL);
    form["subject"] = json!({"reference": "https://other.example/r4/Patient/p1"});
    world.arrives(form.clone()).await;
    let ours = shown(&world, "p1").await;
    assert_eq!((ours.totals(), ours.concerns()), (vec![], 0));
    let kept = world.get("quarantine").await.expect(200).body;
    assert_eq!(kept["items"][0]["code"], "patient_elsewhere", "{kept}");
    let theirs = Shown::of(&world, "http://OTHER.example:80/r4/Patient/p1/_history/3").await.unwrap();
    assert_eq!((theirs.concerns(), theirs.id() == ours.id()), (1, false), "its concern is open all the same");
    for (n, own) in
        ["https://registry.example/fhir/Patient/p1", "http://Registry.example:80/fhir/Patient/p1/_history/2"]
            .into_iter()
            .enumerate()
    {
        let mut form = phq9(&format!("own{n}"), "p1", &format!("2026-02-1{n}T10:00:00Z"), QUIET);
        form["subject"] = json!({"reference": own});
        world.arrives(form).await;
    }
    assert_eq!(shown(&world, "p1").await.totals(), [5, 5]);
    // An identifier beside the reference says who it is.
    form["id"] = json!("y");
    form["subject"]["identifier"] = json!({"system": "urn:mrn", "value": "mrn-p1"});
    world.arrives(form).await;
    assert_eq!(shown(&world, "p1").await.totals(), [5, 5, 11]);
}

#[tokio::test]
async fn a_number_that_was_given_up_leads_to_its_person_while_nobody_carries_it() {
    let world = World::on("2026-03-02").await;
    let mut a = patient("a");
    a["identifier"] =
        json!([{"system": "urn:mrn", "value": "new"}, {"use": "old", "system": "urn:mrn", "value": "old"}]);
    world.arrives(a).await;
    let by_number = |id: &str, on: &str| {
        let mut form = phq9(id, "-", on, QUIET);
        form["subject"] = json!({"identifier": {"system": "urn:mrn", "value": "old"}});
        form
    };
    world.arrives(by_number("q1", "2026-02-10T10:00:00Z")).await;
    assert_eq!(shown(&world, "a").await.totals(), [5]);
    let mut b = patient("b");
    b["identifier"] = json!([{"system": "urn:mrn", "value": "old"}]);
    world.arrives(b).await;
    world.arrives(by_number("q2", "2026-02-11T10:00:00Z")).await;
    assert_eq!((shown(&world, "a").await.totals(), shown(&world, "b").await.totals()), (vec![5], vec![5]));
}

#[tokio::test]
async fn every_identifier_of_a_contained_patient_finds_the_person() {
    let world = World::on("2026-03-02").await;
    world.arrives(patient("a")).await;
    let contained = |id: &str, numbers: Value| {
        let mut form = phq9(id, "-", "2026-02-10T10:00:00Z", QUIET);
        form["contained"] = json!([{"resourceType": "Patient", "id": "p", "identifier": numbers}]);
        form["subject"] = json!({"reference": "#p"});
        form
    };
    let (known, unknown) = (json!({"system": "urn:mrn", "value": "mrn-a"}), json!({"system": "urn:lab", "value": "9"}));
    world.arrives(contained("q1", json!([unknown, known]))).await;
    assert_eq!(shown(&world, "a").await.totals(), [5]);
    // Numbers of two people: nobody is guessed.
    world.arrives(patient("b")).await;
    world.arrives(contained("q2", json!([known, {"system": "urn:mrn", "value": "mrn-b"}]))).await;
    let kept = world.get("quarantine").await.expect(200).body;
    assert_eq!(kept["items"][0]["code"], "ambiguous_subject", "{kept}");
    // Nobody carries any of them yet: whoever carries the last one is the person.
    world
        .arrives(contained("q3", json!([{"system": "urn:lab", "value": "1"}, {"system": "urn:mrn", "value": "mrn-c"}])))
        .await;
    world.arrives(patient("c")).await;
    assert_eq!(shown(&world, "c").await.totals(), [5]);
}

#[tokio::test]
async fn a_patient_with_thousands_of_links_or_numbers_is_refused() {
    let world = World::on("2026-03-02").await;
    let links: Vec<Value> =
        (0..8_000).map(|n| json!({"type": "replaces", "other": {"reference": format!("Patient/x{n}")}})).collect();
    let numbers: Vec<Value> = (0..8_000).map(|n| json!({"system": "urn:mrn", "value": n.to_string()})).collect();
    for (list, entries) in [("link", links), ("identifier", numbers)] {
        let mut many = patient("a");
        many[list] = json!(entries);
        let body = Some(("application/fhir+json", many.to_string()));
        let heard = world.call(Some((CLINIC, Role::Ehr)), "PUT", "/fhir/Patient/a", body, &[]).await;
        assert_eq!(heard.status, 422, "{}", heard.text());
        assert!(heard.text().contains(&format!("Patient.{list}")), "{}", heard.text());
    }
}

//! Two clinics, each with an EHR that signs its calls to our CDS service.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::Request;
use chrono::Days;
use cocm_registry::config::{CardLink, CdsHooks, Clinic, ClinicId, Config, EhrConnection};
use cocm_registry::identity::Role;
use cocm_registry::store::journal::{JournalEntry, JournalFilter, page};
use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use crate::api_world::{CLINIC, Heard, World};
use crate::tokens::Key;
use crate::world::{Engine, patient, phq9};

pub const OTHER: &str = "other";
pub const PUBLIC: &str = "https://registry.example";
pub const SERVICE: &str = "https://registry.example/cds-services/cocm-standing";
/// The day on which it is asked.
pub const TODAY: &str = "2026-03-02";

/// Eight weeks before.
pub const ENROLLED: &str = "2026-01-05";
pub const WITH_ITEM9: [u8; 9] = [2, 2, 2, 2, 2, 2, 2, 2, 2];

pub struct Hooked {
    pub world: World,
    pub north: Key,
    pub south: Key,
    used: AtomicUsize,
}

/// The settings of an EHR that signs with a key in a file.
pub fn client(folder: &std::path::Path, name: &str, key: &Key) -> CdsHooks {
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    CdsHooks {
        issuer: format!("https://{name}.example"),
        tenant: None,
        jwks_url: None,
        jwks_file: Some(file),
        origins: Vec::new(),
        link: CardLink::Absolute,
    }
}

impl Hooked {
    pub async fn on(engine: Engine) -> Option<Self> {
        Self::configured(engine, |_| {}).await
    }

    pub async fn configured(engine: Engine, change: impl FnOnce(&mut Config)) -> Option<Self> {
        let (north, south) = (Key::p384("n"), Key::rsa("s"));
        let world = World::configured(engine, TODAY, |config| {
            config.public_url = Some(format!("{PUBLIC}/"));
            let mut other = config.clinics[0].clone();
            other.id = ClinicId::new(OTHER).unwrap();
            config.clinics.push(Clinic { ehr: Some("south".into()), ..other });
            config.clinics[0].ehr = Some("north".into());
            for (name, key) in [("north", &north), ("south", &south)] {
                let mut ehr = EhrConnection::at(name, format!("https://{name}.example/fhir"));
                ehr.cds_hooks = Some(client(&config.data_dir, name, key));
                config.ehrs.push(ehr);
            }
            change(config);
            config.check().unwrap();
        })
        .await?;
        Some(Self { world, north, south, used: AtomicUsize::new(0) })
    }

    /// What north's EHR claims in a token.
    pub fn claims(&self) -> Value {
        let now = get_current_timestamp();
        let jti = format!("jti-{}", self.used.fetch_add(1, Ordering::Relaxed));
        json!({ "iss": "https://north.example", "aud": SERVICE, "iat": now, "exp": now + 300, "jti": jti })
    }

    pub fn header() -> Value {
        json!({ "alg": "ES384", "typ": "JWT", "kid": "n" })
    }

    pub fn token(&self) -> String {
        self.north.sign(&Self::header(), &self.claims())
    }

    /// A token of the other clinic's EHR.
    pub fn southern(&self) -> String {
        let mut claims = self.claims();
        claims["iss"] = json!("https://south.example");
        self.south.sign(&json!({ "alg": "RS384", "typ": "JWT", "kid": "s" }), &claims)
    }

    pub async fn post(&self, token: &str, path: &str, body: impl Into<Body>) -> Heard {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {token}"));
        self.world.send(request.body(body.into()).unwrap()).await
    }

    /// What a token is answered about a patient of the chart.
    pub async fn ask_with(&self, token: &str, patient: &str) -> (u16, Value) {
        let heard = self.post(token, "/cds-services/cocm-standing", view(patient).to_string()).await;
        (heard.status, serde_json::from_slice(&heard.bytes).unwrap_or(Value::Null))
    }

    /// The cards about a patient of the chart.
    pub async fn cards(&self, patient: &str) -> Vec<Value> {
        let (status, body) = self.ask_with(&self.token(), patient).await;
        assert_eq!(status, 200, "{body}");
        body["cards"].as_array().unwrap().clone()
    }

    pub async fn card(&self, patient: &str) -> Value {
        let mut cards = self.cards(patient).await;
        assert_eq!(cards.len(), 1, "{cards:?}");
        cards.remove(0)
    }

    /// Somebody of the chart who is enrolled on a day, with a form `days` later each.
    pub async fn enrolled(&self, id: &str, on: &str, forms: &[(u64, [u8; 9])]) -> String {
        self.world.arrives(patient(id)).await;
        let found = self.world.get(&format!("patients?reference=Patient/{id}")).await.expect(200);
        let ours = found.body["items"][0]["id"].as_str().unwrap().to_owned();
        self.world.enroll(&ours, on).await;
        let first: chrono::NaiveDate = on.parse().unwrap();
        for (days, answers) in forms {
            let taken = format!("{}T10:00:00Z", first + Days::new(*days));
            self.world.arrives(phq9(&format!("{id}-{days}"), id, &taken, *answers)).await;
        }
        ours
    }

    /// The lines of what was asked for, of a clinic.
    pub async fn lines(&self, clinic: &str) -> Vec<JournalEntry> {
        self.world.app.journal.flush().await;
        self.world.app.journal.seal().await.unwrap();
        let mut tx = self.world.app.db.read().await.unwrap();
        let all = page(&mut tx, clinic, &JournalFilter::default(), 500).await.unwrap();
        let all = all.iter().filter_map(|line| JournalEntry::read(&line.entry));
        let mut asked: Vec<_> =
            all.filter(|line| line.request.as_ref().is_some_and(|r| r.route.starts_with("/cds-services"))).collect();
        asked.reverse();
        asked
    }

    /// What an answer to item 9 asks for, done.
    pub async fn assess(&self, patient: &str) {
        let body = json!({"assessed_at": format!("{TODAY}T08:30:00Z"), "instrument": "C-SSRS", "result": "low",
            "disposition": "none", "assessor": "Kim"});
        let path = format!("patients/{patient}/safety-assessments");
        self.world.ask((CLINIC, Role::CareManager), "POST", &path, Some(body), &[]).await.expect(201);
    }
}

/// What a chart asks when it is opened.
pub fn view(patient: &str) -> Value {
    json!({
        "hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "fhirServer": "https://north.example/fhir/",
        "fhirAuthorization": {"access_token": "CANARY", "token_type": "Bearer", "expires_in": 300},
        "context": {"userId": "Practitioner/example", "patientId": patient},
    })
}

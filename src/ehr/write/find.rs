//! Finds resources in the chart by our identifier.

use serde_json::Value;

use super::{ChartWrite, unusable};
use crate::ehr::failure::Failure;
use crate::fhir::write::parts;

/// How many pages of what a patient has are looked through before we give up.
const PAGES: usize = 100;

impl ChartWrite<'_> {
    /// All resources in the chart that carry the identifier: asked for by it, or, where the server does not know that
    /// search, found among what the patient has.
    pub(super) async fn search_for(&self, identifier: &str) -> Result<Vec<Value>, Failure> {
        let token = format!("{}|{identifier}", self.planned.system);
        let patient = &self.planned.intent.patient;
        let by_patient = !self.route.by_identifier && patient.starts_with("Patient/");
        let asked: &[(&str, &str)] =
            if by_patient { &[("patient", patient), ("_count", "200")] } else { &[("identifier", &token)] };
        let mut answer = self.ehr.search(self.kind(), asked).await?;
        let mut found: Vec<Value> = Vec::new();
        for _ in 0..PAGES {
            // An answer that is no Bundle must not read as "nothing there".
            let bundle = answer.body.filter(|body| body["resourceType"] == "Bundle");
            let bundle = bundle.ok_or_else(|| unusable("the answer is not a Bundle", answer.status))?;
            let resources = bundle["entry"].as_array().into_iter().flatten().map(|entry| &entry["resource"]);
            let ours = resources.filter(|resource| {
                resource["resourceType"] == self.kind()
                    && resource["id"].is_string()
                    && parts::carries(resource, self.planned.system, identifier)
            });
            found.extend(ours.cloned());
            let links = bundle["link"].as_array().into_iter().flatten();
            let next = links.filter(|link| link["relation"] == "next").find_map(|link| link["url"].as_str());
            let Some(next) = next.filter(|_| by_patient) else { return Ok(found) };
            answer = self.ehr.follow(next).await?;
        }
        Err(unusable("the patient has more than can be looked through", answer.status))
    }
}

//! The Questionnaires behind canonicals that say nothing here: asked for once, at the EHR whose forms name them.

use url::form_urlencoded;

use super::Intake;
use super::connection::Connection;
use crate::fhir::json::JsonNode;
use crate::fhir::searchset::Searchset;
use crate::problem::Problem;
use crate::record::Condition;
use crate::store::{questionnaire, resource};

/// How many are asked for after one sweep.
const SOME: usize = 20;
/// How many forms are read again in one go.
const FORMS: i64 = 100;

impl Intake {
    /// Reads what was learned before a restart.
    pub async fn recall_questionnaires(&self) -> Result<(), Problem> {
        for (clinic, mapping) in self.mappings.iter() {
            let mut tx = self.db.read().await?;
            for (canonical, body) in questionnaire::all(&mut tx, clinic).await? {
                mapping.questionnaires().learn(&canonical, body.as_deref());
            }
        }
        Ok(())
    }

    /// Asks the EHR for the Questionnaires that its forms name, and reads these forms again.
    pub(super) async fn ask_for_questionnaires(&self, connection: &Connection) -> Result<(), Problem> {
        let Some(mapping) = self.mappings.get(&connection.clinic) else { return Ok(()) };
        let known = mapping.questionnaires();
        for canonical in known.unasked().into_iter().take(SOME) {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("url", &canonical).finish();
            let body = match connection.ehr.search_text("Questionnaire", &query).await {
                Ok(page) => found(&page.text, &canonical),
                // A server without Questionnaires will have none tomorrow either.
                Err(failure) if failure.is_refused_for_good() => None,
                Err(_) => continue,
            };
            known.learn(&canonical, body.as_deref());
            if body.is_some() {
                self.read_forms_again(connection, &canonical).await?;
            }
            // Last: if the process ends before, the EHR is asked again and no form is left as it was.
            let mut tx = self.db.begin("questionnaire").await?;
            questionnaire::put(&mut tx, &connection.clinic, &canonical, body.as_deref(), self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn read_forms_again(&self, connection: &Connection, canonical: &str) -> Result<(), Problem> {
        let (clinic, mut after) = (&connection.clinic, String::new());
        loop {
            let mut tx = self.db.read().await?;
            let forms = resource::forms_that_name(&mut tx, clinic, canonical, &after, FORMS).await?;
            drop(tx);
            let Some(last) = forms.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for form in &forms {
                let arrival = self.read(clinic, &form.body)?;
                self.take(clinic, &connection.author(), arrival, Condition::Again).await?;
            }
        }
    }
}

/// The Questionnaire of a canonical in a page of what was found.
fn found(page: &str, canonical: &str) -> Option<String> {
    let page = Searchset::read(page).ok()?;
    let is_it = |raw: &str| JsonNode::read(raw).is_ok_and(|node| node.text("url") == Some(canonical));
    let mut questionnaires = page.found.iter().filter(|one| one.kind == "Questionnaire");
    questionnaires.find(|one| is_it(one.raw)).map(|one| one.raw.to_owned())
}

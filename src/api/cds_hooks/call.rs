//! The caller: the EHR, by its signature, and the user at its screen, as the EHR names them.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::time::timeout;

use crate::api::App;
use crate::fhir::logical_id::is_logical_id;
use crate::identity::{CdsCaller, Role, TokenError, bearer};
use crate::problem::{Category, Problem};
use crate::store::idempotency;
use crate::store::journal::{self, JournalEntry};
use crate::telemetry::RequestLog;

/// How long a card waits for its token to be written down as used.
const PATIENCE: Duration = Duration::from_millis(500);

/// A call of an EHR whose token holds.
pub struct HookCall {
    /// Shared state of the handlers.
    pub app: App,
    pub signed: CdsCaller,
}

impl FromRequestParts<App> for HookCall {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let called = format!("{}{}", app.config.public_base(), parts.uri.path());
        // The specification has the address that is called as the audience; clients name the service for its feedback.
        let service = called.strip_suffix("/feedback").unwrap_or(&called);
        let signed = app.cds_clients.verify(token, &[&called, service]).await?;
        if let Some(log) = parts.extensions.get::<RequestLog>() {
            log.clinic(signed.clinic.as_str());
        }
        Ok(Self { app: app.clone(), signed })
    }
}

impl HookCall {
    /// The clinic everything is about.
    pub fn clinic(&self) -> &str {
        self.signed.clinic.as_str()
    }

    /// Holds if the token was not used before, here or at another replica. Where that cannot be written down now, it
    /// is believed once more: an unassessed answer must be shown all the same.
    pub async fn is_the_first(&self) -> Result<(), Problem> {
        match timeout(PATIENCE, self.take()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(TokenError::Used.into()),
            Ok(Err(Problem { category: Category::Unavailable, .. })) | Err(_) => {
                metrics::counter!("cocm_cds_tokens_not_remembered").increment(1);
                tracing::warn!("the token of a CDS client could not be remembered");
                Ok(())
            }
            Ok(Err(problem)) => Err(problem),
        }
    }

    async fn take(&self) -> Result<bool, Problem> {
        let mut tx = self.app.db.single_write("cds_once").await?;
        idempotency::take(&mut tx, self.clinic(), &self.signed.once, self.app.clock.now()).await
    }

    /// A line for the journal: by this EHR, and for whom, where it said so in a way that cannot be anything but an id.
    pub fn line(&self, user: Option<&str>, route: &str, service: &str) -> JournalEntry {
        let is_person = |name: &&str| {
            const PEOPLE: [&str; 4] = ["Practitioner", "PractitionerRole", "Patient", "RelatedPerson"];
            name.split_once('/').is_some_and(|(kind, id)| PEOPLE.contains(&kind) && is_logical_id(id))
        };
        let by = match user.filter(is_person) {
            Some(user) => format!("connection:{}/{user}", self.signed.connection),
            None => format!("connection:{}", self.signed.connection),
        };
        let app = &self.app;
        let mut line = JournalEntry::new(app.clock.id(), self.clinic(), app.clock.now(), &by, Some(Role::Ehr));
        let ids = vec![service.to_owned()];
        line.request =
            Some(journal::AccessRequest { method: "POST".to_owned(), route: route.to_owned(), ids, status: 200 });
        line
    }
}

//! Writes that a server's CapabilityStatement allows, and the rung of the ladder that follows from them.

use std::collections::HashMap;

use serde_json::Value;

use super::capability_statement::{can, has, resource};
use crate::config::WriteConfig;
use crate::domain::chart_plan::Rung;
use crate::domain::task::ChartResource;
use crate::fhir::write::WriteForm;

/// Capabilities of a server for one resource type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a line of the CapabilityStatement")]
pub struct Offer {
    /// Resources can be created.
    pub creates: bool,
    /// Resources can be updated.
    pub updates: bool,
    /// Resources can be searched. Without search we cannot tell whether a create with a lost answer succeeded.
    pub searches: bool,
    /// Search by identifier works; otherwise we look through all of the patient's resources.
    pub by_identifier: bool,
    /// The statement says that creates take no condition.
    pub refuses_conditions: bool,
}

/// How a Provenance goes with what is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    Not,
    /// In the same transaction.
    Together,
    /// Afterwards, and once only: it may be missing.
    Apart,
}

/// How one planned resource goes into the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub form: WriteForm,
    /// Whether it can be changed there.
    pub updates: bool,
    /// Whether it can be searched for by its identifier.
    pub by_identifier: bool,
    /// Whether a create may carry a condition.
    pub conditional: bool,
    /// Whether a Provenance goes with it.
    pub provenance: Provenance,
}

impl Route {
    /// Changed in place, found by its identifier, without a Provenance.
    pub fn plain(form: WriteForm) -> Self {
        Self { form, updates: true, by_identifier: true, conditional: true, provenance: Provenance::Not }
    }
}

/// Writes that a server allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    offers: HashMap<WriteForm, Offer>,
    transactions: bool,
    provenance: bool,
}

const FORMS: [WriteForm; 4] =
    [WriteForm::Task, WriteForm::Flag, WriteForm::Communication, WriteForm::DocumentReference];

impl Ladder {
    /// Reads a CapabilityStatement.
    pub fn of(statement: &Value) -> Self {
        let offers = FORMS.into_iter().filter_map(|form| Some((form, offer(resource(statement, form.as_str())?))));
        let servers = statement["rest"].as_array().into_iter().flatten();
        let mut interactions = servers.flat_map(|rest| rest["interaction"].as_array().into_iter().flatten());
        Self {
            offers: offers.collect(),
            transactions: interactions.any(|one| one["code"] == "transaction"),
            provenance: can(statement, "Provenance", "create"),
        }
    }

    /// Fallback when the server has no CapabilityStatement: assume full support for Tasks and Flags.
    pub fn without_statement() -> Self {
        let all =
            Offer { creates: true, updates: true, searches: true, by_identifier: true, refuses_conditions: false };
        Self { offers: [(WriteForm::Task, all), (WriteForm::Flag, all)].into(), ..Self::default() }
    }

    /// Capabilities for one resource type.
    pub fn offer(&self, form: WriteForm) -> Offer {
        self.offers.get(&form).copied().unwrap_or_default()
    }

    /// Whether something written on a rung could be looked after there: created, found again, and what people work on
    /// changed.
    pub fn reaches(&self, rung: Rung, resource: ChartResource) -> bool {
        let Some(form) = WriteForm::of(rung, resource) else { return true };
        let offer = self.offer(form);
        offer.creates && offer.searches && (offer.updates || rung != Rung::TaskAndFlag)
    }

    /// The rung for a kind of resource: as configured, else the best that the server offers.
    pub fn rung(&self, write: WriteConfig, resource: ChartResource) -> Rung {
        let best = || {
            let mut all = Rung::ALL.iter().copied().filter(|rung| *rung != Rung::CdsCard || write.cards);
            all.find(|rung| self.reaches(*rung, resource)).unwrap_or(Rung::Worklist)
        };
        write.set_for(resource).unwrap_or_else(best)
    }

    /// How an item is written on a rung; `None` if nothing is written.
    pub fn route(&self, write: WriteConfig, rung: Rung, resource: ChartResource) -> Option<Route> {
        let form = WriteForm::of(rung, resource)?;
        let offer = self.offer(form);
        Some(Route {
            form,
            updates: rung == Rung::TaskAndFlag || offer.updates,
            // A type that the statement omits is not ruled out.
            by_identifier: offer.by_identifier || !offer.searches,
            conditional: !offer.refuses_conditions,
            provenance: match (write.provenance && self.provenance, self.transactions) {
                (false, _) => Provenance::Not,
                (true, true) => Provenance::Together,
                (true, false) => Provenance::Apart,
            },
        })
    }
}

fn offer(resource: &Value) -> Offer {
    let can = |code: &str| has(resource, code);
    let parameters: Vec<&Value> = resource["searchParam"].as_array().into_iter().flatten().collect();
    Offer {
        creates: can("create"),
        updates: can("update"),
        searches: can("search-type"),
        // Many a statement lists none at all.
        by_identifier: parameters.is_empty() || parameters.iter().any(|one| one["name"] == "identifier"),
        refuses_conditions: resource["conditionalCreate"] == false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ehr::capability_statement::statement;
    use rstest::rstest;
    use serde_json::json;

    fn ladder(kinds: &[(&str, &[&str])]) -> Ladder {
        Ladder::of(&statement(kinds))
    }

    const ALL: &[&str] = &["create", "update", "search-type"];
    const ONCE: &[&str] = &["create", "search-type"];
    const ONLY: &[&str] = &["create"];

    #[rstest]
    #[case::everything(&[("Task", ALL), ("Flag", ALL), ("Communication", ALL)], Rung::TaskAndFlag, Rung::TaskAndFlag)]
    #[case::no_flag(&[("Task", ALL), ("Flag", &["search-type"]), ("Communication", ONCE)], Rung::TaskAndFlag, Rung::Communication)]
    #[case::never_changed(&[("Task", ONCE), ("Flag", ALL), ("DocumentReference", ONCE)], Rung::DocumentReference, Rung::TaskAndFlag)]
    #[case::never_found(&[("Communication", ONLY), ("DocumentReference", ONCE)], Rung::DocumentReference, Rung::DocumentReference)]
    #[case::nothing(&[("Patient", ALL)], Rung::Worklist, Rung::Worklist)]
    fn the_best_rung_is_what_can_be_looked_after(
        #[case] kinds: &[(&str, &[&str])],
        #[case] task: Rung,
        #[case] flag: Rung,
    ) {
        let (ladder, write) = (ladder(kinds), WriteConfig::default());
        assert_eq!((ladder.rung(write, ChartResource::Task), ladder.rung(write, ChartResource::Flag)), (task, flag));
    }

    #[test]
    fn what_is_configured_goes_before_what_is_offered() {
        let nothing = ladder(&[]);
        let write = WriteConfig { task: Some(Rung::Communication), cards: true, ..WriteConfig::default() };
        assert_eq!(nothing.rung(write, ChartResource::Task), Rung::Communication);
        assert_eq!(nothing.rung(write, ChartResource::Flag), Rung::CdsCard);
        let route = nothing.route(write, Rung::Communication, ChartResource::Task).unwrap();
        assert!(!route.updates && route.by_identifier && route.provenance == Provenance::Not);
        assert_eq!(nothing.route(write, Rung::Worklist, ChartResource::Task), None);
    }

    #[test]
    fn a_provenance_goes_along_where_the_server_takes_it() {
        let mut statement =
            json!({"rest": [{"resource": [{"type": "Provenance", "interaction": [{"code": "create"}]}]}]});
        let provenance = |statement: &Value, write: WriteConfig| {
            Ladder::of(statement).route(write, Rung::TaskAndFlag, ChartResource::Task).unwrap().provenance
        };
        assert_eq!(provenance(&statement, WriteConfig::default()), Provenance::Apart);
        statement["rest"][0]["interaction"] = json!([{"code": "transaction"}]);
        assert_eq!(provenance(&statement, WriteConfig::default()), Provenance::Together);
        assert_eq!(
            provenance(&statement, WriteConfig { provenance: false, ..WriteConfig::default() }),
            Provenance::Not
        );
        assert_eq!(provenance(&json!({}), WriteConfig::default()), Provenance::Not);
    }
}

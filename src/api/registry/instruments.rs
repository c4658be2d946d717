//! `GET instruments`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::responses::ReadErrors;
use crate::api::App;
use crate::api::request::{READERS, RequestContext};
use crate::domain::instrument::{Band, Instrument, Item};
use crate::problem::Problem;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_instruments))
}

/// Scores from here up to the next band.
#[derive(Debug, Serialize, ToSchema)]
struct SeverityBand {
    from: u16,
    name: String,
}

/// One question of an instrument.
#[derive(Debug, Serialize, ToSchema)]
struct InstrumentItem {
    /// Its place, from 1: `phq9/9` in a mapping.
    number: usize,
    /// What it asks, in a few words.
    label: String,
    /// Its LOINC code, where that could be verified.
    code: Option<String>,
    /// The highest answer; the lowest is 0.
    max: u8,
}

/// A questionnaire that is scored here: built in, or a file of this installation.
#[derive(Debug, Serialize, ToSchema)]
struct InstrumentDescription {
    id: String,
    title: String,
    /// What it measures, such as `depression`.
    measures: String,
    /// The highest total; the lowest is 0.
    max_total: u16,
    /// How many items may be missing for a prorated total.
    may_miss: usize,
    /// The item that asks about thoughts of death or self-harm, from 1.
    self_harm_item: Option<usize>,
    /// LOINC codes of the whole.
    panel_codes: Vec<String>,
    /// LOINC and SNOMED CT codes of the total.
    total_codes: Vec<String>,
    bands: Vec<SeverityBand>,
    items: Vec<InstrumentItem>,
    /// Where codes, bands and translations come from.
    sources: Vec<String>,
    /// Who owns the wording, and on which terms it is used.
    license: String,
}

impl From<Instrument> for InstrumentDescription {
    fn from(instrument: Instrument) -> Self {
        let definition = instrument.definition();
        let band = |band: &Band| SeverityBand { from: band.from, name: band.name.clone() };
        let item = |(at, item): (usize, &Item)| InstrumentItem {
            number: at + 1,
            label: item.label.clone(),
            code: item.code.clone(),
            max: item.scale.max,
        };
        Self {
            id: definition.id.clone(),
            title: definition.title.clone(),
            measures: definition.measures.clone(),
            max_total: instrument.max_total(),
            may_miss: definition.may_miss,
            self_harm_item: instrument.self_harm_item().map(|at| at + 1),
            panel_codes: definition.panels.clone(),
            total_codes: definition.totals.clone(),
            bands: definition.bands.iter().map(band).collect(),
            items: definition.items.iter().enumerate().map(item).collect(),
            sources: definition.sources.clone(),
            license: definition.license.clone(),
        }
    }
}

/// Every instrument.
#[derive(Debug, Serialize, ToSchema)]
struct InstrumentList {
    /// In the order of lists.
    items: Vec<InstrumentDescription>,
}

/// The questionnaires that are scored here, with their items, bands and codes: what a mapping may name.
#[utoipa::path(get, path = "/instruments", tag = "operations",
    responses((status = 200, description = "In the order of lists", body = InstrumentList), ReadErrors))]
async fn list_instruments(call: RequestContext) -> Result<Json<InstrumentList>, Problem> {
    call.caller.require(READERS)?;
    Ok(Json(InstrumentList { items: Instrument::all().iter().copied().map(InstrumentDescription::from).collect() }))
}

//! `GET /cds-services`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::SERVICE;

/// The services that are here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Services {
    services: Vec<HookService>,
}

/// One service.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HookService {
    /// When it is asked.
    #[schema(example = "patient-view")]
    hook: &'static str,
    /// Its name for people.
    title: &'static str,
    /// Description of the service for people.
    description: &'static str,
    /// Its name in its address.
    #[schema(example = "cocm-standing")]
    id: &'static str,
    /// Prefetch queries by name.
    prefetch: Prefetch,
    /// Requirements for using the service.
    usage_requirements: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Prefetch {
    /// For patients whom the registry knows by a number only.
    patient: &'static str,
}

/// CDS services of this server (CDS Hooks 2.0). Public; holds no patient data.
#[utoipa::path(get, path = "/cds-services", tag = "cds-hooks", security(()),
    responses((status = 200, description = "The services", body = Services)))]
pub async fn services() -> Json<Services> {
    let standing = HookService {
        hook: "patient-view",
        title: "Collaborative Care",
        description: "Where a patient in Collaborative Care stands: unassessed safety answers first, then the measures \
            against their targets, what the rules conclude and why, and what is due. This service is not a crisis \
            service.",
        id: SERVICE,
        prefetch: Prefetch { patient: "Patient/{{context.patientId}}" },
        usage_requirements: "A JWT of the CDS client (RS384 or ES384), configured for one clinic. The prefetched Patient \
            may be left out: it is read for its identifiers only.",
    };
    Json(Services { services: vec![standing] })
}

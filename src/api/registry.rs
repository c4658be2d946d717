//! The registry's JSON API, `/api/v1`. One endpoint, or one noun with its small family, per file.

mod responses;
mod patients;
mod patient;
mod measurements;
mod safety_assessments;
mod episodes;
mod episode;
mod standing;
mod timeline;
mod care;
mod contacts;
mod treatment_changes;
mod case_reviews;
mod recommendations;
mod recommendation_list;
mod review_sessions;
mod baseline_override;
mod holds;
mod relapse_prevention;
mod discharge;
mod transfer;
mod fit_check;
mod care_plan;
mod handover;
mod candidates;
mod patient_matches;
mod discussion_flag;
mod withdrawal;
mod caseload;
mod caseload_export;
mod review_queue;
mod review_queue_export;
mod safety_concerns;
mod safety_metrics;
mod deliveries;
mod quarantine;
mod instruments;
mod rule_sets;
mod simulation;
mod metrics;
mod metrics_export;
mod time;
mod time_export;
mod coverages;
mod connections;
mod notifications;
mod imports;
mod events;
mod audit;
mod api_keys;
mod webhook_deliveries;

pub use caseload_export::export_episodes;
pub use episodes::EpisodeBody;
pub use events::StreamAdmission;
pub use patient_matches::{MatchedRecord, PatientMatchBody, side_by_side};
pub use time::{PatientMinutes, minutes_of_month};
use utoipa_axum::router::OpenApiRouter;

use super::App;
pub use super::export::Format;

// Enums of query parameters: utoipa finds only the types of bodies by itself.
pub(super) use caseload::Sort;
pub(super) use metrics::ReportKind;
pub(super) use metrics::monthly::MetricsGrouping;
pub(super) use recommendation_list::RecommendationStateFilter;
pub(super) use webhook_deliveries::WebhookState;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(patients::routes())
        .merge(patient::routes())
        .merge(measurements::routes())
        .merge(safety_assessments::routes())
        .merge(episodes::routes())
        .merge(episode::routes())
        .merge(standing::routes())
        .merge(timeline::routes())
        .merge(contacts::routes())
        .merge(treatment_changes::routes())
        .merge(case_reviews::routes())
        .merge(recommendations::routes())
        .merge(recommendation_list::routes())
        .merge(review_sessions::routes())
        .merge(baseline_override::routes())
        .merge(holds::routes())
        .merge(relapse_prevention::routes())
        .merge(discharge::routes())
        .merge(transfer::routes())
        .merge(fit_check::routes())
        .merge(care_plan::routes())
        .merge(handover::routes())
        .merge(candidates::routes())
        .merge(patient_matches::routes())
        .merge(discussion_flag::routes())
        .merge(withdrawal::routes())
        .merge(caseload::routes())
        .merge(caseload_export::routes())
        .merge(review_queue::routes())
        .merge(review_queue_export::routes())
        .merge(safety_concerns::routes())
        .merge(safety_metrics::routes())
        .merge(deliveries::routes())
        .merge(quarantine::routes())
        .merge(instruments::routes())
        .merge(rule_sets::routes())
        .merge(simulation::routes())
        .merge(metrics::routes())
        .merge(metrics_export::routes())
        .merge(time::routes())
        .merge(time_export::routes())
        .merge(coverages::routes())
        .merge(connections::routes())
        .merge(notifications::routes())
        .merge(imports::routes())
        .merge(events::routes())
        .merge(audit::routes())
        .merge(api_keys::routes())
        .merge(webhook_deliveries::routes())
}

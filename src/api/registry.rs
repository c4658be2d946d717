//! The registry's JSON API, `/api/v1`. One endpoint, or one noun with its small family, per file.

mod answer;
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
mod baseline_override;
mod holds;
mod relapse_prevention;
mod discharge;
mod discussion_flag;
mod take_back;
mod caseload;
mod review_queue;
mod safety_concerns;
mod deliveries;
mod quarantine;
mod rule_sets;
mod simulation;
mod metrics;
mod time;
mod coverages;
mod connections;
mod notifications;

use utoipa_axum::router::OpenApiRouter;

use super::App;

/// The routes.
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
        .merge(baseline_override::routes())
        .merge(holds::routes())
        .merge(relapse_prevention::routes())
        .merge(discharge::routes())
        .merge(discussion_flag::routes())
        .merge(take_back::routes())
        .merge(caseload::routes())
        .merge(review_queue::routes())
        .merge(safety_concerns::routes())
        .merge(deliveries::routes())
        .merge(quarantine::routes())
        .merge(rule_sets::routes())
        .merge(simulation::routes())
        .merge(metrics::routes())
        .merge(time::routes())
        .merge(coverages::routes())
        .merge(connections::routes())
        .merge(notifications::routes())
}

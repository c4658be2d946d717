//! Work that should not wait long, whoever it waits for.

named! {
    /// Work that should not wait long.
    pub enum WaitingKind {
        /// Suicidal answers without an assessment.
        SafetyAnswers = "safety_answers",
        /// Changes on their way into the chart.
        Deliveries = "deliveries",
        /// Changes that the chart refused.
        RefusedDeliveries = "refused_deliveries",
        /// Resources that could not be read.
        Quarantine = "quarantine",
        /// Types that could not be fetched when it was last tried; since their last complete sweep.
        Sweeps = "sweeps",
    }
}

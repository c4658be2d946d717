//! Rungs of the ladder: ways to put a work item into the chart, from the best to the poorest.

named! {
    /// A rung of the ladder: how what the plan asks for reaches the chart.
    pub enum Rung {
        /// As a Task or a Flag.
        TaskAndFlag = "task-and-flag",
        /// As a Communication.
        Communication = "communication",
        /// As a note: a `DocumentReference` with a text in it.
        DocumentReference = "document-reference",
        /// Nothing is written; the CDS Hooks card in the chart says what stands.
        CdsCard = "cds-card",
        /// Nothing is written; our own list alone says what stands.
        Worklist = "worklist",
    }
}

impl Rung {
    /// Whether something stands in the chart on this rung.
    pub fn is_written(self) -> bool {
        !matches!(self, Self::CdsCard | Self::Worklist)
    }
}

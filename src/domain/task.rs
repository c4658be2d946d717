//! The words of Tasks and Flags: what they are about, how urgent, whose, and how they stand in the chart.

named! {
    /// Kind of resource in the chart.
    pub enum ChartResource {
        Task = "Task",
        /// An alert.
        Flag = "Flag",
    }
}

named! {
    /// Subject of a Task or a Flag (our code system).
    pub enum Code {
        /// The weekly psychiatric caseload review should look at this patient.
        PsychiatricCaseReview = "psychiatric-case-review",
        /// The scale should be taken again.
        Measure = "measure",
        /// The care manager should reassess and set a new baseline.
        Reassess = "reassess",
        /// Suicide risk must be assessed.
        SafetyAssessment = "safety-assessment",
        /// An assessment is past due.
        SafetyEscalation = "safety-escalation",
        /// PHQ-9 item 9 was left open: ask it.
        AskItem9 = "ask-item9",
        /// A contact is due.
        Contact = "contact",
        /// Write the relapse-prevention plan.
        RelapsePreventionPlan = "relapse-prevention-plan",
        /// A recommendation of a case review waits for a decision or for action.
        Recommendation = "recommendation",
        /// Decide whether to discharge.
        DischargeReview = "discharge-review",
        /// Flag: not at target.
        CocmNotAtTarget = "cocm-not-at-target",
        /// Flag: an unassessed safety answer.
        CocmSafety = "cocm-safety",
    }
}

named! {
    /// FHIR request-priority.
    pub enum Priority {
        Routine = "routine",
        /// Ahead of routine.
        Urgent = "urgent",
        Stat = "stat",
    }
}

named! {
    /// Role that should act.
    pub enum Owner {
        /// The behavioral care manager.
        CareManager = "care_manager",
        /// The psychiatric consultant.
        PsychiatricConsultant = "psychiatric_consultant",
        /// The patient's own doctor.
        PrimaryCareProvider = "primary_care_provider",
    }
}

named! {
    /// How a planned resource should stand in the chart.
    pub enum Posture {
        /// Task `requested`, Flag `active`.
        Open = "open",
        /// Done, as the registry knows: Task `completed`, Flag `inactive`.
        Fulfilled = "fulfilled",
        /// No longer called for: Task `cancelled`, Flag `inactive`.
        Withdrawn = "withdrawn",
        /// Its evidence was retracted: `entered-in-error`.
        EnteredInError = "entered-in-error",
    }
}

//! Purpose, modality and outcome of contacts.

named! {
    /// What the care manager's time was for. Only treatment counts as a clinical contact.
    pub enum ContactKind {
        /// Live, treatment delivered, documented.
        Treatment = "treatment",
        /// Trying to reach the patient.
        Outreach = "outreach",
        /// Making an appointment.
        Scheduling = "scheduling",
        Message = "message",
        /// Caseload consultation with the psychiatrist.
        Consultation = "consultation",
        /// Work on the registry or the care plan.
        CarePlanning = "care_planning",
        /// Coordination with the primary care provider or others.
        Coordination = "coordination",
        /// Anything clerical.
        Clerical = "clerical",
    }
}

impl ContactKind {
    /// Whether its minutes count toward care management (CPT 99492, 99493). Scheduling and clerical work does not.
    pub fn is_care_management(self) -> bool {
        !matches!(self, Self::Scheduling | Self::Clerical)
    }

    /// Whether the patient was to take part: such contacts say something about engagement.
    pub fn is_with_patient(self) -> bool {
        matches!(self, Self::Treatment | Self::Outreach | Self::Scheduling | Self::Message)
    }
}

named! {
    /// How a contact took place.
    pub enum Modality {
        InPerson = "in_person",
        Video = "video",
        Phone = "phone",
        Group = "group",
        Message = "message",
    }
}

named! {
    /// Outcome of a contact.
    pub enum ContactOutcome {
        Attended = "attended",
        /// The patient did not come.
        NoShow = "no_show",
        /// Cancelled too late.
        LateCancel = "late_cancel",
        /// The patient was not reached.
        NotReached = "not_reached",
    }
}

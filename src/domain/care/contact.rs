//! Purpose, modality and outcome of contacts.

named! {
    /// Purpose of a contact. Only treatment counts as a clinical contact.
    pub enum ContactKind {
        /// Live, treatment delivered, documented.
        Treatment = "treatment",
        /// Trying to reach the patient.
        Outreach = "outreach",
        /// Making an appointment.
        Scheduling = "scheduling",
        Message = "message",
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

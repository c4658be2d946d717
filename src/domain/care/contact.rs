//! What a contact was for, how it took place, and what became of it.

named! {
    /// What a contact was for. Only treatment counts as a clinical contact.
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
    /// What became of a contact.
    pub enum ContactOutcome {
        Attended = "attended",
        /// The patient did not come.
        NoShow = "no_show",
        /// Cancelled too late.
        LateCancel = "late_cancel",
        /// Nobody was reached.
        NotReached = "not_reached",
    }
}

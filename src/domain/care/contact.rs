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
        /// A message.
        Message = "message",
    }
}

named! {
    /// How a contact took place.
    pub enum Modality {
        /// Face to face.
        InPerson = "in_person",
        /// By video.
        Video = "video",
        /// By telephone.
        Phone = "phone",
        /// In a group.
        Group = "group",
        /// In writing.
        Message = "message",
    }
}

named! {
    /// What became of a contact.
    pub enum ContactOutcome {
        /// It took place.
        Attended = "attended",
        /// The patient did not come.
        NoShow = "no_show",
        /// Cancelled too late.
        LateCancel = "late_cancel",
        /// Nobody was reached.
        NotReached = "not_reached",
    }
}

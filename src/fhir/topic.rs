//! Topics for an EHR: the types that the registry stores, and those that it writes and reads back.

use super::arrival::ResourceType;
use crate::domain::task::ChartResource;

/// A FHIR type that concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Kept here as it comes.
    Kept(ResourceType),
    Ours(ChartResource),
}

impl Topic {
    /// By its FHIR type name.
    pub fn of(name: &str) -> Option<Self> {
        let ours = || name.parse().ok().map(Self::Ours);
        ResourceType::of(name).map(Self::Kept).or_else(ours)
    }

    /// The FHIR type name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept(kind) => kind.name(),
            Self::Ours(resource) => resource.as_str(),
        }
    }
}

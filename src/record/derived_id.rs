//! Ids that follow from what they name.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::fhir::arrival::{Arrival, ResourceType};

/// Our namespace for ids that follow from what they name.
const NAMESPACE: Uuid = Uuid::from_u128(0x7c0c_3d2e_9a51_4b7e_8f06_2b1d_5e9a_c0c4);

/// An id that follows from its parts: the same parts give the same id, in every replica and after every restore.
pub fn id_of(clinic: &str, parts: &[&str]) -> Uuid {
    let mut name = clinic.to_owned();
    for part in parts {
        name.push('\u{1f}');
        name.push_str(part);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The id under which a resource without one of its own is stored: it follows from the content, so that sending the
/// same twice stores it once. `None` for a Patient without identifiers, which nothing tells from another one but what
/// the Bundle around it calls it (`full_url`).
pub fn derived_id(clinic: &str, arrival: &Arrival, full_url: Option<&str>) -> Option<String> {
    let anonymous = arrival.kind == ResourceType::Patient && arrival.identifiers.is_empty();
    if anonymous && full_url.is_none() {
        return None;
    }
    let digest = Sha256::digest(arrival.raw.as_bytes());
    let digest = u128::from_be_bytes(std::array::from_fn(|i| digest[i]));
    let digest = format!("{digest:032x}");
    let mut parts = vec![arrival.kind.name(), digest.as_str()];
    parts.extend(full_url.filter(|_| anonymous));
    Some(id_of(clinic, &parts).to_string())
}

//! The frame of every page: user, navigation, and patients who wait for a safety assessment.

use axum::response::Redirect;

use super::assets;
use super::response::ProblemPage;
use super::roles::{OPERATORS, READERS_OF_RULES};
use super::safety_strip::SafetyStrip;
use super::session::{IDLE, Visitor};
use super::staff::{Teams, one_of};
use crate::identity::Role;
use crate::problem::Problem;

/// Section of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NavSection {
    MyPatients,
    Caseload,
    Candidates,
    Review,
    Safety,
    Program,
    Month,
    Operations,
}

/// Frame of a page.
pub struct Shell {
    pub title: String,
    pub part: NavSection,
    pub clinic: String,
    pub name: String,
    pub csrf: String,
    pub style: String,
    pub script: String,
    pub icon: String,
    /// Unassessed safety answers.
    pub safety: SafetyStrip,
    role: Role,
    /// Confirmation to show.
    pub done: Option<Confirmation>,
    pub idle_seconds: i64,
    /// Names whose drafts a browser keeps, without saying who it is.
    pub owner: String,
}

/// Confirmation of the last action, and how to undo it.
pub struct Confirmation {
    pub words: String,
    /// Where an undo is sent.
    pub undo: Option<String>,
}

/// The page that a person begins the day with: a doctor's own patients, a care manager's own caseload, or everybody.
pub async fn first_page(visitor: Visitor) -> Result<Redirect, ProblemPage> {
    if visitor.is(&[Role::PrimaryCare]) {
        return Ok(Redirect::to("/my-patients"));
    }
    let managers = Teams::read(&visitor).await?.care_managers;
    let names: Vec<&str> = managers.iter().map(String::as_str).collect();
    let own = one_of(&visitor.session.name, &names).filter(|_| visitor.is(&[Role::CareManager]));
    let own = own.map(|own| form_urlencoded::byte_serialize(own.as_bytes()).collect::<String>());
    Ok(Redirect::to(&own.map_or_else(|| "/caseload".to_owned(), |own| format!("/caseload?care_manager={own}"))))
}

impl Shell {
    /// Around a page of this title.
    pub async fn around(visitor: &Visitor, title: impl Into<String>, part: NavSection) -> Result<Self, Problem> {
        Ok(Self {
            title: title.into(),
            part,
            clinic: visitor.clinic_name(),
            name: visitor.session.name.clone(),
            csrf: visitor.session.csrf.clone(),
            style: assets::style(),
            script: assets::script(),
            icon: assets::icon(),
            safety: SafetyStrip::read(visitor).await?,
            role: visitor.caller.role,
            done: None,
            idle_seconds: IDLE.num_seconds(),
            owner: visitor.owner_of_drafts(),
        })
    }

    /// May see connections and deliveries.
    pub fn operates(&self) -> bool {
        OPERATORS.contains(&self.role)
    }

    /// May try other thresholds.
    pub fn tries_rules(&self) -> bool {
        READERS_OF_RULES.contains(&self.role)
    }

    /// Has patients of their own as a doctor.
    pub fn is_doctor(&self) -> bool {
        self.role == Role::PrimaryCare
    }

    /// Has a caseload as a care manager.
    pub fn keeps_caseload(&self) -> bool {
        self.role == Role::CareManager
    }

    /// May read the audit log.
    pub fn audits(&self) -> bool {
        self.role == Role::Admin
    }

    pub fn is(&self, part: NavSection) -> bool {
        self.part == part
    }
}

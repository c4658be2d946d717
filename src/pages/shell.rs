//! The frame of every page: user, navigation, and patients who wait for a safety assessment.

use super::assets;
use super::roles::READERS_OF_RULES;
use super::safety_strip::SafetyStrip;
use super::session::{IDLE, Visitor};
use crate::identity::Role;
use crate::problem::Problem;

/// Section of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NavSection {
    Caseload,
    Candidates,
    Review,
    Safety,
    Program,
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
    /// May see connections and deliveries.
    pub operates: bool,
    /// May try other thresholds.
    pub tries_rules: bool,
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
            operates: visitor.is(&[Role::Admin, Role::CareManager]),
            tries_rules: visitor.is(READERS_OF_RULES),
            done: None,
            idle_seconds: IDLE.num_seconds(),
            owner: visitor.owner_of_drafts(),
        })
    }

    pub fn is(&self, part: NavSection) -> bool {
        self.part == part
    }
}

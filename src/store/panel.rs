//! Which single items a panel or a total consists of, where it says so.

use std::sync::LazyLock;

use super::rows::Texts;
use super::{ReadTx, WriteTx, failed};
use crate::problem::Problem;

/// An Observation that another one names as its part, both as `Observation/123`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct PanelMember {
    pub member: String,
    pub panel: String,
}

static BY_MEMBER: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list("SELECT member, panel FROM observation_member WHERE clinic_id = $1 AND member IN", 2, "")
});

/// What names these Observations as its parts.
pub async fn of_members(tx: &mut ReadTx, clinic: &str, members: &[String]) -> Result<Vec<PanelMember>, Problem> {
    Ok(fetch_listed!(tx, PanelMember, BY_MEMBER, members, clinic))
}

static BY_PANEL: LazyLock<Texts> = LazyLock::new(|| {
    Texts::list("SELECT member, panel FROM observation_member WHERE clinic_id = $1 AND panel IN", 2, "")
});

/// What these panels consist of.
pub async fn of_panels(tx: &mut ReadTx, clinic: &str, panels: &[String]) -> Result<Vec<PanelMember>, Problem> {
    Ok(fetch_listed!(tx, PanelMember, BY_PANEL, panels, clinic))
}

static ADD: LazyLock<Texts> = LazyLock::new(|| {
    Texts::values("INSERT INTO observation_member (clinic_id, member, panel)", 2, "ON CONFLICT DO NOTHING")
});

pub async fn add_all(tx: &mut WriteTx, clinic: &str, members: &[&PanelMember]) -> Result<(), Problem> {
    execute_rows!(tx, ADD, clinic, members, |m| &m.member, &m.panel);
    Ok(())
}

pub async fn remove(
    tx: &mut WriteTx,
    clinic: &str,
    PanelMember { member, panel }: &PanelMember,
) -> Result<(), Problem> {
    let statement = "DELETE FROM observation_member WHERE clinic_id = $1 AND member = $2 AND panel = $3";
    execute!(tx, statement, clinic, member, panel).map(|_| ()).map_err(failed)
}

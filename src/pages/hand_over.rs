//! Handing many patients over to another care manager: choose, look at what will change, confirm.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::caseload::choice::SelectOption;
use super::date_texts::{day, whole_day};
use super::identity::{self, PersonIdentity};
use super::response::{ProblemPage, html};
use super::session::{FormPost, Visitor};
use super::shell::{NavSection, Shell};
use super::staff::{Teams, one_of};
use super::words;
use crate::domain::caseload_row::NextContactKind;
use crate::id::{EpisodeId, PatientId};
use crate::identity::Role;
use crate::problem::Problem;
use crate::store::standing::caseload::{self, CaseloadFilter, CaseloadOrder, EpisodeListing, ROWS};

/// Whose patients; the visitor's own without it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HandOverQuery {
    from: String,
}

/// A patient who can be handed over.
struct HandOverRow {
    episode: EpisodeId,
    patient: PatientId,
    name: String,
    identity: PersonIdentity,
    phase: &'static str,
    open_safety: bool,
    /// The next appointment: the new care manager has to keep it.
    appointment: Option<String>,
    chosen: bool,
    /// Outcome, once it was tried.
    outcome: Option<Result<(), String>>,
}

/// Where the page is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HandOverStep {
    Choose,
    Preview,
    Done,
}

#[derive(Template)]
#[template(path = "hand_over.html")]
struct HandOverPage {
    shell: Shell,
    step: HandOverStep,
    managers: Vec<SelectOption>,
    /// Suggestions for the new care manager.
    others: Vec<String>,
    from: String,
    to: String,
    on: String,
    on_words: String,
    reason: String,
    once: String,
    rows: Vec<HandOverRow>,
    problem: Option<String>,
}

impl HandOverPage {
    fn chosen(&self) -> usize {
        self.rows.iter().filter(|row| row.chosen).count()
    }

    fn with_safety(&self) -> usize {
        self.rows.iter().filter(|row| row.chosen && row.open_safety).count()
    }

    fn refused(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.outcome, Some(Err(_)))).count()
    }

    async fn of(visitor: &Visitor, from: &str) -> Result<Self, Problem> {
        let teams = Teams::read(visitor).await?;
        let names: Vec<&str> = teams.care_managers.iter().map(String::as_str).collect();
        let own = one_of(&visitor.session.name, &names).unwrap_or_default();
        let from = if from.is_empty() { own } else { from }.to_owned();
        let option =
            |name: &&str| SelectOption { value: (*name).to_owned(), words: (*name).to_owned(), chosen: *name == from };
        let mut managers: Vec<SelectOption> = names.iter().map(option).collect();
        managers.sort_by(|a, b| a.words.cmp(&b.words));
        let rows = if from.is_empty() { Vec::new() } else { rows(visitor, &from).await? };
        Ok(Self {
            shell: Shell::around(visitor, "Hand over", NavSection::Caseload).await?,
            step: HandOverStep::Choose,
            managers,
            others: teams.care_managers.into_iter().filter(|name| *name != from).collect(),
            from,
            to: String::new(),
            on: visitor.today().to_string(),
            on_words: whole_day(visitor.today()),
            reason: String::new(),
            once: visitor.pages.app.clock.id().to_string(),
            rows,
            problem: None,
        })
    }

    /// Takes over what was typed, and says what is wrong with it.
    fn fill(&mut self, form: &FormPost) -> Result<(), &'static str> {
        let text = |name: &str| form.get(name).map(str::trim).unwrap_or_default().to_owned();
        (self.to, self.on, self.reason) = (text("to"), text("on"), text("reason"));
        if (8..=64).contains(&text("once").len()) {
            self.once = text("once");
        }
        let chosen: Vec<&str> =
            form.fields.iter().filter(|(name, _)| name == "episode").map(|(_, value)| value.as_str()).collect();
        for row in &mut self.rows {
            row.chosen = chosen.contains(&row.episode.to_string().as_str());
        }
        let on: chrono::NaiveDate = self.on.parse().map_err(|_| "Say from which day on")?;
        self.on_words = whole_day(on);
        match () {
            () if self.to.is_empty() => Err("Say to whom"),
            () if self.to == self.from => Err("Choose another care manager than before"),
            () if self.reason.is_empty() => Err("Say why: it is part of the record"),
            () if self.chosen() == 0 => Err("Choose at least one patient"),
            () => Ok(()),
        }
    }

    /// Hands each chosen patient over. One who is refused stays, and says why.
    async fn hand_over(&mut self, visitor: &Visitor) -> Result<(), ProblemPage> {
        let body = json!({"on": self.on, "to_care_manager": self.to, "reason": self.reason});
        let once: String = self.once.chars().filter(char::is_ascii_alphanumeric).rev().take(16).collect();
        for row in self.rows.iter_mut().filter(|row| row.chosen) {
            let path = format!("episodes/{}/transfer", row.episode);
            // Sent twice, each patient is handed over once.
            let once = format!("{once}-{}", row.episode);
            row.outcome = match visitor.pages.door.post(&visitor.caller, &path, Some(&once), &body).await {
                Ok(_) => Some(Ok(())),
                Err(refused) if refused.status >= 500 => return Err(refused.into()),
                Err(refused) => Some(Err(refused.detail)),
            };
        }
        Ok(())
    }
}

pub async fn show(visitor: Visitor, Query(asked): Query<HandOverQuery>) -> Result<Response, ProblemPage> {
    visitor.caller.require(&[Role::CareManager])?;
    Ok(html(&HandOverPage::of(&visitor, &asked.from).await?))
}

/// The preview, or, once that was confirmed, the hand-over itself.
pub async fn take(form: FormPost) -> Result<Response, ProblemPage> {
    let visitor = &form.visitor;
    visitor.caller.require(&[Role::CareManager])?;
    let mut page = HandOverPage::of(visitor, form.get("from").unwrap_or_default()).await?;
    let confirmed = form.get("action") == Some("confirm");
    if let Err(problem) = page.fill(&form) {
        page.problem = Some(format!("Nobody was handed over yet. {problem}."));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)).into_response());
    }
    page.step = HandOverStep::Preview;
    if confirmed {
        page.hand_over(visitor).await?;
        page.step = HandOverStep::Done;
    }
    Ok(html(&page))
}

/// Every open episode of a care manager, by name.
async fn rows(visitor: &Visitor, from: &str) -> Result<Vec<HandOverRow>, Problem> {
    let clinic = visitor.clinic();
    let filter = CaseloadFilter { care_manager: Some(from), ..CaseloadFilter::default() };
    let mut tx = visitor.pages.app.db.read().await?;
    let mut read: Vec<EpisodeListing> = Vec::new();
    loop {
        let episodes = caseload::found(&mut tx, clinic, filter, CaseloadOrder::Name, read.len()).await?;
        let more = caseload::rows(&mut tx, clinic, &episodes).await?;
        let is_last = more.len() < ROWS;
        read.extend(more);
        if is_last {
            break;
        }
    }
    let mut known = identity::read(&mut tx, clinic, read.iter().map(|row| row.patient_id)).await?;
    let today = visitor.today();
    let row = |row: EpisodeListing| {
        let appointment = row.line().and_then(|line| line.next_contact);
        let appointment = appointment.filter(|(_, kind)| *kind == NextContactKind::Appointment);
        HandOverRow {
            episode: row.episode_id,
            patient: row.patient_id,
            identity: known.entry(row.patient_id).or_default().clone(),
            phase: row.status.parse().map(words::phase).unwrap_or_default(),
            open_safety: row.open_safety,
            appointment: appointment.map(|(on, _)| day(on, today)),
            name: row.display_name,
            chosen: true,
            outcome: None,
        }
    };
    Ok(read.into_iter().map(row).collect())
}

//! A row of a spreadsheet registry: a patient's course so far, taken over in one fact.
//!
//! Everything in it has an id that follows from the clinic, the patient's identifier and what it is: taking the same
//! row over twice changes nothing, and a row that has grown adds what is new. What was imported before and says
//! something else now is refused: it is the registry's from then on, and is corrected there.
//!
//! A person of whom the chart has told nothing yet is known by the identifier, and called what the spreadsheet calls
//! them until their Patient arrives, which says it better. No resource is made up in the chart's name.

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::json;

use super::care_entry::line_of;
use super::derived_id::id_of;
use super::dossier::Dossier;
use super::identify::{self, locked};
use super::new_event::NewEvent;
use super::scored_form::measure;
use super::settle::{append_events, settle};
use super::working_set::WorkingSet;
use super::{CommandEffect, ImportCount, RecordContext, Recorded};
use crate::domain::care::{Care, CareEntry, ContactKind, ContactOutcome, DischargeReason, Payer};
use crate::domain::chart_plan::plan;
use crate::domain::day::local_midnight;
use crate::domain::episode::{Course, Episode, Phase};
use crate::domain::instrument::Instrument;
use crate::domain::measurement::{EvidenceStatus, Measurement};
use crate::domain::rules::RuleSet;
use crate::domain::score::Answers;
use crate::domain::standing::Standing;
use crate::domain::story::Story;
use crate::fhir::content::EvidenceTime;
use crate::id::{EpisodeId, MeasurementId, PatientId};
use crate::problem::{Category, Problem};
use crate::store::patient::Patient;
use crate::store::{ReadTx, patient, story};

/// The source of what was imported.
pub const SOURCE: &str = "import";

/// One patient's row, read and checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCase {
    /// Who: `system|value`.
    pub key: String,
    /// What the spreadsheet calls them.
    pub name: Option<String>,
    pub family: Option<String>,
    pub birth_date: Option<NaiveDate>,
    /// As enrolled, or referred; its id is made here.
    pub episode: Episode,
    pub scores: Vec<ImportedScore>,
    /// Dates of clinical contacts.
    pub contacts: Vec<NaiveDate>,
    /// Dates of psychiatric case reviews; what was recommended is not known.
    pub reviews: Vec<NaiveDate>,
    /// Since when treatment pauses.
    pub held_on: Option<NaiveDate>,
    /// When relapse prevention began.
    pub relapse_prevention_on: Option<NaiveDate>,
    /// The end, and why.
    pub discharge: Option<(NaiveDate, DischargeReason)>,
    /// Who pays, since enrollment.
    pub payer: Option<Payer>,
    pub note: Option<String>,
}

/// One taking of an instrument: its total, its answers, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedScore {
    pub instrument: Instrument,
    pub on: NaiveDate,
    pub total: Option<u16>,
    /// In order of the items; empty where the row has none.
    pub items: Vec<Option<u8>>,
}

impl ImportedScore {
    /// The measurement that it is. Where some answers stand beside a total, the total is the score, and of the answers
    /// only the one about self-harm is more than a part of it.
    fn measured(&self, id: MeasurementId, taken: EvidenceTime) -> Option<Measurement> {
        let is_complete = self.items.iter().all(Option::is_some);
        let counts = self.total.is_none() || is_complete;
        let answers = Answers {
            items: if counts { self.items.clone() } else { Vec::new() },
            stated_total: self.total,
            ..Answers::default()
        };
        let mut new = measure(id, self.instrument, &answers, taken, EvidenceStatus::Submitted, SOURCE)?;
        if !counts && let Some(item) = self.instrument.self_harm_item() {
            new.item9 = self.items.get(item).copied().flatten();
        }
        Some(new)
    }
}

/// What a row adds to a story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// The row's episode.
    pub id: EpisodeId,
    /// The episode, where it is new.
    pub episode: Option<Episode>,
    pub measurements: Vec<Measurement>,
    /// Contacts, reviews, relapse prevention, discharge, coverage.
    pub entries: Vec<CareEntry>,
}

impl Additions {
    /// What becomes of the row's episode: it is new, or there is something new in it, or nothing.
    pub fn effect(&self) -> CommandEffect {
        match &self.episode {
            Some(_) => CommandEffect::Created,
            None if self.measurements.is_empty() && self.entries.is_empty() => CommandEffect::Unchanged,
            None => CommandEffect::Updated,
        }
    }

    pub fn added(&self) -> ImportCount {
        ImportCount { measurements: self.measurements.len(), entries: self.entries.len() }
    }
}

/// What taking a row over would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPreview {
    /// The patient, where known already.
    pub patient: Option<PatientId>,
    /// What it would add.
    pub additions: Additions,
}

/// Says what taking a row over would do. Writes nothing.
///
/// # Errors
/// The problem that the row would be refused with.
pub async fn foresee(
    tx: &mut ReadTx,
    clinic: &str,
    (zone, today): (Tz, NaiveDate),
    rules: &RuleSet,
    case: &ImportedCase,
) -> Result<ImportPreview, Problem> {
    let known = one(patient::by_key(tx, clinic, &case.key).await?)?;
    let Some(person) = known else {
        let id = PatientId(id_of(clinic, &["patient", &case.key]));
        let nobody = Story::of(crate::domain::story::PatientStatus { id, inactive: false, deceased_on: None });
        let additions = additions(clinic, zone, today, case, &nobody, &[])?;
        return Ok(ImportPreview { patient: None, additions });
    };
    is_the_same(&person, case)?;
    let story = story::of(tx, clinic, &person).await?;
    let plan = plan(&story, rules, today);
    let additions = additions(clinic, zone, today, case, &story, &plan.standings)?;
    Ok(ImportPreview { patient: Some(person.id), additions })
}

/// Takes a row over.
pub fn imported(set: &mut WorkingSet, context: &RecordContext<'_>, case: &ImportedCase) -> Result<Recorded, Problem> {
    let mut dossier = if let Some(known) = one(set.persons_with_key(&case.key)?)? {
        let row = locked(set, known.id)?;
        is_the_same(&row, case)?;
        set.take(row)?
    } else {
        let mut person = identify::unseen(context, &case.key);
        name(&mut person, case);
        identify::new(set, context, person)?
    };
    let standings = &dossier.plan.standings;
    let additions = additions(context.clinic, context.zone, context.today, case, &dossier.story, standings)?;
    let (id, added) = (additions.id, additions.added());
    let answer = Recorded {
        effect: additions.effect(),
        id: id.to_string(),
        version: 1,
        at: context.now,
        patient: Some(dossier.patient.id),
        quarantined: None,
        added: Some(added),
    };
    if answer.effect == CommandEffect::Unchanged {
        set.put(dossier);
        return Ok(answer);
    }
    let before = dossier.patient.clone();
    name(&mut dossier.patient, case);
    if dossier.patient != before {
        set.update_patient(&dossier.patient);
    }
    write(set, context, &mut dossier, additions)?;
    let line = NewEvent {
        body: json!({"scores": added.measurements, "entries": added.entries, "note": case.note}),
        ..plain_line(context, Some(id), "import", (context.today, context.now))
    };
    settle(set, context, dossier, Some(line))?;
    Ok(answer)
}

/// Whoever the chart has not spoken of is called what the spreadsheet calls them.
fn name(person: &mut Patient, case: &ImportedCase) {
    person.has_care = true;
    if !person.seen && person.display_name.is_none() {
        person.display_name.clone_from(&case.name);
        person.family.clone_from(&case.family);
        person.birth_date = case.birth_date.map(|on| on.to_string());
    }
}

fn write(
    set: &mut WorkingSet,
    context: &RecordContext<'_>,
    dossier: &mut Dossier,
    additions: Additions,
) -> Result<(), Problem> {
    let patient = dossier.patient.id;
    let mut lines = Vec::new();
    if let Some(new) = additions.episode {
        set.insert_episode(patient, &new, context.by, context.now);
        let on = new.enrolled_on.unwrap_or(context.today);
        let kind = if new.enrolled_on.is_some() { "enrolment" } else { "referral" };
        let line = plain_line(context, Some(new.id), kind, (on, local_midnight(context.zone, on)));
        lines.push(NewEvent { body: json!(new), ..line });
        dossier.story.episodes.push(new);
    } else if !additions.entries.is_empty() {
        set.touch_episode(additions.id, context.now)?;
    }
    set.put_measurements(patient, &additions.measurements, context.now);
    for new in additions.measurements {
        let line = plain_line(context, None, "measurement", (new.taken_on, new.taken_at));
        lines.push(NewEvent { body: json!({"source": SOURCE, "measurements": [new]}), ..line });
        dossier.story.measurements.push(new);
    }
    for new in additions.entries {
        lines.push(line_of(&new));
        dossier.story.entries.push(new);
    }
    append_events(set, context, dossier, lines);
    Ok(())
}

fn plain_line(
    context: &RecordContext<'_>,
    episode: Option<EpisodeId>,
    kind: &str,
    (on, at): (NaiveDate, chrono::DateTime<chrono::Utc>),
) -> NewEvent {
    let (id, body) = (context.clock.id(), json!({}));
    NewEvent { id, episode, kind: kind.to_owned(), is_care: false, on, at, outcome: None, minutes: None, body }
}

fn one(found: Vec<Patient>) -> Result<Option<Patient>, Problem> {
    match found.len() {
        0 | 1 => Ok(found.into_iter().next()),
        _ => Err(Problem::conflict("several patients carry this identifier").at("identifier")),
    }
}

/// An identifier with another date of birth is a mistake in one of the two.
fn is_the_same(known: &Patient, case: &ImportedCase) -> Result<(), Problem> {
    match (&known.birth_date, case.birth_date) {
        // The chart may know a year or a month only.
        (Some(said), Some(birth_date)) if !birth_date.to_string().starts_with(said.as_str()) => {
            let detail = "the patient with this identifier has another date of birth in the registry";
            Err(Problem::conflict(detail).at("birth_date"))
        }
        _ => Ok(()),
    }
}

/// What a row adds to a story; the same for the foreseeing and for the doing.
fn additions(
    clinic: &str,
    zone: Tz,
    today: NaiveDate,
    case: &ImportedCase,
    story: &Story,
    standings: &[Standing],
) -> Result<Additions, Problem> {
    let begun = case.episode.enrolled_on.map_or_else(|| "referred".to_owned(), |on| on.to_string());
    let id_of = |what: &str| id_of(clinic, &["import", &case.key, &begun, what]);
    let id = EpisodeId(id_of("episode"));
    let known = story.episodes.iter().any(|e| e.id == id);
    if !known {
        may_begin(case, standings)?;
    }
    let mut additions = Additions { id, ..Additions::default() };
    additions.episode = (!known).then(|| Episode { id, ..case.episode.clone() });
    for score in &case.scores {
        let ImportedScore { instrument, on, .. } = score;
        // A score belongs to the patient, not to the episode.
        let parts = ["import", &case.key, instrument.id(), &on.to_string()];
        let id = MeasurementId(super::derived_id::id_of(clinic, &parts));
        let new = score.measured(id, EvidenceTime { at: local_midnight(zone, *on), on: *on });
        match story.measurements.iter().find(|m| m.id == id) {
            Some(known) if new.as_ref().is_none_or(|new| (new.total, new.item9) == (known.total, known.item9)) => {}
            Some(_) => {
                let detail = format!("the {instrument} of {on} was imported before with another total or answer");
                return Err(Problem::conflict(detail).at("scores"));
            }
            None => additions.measurements.extend(new),
        }
    }
    for (what, on, care) in entries(case) {
        let of = (!matches!(care, Care::Coverage { .. })).then_some(id);
        let entry = id_of(&format!("{what}/{on}"));
        if !story.entries.iter().any(|e| e.id == entry) {
            additions.entries.push(CareEntry { id: entry, episode: of, on, at: local_midnight(zone, on), care });
        }
    }
    if known {
        may_go_on(story, id, today, &additions)?;
    }
    Ok(additions)
}

/// As for an enrollment by hand: no other episode is open, and the last one has ended before.
fn may_begin(case: &ImportedCase, standings: &[Standing]) -> Result<(), Problem> {
    if standings.iter().any(|s| s.status != Phase::Discharged) {
        return Err(Problem::conflict("the patient has an open episode in the registry").at("enrolled_on"));
    }
    let end = standings.iter().filter_map(|s| s.discharged_on).max();
    match (case.episode.enrolled_on, end) {
        (Some(start), Some(end)) if start < end => {
            Err(Problem::conflict(format!("the patient's previous episode ended on {end}")).at("enrolled_on"))
        }
        _ => Ok(()),
    }
}

/// What is added to an episode that was imported before has to be allowed where it stands now.
fn may_go_on(story: &Story, id: EpisodeId, today: NaiveDate, additions: &Additions) -> Result<(), Problem> {
    let entries = story.standing_entries();
    let Some(entered) = story.episodes.iter().find(|e| e.id == id) else { return Ok(()) };
    let phase = Course::on(entered, &entries, story.patient.deceased_on, today).phase;
    let of_episode = additions.entries.iter().filter(|e| e.episode.is_some());
    match of_episode.map(|e| e.care.kind()).find(|kind| !phase.allowed().contains(kind)) {
        Some(kind) => Err(Problem::new(
            Category::Conflict,
            format!("the episode was imported before and is {phase} now: no {kind} can be added"),
        )),
        None => Ok(()),
    }
}

/// What the care team did, in the order of a course.
fn entries(from: &ImportedCase) -> Vec<(&'static str, NaiveDate, Care)> {
    let mut all = Vec::new();
    let (manager, consultant) = (&from.episode.care_manager, &from.episode.psychiatric_consultant);
    for on in &from.contacts {
        let care = Care::Contact {
            purpose: ContactKind::Treatment,
            modality: None,
            scheduled: false,
            outcome: ContactOutcome::Attended,
            starts_at: None,
            minutes: None,
            next_contact_on: None,
            performer: manager.clone(),
            interventions: Vec::new(),
            note: None,
        };
        all.push(("contact", *on, care));
    }
    for on in &from.reviews {
        let reviewer = consultant.clone().unwrap_or_else(|| SOURCE.to_owned());
        all.push((
            "case_review",
            *on,
            Care::CaseReview { reviewer, summary: None, minutes: None, recommendations: Vec::new(), session: None },
        ));
    }
    let plan = || "taken over from the clinic's spreadsheet; the plan itself is there".to_owned();
    all.extend(
        from.relapse_prevention_on.map(|on| ("relapse_prevention", on, Care::RelapsePrevention { plan: plan() })),
    );
    let reason = || "taken over from the clinic's spreadsheet".to_owned();
    all.extend(from.held_on.map(|on| ("hold", on, Care::Hold { reason: reason() })));
    all.extend(from.discharge.map(|(on, reason)| ("discharge", on, Care::Discharge { reason, note: None })));
    if let (Some(payer), Some(from)) = (from.payer, from.episode.enrolled_on) {
        all.push(("coverage", from, Care::Coverage { payer, from, to: None }));
    }
    all
}

//! The caseload of another day, computed: everybody's story is planned for it, and only the page is kept.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::types::Json as Column;

use crate::api::request::RequestContext;
use crate::domain::attention::Attention;
use crate::domain::chart_plan::{plan, plan_without_outlook};
use crate::domain::rules::RuleSet;
use crate::domain::search::PersonSearch;
use crate::domain::standing::Standing;
use crate::domain::story::Story;
use crate::id::EpisodeId;
use crate::problem::Problem;
use crate::store::patient::Patient;
use crate::store::standing::{StandingFilter, StandingRow};
use crate::store::{episode, rule_set, story};

/// Where a page begins: the day, and the last row of the page before.
pub(super) type AsOfPosition<K> = (NaiveDate, K);

/// At most `limit` rows of a day after `after`, in the order of `key`.
pub(super) async fn rows<K: Ord>(
    call: &RequestContext,
    as_of: NaiveDate,
    filter: &StandingFilter,
    limit: i64,
    after: Option<K>,
    key: impl Fn(&StandingRow) -> K,
) -> Result<Vec<StandingRow>, Problem> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let mut tx = call.app.db.read().await?;
    let rules = rule_set::active(&mut tx, call.clinic()).await?;
    let mut kept: BTreeMap<K, StandingRow> = BTreeMap::new();
    let mut everybody = story::everybody(call.clinic());
    while let Some((patients, stories)) = everybody.next(&mut tx).await? {
        let (Some(first), Some(last)) = (patients.first(), patients.last()) else { continue };
        let entered = episode::entered(&mut tx, call.clinic(), first.id, last.id).await?;
        let entered: HashMap<EpisodeId, NaiveDate> =
            entered.into_iter().map(|(id, at)| (id, at.with_timezone(&call.zone()).date_naive())).collect();
        let day = Day { as_of, rules: &rules, filter, entered: &entered, now: call.app.clock.now() };
        for (patient, story) in patients.iter().zip(&stories) {
            for row in day.rows(patient, story)? {
                let key = key(&row);
                let is_beyond = kept.len() >= limit && kept.last_key_value().is_some_and(|(last, _)| key > *last);
                if after.as_ref().is_some_and(|after| key <= *after) || is_beyond {
                    continue;
                }
                // Looking ahead is expensive: only for the rows on the page.
                let reevaluate_on = plan(story, &rules, as_of).reevaluate_on;
                kept.insert(key, StandingRow { reevaluate_on, ..row });
                if kept.len() > limit {
                    kept.pop_last();
                }
            }
        }
    }
    Ok(kept.into_values().collect())
}

/// Data for the caseload of a day.
struct Day<'a> {
    as_of: NaiveDate,
    rules: &'a RuleSet,
    filter: &'a StandingFilter,
    /// When each episode was entered.
    entered: &'a HashMap<EpisodeId, NaiveDate>,
    now: DateTime<Utc>,
}

/// The care team of an episode on that day: the care manager of that day, and the current consultant.
struct CareTeam {
    care_manager: Option<String>,
    psychiatric_consultant: Option<String>,
}

impl Day<'_> {
    /// The rows of one patient that pass the filter.
    fn rows(&self, patient: &Patient, story: &Story) -> Result<Vec<StandingRow>, Problem> {
        if story.episodes.is_empty() {
            return Ok(Vec::new());
        }
        let standings = plan_without_outlook(story, self.rules, self.as_of).standings;
        let courses = story.courses(self.as_of);
        let mut rows = Vec::new();
        for (standing, course) in standings.iter().zip(&courses) {
            let enrolled_on = course.episode.enrolled_on.filter(|on| *on <= self.as_of);
            let is_there =
                enrolled_on.is_some() || self.entered.get(&standing.episode).is_some_and(|on| *on <= self.as_of);
            let care_manager = story.care_manager(course.episode, self.as_of).map(str::to_owned);
            let team = CareTeam { care_manager, psychiatric_consultant: course.episode.psychiatric_consultant.clone() };
            let label = patient.label();
            if is_there && self.passes(patient, standing, &team, &label) {
                rows.push(self.row(patient, standing, enrolled_on, team, label)?);
            }
        }
        Ok(rows)
    }

    fn passes(&self, patient: &Patient, standing: &Standing, team: &CareTeam, label: &str) -> bool {
        let StandingFilter { care_manager, psychiatric_consultant, status, finding, name } = self.filter;
        let search = name.as_deref().and_then(PersonSearch::of);
        let is_in = match status {
            Some(status) => standing.status.as_str() == status,
            None => standing.status.as_str() != "discharged",
        };
        is_in
            && (care_manager.is_none() || *care_manager == team.care_manager)
            && (psychiatric_consultant.is_none() || *psychiatric_consultant == team.psychiatric_consultant)
            && finding.as_deref().is_none_or(|f| standing.findings.iter().any(|found| found.rule.as_str() == f))
            && search.as_ref().is_none_or(|search| search.finds(label, &[&patient.reference]))
    }

    fn row(
        &self,
        patient: &Patient,
        standing: &Standing,
        enrolled_on: Option<NaiveDate>,
        team: CareTeam,
        display_name: String,
    ) -> Result<StandingRow, Problem> {
        let attention = Attention::of(standing);
        let latest = standing.measures.first().and_then(|m| m.latest.as_ref());
        Ok(StandingRow {
            episode_id: standing.episode,
            patient_id: patient.id,
            reference: patient.reference.clone(),
            language: patient.language.clone(),
            status: standing.status.to_string(),
            display_name,
            care_manager: team.care_manager,
            psychiatric_consultant: team.psychiatric_consultant,
            enrolled_on,
            at_target: standing.at_target,
            open_safety: attention.open_safety,
            attention: attention.rank,
            waiting_since: attention.since,
            latest_score: latest.and_then(|l| i16::try_from(l.score).ok()),
            rule_set: self.rules.label(),
            as_of: self.as_of,
            reevaluate_on: None,
            body: Column(raw(standing)?),
            updated_at: self.now,
        })
    }
}

fn raw(standing: &impl Serialize) -> Result<Box<serde_json::value::RawValue>, Problem> {
    serde_json::value::to_raw_value(standing).map_err(|_| Problem::internal("a standing cannot be written"))
}

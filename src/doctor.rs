//! Tries everything that the service needs, and says on one screen what is wrong and what waits. It changes nothing.

use std::fmt;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::config::{Config, ISSUER};
use crate::domain::waiting::WaitingKind;
use crate::ehr::probe::{ProbeResult, Verdict, broken, limited, works};
use crate::identity::count_keys;
use crate::problem::Problem;
use crate::service::connections::try_connection;
use crate::store::waiting::{self, WaitingWork};
use crate::store::{Db, patient, sqlite_path};

/// Less than this, and a database that grows may fill the disk before somebody looks.
const ENOUGH_DISK: u64 = 1 << 30;
/// Tokens are refused, and Tasks are dated wrongly, when clocks differ by more.
const SAME_TIME: TimeDelta = TimeDelta::seconds(30);
/// Somebody has to look at what waits for longer.
const SOON: TimeDelta = TimeDelta::hours(24);

/// Results about one thing.
#[derive(Debug)]
pub struct Examination {
    pub about: String,
    pub results: Vec<ProbeResult>,
}

impl Examination {
    fn new(about: impl Into<String>, results: Vec<ProbeResult>) -> Self {
        Self { about: about.into(), results }
    }

    /// How many results say that something does not work.
    pub fn broken(&self) -> usize {
        self.results.iter().filter(|result| result.verdict == Verdict::Broken).count()
    }
}

impl fmt::Display for Examination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.about)?;
        self.results.iter().try_for_each(|result| write!(f, "\n  {result}"))
    }
}

/// Settings, issuers, the database, and every connection unless `offline`.
pub async fn check(config: &Config, clock: &Clock, offline: bool) -> Vec<Examination> {
    let mut all = vec![settings(config), issuers(config, offline).await];
    all.push(Examination::new("database", database(config, clock).await));
    for ehr in config.ehrs.iter().filter(|_| !offline) {
        let results = try_connection(config, ehr, clock).await.unwrap_or_else(|problem| vec![broken(problem.detail)]);
        all.push(Examination::new(format!("ehr {}", ehr.name), results));
    }
    all.retain(|examined| !examined.results.is_empty());
    all
}

/// What waits in each clinic, and since when.
pub async fn what_waits(config: &Config, now: DateTime<Utc>) -> Result<Vec<Examination>, Problem> {
    let db = Db::open_existing(config.database_url().as_str()).await?;
    let mut all = Vec::new();
    let mut tx = db.read().await?;
    let waiting = waiting::of_each_clinic(&mut tx).await?;
    for clinic in patient::clinics(&mut tx).await? {
        let of_clinic = waiting.iter().filter(|work| work.clinic_id == clinic);
        let results = of_clinic.map(|work| result_of(work, now)).collect();
        all.push(Examination::new(format!("clinic {clinic}"), results));
    }
    drop(tx);
    db.close().await;
    if all.is_empty() {
        all.push(Examination::new("clinics", vec![works("no patient has arrived yet")]));
    }
    Ok(all)
}

fn settings(config: &Config) -> Examination {
    let mut results = vec![works("every setting can be read")];
    let ignored = config.ignored_variables.iter();
    results.extend(ignored.map(|name| limited(format!("the variable {name} is no setting: it changes nothing"))));
    results.extend(config.data_dir.exists().then(|| disk(&config.data_dir)).flatten());
    Examination::new("settings", results)
}

fn disk(folder: &Path) -> Option<ProbeResult> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let sentence = format!("{} MB are free for {}", free >> 20, folder.display());
    Some(if free < ENOUGH_DISK { limited(sentence) } else { works(sentence) })
}

async fn issuers(config: &Config, offline: bool) -> Examination {
    let mut results = Vec::new();
    for issuer in &config.auth.issuers {
        let name = &issuer.issuer;
        if name == ISSUER || (offline && issuer.jwks_url.is_some()) {
            continue;
        }
        results.push(match count_keys(issuer).await {
            Ok(0) => broken(format!("{name} publishes no key that can be used: each of its tokens is refused")),
            Ok(count) => works(format!("{name} publishes {count} keys")),
            Err(why) => broken(format!("the keys of {name} cannot be read, each of its tokens is refused: {why}")),
        });
    }
    Examination::new("issuers of tokens", results)
}

async fn database(config: &Config, clock: &Clock) -> Vec<ProbeResult> {
    let url = config.database_url();
    if let Some(path) = sqlite_path(url.as_str()).filter(|path| !path.exists()) {
        let path = path.display();
        return vec![limited(format!("there is no database at {path} yet: `serve` or `migrate` makes one"))];
    }
    let looked = async {
        let db = Db::open_existing(config.database_url().as_str()).await?;
        let mut results = vec![works("the database answers")];
        results.push(match db.migrations_due().await? {
            0 => works("its schema is this program's"),
            due => limited(format!("{due} migrations are due: `serve` or `migrate` applies them")),
        });
        let apart = db.server_time().await?.map(|there| (there - clock.now()).abs());
        if let Some(apart) = apart.filter(|apart| *apart > SAME_TIME) {
            results.push(limited(format!("its clock and this machine's are {} s apart", apart.num_seconds())));
        }
        db.close().await;
        Ok::<_, Problem>(results)
    };
    looked.await.unwrap_or_else(|problem| vec![broken(problem.detail)])
}

/// A line about what waits.
fn result_of(work: &WaitingWork, now: DateTime<Utc>) -> ProbeResult {
    let what = match work.kind {
        WaitingKind::SafetyAnswers => "suicidal answers wait for an assessment",
        WaitingKind::Deliveries => "changes are on their way into the chart",
        WaitingKind::RefusedDeliveries => "changes were refused by the chart: see Operations",
        WaitingKind::Quarantine => "resources wait in quarantine: see Operations",
        WaitingKind::Sweeps => "types could not be fetched: see Operations",
    };
    let since =
        work.since.map_or_else(String::new, |since| format!(", the oldest since {}", since.format("%F %R UTC")));
    let sentence = format!("{} {what}{since}", work.count);
    let is_old = work.since.is_some_and(|since| now - since > SOON);
    let is_late = match work.kind {
        WaitingKind::RefusedDeliveries | WaitingKind::Sweeps => true,
        WaitingKind::SafetyAnswers | WaitingKind::Deliveries | WaitingKind::Quarantine => is_old,
    };
    if is_late { limited(sentence) } else { works(sentence) }
}

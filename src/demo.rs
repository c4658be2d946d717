//! Twenty weeks of care in a minute: synthetic patients, the real doors, a chart to look at.

mod cast;
mod client;
mod forms;
mod life;
mod show;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Clock;
use crate::config::{ClinicId, Config, Development};
use crate::domain::chart_plan::Rung;
use crate::identity::development;
use crate::problem::Problem;
use crate::sandbox::Sandbox;
use crate::sandbox::misbehavior::Misbehavior;
use crate::service::{Service, sweep};
use crate::{listener, telemetry};
use client::DemoClient;

/// The first day: a Monday.
const FIRST_DAY: &str = "2026-01-05";
/// How long it is lived.
const DAYS: u64 = 140;

/// Options of the demo.
#[derive(Args, Clone, Debug)]
pub struct DemoOptions {
    /// Stop after printing.
    #[arg(long)]
    pub exit: bool,
    /// Write to this FHIR server instead of the sandbox.
    #[arg(long)]
    pub ehr: Option<String>,
    /// How many patients.
    #[arg(long, default_value_t = 120)]
    pub patients: usize,
    /// Where to answer; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Problem + '_ {
    move |error| Problem::internal(format!("{what}: {error}"))
}

/// Runs it.
///
/// # Errors
/// What went wrong, for the person at the terminal.
pub async fn run(options: DemoOptions) -> Result<(), Problem> {
    let first: NaiveDate = FIRST_DAY.parse().unwrap_or_default();
    let clock = Clock::starting_at(nine_o_clock(first));
    let folder = std::env::temp_dir().join(format!("cocm-demo-{}", clock.id()));
    let outcome = live(&options, first, &clock, &folder).await;
    // The demo leaves nothing behind.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn nine_o_clock(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(9)
}

async fn live(options: &DemoOptions, first: NaiveDate, clock: &Clock, folder: &Path) -> Result<(), Problem> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sandbox = match options.ehr {
        Some(_) => None,
        None => Some(Sandbox::start(any_port, clock.clone()).await.map_err(failed("the sandbox EHR"))?),
    };
    let chart = options.ehr.clone().or_else(|| sandbox.as_ref().map(|s| s.url().to_owned())).unwrap_or_default();
    std::fs::create_dir_all(folder).map_err(failed("a temporary folder"))?;
    let mut config = Config::development(Development {
        listen: Some(options.listen),
        data_dir: Some(folder.to_path_buf()),
        ehr: Some(chart.clone()),
        ..Development::default()
    })
    .map_err(|e| Problem::internal(e.to_string()))?;
    // The consultant works from the review queue; in the chart each of its rows would be one more Task.
    for ehr in &mut config.ehrs {
        ehr.write.case_review = Some(Rung::Worklist);
    }
    let mut log = config.log.clone();
    // The chart refuses two Tasks on purpose (`this_morning`), which the dispatcher reports as errors.
    "error,cocm_registry::dispatch=off".clone_into(&mut log.filter);
    telemetry::init(&log).map_err(Problem::internal)?;
    let keys = development::prepare(&config.data_dir).map_err(failed("development keys"))?;
    let socket = listener::bind(options.listen)
        .or_else(|_| listener::bind(any_port))
        .map_err(failed("the address to listen on"))?;
    let address = socket.local_addr().map_err(failed("the address to listen on"))?;
    let service = Service::prepare(config, clock.clone(), keys).await?;
    let door = DemoClient::open(&format!("http://{address}"), folder)?;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = service.serve(socket, async {
        let _ = stopped.await;
    });
    let living = async {
        let mut people = twenty_weeks(options, first, clock, &service, &door).await?;
        this_morning(first, &service, &door, sandbox.as_ref(), &mut people).await?;
        let loops = service.start();
        show::everything(&door, sandbox.as_ref(), &chart, people.len()).await?;
        if options.exit {
            return Ok(());
        }
        show::what_to_try(&door, &chart, &token(folder)?);
        let _ = listener::stop_signal().await;
        loops.stop().await;
        Ok::<(), Problem>(())
    };
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = living => outcome,
        served = &mut serving => served.map_err(failed("the listener")),
    };
    let _ = stop.send(());
    outcome
}

fn token(folder: &Path) -> Result<String, Problem> {
    let clinic = ClinicId::new("demo").map_err(Problem::internal)?;
    development::mint(folder, &clinic, crate::identity::Role::CareManager, development::LIFETIME)
        .map_err(failed("a token"))
}

/// Open work for the first look at the pages: three screened patients, two safety answers, and two Tasks that the chart
/// refused.
async fn this_morning(
    first: NaiveDate,
    service: &Service,
    door: &DemoClient,
    sandbox: Option<&Sandbox>,
    people: &mut [cast::DemoPatient],
) -> Result<(), Problem> {
    let today = first + Days::new(DAYS);
    for person in cast::screened(people.len(), today) {
        life::is_screened(door, &person).await?;
    }
    let mut in_care = people.iter_mut().filter(|person| person.episode.is_some() && !person.gone);
    if let Some(sandbox) = sandbox {
        sandbox.misbehave(Misbehavior { refuse_conditional_create: 1.0, refuse_with: 422, ..Misbehavior::default() });
        for person in in_care.by_ref().take(2) {
            life::leaves_item9_open(door, person, today).await?;
        }
        service.deliver_due().await?;
        sandbox.behave();
    }
    for (person, item9) in in_care.take(2).zip([2, 1]) {
        life::answers_item9(door, person, today, item9).await?;
    }
    service.deliver_due().await
}

async fn twenty_weeks(
    options: &DemoOptions,
    first: NaiveDate,
    clock: &Clock,
    service: &Service,
    door: &DemoClient,
) -> Result<Vec<cast::DemoPatient>, Problem> {
    let mut people = cast::people(options.patients, first);
    let bar = ProgressBar::new(DAYS);
    if let Ok(style) = ProgressStyle::with_template("  {msg}  {bar:40.cyan/dim}  {percent}%  {elapsed} of your time") {
        bar.set_style(style.progress_chars("━━─"));
    }
    for day in 0..=DAYS {
        let today = first + Days::new(day);
        bar.set_message(format!("{today}, week {:>2}", day / 7));
        clock.set(nine_o_clock(today));
        sweep(&service.app).await?;
        life::day(door, &mut people, today).await?;
        service.deliver_due().await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(people)
}

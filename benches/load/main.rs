//! Measures the service under load, on each engine, and beside it what the database alone could do: see
//! `benches/README.md`.
#![expect(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]

mod body;
mod client;
mod drive;
mod floor;
mod meter;
mod peer;
mod process;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use drive::{Measured, Target};
use floor::Floor;
use meter::Watched;
use process::{Postgres, Service, token};
use report::Report;

type Failed = Box<dyn std::error::Error>;

/// Puts load on the service and prints one table.
#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// Length of each stretch of load.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Patients in the clinic; a fifth of them, at most 2,000, are in care.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..))]
    patients: u32,
    /// PostgreSQL as well as SQLite: starts a server of its own from /usr/lib/postgresql.
    #[arg(long)]
    postgres: bool,
    /// The service's program; the one built beside this one if absent.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// A `serve --dev` that is running already; it is measured alone, and without a floor.
    #[arg(long, requires = "data_dir")]
    url: Option<String>,
    /// The data directory of that service, for its signing keys.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The process of that service, for its processor time and memory.
    #[arg(long)]
    pid: Option<u32>,
    #[command(flatten)]
    peer: peer::PeerOptions,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failed> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => beside()?,
    };
    let mut report = Report::default();
    if let (Some(url), Some(data)) = (&options.url, &options.data_dir) {
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse()?;
        let watched = Watched { service: options.pid, postmaster: None };
        let target = Target {
            address,
            fhir: FHIR.to_owned(),
            service: None,
            watched,
            chart: token(&binary, data, "ehr")?,
            team: token(&binary, data, "care_manager")?,
        };
        for measured in stretches(options, &target)? {
            report.add(url, &measured, None);
        }
    } else {
        let data = tempfile::tempdir()?;
        let file = |name: &str| format!("sqlite://{}", data.path().join(name).display());
        let urls = [file("service.db"), file("floor.db")];
        engine(options, &mut report, "SQLite", &binary, data.path(), &urls, None)?;
        if options.postgres {
            let data = tempfile::tempdir()?;
            let server = Postgres::start()?;
            let urls = [server.url("service"), server.url("floor")];
            engine(options, &mut report, "PostgreSQL", &binary, data.path(), &urls, Some(server.pid()))?;
        }
    }
    if let Some(peer) = options.peer.find()? {
        eprintln!("{}", peer.url);
        for measured in recording(options, &peer.target, |_| Ok(()))? {
            report.add(&peer.url, &measured, None);
        }
        report.compare(&peer.url);
    }
    println!("{report}");
    Ok(())
}

/// One engine: the service under load, then its floor.
fn engine(
    options: &Options,
    report: &mut Report,
    name: &str,
    binary: &Path,
    data: &Path,
    [service_url, floor_url]: &[String; 2],
    postmaster: Option<u32>,
) -> Result<(), Failed> {
    eprintln!("{name}");
    let service = Service::start(binary, data, service_url)?;
    let target = Target {
        address: service.address,
        fhir: FHIR.to_owned(),
        service: Some(&service),
        watched: Watched { service: Some(service.pid()), postmaster },
        chart: token(binary, data, "ehr")?,
        team: token(binary, data, "care_manager")?,
    };
    let all = stretches(options, &target)?;
    service.stop()?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let floor = runtime.block_on(Floor::prepare(service_url, floor_url))?;
    let acknowledged: usize = all.iter().map(Measured::forms).sum();
    if floor.rows().forms < acknowledged {
        return Err(format!("{acknowledged} forms were acknowledged, {} are stored", floor.rows().forms).into());
    }
    report.stored(name, floor.rows());
    for measured in all {
        let forms = match measured.batch.filter(|_| measured.forms_each > 0) {
            Some(batch) => {
                eprintln!("  floor, {batch:.1} forms in a commit");
                let length = Duration::from_secs(options.seconds);
                Some(runtime.block_on(floor.measure(measured.connections, batch, length))?)
            }
            None => None,
        };
        report.add(name, &measured, forms.map(|forms| (forms, forms * floor.rows().each())));
    }
    Ok(())
}

/// Where the service speaks FHIR.
const FHIR: &str = "/fhir";

/// Everything that is measured, in order.
fn stretches(options: &Options, target: &Target<'_>) -> Result<Vec<Measured>, Failed> {
    let length = Duration::from_secs(options.seconds);
    let mut in_care = 0;
    let mut all = recording(options, target, |patients| {
        eprintln!("  {} in care", patients.len());
        in_care = patients.len();
        drive::enroll(target, patients)
    })?;
    for connections in [1, 8] {
        eprintln!("  caseload page, connections: {connections}");
        all.push(drive::first_page(target, connections, length)?);
    }
    eprintln!("  the whole caseload");
    all.push(drive::whole_caseload(target, in_care, length)?);
    eprintln!("  the caseload page");
    all.push(drive::caseload_page(target, in_care, length)?);
    Ok(all)
}

/// What any FHIR server can do: take in patients, and their forms one by one and in Bundles. `prepare` is told the patients
/// whose history the Bundles are.
fn recording(
    options: &Options,
    target: &Target<'_>,
    prepare: impl FnOnce(&[String]) -> Result<(), Failed>,
) -> Result<Vec<Measured>, Failed> {
    let length = Duration::from_secs(options.seconds);
    let mut all = Vec::new();
    eprintln!("  {} patients", options.patients);
    let patients = drive::load_patients(target, usize::try_from(options.patients)?)?;
    let followed = &patients[..(patients.len() / 5).min(2_000)];
    prepare(followed)?;
    for connections in [1, 8, 32] {
        eprintln!("  single forms, connections: {connections}");
        all.push(drive::single(target, &patients, connections, length)?);
    }
    for connections in [1, 4] {
        eprintln!("  Bundles of {}, connections: {connections}", drive::BUNDLE);
        all.push(drive::bundles(target, followed, connections, length)?);
    }
    Ok(all)
}

/// `target/<profile>/cocm-registry`, seen from `target/<profile>/examples/load`.
fn beside() -> Result<PathBuf, Failed> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("where is this program?")?;
    let binary = folder.join("cocm-registry");
    if binary.exists() { Ok(binary) } else { Err(format!("{} is not built", binary.display()).into()) }
}

//! The program: carries out what its command line asks for.

mod command_line;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use cocm_registry::clock::Clock;
use cocm_registry::config::{ClinicId, Config};
use cocm_registry::identity::development;
use cocm_registry::intake::bulk_load::LoadProgress;
use cocm_registry::intake::spreadsheet::{ColumnMapping, ImportResult, SpreadsheetFile, SpreadsheetImport};
use cocm_registry::journal::heads::{HeadSigner, SignedHead};
use cocm_registry::journal::verify::{ChainAnchor, verify};
use cocm_registry::problem::Problem;
use cocm_registry::service::{Service, connections, replan};
use cocm_registry::store::Db;
use cocm_registry::{api, backup, doctor, listener, telemetry};
use indicatif::ProgressBar;

use self::command_line::{Cli, CliCommand, Keys, Settings};

type Failed = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = run(Cli::parse().command);
    telemetry::flush_log();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` panics where nobody reads.
            let said =
                error.downcast_ref::<Problem>().map_or_else(|| error.to_string(), |problem| problem.detail.clone());
            let _ = writeln!(std::io::stderr(), "{said}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: CliCommand) -> Result<(), Failed> {
    match command {
        CliCommand::Serve(settings) => serve(settings).await,
        CliCommand::Migrate(settings) => {
            let config = settings.read()?;
            let db = Db::open(config.database_url().as_str()).await?;
            db.migrate().await?;
            db.close().await;
            println!("the schema is up to date");
            Ok(())
        }
        CliCommand::CheckConfig { settings, offline } => check_config(&settings.read()?, offline).await,
        CliCommand::Doctor { settings, offline } => examine(&settings.read()?, offline).await,
        CliCommand::Keys { command: Keys::Rotate { settings, algorithm } } => {
            let config = settings.read()?;
            for (algorithm, ring, made) in connections::rotate(&config, algorithm, clock(&config).now())? {
                println!(
                    "{}: {}, signs from {}, in {}",
                    algorithm.as_str(),
                    made.id,
                    made.signs_from,
                    ring.folder().display()
                );
                for id in made.removed {
                    println!("{}: {id} is no longer published", algorithm.as_str());
                }
            }
            println!("published at {}", connections::jwks_url(&config));
            Ok(())
        }
        CliCommand::Sync { settings, connection, bootstrap, file, clinic } => {
            let config = settings.read()?;
            let clock = clock(&config);
            let service = Service::prepare(config, clock, serde_json::Value::Null).await?;
            let done = if file.is_empty() {
                sync(&service, connection.as_deref(), bootstrap).await
            } else {
                load(&service, &file, clinic).await
            };
            service.close().await;
            done
        }
        CliCommand::Replan { settings, clinic } => replan_clinics(settings.read()?, clinic).await,
        CliCommand::Import { settings, clinic, file, identifier_system, mapping, commit } => {
            let import = SpreadsheetImport {
                clinic: ClinicId::new(&clinic)?.to_string(),
                by: "cocm-registry import".to_owned(),
                file: SpreadsheetFile::Bytes(std::fs::read(file)?),
                identifier_system,
                mapping: mapping.as_deref().map(read_mapping).transpose()?,
                dry_run: !commit,
            };
            import_spreadsheet(settings.read()?, import).await
        }
        CliCommand::Backup { file, settings } => {
            backup::back_up(settings.read()?.database_url().as_str(), &file).await?;
            println!("written: {}", file.display());
            Ok(())
        }
        CliCommand::Restore { file, force, settings } => {
            let restored = backup::restore(settings.read()?.database_url().as_str(), &file, force).await?;
            for report in restored.reports {
                println!("{report}");
            }
            if let Some(kept) = restored.kept {
                println!("the database that was there is kept: {}", kept.display());
            }
            println!("restored");
            Ok(())
        }
        CliCommand::VerifyAudit { settings, head, heads } => verify_audit(settings.read()?, head, heads).await,
        CliCommand::Token { data_dir, clinic, role } => {
            if !data_dir.exists() {
                let folder = data_dir.display();
                return Err(format!("{folder} is not there: `serve --dev --data-dir {folder}` makes it").into());
            }
            let token = development::mint(&data_dir, &ClinicId::new(clinic)?, role, development::LIFETIME)?;
            println!("{token}");
            Ok(())
        }
        CliCommand::Openapi { check } => openapi(check),
        #[cfg(feature = "demo")]
        CliCommand::Demo(options) => Ok(cocm_registry::demo::run(options).await?),
    }
}

/// Everything that `check-config` says, and what waits.
async fn examine(config: &Config, offline: bool) -> Result<(), Failed> {
    let checked = check_config(config, offline).await;
    for waiting in doctor::what_waits(config, clock(config).now()).await.iter().flatten() {
        println!("{waiting}");
    }
    checked
}

/// Plans every patient of a clinic again, or of each.
async fn replan_clinics(config: Config, clinic: Option<String>) -> Result<(), Failed> {
    let clock = clock(&config);
    let service = Service::prepare(config, clock, serde_json::Value::Null).await?;
    let clinics = if let Some(clinic) = clinic {
        vec![clinic]
    } else {
        let mut tx = service.app.db.read().await?;
        cocm_registry::store::patient::clinics(&mut tx).await?
    };
    if clinics.is_empty() {
        println!("no patient has arrived yet: there is nobody to plan");
    }
    for clinic in clinics {
        println!("{clinic}: {} patients planned", replan(&service.app, &clinic).await?);
    }
    service.close().await;
    Ok(())
}

async fn sync(service: &Service, name: Option<&str>, bootstrap: bool) -> Result<(), Failed> {
    let mut all = service.app.connections.iter();
    let connection = match name {
        Some(name) => all.find(|one| one.name() == name).ok_or_else(|| format!("no clinic uses an [[ehr]] {name}"))?,
        None => all.next().ok_or("no clinic has an [[ehr]]")?,
    };
    if bootstrap {
        let bar = bar();
        let tell = |what: &str, loaded: &LoadProgress| bar.set_message(format!("{what}: {}", counted(loaded)));
        let loaded = service.app.intake.bootstrap(connection, &tell).await;
        bar.finish_and_clear();
        println!("{}", counted(&loaded?));
        return Ok(());
    }
    let visit = service.fetch(connection).await?;
    if visit.swept.is_empty() {
        return Err("another process is fetching from this EHR now".into());
    }
    let mut failed = 0;
    for swept in visit.swept {
        println!("{}: {} came, {} of them new, {} cannot be read", swept.kind, swept.seen, swept.taken, swept.unread);
        if let Some(refusal) = &swept.refusal {
            println!("{}: the EHR refuses a better search: {}", swept.kind, refusal.in_full());
        }
        if let Some(failure) = swept.failed {
            failed += 1;
            println!("{}: not finished: {}", swept.kind, failure.in_full());
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} types could not be fetched").into()) }
}

async fn load(service: &Service, files: &[PathBuf], clinic: Option<ClinicId>) -> Result<(), Failed> {
    let first = || service.app.config.clinics.first().map(|clinic| clinic.id.clone());
    let clinic = clinic.or_else(first).ok_or("there is no clinic")?;
    if service.app.config.clinic(&clinic).is_none() {
        return Err(format!("no clinic is named {clinic}").into());
    }
    let (bar, mut loaded) = (bar(), LoadProgress::default());
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        service.app.intake.load_text(clinic.as_str(), "file", &text, &mut loaded).await?;
        bar.set_message(format!("{}: {}", file.display(), counted(&loaded)));
    }
    bar.finish_and_clear();
    println!("{}", counted(&loaded));
    match loaded.first_fault {
        Some(fault) => Err(format!("the first that cannot be read: {fault}").into()),
        None => Ok(()),
    }
}

fn counted(loaded: &LoadProgress) -> String {
    let LoadProgress { seen, taken, deleted, unread, .. } = loaded;
    format!("{seen} resources, {taken} of them new, {deleted} deleted, {unread} cannot be read")
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// Checks everything that can be checked before the service runs.
async fn check_config(config: &Config, offline: bool) -> Result<(), Failed> {
    let mut broken = 0;
    for examined in doctor::check(config, &clock(config), offline).await {
        broken += examined.broken();
        println!("{examined}");
    }
    if broken == 0 { Ok(()) } else { Err(format!("{broken} of the things that were tried do not work").into()) }
}

/// Changes nothing, not even the schema.
async fn verify_audit(config: Config, mut heads: Vec<ChainAnchor>, file: Option<PathBuf>) -> Result<(), Failed> {
    if let Some(file) = file {
        let signed = HeadSigner::open(&config.data_dir)?.read(&std::fs::read_to_string(file)?)?;
        heads.extend(signed.iter().map(SignedHead::anchor));
    }
    let db = Db::open_existing(config.database_url().as_str()).await?;
    let reports = verify(&db, &heads).await?;
    db.close().await;
    if reports.is_empty() {
        println!("no clinic has a journal yet");
    }
    for report in &reports {
        println!("{report}");
    }
    let missing: Vec<String> =
        heads.iter().filter(|head| !reports.iter().any(|r| r.met.contains(head))).map(ToString::to_string).collect();
    let broken = reports.iter().filter(|report| !report.is_sound()).count();
    match (broken, missing.as_slice()) {
        (0, []) => Ok(()),
        (0, missing) => Err(format!("not in the journal any more: {}", missing.join(", ")).into()),
        (broken, _) => Err(format!("the journal of {broken} clinics, or what it attests, was changed").into()),
    }
}

fn clock(config: &Config) -> Clock {
    config.clock.map_or_else(Clock::system, Clock::starting_at)
}

async fn serve(settings: Settings) -> Result<(), Failed> {
    let dev = settings.dev;
    let config = settings.read()?;
    telemetry::init(&config.log)?;
    for name in &config.ignored_variables {
        tracing::warn!(name, "this variable means nothing here");
    }
    let folder = config.data_dir.display();
    let prepare = || development::prepare(&config.data_dir).map_err(|e| format!("the data folder {folder}: {e}"));
    let jwks = if dev { prepare()? } else { serde_json::Value::Null };
    let metrics = telemetry::metrics()?;
    let (listen, admin_listen, limits) = (config.listen, config.admin_listen, config.limits.clone());
    let clock = clock(&config);
    let service = Service::prepare(config, clock, jwks).await?;
    let loops = service.start();
    let listener = listener::bind(listen)?;
    if let Some(address) = admin_listen {
        let admin = listener::bind(address)?;
        tokio::spawn(async move {
            listener::serve(admin, telemetry::admin_router(metrics), &limits, std::future::pending()).await
        });
    }
    // `println!` panics where nobody reads.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?);
    let stop = async {
        // A signal handler that cannot be set up is the same as a signal: better stopped than deaf.
        let _ = listener::stop_signal().await;
    };
    service.serve(listener, stop).await?;
    loops.stop().await;
    service.close().await;
    Ok(())
}

fn read_mapping(file: &Path) -> Result<ColumnMapping, Failed> {
    Ok(toml::from_str(&std::fs::read_to_string(file)?)?)
}

/// Row by row what is wrong, then the counts, then how the columns were read.
async fn import_spreadsheet(config: Config, import: SpreadsheetImport) -> Result<(), Failed> {
    let clock = clock(&config);
    let service = Service::prepare(config, clock, serde_json::Value::Null).await?;
    let imported = service.app.intake.import(import).await;
    service.close().await;
    let imported = imported?;
    for error in imported.results.iter().flat_map(|result| &result.errors) {
        println!("row {}, {}: {}", error.row, error.column.as_deref().unwrap_or("the whole row"), error.detail);
    }
    let ImportResult { rows, created, updated, unchanged, rejected, .. } = &imported;
    println!("{rows} rows: {created} new, {updated} with something new, {unchanged} known, {rejected} left out");
    if imported.dry_run {
        println!("nothing was written; columns as read (--mapping):\n\n{}", toml::to_string(&imported.mapping)?);
    }
    Ok(())
}

fn openapi(check: bool) -> Result<(), Failed> {
    let document = api::openapi().to_pretty_json()? + "\n";
    if !check {
        print!("{document}");
        return Ok(());
    }
    let committed = std::fs::read_to_string("openapi/openapi.json").unwrap_or_default();
    if committed == document {
        println!("openapi/openapi.json is up to date");
        return Ok(());
    }
    Err("openapi/openapi.json is not up to date: run `cargo run -- openapi > openapi/openapi.json`".into())
}

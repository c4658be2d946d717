//! The command line of `cocm-registry`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use cocm_registry::clock::Clock;
use cocm_registry::config::{ClinicId, Config, Development, Flags, KeyAlgorithm};
use cocm_registry::ehr::probe::Verdict;
use cocm_registry::identity::{Role, Verifier, development};
use cocm_registry::intake::bulk_load::LoadProgress;
use cocm_registry::intake::spreadsheet::{ColumnMapping, ImportResult, SpreadsheetImport, decoded};
use cocm_registry::journal::heads::{HeadSigner, SignedHead};
use cocm_registry::journal::verify::{ChainAnchor, verify};
use cocm_registry::service::{Service, connections, replan};
use cocm_registry::store::Db;
use cocm_registry::{api, backup, listener, telemetry};
use indicatif::ProgressBar;

type Failed = Box<dyn std::error::Error>;

/// Keeps the Collaborative Care registry between an EHR and a care team.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Runs the service.
    Serve(Settings),
    /// Brings the database's schema up to date and exits.
    Migrate(Settings),
    /// Checks the configuration and tries every connection without writing; says in plain words what works, and exits.
    CheckConfig {
        #[command(flatten)]
        settings: Settings,
        /// Calls no EHR.
        #[arg(long)]
        offline: bool,
    },
    /// The keys with which we sign at the EHRs' token endpoints.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Fetches from an EHR now what it has changed, or everything, or loads files.
    Sync {
        #[command(flatten)]
        settings: Settings,
        /// The `[[ehr]]`; the first without it.
        #[arg(long)]
        connection: Option<String>,
        /// Everything, by Bulk Data export; goes on where an earlier one was interrupted.
        #[arg(long)]
        bootstrap: bool,
        /// Files instead: a Bundle, a resource, or one of these in each line (ndjson).
        #[arg(long, num_args = 1.., conflicts_with = "bootstrap")]
        file: Vec<PathBuf>,
        /// With files: whose they are; the first clinic without it.
        #[arg(long, requires = "file")]
        clinic: Option<ClinicId>,
    },
    /// Plans every patient again after a change of the rules.
    Replan {
        #[command(flatten)]
        settings: Settings,
        /// The clinic; every one without it.
        #[arg(long)]
        clinic: Option<String>,
    },
    /// Writes a copy of the whole database into a file, while the service runs (SQLite).
    Backup {
        /// The file; it must not exist.
        file: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
    /// Puts a backup in the place of the database, after checking that it is whole (SQLite). Stop the service first.
    Restore {
        /// The file.
        file: PathBuf,
        /// Replaces a database that is not empty, and keeps it beside the new one.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Walks every clinic's journal and says whether anything in it, or in the facts it attests, was changed afterwards.
    VerifyAudit {
        #[command(flatten)]
        settings: Settings,
        /// A head printed before (`HASH@NUMBER`): it must still be there, or the end of the journal was cut off. May be repeated.
        #[arg(long)]
        head: Vec<ChainAnchor>,
        /// A file of signed heads, as the service writes it (`[journal] heads_file`): each must still be there.
        #[arg(long)]
        heads: Option<PathBuf>,
    },
    /// Prints a bearer token signed with the development keys of a data directory.
    Token {
        /// Where `serve --dev` keeps its keys.
        #[arg(long, default_value = "data")]
        data_dir: PathBuf,
        /// The clinic the token acts for.
        #[arg(long, default_value = "demo")]
        clinic: String,
        /// `care_manager`, `psychiatric_consultant`, `primary_care`, `admin` or `ehr`.
        #[arg(long)]
        role: Role,
    },
    /// Prints the OpenAPI document, or checks that the committed one is up to date.
    Openapi {
        /// Compares with `openapi/openapi.json` and fails if they differ.
        #[arg(long)]
        check: bool,
    },
    /// Takes over a clinic's spreadsheet registry, saved as CSV. Says what it would do; with `--commit` does it.
    Import {
        #[command(flatten)]
        settings: Settings,
        /// The clinic.
        #[arg(long)]
        clinic: String,
        /// The file.
        #[arg(long)]
        file: PathBuf,
        /// The namespace of the record numbers, as the EHR sends it.
        #[arg(long)]
        identifier_system: String,
        /// How the columns are read (TOML); guessed from their titles without it.
        #[arg(long)]
        mapping: Option<PathBuf>,
        /// Writes.
        #[arg(long)]
        commit: bool,
    },
    /// Lets 120 synthetic patients live through 20 weeks of care, and shows what the service made of it.
    #[cfg(feature = "demo")]
    Demo(cocm_registry::demo::DemoOptions),
}

#[derive(Subcommand)]
enum Keys {
    /// Makes new keys. They are published at once and sign after an hour; the old ones stay published for a week.
    Rotate {
        #[command(flatten)]
        settings: Settings,
        /// Only keys of this algorithm.
        #[arg(long)]
        algorithm: Option<KeyAlgorithm>,
    },
}

/// Options of most commands.
#[derive(Args, Default)]
struct Settings {
    /// TOML file.
    #[arg(long, env = "COCM_CONFIG")]
    config: Option<PathBuf>,
    /// Nothing prepared: embedded SQLite, signing keys made in the data directory, one clinic `demo`.
    #[arg(long)]
    dev: bool,
    /// Where the service answers; port 0 picks a free one.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where Prometheus may read metrics.
    #[arg(long)]
    admin_listen: Option<SocketAddr>,
    /// `sqlite://path` or `postgres://…`.
    #[arg(long)]
    database_url: Option<String>,
    /// For the SQLite file and, in development, the signing keys.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// With `--dev`: a FHIR server to write to.
    #[arg(long, requires = "dev")]
    ehr: Option<String>,
    /// With `--dev`: the time zone (IANA name) of the clinics.
    #[arg(long, requires = "dev")]
    time_zone: Option<chrono_tz::Tz>,
    /// With `--dev`: the moment at which the service's clock starts.
    #[arg(long, requires = "dev")]
    clock: Option<DateTime<Utc>>,
}

impl Settings {
    fn read(self) -> Result<Config, Failed> {
        if self.dev {
            return Ok(Config::development(Development {
                time_zone: self.time_zone,
                listen: self.listen,
                admin_listen: self.admin_listen,
                data_dir: self.data_dir,
                database_url: self.database_url,
                ehr: self.ehr,
                clock: self.clock,
            })?);
        }
        let flags = Flags {
            listen: self.listen,
            admin_listen: self.admin_listen,
            database_url: self.database_url,
            data_dir: self.data_dir,
        };
        Ok(Config::load(self.config.as_deref(), std::env::vars(), &flags)?)
    }
}

fn main() -> ExitCode {
    let done = run(Cli::parse().command);
    telemetry::flush_log();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `eprintln!` panics where nobody reads.
            let _ = writeln!(std::io::stderr(), "{error}");
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
        CliCommand::Replan { settings, clinic } => {
            let config = settings.read()?;
            let clock = clock(&config);
            let service = Service::prepare(config, clock, serde_json::Value::Null).await?;
            let clinics = if let Some(clinic) = clinic {
                vec![clinic]
            } else {
                let mut tx = service.app.db.read().await?;
                cocm_registry::store::patient::clinics(&mut tx).await?
            };
            for clinic in clinics {
                println!("{clinic}: {} patients planned", replan(&service.app, &clinic).await?);
            }
            service.close().await;
            Ok(())
        }
        CliCommand::Import { settings, clinic, file, identifier_system, mapping, commit } => {
            let import = SpreadsheetImport {
                clinic: ClinicId::new(&clinic)?.to_string(),
                by: "cocm-registry import".to_owned(),
                csv: decoded(&std::fs::read(file)?)?,
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
            let token = development::mint(&data_dir, &ClinicId::new(clinic)?, role, development::LIFETIME)?;
            println!("{token}");
            Ok(())
        }
        CliCommand::Openapi { check } => openapi(check),
        #[cfg(feature = "demo")]
        CliCommand::Demo(options) => Ok(cocm_registry::demo::run(options).await?),
    }
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
    let db = Db::open(config.database_url().as_str()).await?;
    db.ping().await?;
    db.close().await;
    Verifier::new(config)?;
    for way in &config.sign_ins {
        Verifier::of_sign_in(way)?;
    }
    println!("the configuration can be used, and the database answers");
    let mut broken = 0;
    for ehr in config.ehrs.iter().filter(|_| !offline) {
        println!("ehr {}:", ehr.name);
        for finding in connections::try_connection(config, ehr, &clock(config)).await? {
            broken += usize::from(finding.verdict == Verdict::Broken);
            println!("  {finding}");
        }
    }
    if broken == 0 { Ok(()) } else { Err(format!("{broken} of the things that were tried do not work").into()) }
}

/// Changes nothing, not even the schema.
async fn verify_audit(config: Config, mut heads: Vec<ChainAnchor>, file: Option<PathBuf>) -> Result<(), Failed> {
    if let Some(file) = file {
        let signed = HeadSigner::open(&config.data_dir)?.read(&std::fs::read_to_string(file)?)?;
        heads.extend(signed.iter().map(SignedHead::anchor));
    }
    let db = Db::open(config.database_url().as_str()).await?;
    let reports = verify(&db, &heads).await?;
    db.close().await;
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
    let jwks = if dev { development::prepare(&config.data_dir)? } else { serde_json::Value::Null };
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

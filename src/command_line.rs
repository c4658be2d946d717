//! What `cocm-registry` understands on its command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};
use cocm_registry::config::{ClinicId, Config, ConfigError, Development, Flags, KeyAlgorithm};
use cocm_registry::identity::Role;
use cocm_registry::journal::verify::ChainAnchor;

/// Keeps the Collaborative Care registry between an EHR and a care team.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: CliCommand,
}

#[derive(Subcommand)]
pub enum CliCommand {
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
    /// Says on one screen what works, what does not, and what waits since when. Changes nothing.
    Doctor {
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
pub enum Keys {
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
pub struct Settings {
    /// TOML file.
    #[arg(long, env = "COCM_CONFIG")]
    config: Option<PathBuf>,
    /// Nothing prepared: embedded SQLite, signing keys made in the data directory, one clinic `demo`.
    #[arg(long)]
    pub dev: bool,
    /// Where the service answers; port 0 picks a free one.
    #[arg(long, value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where Prometheus may read metrics.
    #[arg(long, value_parser = address)]
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

/// `127.0.0.1:8080`, or a name of this machine: `localhost:8080`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|e| format!("{e}; write HOST:PORT, such as 127.0.0.1:8080"))?;
    found.next().ok_or_else(|| "this name has no address".to_owned())
}

impl Settings {
    pub fn read(self) -> Result<Config, ConfigError> {
        if self.dev {
            return Config::development(Development {
                time_zone: self.time_zone,
                listen: self.listen,
                admin_listen: self.admin_listen,
                data_dir: self.data_dir,
                database_url: self.database_url,
                ehr: self.ehr,
                clock: self.clock,
            });
        }
        let flags = Flags {
            listen: self.listen,
            admin_listen: self.admin_listen,
            database_url: self.database_url,
            data_dir: self.data_dir,
        };
        Config::load(self.config.as_deref(), std::env::vars(), &flags)
    }
}

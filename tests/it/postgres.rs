//! A PostgreSQL of the tests' own, started from the installed binaries once per test process.
//!
//! It listens on a socket in a temporary folder only. A shell watches a pipe from this process: when the process ends,
//! however it ends, the shell stops the server and removes the folder. `COCM_TEST_POSTGRES` names a server to use
//! instead; without either the tests say so loudly and are skipped, or fail where `COCM_REQUIRE_POSTGRES=1`.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cocm_registry::store::Db;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

/// A running server.
struct Cluster {
    /// Its address without a database, to be followed by one: `…/` and `?…`.
    url: (String, String),
    /// Holds the pipe that the watching shell reads.
    _watch: Option<Child>,
}

static CLUSTER: OnceCell<Option<Cluster>> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database on it, dropped with this value.
pub struct Database {
    name: String,
    /// Its address.
    pub url: String,
    admin: String,
}

/// A fresh database with the schema; `None` where there is no PostgreSQL.
pub async fn migrated() -> Option<Database> {
    create("TEMPLATE registry_template").await
}

/// A fresh database without a schema; `None` where there is no PostgreSQL.
pub async fn empty() -> Option<Database> {
    create("TEMPLATE template0").await
}

async fn create(how: &str) -> Option<Database> {
    let cluster = CLUSTER.get_or_init(start).await.as_ref()?;
    let name = format!("registry_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
    let admin = cluster.database("postgres");
    execute(&admin, format!("CREATE DATABASE {name} {how}")).await;
    Some(Database { url: cluster.database(&name), name, admin })
}

async fn execute(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, drop) = (self.admin.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // Not in this test's runtime, which may be ending.
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(execute(&admin, drop));
        });
        // What could not be dropped goes with the server.
        let _ = thread.join();
    }
}

impl Cluster {
    fn database(&self, name: &str) -> String {
        format!("{}{name}{}", self.url.0, self.url.1)
    }
}

async fn start() -> Option<Cluster> {
    let cluster = match std::env::var("COCM_TEST_POSTGRES") {
        Ok(url) => {
            let (base, options) =
                url.split_once('?').map_or((url.as_str(), String::new()), |(b, o)| (b, format!("?{o}")));
            let base = base.rsplit_once('/').unwrap().0;
            Cluster { url: (format!("{base}/"), options), _watch: None }
        }
        Err(_) => match binaries() {
            Some(folder) => serve(&folder),
            None if std::env::var("COCM_REQUIRE_POSTGRES").is_ok_and(|v| v == "1") => {
                panic!("COCM_REQUIRE_POSTGRES=1, and there is no initdb and postgres on PATH or in /usr/lib/postgresql")
            }
            None => {
                eprintln!("\n!!! SKIPPED: no initdb and postgres on PATH or in /usr/lib/postgresql/*/bin\n");
                return None;
            }
        },
    };
    let admin = cluster.database("postgres");
    execute(&admin, "DROP DATABASE IF EXISTS registry_template".to_owned()).await;
    execute(&admin, "CREATE DATABASE registry_template TEMPLATE template0".to_owned()).await;
    let db = Db::open(&cluster.database("registry_template")).await.unwrap();
    db.migrate().await.unwrap();
    db.close().await;
    Some(cluster)
}

fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut newest: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    newest.sort_by_key(|bin| std::cmp::Reverse(version_of(bin)));
    newest
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn version_of(bin: &Path) -> u32 {
    let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    version.and_then(|name| name.parse().ok()).unwrap_or(0)
}

fn serve(binaries: &Path) -> Cluster {
    let folder = tempfile::Builder::new().prefix("cocm-pg-").tempdir().unwrap().keep();
    let owner = other_than_root(&folder);
    let data = folder.join("data");
    let as_owner = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&folder).stdout(Stdio::null());
        if let Some((user, group)) = owner {
            command.uid(user).gid(group);
        }
        command
    };
    let initialised = as_owner(&binaries.join("initdb"))
        .args(["--username=registry", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(initialised.success(), "initdb failed");
    let settings = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=400 \
                    -c shared_buffers=64MB -c deadlock_timeout=200ms -c log_min_messages=fatal -c autovacuum=off";
    let watch = format!(
        "'{}' -D '{}' -k '{}' {settings} & server=$!; read -r _; kill -QUIT $server; wait $server; cd /; rm -rf '{}'",
        binaries.join("postgres").display(),
        data.display(),
        folder.display(),
        folder.display(),
    );
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let watch = as_owner(Path::new("/bin/sh")).args(["-c", &watch]).stdin(Stdio::piped()).stderr(log).spawn().unwrap();
    let socket = folder.join(".s.PGSQL.5432");
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL did not start; see {}/log", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    // The socket is there a moment before the server takes connections.
    std::thread::sleep(Duration::from_millis(100));
    let url = ("postgres://registry@localhost/".to_owned(), format!("?host={}", folder.display()));
    Cluster { url, _watch: Some(watch) }
}

/// PostgreSQL refuses to run as root: then it runs as somebody else, who owns the folder.
fn other_than_root(folder: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if folder.metadata().unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).take(2).map(|id| id.parse::<u32>().unwrap());
        Some((fields.next()?, fields.next()?))
    };
    let (user, group) = find("postgres").or_else(|| find("nobody")).expect("a user that is not root");
    chown(folder, Some(user), Some(group)).unwrap();
    Some((user, group))
}

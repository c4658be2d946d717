//! The service under load, and PostgreSQL beside it: started, asked, stopped. Nothing outlives this program.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failed;
use crate::body::CLOCK;
use crate::client::Connection;

/// A running service.
pub struct Service {
    child: Child,
    /// Kept open: the service may still want to say something.
    _output: BufReader<ChildStdout>,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Service {
    /// Starts it on free ports and waits until it answers.
    pub fn start(binary: &Path, data: &Path, database_url: &str) -> Result<Self, Failed> {
        let admin = free_address()?;
        let log = data.join("service.log");
        let mut child = Command::new(binary)
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--clock", CLOCK, "--database-url", database_url])
            .args(["--admin-listen", &admin.to_string(), "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|e| format!("{} cannot be started: {e}", binary.display()))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                let _ = child.wait();
                return Err(format!("the service did not start:\n{}", fs::read_to_string(&log)?).into());
            }
        }
        let address = line.trim().rsplit("http://").next().unwrap_or_default().parse()?;
        Ok(Self { child, _output: output, address, admin })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many commits the recorder has made, and how many facts were in them.
    pub fn batches(&self) -> Option<(f64, f64)> {
        let mut connection = Connection::new(self.admin);
        let answer = connection.send("GET", "/metrics", "", &[]).ok()?;
        let text = std::str::from_utf8(answer.body).ok()?;
        let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0);
        Some((value("cocm_record_batch_facts_count "), value("cocm_record_batch_facts_sum ")))
    }

    /// Lets it finish, as its operator would.
    pub fn stop(mut self) -> Result<(), Failed> {
        // The shell's own `kill`: a bare machine has no other.
        Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > Duration::from_mins(1) {
                return Err("the service did not stop within a minute".into());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A bearer token.
pub fn token(binary: &Path, data: &Path, role: &str) -> Result<String, Failed> {
    let output = Command::new(binary).args(["token", "--role", role, "--data-dir"]).arg(data).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A PostgreSQL server of our own, with its defaults: fsync and `synchronous_commit` are on.
pub struct Postgres {
    child: Child,
    programs: PathBuf,
    data: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
}

impl Postgres {
    pub fn start() -> Result<Self, Failed> {
        let programs = newest_programs().ok_or("there is no /usr/lib/postgresql/*/bin: install postgresql")?;
        // PostgreSQL refuses to run as root.
        let root = fs::metadata("/proc/self")?.uid() == 0;
        let user = if root { Some(account("postgres").ok_or("there is no user postgres to run it as")?) } else { None };
        let data = std::env::temp_dir().join(format!("cocm-load-postgres-{}", std::process::id()));
        run(as_user(programs.join("initdb"), user).args(["--auth=trust", "--username=cocm", "-D"]).arg(&data))?;
        let port = free_address()?.port();
        let child = as_user(programs.join("postgres"), user)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-D"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, programs, data, user, port };
        let begun = Instant::now();
        let port = port.to_string();
        // It listens before it is ready.
        while run(as_user(server.programs.join("pg_isready"), user).args(["-h", "127.0.0.1", "-p", &port])).is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err("PostgreSQL did not start within 30 s".into());
            }
            sleep(Duration::from_millis(50));
        }
        for database in ["service", "floor"] {
            let mut createdb = as_user(server.programs.join("createdb"), user);
            run(createdb.args(["-h", "127.0.0.1", "-p", &port, "-U", "cocm", database]))?;
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://cocm@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_user(self.programs.join("pg_ctl"), self.user);
        let _ = run(stop.args(["stop", "-m", "immediate", "-D"]).arg(&self.data));
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn as_user(program: PathBuf, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    // The directory this was started in may be closed to that user.
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr)).into())
}

fn newest_programs() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let version = |name: &str| name.parse::<u32>().ok();
    installed
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").exists())
        .max()
        .map(|(_, programs)| programs)
}

/// The ids of a user and its group.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = accounts.lines().map(|l| l.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// A port that is free now. Somebody else may take it before we do; then starting fails, and says so.
fn free_address() -> Result<SocketAddr, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

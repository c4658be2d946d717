//! The ends of the chains, signed and written to a place of the operator's choice, so that a cut-off end is found.
//!
//! Whoever can write the database can make a new chain; whoever cannot also write that place, and read the key beside
//! the database, cannot make it look as if it had always been so.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::verify::ChainAnchor;
use crate::clock::Clock;
use crate::problem::Problem;
use crate::store::{Db, journal};

/// The key's file in the data directory.
const KEY_FILE: &str = "journal-key.der";

/// The end of a clinic's chain at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    pub clinic: String,
    /// The number of the last line.
    pub seq: i64,
    pub hash: String,
    /// When it was the last.
    pub at: DateTime<Utc>,
    /// Ed25519 over `{clinic}\n{seq}\n{hash}\n{at in microseconds}`, in base64.
    pub signature: String,
}

impl SignedHead {
    fn message(clinic: &str, seq: i64, hash: &str, at: DateTime<Utc>) -> String {
        format!("cocm-registry head 1\n{clinic}\n{seq}\n{hash}\n{}", at.timestamp_micros())
    }

    /// As `verify` takes it.
    pub fn anchor(&self) -> ChainAnchor {
        ChainAnchor { seq: self.seq, hash: self.hash.clone() }
    }
}

/// Signs heads with the service's key, and knows its signatures again.
pub struct HeadSigner(Ed25519KeyPair);

impl HeadSigner {
    /// The key of a data directory; made at the first use.
    ///
    /// # Errors
    /// Where it cannot be read or made, for the operator.
    pub fn open(data_dir: &Path) -> Result<Self, Problem> {
        let file = data_dir.join(KEY_FILE);
        let broken = |e: &dyn std::fmt::Display| Problem::internal(format!("{}: {e}", file.display()));
        if !file.exists() {
            fs::create_dir_all(data_dir).map_err(|e| broken(&e))?;
            let key = Ed25519KeyPair::generate().map_err(|e| broken(&e))?;
            let key = key.to_pkcs8().map_err(|e| broken(&e))?;
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
            made.and_then(|mut made| made.write_all(key.as_ref()).and_then(|()| made.sync_all()))
                .map_err(|e| broken(&e))?;
        }
        let key = fs::read(&file).map_err(|e| broken(&e))?;
        Ed25519KeyPair::from_pkcs8(&key).map(Self).map_err(|e| broken(&e))
    }

    /// Signs the end of a clinic's chain.
    pub fn sign(&self, clinic: &str, seq: i64, hash: &str, at: DateTime<Utc>) -> SignedHead {
        let at = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at);
        let signature = STANDARD.encode(self.0.sign(SignedHead::message(clinic, seq, hash, at).as_bytes()));
        SignedHead { clinic: clinic.to_owned(), seq, hash: hash.to_owned(), at, signature }
    }

    /// Reads a file of heads, one in each line.
    ///
    /// # Errors
    /// With the line that is none, or was not signed with this key.
    pub fn read(&self, text: &str) -> Result<Vec<SignedHead>, Problem> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(n, line)| {
                let head: SignedHead = serde_json::from_str(line)
                    .map_err(|_| Problem::internal(format!("line {} of the heads cannot be read", n + 1)))?;
                if self.has_signed(&head) {
                    Ok(head)
                } else {
                    Err(Problem::internal(format!("line {} of the heads was not signed with our key", n + 1)))
                }
            })
            .collect()
    }

    fn has_signed(&self, head: &SignedHead) -> bool {
        let message = SignedHead::message(&head.clinic, head.seq, &head.hash, head.at);
        let key = UnparsedPublicKey::new(&ED25519, self.0.public_key().as_ref());
        STANDARD.decode(&head.signature).is_ok_and(|signature| key.verify(message.as_bytes(), &signature).is_ok())
    }
}

/// Writes the heads that are new, from time to time.
pub struct HeadWriter {
    db: Db,
    clock: Clock,
    signer: HeadSigner,
    file: Option<PathBuf>,
    written: HashMap<String, i64>,
}

impl HeadWriter {
    /// Appends to the file, or to the log where there is none.
    pub fn new(db: Db, clock: Clock, signer: HeadSigner, file: Option<PathBuf>) -> Self {
        Self { db, clock, signer, file, written: HashMap::new() }
    }

    /// Writes until told to stop, and once more then.
    pub async fn run(mut self, every: Duration, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let stopped = tokio::select! {
                () = &mut stop => true,
                () = tokio::time::sleep(every) => false,
            };
            if let Err(problem) = self.write().await {
                tracing::error!(%problem, "the heads of the journal could not be written");
            }
            if stopped {
                return;
            }
        }
    }

    /// Writes what has grown since.
    ///
    /// # Errors
    /// When the database does not answer, or the file cannot be written.
    pub async fn write(&mut self) -> Result<usize, Problem> {
        let mut tx = self.db.read().await?;
        let mut heads = Vec::new();
        for (clinic, seq) in journal::heads(&mut tx).await? {
            if self.written.get(&clinic).is_some_and(|written| *written == seq) {
                continue;
            }
            let Some(head) = journal::head(&mut tx, &clinic).await?.filter(|head| head.seq > 0) else { continue };
            heads.push(self.signer.sign(&clinic, head.seq, &head.hash, self.clock.now()));
        }
        drop(tx);
        match &self.file {
            Some(file) => append(file, &heads)
                .map_err(|e| Problem::internal(format!("{} cannot be written: {e}", file.display())))?,
            None => heads.iter().for_each(|head| {
                tracing::info!(head = serde_json::to_string(head).unwrap_or_default(), "head of the journal");
            }),
        }
        self.written.extend(heads.iter().map(|head| (head.clinic.clone(), head.seq)));
        Ok(heads.len())
    }
}

fn append(file: &Path, heads: &[SignedHead]) -> std::io::Result<()> {
    let lines: String = heads.iter().filter_map(|head| serde_json::to_string(head).ok()).map(|l| l + "\n").collect();
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_known_again_and_a_changed_one_is_not() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = DateTime::from_timestamp(1_800_000_000, 5_000).unwrap();
        let head = HeadSigner::open(folder.path()).unwrap().sign("demo", 7, &"a".repeat(64), at);
        let signer = HeadSigner::open(folder.path()).unwrap();
        let line = |head: &SignedHead| serde_json::to_string(head).unwrap();
        assert_eq!(signer.read(&format!("{}\n\n", line(&head))).unwrap(), std::slice::from_ref(&head));
        for changed in [
            SignedHead { seq: 6, ..head.clone() },
            SignedHead { clinic: "other".into(), ..head.clone() },
            SignedHead { hash: "b".repeat(64), ..head.clone() },
            SignedHead { at: at + chrono::TimeDelta::days(1), ..head.clone() },
        ] {
            assert!(signer.read(&line(&changed)).is_err(), "{changed:?}");
        }
        assert!(HeadSigner::open(other.path()).unwrap().read(&line(&head)).is_err(), "another key");
        assert!(signer.read("{}").is_err());
    }
}

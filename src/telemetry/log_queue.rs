//! Standard error as a place that can fail: its disk is full, its reader is gone or does not read.
//!
//! Nobody who logs may wait for it or fail with it. Lines go through a bounded queue to a thread of its own; what
//! cannot be queued or written is dropped and counted (`cocm_log_lines_lost`).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// How many lines wait.
const CAPACITY: usize = 8192;
/// How long the end of the process waits for them.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Where log lines are put. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogQueue {
    sender: SyncSender<LogMessage>,
    lost: Arc<AtomicU64>,
}

enum LogMessage {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl LogQueue {
    /// A queue whose lines are written to `out`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::of(CAPACITY, out)
    }

    fn of(capacity: usize, out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(capacity);
        let queue = Self { sender, lost: Arc::default() };
        let lost = Arc::clone(&queue.lost);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&receiver, out, &lost))?;
        Ok(queue)
    }

    /// Waits a moment until what was logged is written.
    pub(super) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.sender.try_send(LogMessage::Flush(done)).is_ok() {
            // Whoever reads the log has stopped reading: the process ends all the same.
            let _ = flushed.recv_timeout(LAST_PATIENCE);
        }
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(LogMessage::Line(line.to_vec())).is_err() {
            count(&self.lost);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(queue: &Receiver<LogMessage>, mut out: impl Write, lost: &AtomicU64) {
    while let Ok(message) = queue.recv() {
        match message {
            LogMessage::Line(line) if out.write_all(&line).is_err() => count(lost),
            LogMessage::Line(_) => {}
            LogMessage::Flush(done) => {
                // Whoever asked may have stopped waiting.
                let _ = out.flush();
                let _ = done.send(());
            }
        }
    }
}

fn count(lost: &AtomicU64) {
    lost.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("cocm_log_lines_lost").increment(1);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    /// Its reader reads nothing until the test says so.
    struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // The test has ended.
            let _ = self.0.recv();
            self.1.lock().unwrap().extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_fail_nobody() {
        let mut queue = LogQueue::to(Full).unwrap();
        for _ in 0..3 {
            writeln!(queue, "a line").unwrap();
        }
        LogQueue::flush(&queue);
        assert_eq!(queue.lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_nobody_waiting() {
        let (go_on, wait) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut queue = LogQueue::of(2, Stuck(wait, Arc::clone(&written))).unwrap();
        for _ in 0..10 {
            queue.write_all(b"x").unwrap();
        }
        assert!((7..=8).contains(&queue.lost.load(Ordering::Relaxed)), "two wait, and perhaps one is being written");
        drop(go_on);
        let expected = 10 - queue.lost.load(Ordering::Relaxed);
        // A full queue takes no flush: the writer has to get on first.
        while (written.lock().unwrap().len() as u64) < expected {
            LogQueue::flush(&queue);
            std::thread::yield_now();
        }
        assert_eq!(written.lock().unwrap().len() as u64, expected);
    }
}

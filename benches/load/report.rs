//! One table, and what has to be known to read it.

use std::fmt;
use std::time::Duration;

use crate::drive::Measured;
use crate::floor::Rows;

const HEADER: [&str; 15] = [
    "engine",
    "load",
    "conn.",
    "requests/s",
    "forms/s",
    "p50 ms",
    "p99 ms",
    "service CPU ms*",
    "database CPU ms*",
    "client CPU %",
    "peak RSS MB",
    "facts/commit",
    "floor forms/s",
    "floor rows/s",
    "ratio",
];

/// Forms a second in one stretch of one engine or peer.
struct Rate {
    engine: String,
    load: (String, usize),
    forms: f64,
}

/// Collects the rows.
#[derive(Default)]
pub struct Report {
    rows: Vec<Vec<String>>,
    rates: Vec<Rate>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a stretch; `floor` is in forms and in rows a second.
    pub fn add(&mut self, engine: &str, m: &Measured, floor: Option<(f64, f64)>) {
        let per_second = |n: usize| n as f64 / m.seconds;
        let none = || "-".to_owned();
        // Of what: a form, or where there is none a request.
        let units = (m.requests * m.forms_each.max(1)).max(1) as f64;
        let each = |cpu: Duration| format!("{:.3}", millis(cpu) / units);
        let forms = per_second(m.forms());
        self.rates.push(Rate { engine: engine.to_owned(), load: (m.what.clone(), m.connections), forms });
        self.rows.push(vec![
            engine.to_owned(),
            m.what.clone(),
            m.connections.to_string(),
            format!("{:.0}", per_second(m.requests)),
            if m.forms_each > 0 { format!("{forms:.0}") } else { none() },
            format!("{:.2}", millis(m.p50)),
            format!("{:.2}", millis(m.p99)),
            each(m.cpu.service),
            if m.cpu.postgres > Duration::ZERO { each(m.cpu.postgres) } else { none() },
            format!("{:.0}", m.cpu.client.as_secs_f64() / m.seconds * 100.0),
            m.peak_mb.map_or_else(none, |mb| mb.to_string()),
            m.batch.filter(|_| m.forms_each > 0).map_or_else(none, |b| format!("{b:.1}")),
            floor.map_or_else(none, |(forms, _)| format!("{forms:.0}")),
            floor.map_or_else(none, |(_, rows)| format!("{rows:.0}")),
            floor.map_or_else(none, |(floor, _)| format!("{:.2}", forms / floor)),
        ]);
    }

    /// Notes how many times as many forms each of our engines took as a peer.
    pub fn compare(&mut self, peer: &str) {
        for theirs in self.rates.iter().filter(|rate| rate.engine == peer && rate.forms > 0.0) {
            for ours in self.rates.iter().filter(|rate| rate.engine != peer && rate.load == theirs.load) {
                let ((what, connections), times) = (&ours.load, ours.forms / theirs.forms);
                self.notes.push(format!("{what}, {connections} conn.: {} {times:.1} times {peer}", ours.engine));
            }
        }
    }

    /// Notes what was stored.
    pub fn stored(&mut self, engine: &str, rows: &Rows) {
        let note =
            format!("{engine}: every form acknowledged is stored ({}); {:.2} rows each.", rows.forms, rows.each());
        self.notes.push(note);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |i: usize| {
            let cells = self.rows.iter().map(|row| row[i].len());
            cells.chain([HEADER[i].len()]).max().unwrap_or(0)
        };
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (i, cell) in cells.iter().enumerate() {
                // Words to the left, numbers to the right.
                let pad = width(i);
                if i < 2 { write!(f, "| {cell:<pad$} ")? } else { write!(f, "| {cell:>pad$} ")? }
            }
            writeln!(f, "|")
        };
        line(f, &HEADER.map(str::to_owned))?;
        line(f, &std::array::from_fn::<_, { HEADER.len() }, _>(|i| "-".repeat(width(i))))?;
        for row in &self.rows {
            line(f, row)?;
        }
        writeln!(f)?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        write!(f, "* of a form; for reads, of a request. \"Whole caseload\" is one request a walk over all its pages.")
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

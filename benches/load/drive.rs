//! The load itself: so many connections, each asking again as soon as it is answered, for so many seconds.

use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::Failed;
use crate::body::{self, Form};
use crate::client::Connection;
use crate::meter::{Cpu, Watched};
use crate::process::Service;

/// Patients, and forms, in one transaction.
pub const BUNDLE: usize = 100;
const PATIENTS_IN_BUNDLE: usize = 200;

/// The service under load, or a peer.
pub struct Target<'a> {
    pub address: std::net::SocketAddr,
    /// The path of its FHIR base.
    pub fhir: String,
    /// Absent when it was started by somebody else.
    pub service: Option<&'a Service>,
    pub watched: Watched,
    /// Of the chart.
    pub chart: String,
    /// Of a care manager.
    pub team: String,
}

/// What one stretch of load came to.
pub struct Measured {
    pub what: String,
    pub connections: usize,
    pub requests: usize,
    /// Forms in each request; 0 for reads.
    pub forms_each: usize,
    pub seconds: f64,
    pub p50: Duration,
    pub p99: Duration,
    pub cpu: Cpu,
    pub peak_mb: Option<u64>,
    /// Facts in a commit, on average.
    pub batch: Option<f64>,
}

impl Measured {
    pub fn forms(&self) -> usize {
        self.requests * self.forms_each
    }
}

/// Runs one stretch. `work` makes and sends request number `i`, from 0; what it spends outside of
/// [`Connection::send`] is not counted into the latency.
pub fn drive<S: Default>(
    target: &Target<'_>,
    what: &str,
    connections: usize,
    length: Duration,
    forms_each: usize,
    work: impl Fn(&mut Connection, &mut S, u64) -> Result<(), String> + Sync,
) -> Result<Measured, Failed> {
    let (next, stop, ready) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(connections + 1));
    target.watched.forget_peak();
    let batches = target.service.and_then(Service::batches);
    let before = target.watched.cpu();
    let mut seconds = 0.0;
    let answers: Vec<Result<Vec<Duration>, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let (mut connection, mut scratch, mut spent) =
                        (Connection::new(target.address), S::default(), Vec::new());
                    ready.wait();
                    while !stop.load(Ordering::Relaxed) {
                        connection.spent = Duration::ZERO;
                        let done = work(&mut connection, &mut scratch, next.fetch_add(1, Ordering::Relaxed));
                        if done.is_err() {
                            stop.store(true, Ordering::Relaxed);
                        }
                        done?;
                        spent.push(connection.spent);
                    }
                    Ok(spent)
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        while begun.elapsed() < length && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5).min(length));
        }
        stop.store(true, Ordering::Relaxed);
        let answers = workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err("panicked".into()))).collect();
        seconds = begun.elapsed().as_secs_f64();
        answers
    });
    let cpu = target.watched.cpu() - before;
    let mut spent = Vec::new();
    for answer in answers {
        spent.extend(answer.map_err(|e| format!("{what}, connections: {connections}: {e}"))?);
    }
    spent.sort_unstable();
    let at = |part: usize| spent.get((spent.len() * part / 100).min(spent.len().saturating_sub(1))).copied();
    let batch = batches.zip(target.service.and_then(Service::batches)).and_then(|(was, now)| {
        let (commits, commands) = (now.0 - was.0, now.1 - was.1);
        (commits > 0.0).then(|| commands / commits)
    });
    Ok(Measured {
        what: what.to_owned(),
        connections,
        requests: spent.len(),
        forms_each,
        seconds,
        p50: at(50).unwrap_or_default(),
        p99: at(99).unwrap_or_default(),
        cpu,
        peak_mb: target.watched.peak_mb(),
        batch,
    })
}

/// Loads the patients; their ids as the service chose them.
pub fn load_patients(target: &Target<'_>, patients: usize) -> Result<Vec<String>, Failed> {
    #[derive(Deserialize)]
    struct Bundle {
        entry: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        status: String,
        location: String,
    }
    let (mut connection, mut body, mut ids) = (Connection::new(target.address), Vec::new(), Vec::new());
    for first in (0..patients).step_by(PATIENTS_IN_BUNDLE) {
        body.clear();
        let range = first..patients.min(first + PATIENTS_IN_BUNDLE);
        body::transaction(&mut body, "Patient", range, body::patient);
        let answer = connection.send("POST", &target.fhir, &target.chart, &body)?;
        let bundle: Bundle = serde_json::from_slice(answer.success()?)?;
        for Entry { response } in bundle.entry {
            if !response.status.starts_with('2') {
                return Err(format!("a Patient was answered with {}", response.status).into());
            }
            // [base/]Patient/<id>[/_history/<version>]
            let id = response.location.split("Patient/").nth(1).and_then(|rest| rest.split('/').next());
            ids.push(id.ok_or("no id in a Patient's location")?.to_owned());
        }
    }
    Ok(ids)
}

/// Enrolls patients, as a care manager would.
pub fn enroll(target: &Target<'_>, patients: &[String]) -> Result<(), Failed> {
    let mut connection = Connection::new(target.address);
    for (i, id) in patients.iter().enumerate() {
        let body = json!({
            "patient": {"reference": format!("Patient/{id}")}, "enrolled_on": "2025-12-08", "consent_on": "2025-12-08",
            "primary_instrument": "phq9", "target_instruments": ["phq9", "gad7"],
            "care_manager": format!("care-manager-{}", i % 20), "primary_care_provider": "pcp-1",
            "psychiatric_consultant": "consultant-1",
        });
        connection.send("POST", "/api/v1/episodes", &target.team, body.to_string().as_bytes())?.success()?;
    }
    Ok(())
}

/// (a) One PHQ-9 a request, for patients all over the clinic.
pub fn single(
    target: &Target<'_>,
    patients: &[String],
    connections: usize,
    length: Duration,
) -> Result<Measured, Failed> {
    let seed = 1000 + connections as u64;
    let path = format!("{}/QuestionnaireResponse", target.fhir);
    drive(target, "single PHQ-9", connections, length, 1, |connection, body: &mut Vec<u8>, i| {
        let number = i + 1;
        let patient = &patients[usize::try_from(number * 7919 + seed).unwrap_or(0) % patients.len()];
        body.clear();
        body::form(body, Form::Phq9, seed, number, patient, body::authored(number));
        connection.send("POST", &path, &target.chart, body)?.success().map(|_| ())
    })
}

/// (b) The history of the caseload, in transactions of a hundred: a PHQ-9 and a GAD-7 of each patient a month.
pub fn bundles(
    target: &Target<'_>,
    enrolled: &[String],
    connections: usize,
    length: Duration,
) -> Result<Measured, Failed> {
    let seed = 42 + connections as u64;
    let half = BUNDLE / 2;
    let what = format!("Bundle of {BUNDLE}");
    drive(target, &what, connections, length, BUNDLE, |connection, body: &mut Vec<u8>, i| {
        let first = usize::try_from(i).unwrap_or(0) * half;
        body.clear();
        body::transaction(body, "QuestionnaireResponse", Range { start: 0, end: BUNDLE }, |out, entry| {
            let number = first + entry / 2;
            let (month, who) = (number / enrolled.len(), number % enrolled.len());
            let days = TimeDelta::days(30 * i64::try_from(month % 4 + 1).unwrap_or(1));
            let minutes = TimeDelta::seconds(i64::try_from(who * 7 + month / 4 * 3_600).unwrap_or(0));
            let form = if entry % 2 == 0 { Form::Phq9 } else { Form::Gad7 };
            body::form(out, form, seed, number as u64, &enrolled[who], body::begin() - days + minutes);
        });
        let answer = connection.send("POST", &target.fhir, &target.chart, body)?;
        let done = count(answer.success()?, br#""status":"2"#);
        if done == BUNDLE { Ok(()) } else { Err(format!("{done} of {BUNDLE} entries were answered with 2xx")) }
    })
}

/// (c) What a care manager sees first.
pub fn first_page(target: &Target<'_>, connections: usize, length: Duration) -> Result<Measured, Failed> {
    drive(target, "caseload, 50 rows", connections, length, 0, |connection, (): &mut (), _| {
        connection.send("GET", "/api/v1/caseload?limit=50", &target.team, &[])?.success().map(|_| ())
    })
}

/// (d) The latest score of everybody in care, page by page.
pub fn whole_caseload(target: &Target<'_>, enrolled: usize, length: Duration) -> Result<Measured, Failed> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<IgnoredAny>,
        next: Option<String>,
    }
    let what = format!("caseload, all {enrolled}");
    drive(target, &what, 1, length, 0, |connection, (): &mut (), _| {
        let (mut path, mut rows) = ("/api/v1/caseload?limit=500".to_owned(), 0);
        loop {
            let body = connection.send("GET", &path, &target.team, &[])?.success()?;
            let page: Page = serde_json::from_slice(body).map_err(|e| e.to_string())?;
            rows += page.items.len();
            match page.next {
                Some(cursor) => path = format!("/api/v1/caseload?limit=500&cursor={cursor}"),
                None if rows == enrolled => return Ok(()),
                None => return Err(format!("{rows} rows for {enrolled} patients in care")),
            }
        }
    })
}

/// (e) The page that a care team opens every morning, as a browser asks for it: its session, everybody's row read and
/// counted, the first rows drawn, and the journal's line on disk before it goes out.
pub fn caseload_page(target: &Target<'_>, enrolled: usize, length: Duration) -> Result<Measured, Failed> {
    /// What a page may weigh.
    const MOST: usize = 1_000_000;
    let signed_in = Connection::new(target.address)
        .send("POST", "/sign-in/development", "none=yet", b"role=care_manager&to=/caseload")?
        .cookie
        .ok_or("signing in set no cookie")?;
    let whole = format!("{enrolled} ");
    let mut connection = Connection::new(target.address);
    let first = connection.send("GET", "/caseload", &signed_in, &[])?.success()?;
    if count(first, whole.as_bytes()) == 0 || first.len() >= MOST {
        return Err(format!("the caseload page has {} bytes, or not {enrolled} episodes", first.len()).into());
    }
    let what = format!("its page, {} kB", first.len() / 1000);
    drive(target, &what, 1, length, 0, |connection, (): &mut (), _| {
        connection.send("GET", "/caseload", &signed_in, &[])?.success().map(|_| ())
    })
}

/// How often `what` occurs. Entries are told by their status without reading the whole answer.
fn count(text: &[u8], what: &[u8]) -> usize {
    text.windows(what.len()).filter(|w| *w == what).count()
}

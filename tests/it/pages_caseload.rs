//! The caseload page of a large clinic, its pages and its orders.

use cocm_registry::domain::finding::Rule;
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::line::{Gauge, Line, Next};
use cocm_registry::domain::plan::{Code, plan};
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::story::{Patient as Person, Story};
use cocm_registry::domain::target::{Basis, MeasureStatus};
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::standing;
use uuid::Uuid;

use super::api_world::World;
use super::pages_world::Browser;
use super::world::{date, episode};

fn gauge(instrument: Instrument, latest: Option<u16>) -> Gauge {
    Gauge {
        instrument,
        status: MeasureStatus::NoImprovement,
        baseline: Some((18, date("2026-01-05"), Basis::Window)),
        latest: latest.map(|score| (score, date("2026-03-14"))),
        percent: Some(-6),
        at_target: false,
        response_at: Some(9),
        remission_below: 5,
        series: (0..11).map(|w| (w * 7, 17)).collect(),
    }
}

/// A row with everything that a row can have.
fn full() -> Line {
    Line {
        measures: vec![gauge(Instrument::Phq9, Some(17)), gauge(Instrument::Gad7, Some(17))],
        last_contact: Some(date("2026-03-02")),
        next_contact: Some((date("2026-03-14"), Next::Due)),
        last_review: Some(date("2026-02-10")),
        due: vec![(Code::Contact, Some(date("2026-03-14"))), (Code::PsychiatricCaseReview, None)],
        why: Some("PHQ-9 17 on 2026-03-14, down 1 from 18 on 2026-01-05: no clinically significant improvement by day 56 of the plan.".into()),
        also: vec![Rule::ContactOverdue, Rule::Plateau],
        ..Line::default()
    }
}

/// Somebody in care for each of these: (name, when they were enrolled, what their row shows).
async fn clinic(rows: impl Iterator<Item = (String, &'static str, Line)>) -> (World, Browser) {
    let world = World::on("2026-03-16").await;
    let rules = RuleSet::default();
    let mut tx = world.app.db.begin().await.unwrap();
    for (n, (name, enrolled_on, line)) in (0_u128..).zip(rows) {
        let (id, of) = (Uuid::from_u128(n), Uuid::from_u128(100_000 + n));
        let row = Patient {
            display_name: Some(name.clone()),
            ..Patient::unseen(id, format!("Patient/{n}"), world.clock.now())
        };
        patient::insert(&mut tx, "demo", &row).await.unwrap();
        let mut story = Story::of(Person { id, inactive: false, deceased_on: None });
        story.episodes.push(cocm_registry::domain::episode::Episode { id: of, ..episode(enrolled_on) });
        let standing = plan(&story, &rules, date("2026-03-16")).standings.remove(0);
        let manager = format!("Manager {}", n % 7);
        let written = standing::Written {
            label: &name,
            care_manager: Some(&manager),
            psychiatric_consultant: None,
            standing: &standing,
            line: &line,
        };
        standing::put(&mut tx, "demo", id, written, world.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let browser = Browser::as_role(&world.app, "care_manager").await;
    (world, browser)
}

#[tokio::test]
async fn the_caseload_of_two_thousand_stays_below_a_megabyte() {
    let rows = (0..2000).map(|n| (format!("Given{n} Family-{}", n % 97), "2026-01-05", full()));
    let (_world, browser) = clinic(rows).await;
    browser.get("/caseload").await.expect(200);
    let begun = std::time::Instant::now();
    let page = browser.get("/caseload").await.expect(200);
    println!("{} bytes in {:?}", page.text.len(), begun.elapsed());
    assert!(page.text.contains("2000 open episodes") && page.text.contains("1–150 of 2000"));
    assert!(page.text.len() < 1_000_000, "{} bytes", page.text.len());
    let last = browser.get("/caseload?page=14").await.expect(200).text;
    assert!(last.contains("1951–2000 of 2000") && !last.contains("rel=\"next\""));
    let narrowed = browser.get("/caseload?q=family-13&care_manager=Manager+3&sort=name").await.expect(200).text;
    assert!(narrowed.contains("of 2000"), "filters count against the whole");
}

/// Who has nothing to be sorted by stands last, but who was never reviewed stands first.
#[tokio::test]
async fn every_column_sorts_the_rows_by_what_it_shows() {
    let ill = |phq9, gad7| vec![gauge(Instrument::Phq9, phq9), gauge(Instrument::Gad7, gad7)];
    let on = |day| Some((date(day), Next::Due));
    let rows = [
        ("Ada", "2026-01-12", Line { measures: ill(Some(4), Some(15)), next_contact: on("2026-03-20"), ..full() }),
        (
            "bob",
            "2025-11-03",
            Line { measures: ill(None, Some(3)), next_contact: on("2026-03-01"), last_review: None, ..full() },
        ),
        (
            "Cleo",
            "2026-02-02",
            Line { measures: ill(Some(22), None), next_contact: None, last_review: Some(date("2026-02-20")), ..full() },
        ),
        (
            "Dov",
            "2026-03-02",
            Line { measures: ill(Some(11), Some(8)), last_review: Some(date("2026-01-20")), ..full() },
        ),
    ];
    let (_world, browser) = clinic(rows.into_iter().map(|(name, on, line)| (name.to_owned(), on, line))).await;
    let orders = [
        ("name", ["Ada", "bob", "Cleo", "Dov"]),
        ("week", ["bob", "Ada", "Cleo", "Dov"]),
        ("phq9", ["Cleo", "Dov", "Ada", "bob"]),
        ("gad7", ["Ada", "Dov", "bob", "Cleo"]),
        ("contact", ["bob", "Dov", "Ada", "Cleo"]),
        ("review", ["bob", "Dov", "Ada", "Cleo"]),
    ];
    for (sort, order) in orders {
        let page = browser.get(&format!("/caseload?sort={sort}")).await.expect(200).text;
        let places = order.map(|name| page.find(&format!(">{name}</a>")).unwrap());
        assert!(places.is_sorted(), "{sort}: {places:?}");
    }
}

//! The caseload page of a large clinic, its pages and its orders.

use cocm_registry::domain::caseload_row::{CaseloadRow, MeasureCell, NextContactKind};
use cocm_registry::domain::chart_plan::plan;
use cocm_registry::domain::conclusion::Conclusion;
use cocm_registry::domain::episode::{Episode, Phase};
use cocm_registry::domain::finding::{Finding, Rule};
use cocm_registry::domain::instrument::Instrument;
use cocm_registry::domain::rules::RuleSet;
use cocm_registry::domain::standing::Standing;
use cocm_registry::domain::story::{PatientStatus as Person, Story};
use cocm_registry::domain::target::{Basis, MeasureStatus};
use cocm_registry::domain::task::Code;
use cocm_registry::id::{EpisodeId, PatientId};
use cocm_registry::store::Tx;
use cocm_registry::store::patient::{self, Patient};
use cocm_registry::store::standing;
use cocm_registry::store::standing::caseload::{self, CaseloadOrder};
use uuid::Uuid;

use super::api_world::World;
use super::pages_world::Browser;
use super::world::{date, episode};

fn gauge(instrument: Instrument, latest: Option<u16>) -> MeasureCell {
    MeasureCell {
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
fn full() -> CaseloadRow {
    CaseloadRow {
        measures: vec![gauge(Instrument::PHQ9, Some(17)), gauge(Instrument::GAD7, Some(17))],
        last_contact: Some(date("2026-03-02")),
        next_contact: Some((date("2026-03-14"), NextContactKind::Due)),
        last_review: Some(date("2026-02-10")),
        due: vec![(Code::Contact, Some(date("2026-03-14"))), (Code::PsychiatricCaseReview, None)],
        why: Some("PHQ-9 17 on 2026-03-14, down 1 from 18 on 2026-01-05: no clinically significant improvement by day 56 of the plan.".into()),
        also: vec![Rule::ContactOverdue, Rule::Plateau],
        ..CaseloadRow::default()
    }
}

/// Somebody in care.
struct Somebody {
    name: String,
    standing: Standing,
    line: CaseloadRow,
}

fn somebody(n: u128, name: impl Into<String>, enrolled_on: &str) -> Somebody {
    let mut story = Story::of(Person { id: PatientId(Uuid::from_u128(n)), inactive: false, deceased_on: None });
    story.episodes.push(Episode { id: EpisodeId(Uuid::from_u128(100_000 + n)), ..episode(enrolled_on) });
    let standing = plan(&story, &RuleSet::default(), date("2026-03-16")).standings.remove(0);
    Somebody { name: name.into(), standing, line: full() }
}

async fn clinic(people: impl IntoIterator<Item = Somebody>) -> (World, Browser) {
    let world = World::on("2026-03-16").await;
    let mut tx = world.app.db.begin().await.unwrap();
    for (n, Somebody { name, standing, line }) in (0_u128..).zip(people) {
        let id = PatientId(Uuid::from_u128(n));
        let row = Patient {
            display_name: Some(name.clone()),
            ..Patient::unseen(id, format!("Patient/{n}"), world.clock.now())
        };
        patient::insert(&mut tx, "demo", &row).await.unwrap();
        let manager = format!("Manager {}", n % 7);
        let written = standing::StandingWrite {
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
    let people = (0..2000).map(|n| somebody(n, format!("Given{n} Family-{}", n % 97), "2026-01-05"));
    let (_world, browser) = clinic(people).await;
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
    let ill = |phq9, gad7| vec![gauge(Instrument::PHQ9, phq9), gauge(Instrument::GAD7, gad7)];
    let (day, on) = (|day| Some(date(day)), |day| Some((date(day), NextContactKind::Due)));
    let people = [
        ("Ada", "2026-01-12", ill(Some(4), Some(15)), on("2026-03-20"), day("2026-02-10")),
        ("bob", "2025-11-03", ill(None, Some(3)), on("2026-03-01"), None),
        ("Cleo", "2026-02-02", ill(Some(22), None), None, day("2026-02-20")),
        ("Dov", "2026-03-02", ill(Some(11), Some(8)), on("2026-03-14"), day("2026-01-20")),
    ];
    let people = (0..).zip(people).map(|(n, (name, enrolled_on, measures, next_contact, last_review))| Somebody {
        line: CaseloadRow { measures, next_contact, last_review, ..full() },
        ..somebody(n, name, enrolled_on)
    });
    let (_world, browser) = clinic(people).await;
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

/// The numbers on the chips and in the lists are those of the rows one gets by them, whatever else is asked for.
#[tokio::test]
async fn what_is_counted_is_what_is_found() {
    let names = ["ÖZGÜR", "Özgür", "Ann_%", "Anna", "O'Brien !"];
    let people = (0..120).map(|n| {
        let mut one = somebody(n, names[usize::try_from(n).unwrap() % names.len()], "2026-01-05");
        let finding = |rule: &Rule| Finding {
            rule: *rule,
            ..Finding::new(Conclusion::ReviewUndocumented { completed_on: date("2026-03-01") }, date("2026-03-01"))
        };
        one.standing.findings =
            Rule::ALL.iter().filter(|rule| n * 31 % (5 + **rule as u128) == 0).map(finding).collect();
        one.standing.at_target = n % 3 == 0;
        one.standing.status = Phase::ALL[usize::try_from(n).unwrap() % Phase::ALL.len()];
        one
    });
    let (world, browser) = clinic(people).await;
    let shown = |page: &str| page.matches("<th scope=\"row\" class=\"person\"").count();
    let groups = ["open_safety", "not_improving", "for_review", "contact_overdue", "measure_due", "at_target"];
    let findings = groups.into_iter().chain(Rule::ALL.iter().map(|rule| rule.as_str())).chain(["", "rubbish"]);
    for finding in findings {
        let page = browser.get(&format!("/caseload?finding={finding}")).await.expect(200).text;
        let chip = |address: &str| {
            let from = page.find(&format!("href=\"{address}\"")).unwrap_or_else(|| panic!("{address} in {page}"));
            let count = page[from..].split("<span class=\"n\">").nth(1).unwrap().split('<').next().unwrap();
            count.parse::<usize>().unwrap()
        };
        if groups.contains(&finding) {
            assert!(shown(&page) > 0, "{finding}: nobody, so that nothing is tried");
            assert_eq!(shown(&page), chip(&format!("/caseload?finding={finding}")), "{finding}");
        }
        let open = chip("/caseload?");
        assert!(page.contains(&format!("{} of {open} open", shown(&page))) || shown(&page) == open, "{finding}");
    }
    for name in ["özgür", "ÖZG", "ann_", "ann", "%", "!", "o'b", "nobody"] {
        for status in ["", "active", "discharged"] {
            let asked = |name| caseload::CaseloadFilter {
                discharged: status == "discharged",
                status: Some(status).filter(|status| !status.is_empty()),
                name,
                ..caseload::CaseloadFilter::default()
            };
            let mut tx = world.app.db.read().await.unwrap();
            let found = async |tx: &mut Tx, name, order| {
                let page = caseload::found(tx, "demo", asked(name), order, 0).await.unwrap();
                caseload::rows(tx, "demo", &page).await.unwrap()
            };
            let has_it =
                |row: &caseload::EpisodeListing| row.display_name.to_lowercase().contains(&name.to_lowercase());
            let rows = found(&mut tx, Some(name), CaseloadOrder::Name).await;
            let everybody = found(&mut tx, None, CaseloadOrder::Attention).await;
            let tallies = caseload::tally(&mut tx, "demo", status == "discharged", Some(name)).await.unwrap();
            let admitted = tallies.iter().filter(|tally| asked(Some(name)).admits(tally));
            let counted: usize = admitted.map(|tally| tally.named).sum();
            assert!(rows.iter().all(has_it), "{name} {status}");
            assert_eq!(rows.len(), counted, "{name} {status}");
            assert_eq!(everybody.iter().filter(|row| has_it(row)).count(), counted, "{name} {status}");
        }
    }
}

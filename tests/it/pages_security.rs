//! What the pages must hold against: markup, forged forms, borrowed sessions, other clinics, other roles.

use std::sync::Arc;

use chrono::TimeDelta;
use cocm_registry::config::Config;
use cocm_registry::identity::Role;
use cocm_registry::record::Condition;
use serde_json::json;

use super::api_world::{CLINIC, World};
use super::pages_world::{Browser, PAGES, encoded};

/// Markup that would run, or break out of an attribute, if anything forgot to escape.
const EVIL: &str = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

#[track_caller]
fn is_harmless(path: &str, text: &str) {
    for raw in ["<script>alert", "<img src=x", "\"'><"] {
        assert!(!text.contains(raw), "{path} shows {raw} as it came:\n{text}");
    }
    for inline in [" style=", " onclick=", " onload=", "<style", "javascript:"] {
        assert!(!text.contains(inline), "{path} has something inline: {inline}");
    }
    let scripts = text.matches("<script").count();
    assert_eq!(scripts, text.matches("<script src=\"/assets/").count(), "{path} has a script that is no file of ours");
}

/// A patient of whom everything that can be said is markup; (patient, episode).
async fn evil_patient(world: &World) -> (String, String) {
    let patient = world.patient("evil", EVIL).await;
    let body = json!({"patient": {"id": patient}, "enrolled_on": "2026-01-05", "care_manager": EVIL,
        "primary_care_provider": EVIL, "psychiatric_consultant": EVIL});
    let episode = world.post("episodes", body).await.expect(201).id();
    for (day, total) in [("2026-01-05", 18), ("2026-02-16", 18), ("2026-03-02", 22)] {
        world.phq9(&patient, day, total).await;
    }
    let form = json!({"resourceType": "QuestionnaireResponse", "id": "evil-1", "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": "Patient/evil"},
        "authored": "2026-03-01T10:00:00Z", "item": [
            {"linkId": "/44260-8", "text": EVIL, "answer": [{"valueCoding": {"system": "http://loinc.org", "code": "LA6570-1", "display": EVIL}}]},
            {"linkId": "/44250-9", "text": EVIL, "answer": [{"valueString": EVIL}]}]});
    world.arrives(form).await;
    let strange = json!({"resourceType": "QuestionnaireResponse", "id": "evil-2", "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": "Patient/evil"},
        "item": [{"linkId": EVIL, "text": EVIL, "answer": [{"valueString": EVIL}]}]});
    world.arrives(strange).await;
    let say = |path: &str| format!("episodes/{episode}/{path}");
    world
        .post(&say("contacts"), json!({"on": "2026-02-01", "kind": "treatment", "note": EVIL, "performer": EVIL}))
        .await
        .expect(201);
    world
        .post(&say("treatment-changes"), json!({"changed_on": "2026-02-02", "kinds": ["medication"], "summary": EVIL}))
        .await
        .expect(201);
    let review = json!({"reviewed_on": "2026-03-16", "reviewer": EVIL, "summary": EVIL,
        "recommendations": [{"kind": "medication", "text": EVIL, "to": "primary_care"}]});
    let review = world.post(&say("case-reviews"), review).await.expect(201);
    let recommendation = review.body["recommendations"][0]["id"].as_str().unwrap().to_owned();
    let decision = json!({"decision": "declined", "decided_on": "2026-03-16", "by": EVIL, "reason": EVIL});
    world.post(&format!("recommendations/{recommendation}/decision"), decision).await.expect(201);
    world.post(&say("discussion-flag"), json!({"raised": true, "note": EVIL})).await.expect(201);
    let assessment = json!({"assessed_at": "2026-02-20T10:00:00Z", "instrument": EVIL, "result": EVIL,
        "disposition": EVIL, "assessor": EVIL, "note": EVIL});
    world.post(&format!("patients/{patient}/safety-assessments"), assessment).await.expect(201);
    let plan = json!({"problems": [EVIL], "goals": [{"text": EVIL}], "interventions": [{"intervention": EVIL, "detail": EVIL,
        "who": EVIL}], "medication": [{"name": EVIL, "dose": EVIL, "note": EVIL}], "note": EVIL, "by": EVIL,
        "targets": [{"instrument": "phq9", "at_most": 4}], "responsibilities": [{"who": EVIL, "what": EVIL}]});
    world.post(&say("care-plan"), plan).await.expect(201);
    let fit = json!({"concerns": ["mania"], "decision": "suitable", "reason": EVIL, "by": EVIL});
    world.post(&say("fit-check"), fit).await.expect(201);
    // Somebody else of whom the name is markup was dismissed as a candidate.
    let other = world.patient("evil-candidate", EVIL).await;
    world.phq9(&other, "2026-03-02", 18).await;
    world.post(&format!("patients/{other}/candidate-dismissal"), json!({"reason": EVIL})).await.expect(201);
    let third = world.patient("evil-candidate-2", EVIL).await;
    world.phq9(&third, "2026-03-02", 18).await;
    (patient, episode)
}

#[tokio::test]
async fn markup_in_names_notes_and_display_texts_is_only_ever_text() {
    let world = World::on("2026-03-16").await;
    let (patient, episode) = evil_patient(&world).await;
    let care_manager = Browser::as_role(&world.app, "care_manager").await;
    let admin = Browser::as_role(&world.app, "admin").await;
    let kept = world.get("quarantine").await.expect(200).body["items"][0]["id"].as_str().unwrap().to_owned();
    let mut paths: Vec<String> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    paths.push(format!("/patients/{patient}"));
    let session = care_manager.review_of(EVIL).await;
    paths.extend([session.clone(), format!("{session}/{episode}"), format!("{session}/summary")]);
    paths.push(format!("/review?discuss={episode}"));
    for form in ["enrolment", "particulars", "fit-check", "transfer", "baseline-override", EVIL] {
        paths.push(format!("/patients/{patient}?{}", encoded(&[("form", form), ("done", EVIL)])));
    }
    paths.push(format!("/patients/{patient}/care-plan"));
    paths.push(format!("/operations/quarantine/{kept}"));
    paths.push(format!("/operations/quarantine/{kept}?form=phq9&{}", encoded(&[(&format!("item.{EVIL}"), "phq9/1")])));
    paths.push("/programme/behind?series=nys&metric=1&month=2026-03".to_owned());
    paths.push(format!(
        "/caseload?{}",
        encoded(&[("q", EVIL), ("care_manager", EVIL), ("status", EVIL), ("finding", EVIL), ("sort", EVIL)])
    ));
    paths.push(format!("/sign-in?{}", encoded(&[("to", EVIL)])));
    for path in &paths {
        let browser = if path == "/operations/rules" { &admin } else { &care_manager };
        let seen = browser.get(path).await;
        assert!([200, 303].contains(&seen.status), "{path}: {}", seen.status);
        is_harmless(path, &seen.text);
    }
    let shown = care_manager.get(&format!("/patients/{patient}")).await.text;
    assert!(shown.contains("&#60;script&#62;alert(1)"), "it is shown, as text");
    // The documents have their styles within, and nothing else.
    for document in ["care-plan/document", "handover"] {
        let seen = care_manager.get(&format!("/patients/{patient}/{document}")).await.expect(200);
        for raw in ["<script", "<img", "\"'><"] {
            assert!(!seen.text.contains(raw), "{document} shows {raw} as it came:\n{}", seen.text);
        }
        let policy = seen.header("content-security-policy");
        assert_eq!(policy, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    }
    // What is typed wrongly comes back as text, too.
    let fields = [("read", EVIL), ("goals.0.by", EVIL), ("targets.0.at_most", EVIL), ("note", EVIL)];
    let back = care_manager.post(&format!("/patients/{patient}/care-plan"), &fields).await.expect(422);
    is_harmless("care-plan", &back.text);
    let back = care_manager.post("/review", &[("consultant", ""), ("care_manager", EVIL)]).await.expect(422);
    is_harmless("review", &back.text);
    let fields = [("on", EVIL), ("kind", EVIL), ("minutes", EVIL), ("note", EVIL)];
    let back = care_manager.post(&format!("/patients/{patient}/contacts"), &fields).await.expect(422);
    is_harmless("contacts", &back.text);
    assert!(back.text.contains("onerror=alert(1)&#62;"), "nothing typed is lost");
}

#[tokio::test]
async fn every_page_says_what_a_browser_may_load_and_is_kept_nowhere() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let admin = Browser::as_role(&world.app, "admin").await;
    let mut paths: Vec<String> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    paths.extend([format!("/patients/{patient}"), "/sign-in".to_owned(), "/patients/none".to_owned(), "/".to_owned()]);
    for path in paths {
        let seen = admin.get(&path).await;
        let policy = seen.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(seen.header("cache-control"), "no-store", "{path}");
        assert_eq!(seen.header("referrer-policy"), "same-origin", "{path}");
    }
    let page = admin.get("/caseload").await.text;
    let style = page.split("href=\"/assets/").nth(1).unwrap().split('"').next().unwrap();
    let style = admin.get(&format!("/assets/{style}")).await.expect(200);
    assert!(style.header("cache-control").contains("immutable"));
    admin.get("/assets/pages.00000000.css").await.expect(404);
}

#[tokio::test]
async fn nothing_is_shown_to_who_is_not_signed_in() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let nobody = Browser::of(&world.app);
    let own = [format!("/patients/{patient}")];
    for path in PAGES.iter().copied().chain(own.iter().map(String::as_str)) {
        let seen = nobody.get(path).await.expect(303);
        assert!(seen.header("location").starts_with("/sign-in?to=%2F"), "{path}");
        assert!(seen.text.is_empty());
    }
    nobody.send("POST", &format!("/patients/{patient}/contacts"), Some("on=2026-03-16"), &[]).await.expect(303);
    // Whatever is asked for, one does not land on another site.
    for to in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let fields = encoded(&[("role", "admin"), ("to", to)]);
        let seen = nobody.send("POST", "/sign-in/development", Some(&fields), &[]).await.expect(303);
        assert_eq!(seen.header("location"), "/", "{to}");
    }
}

#[tokio::test]
async fn a_form_from_elsewhere_stores_nothing() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-03-02").await;
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let other = Browser::as_role(&world.app, "care_manager").await;
    let path = format!("/patients/{patient}/contacts");
    let (own, foreign) = (browser.csrf().await, other.csrf().await);
    assert_ne!(own, foreign, "each session has its own");
    let with =
        |csrf: &str| encoded(&[("csrf", csrf), ("on", "2026-03-16"), ("kind", "treatment"), ("outcome", "attended")]);
    for (body, headers) in [
        (encoded(&[("on", "2026-03-16"), ("kind", "treatment")]), vec![]),
        (with(""), vec![]),
        (with(&foreign), vec![]),
        (with(&own), vec![("sec-fetch-site", "cross-site")]),
        (with(&own), vec![("sec-fetch-site", "same-site")]),
        (with(&own), vec![("origin", "https://evil.example")]),
        (with(&own), vec![("origin", "null")]),
    ] {
        browser.send("POST", &path, Some(&body), &headers).await.expect(403);
    }
    let timeline = world.get(&format!("episodes/{episode}/timeline")).await.body;
    assert!(!timeline.to_string().contains("\"contact\""), "{timeline}");
    browser.send("POST", &path, Some(&with(&own)), &[("origin", "http://registry.test")]).await.expect(303);
    // Signing somebody in, or out, from another site is no use either.
    let crossing = [("sec-fetch-site", "cross-site")];
    browser.send("POST", "/sign-in/development", Some("role=admin"), &crossing).await.expect(403);
    browser.send("POST", "/sign-out", Some(&with(&own)), &crossing).await.expect(403);
    browser.get("/caseload").await.expect(200);
}

#[tokio::test]
async fn a_session_is_new_at_each_sign_in_and_ends_when_it_should() {
    let world = World::on("2026-03-16").await;
    let mut browser = Browser::of(&world.app);
    // A word that somebody planted is worth nothing, before and after.
    browser.cookie = Some("cocm=demo.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
    let planted = browser.cookie.clone();
    browser.get("/caseload").await.expect(303);
    browser.sign_in("care_manager").await.expect(303);
    let first = browser.cookie.clone();
    assert_ne!(first, planted);
    browser.sign_in("admin").await.expect(303);
    assert_ne!(browser.cookie, first);
    let thief = Browser { cookie: planted, ..Browser::of(&world.app) };
    thief.get("/caseload").await.expect(303);
    // Two cookies of one name are none.
    let both = Browser {
        cookie: Some(format!("{}; {}", first.unwrap(), browser.cookie.clone().unwrap())),
        ..Browser::of(&world.app)
    };
    both.get("/caseload").await.expect(303);
    // Signed out is signed out, also for who kept the cookie.
    browser.post("/sign-out", &[]).await.expect(303);
    browser.get("/caseload").await.expect(303);
    // Away for half an hour, or there for a whole working day.
    browser.sign_in("admin").await.expect(303);
    for _ in 0..3 {
        world.clock.set(world.clock.now() + TimeDelta::minutes(29));
        browser.get("/caseload").await.expect(200);
    }
    world.clock.set(world.clock.now() + TimeDelta::minutes(31));
    browser.get("/caseload").await.expect(303);
    browser.sign_in("admin").await.expect(303);
    for _ in 0..24 {
        world.clock.set(world.clock.now() + TimeDelta::minutes(29));
        browser.get("/safety").await.expect(200);
    }
    world.clock.set(world.clock.now() + TimeDelta::minutes(29));
    browser.get("/safety").await.expect(303);
}

#[tokio::test]
async fn the_cookie_cannot_be_read_sent_or_set_by_others() {
    let world = World::on("2026-03-16").await;
    let set = Browser::of(&world.app).sign_in("admin").await.header("set-cookie").to_owned();
    assert!(
        set.starts_with("cocm=demo.") && set.contains("; HttpOnly; SameSite=Lax") && set.contains("; Path=/;"),
        "{set}"
    );
    assert!(!set.contains("Secure"), "plain http is for one's own machine: {set}");
    let mut app = world.app.clone();
    app.config = Arc::new(Config { public_url: Some("https://registry.test".into()), ..(*app.config).clone() });
    let mut browser = Browser::of(&app);
    let set = browser.sign_in("admin").await.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-cocm=demo.") && set.ends_with("; Secure") && !set.contains("Domain"), "{set}");
    browser.get("/caseload").await.expect(200);
    // Outside development nobody signs in by a click.
    app.config = Arc::new(Config { any_clinic: false, ..(*app.config).clone() });
    Browser::of(&app).sign_in("admin").await.expect(404);
}

#[tokio::test]
async fn another_clinics_patients_are_not_there() {
    let world = World::on("2026-03-16").await;
    let resource = json!({"resourceType": "Patient", "id": "theirs", "name": [{"family": "Elsewhere"}]});
    let arrival = world.app.intake.read("elsewhere", &resource.to_string()).unwrap();
    world.app.intake.take("elsewhere", "ehr", arrival, Condition::None).await.unwrap();
    let body = json!({"patient": {"reference": "Patient/theirs"}, "enrolled_on": "2026-03-02", "care_manager": "Lee"});
    let their = world.ask(("elsewhere", Role::CareManager), "POST", "episodes", Some(body), &[]).await.expect(201);
    let episode = their.id();
    let patient = their.body["patient"]["id"].as_str().unwrap().to_owned();
    let body = json!({"held_on": "2026-03-16", "consultant": "Okafor"});
    let opened = world.ask(("elsewhere", Role::CareManager), "POST", "review-sessions", Some(body), &[]).await;
    let their_session = format!("/review/{}", opened.expect(201).id());
    let session = Browser::as_role(&world.app, "care_manager").await.review_of("Okafor").await;
    let nobody = "00000000-0000-4000-8000-000000000000";
    for role in ["care_manager", "psychiatric_consultant", "admin"] {
        let browser = Browser::as_role(&world.app, role).await;
        for (theirs, none) in [
            (format!("/patients/{patient}"), format!("/patients/{nobody}")),
            (format!("/patients/{patient}/care-plan"), format!("/patients/{nobody}/care-plan")),
            (format!("/patients/{patient}/handover"), format!("/patients/{nobody}/handover")),
            (their_session.clone(), format!("/review/{nobody}")),
            (format!("{their_session}/summary"), format!("/review/{nobody}/summary")),
            (format!("{session}/{episode}"), format!("{session}/{nobody}")),
        ] {
            let (theirs, none) = (browser.get(&theirs).await.expect(404), browser.get(&none).await.expect(404));
            assert_eq!(theirs.text, none.text, "it looks exactly like absent");
        }
        for path in PAGES {
            assert!(!browser.get(path).await.text.contains("Elsewhere"), "{path}");
        }
    }
    let browser = Browser::as_role(&world.app, "care_manager").await;
    let forms =
        ["contacts", "safety-assessment", "discharge", "take-back", "decision", "enrolment", "particulars", "transfer"];
    for path in forms.into_iter().chain(["fit-check", "baseline-override", "candidate-dismissal", "care-plan"]) {
        let fields = [("on", "2026-03-16"), ("kind", "treatment"), ("reason", "x")];
        browser.post(&format!("/patients/{patient}/{path}"), &fields).await.expect(404);
    }
    let review = [("kind1", "continue"), ("to1", "primary_care")];
    browser.post(&format!("{session}/{episode}"), &review).await.expect(404);
    browser.post(&format!("{their_session}/{episode}"), &review).await.expect(404);
    browser.post(&format!("{their_session}/close"), &[]).await.expect(404);
    // A cookie that names the other clinic is no session there.
    let secret = browser.cookie.clone().unwrap().split_once('.').unwrap().1.to_owned();
    let crossing = Browser { cookie: Some(format!("cocm=elsewhere.{secret}")), ..Browser::of(&world.app) };
    crossing.get("/caseload").await.expect(303);
    assert_eq!(CLINIC, "demo");
}

#[tokio::test]
async fn each_role_sees_and_does_what_is_its_own() {
    let world = World::on("2026-03-16").await;
    let patient = world.patient("p", "Byron").await;
    let episode = world.enroll(&patient, "2026-01-05").await;
    world.phq9(&patient, "2026-01-05", 18).await;
    let page = format!("/patients/{patient}");
    let contact = [("on", "2026-03-16"), ("kind", "treatment"), ("outcome", "attended")];
    let review = [("kind1", "continue"), ("to1", "primary_care")];
    let session = Browser::as_role(&world.app, "care_manager").await.review_of("Okafor").await;
    for (role, contacts, reviews, operations, rules) in [
        ("care_manager", 303, 303, 200, 403),
        ("psychiatric_consultant", 403, 303, 403, 200),
        ("primary_care", 403, 403, 403, 403),
        ("admin", 403, 403, 200, 200),
    ] {
        let browser = Browser::as_role(&world.app, role).await;
        let shown = browser.get(&page).await.expect(200).text;
        assert_eq!(shown.contains("enter-contacts"), contacts == 303, "{role}");
        assert_eq!(shown.contains("enter-safety-assessment"), role != "admin", "{role}");
        browser.post(&format!("{page}/contacts"), &contact).await.expect(contacts);
        let case = browser.get(&format!("{session}/{episode}")).await.expect(200).text;
        assert_eq!(case.contains("id=\"recommend\""), reviews == 303, "{role}");
        browser.post(&format!("{session}/{episode}"), &review).await.expect(reviews);
        let begins = browser.get("/review").await.expect(200).text.contains("Begin the session");
        assert_eq!(begins, reviews == 303, "{role}");
        browser.post("/review", &[("consultant", "Okafor")]).await.expect(reviews);
        let plan = browser.get(&format!("{page}/care-plan")).await.expect(200).text;
        assert_eq!(plan.contains("Save as the next version"), role != "admin", "{role}");
        let plan = [("problems.0.text", "Low mood")];
        browser.post(&format!("{page}/care-plan"), &plan).await.expect(if role == "admin" { 403 } else { 303 });
        let transfer = [("on", "2026-03-16"), ("to_care_manager", "Lee"), ("reason", "On leave.")];
        browser.post(&format!("{page}/transfer"), &transfer).await.expect(contacts);
        browser.get("/operations").await.expect(operations);
        browser.get("/operations/rules").await.expect(rules);
        let activated = browser.post("/operations/rules/1/activate", &[]).await.status;
        assert_eq!(activated, if role == "admin" { 303 } else { 403 }, "{role}");
    }
    // A program has no business here.
    let mut program = Browser::of(&world.app);
    program.sign_in("ehr").await.expect(403);
}

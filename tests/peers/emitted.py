#!/usr/bin/env python3
"""Writes every resource that the registry emits, in all states, one a line: `emitted.py FILE`.

A demo lives through twenty weeks. Then a person works on Tasks in the chart, evidence is retracted and forms come back,
so that there are Tasks and Flags in every status that we write, and with every kind of ending. Every version is taken
from the chart's history; a version that a person wrote there is left out.
"""

import collections
import json
import pathlib
import sys
import time
import urllib.parse

from registry import FHIR, Demo, Registry, call, folder, ok, wait_for

PLAN = "https://cocm-registry.dev/fhir/identifier/plan"


def main(target):
    with folder() as place:
        demo = Demo(place)
        try:
            found = Collection()
            by_hand = stir(demo)
            tasks_and_flags(demo, found, by_hand)
            reports(demo, found)
            care_plans(demo, found)
            door(demo, found)
            audit(demo, found)
            for way in LADDER:
                ladder(demo, found, place, *way)
        finally:
            demo.process.stop()
    with open(target, "w") as out:
        for resource in found.resources:
            out.write(json.dumps(resource) + "\n")
    for kind, states in sorted(found.states.items()):
        print(f"  {kind}: " + ", ".join(f"{number} {state}" for state, number in sorted(states.items())))
    missing = [(kind, state) for kind, state in REQUIRED if not found.states[kind][state]]
    if missing:
        sys.exit(f"not seen, so nothing is proven of them: {missing}")


REQUIRED = [("Task", s) for s in ("requested", "completed", "cancelled", "entered-in-error", "in-progress")]
REQUIRED += [("Flag", s) for s in ("active", "inactive")]
REQUIRED += [("Communication", s) for s in ("in-progress", "completed", "stopped", "entered-in-error")]
REQUIRED += [("DocumentReference", s) for s in ("current", "superseded", "entered-in-error")]
REQUIRED += [("Provenance", "author")]
REQUIRED += [("MeasureReport", "complete"), ("CapabilityStatement", "active"), ("Bundle", "collection")]
REQUIRED += [("AuditEvent", s) for s in "CRUDE"]
REQUIRED += [("CarePlan", s) for s in ("active", "revoked", "entered-in-error", "on-hold", "completed")]
REQUIRED += [("OperationOutcome", s) for s in ("error", "warning", "information")]
REQUIRED += [("Bundle", s) for s in ("searchset", "batch-response", "transaction-response")]


class Collection:
    def __init__(self):
        self.resources = []
        self.states = collections.defaultdict(collections.Counter)

    def add(self, resource):
        kind = resource["resourceType"]
        state = kind == "Provenance" and resource["agent"][0]["type"]["coding"][0]["code"]
        state = state or resource.get("status") or resource.get("action") or resource.get("type") or resource["issue"][0]["severity"]
        self.states[kind][state] += 1
        self.resources.append(resource)
        if kind == "Bundle":
            # Inside of a Bundle the validator is lenient about some things: each alone as well.
            for entry in resource.get("entry", []):
                for inner in (entry.get("resource"), entry.get("response", {}).get("outcome")):
                    if inner and inner["resourceType"] in ("OperationOutcome", "Bundle", "AuditEvent"):
                        self.add(inner)


def fhir(demo, method, path, body=None, **more):
    return call(method, f"{demo.url}/fhir/{path}".rstrip("/"), body, demo.tokens["ehr"], **more)


def chart(demo, path):
    return [entry["resource"] for entry in ok(call("GET", f"{demo.chart}/{path}")).get("entry", [])]


# What is made to stand in the chart, whether a person takes it up, and how it stands once its evidence is retracted: a
# retraction closes no concern, it asks for a confirmation.
CASES = [
    ("Task", "safety-assessment", range(9), False, "requested"), ("Flag", "cocm-safety", range(9), False, "inactive"),
    ("Task", "safety-assessment", range(9), True, "in-progress"), ("Task", "ask-item9", range(8), False, "entered-in-error"),
    ("Task", "ask-item9", range(8), True, "in-progress"),
    ("Flag", "cocm-not-at-target", range(9), False, "inactive"),
]


def stir(demo):
    """What the demo does not do: a person works in the chart, and evidence is retracted. Answers with the versions
    that the person wrote."""
    by_hand = set()
    for number, (kind, code, items, take_up, ends) in enumerate(CASES):
        patient = f"Patient/stirred-{number}"
        ok(fhir(demo, "PUT", patient, {"resourceType": "Patient", "id": f"stirred-{number}"}))
        # Nine weeks without a change.
        days = ["2026-03-23", "2026-05-25"] if code == "cocm-not-at-target" else ["2026-05-25"]
        forms = [phq9(f"stirred-{number}-{day}", patient, items, 2, day) for day in days]
        for form in forms:
            ok(fhir(demo, "PUT", f"QuestionnaireResponse/{form['id']}", form))
        episode = {"patient": {"reference": patient}, "enrolled_on": days[0], "primary_instrument": "phq9"}
        ok(call("POST", f"{demo.url}/api/v1/episodes", episode, demo.tokens["care_manager"]))

        def stands(patient=patient, kind=kind, code=code):
            found = [r for r in chart(demo, f"{kind}?_count=1000") if (r.get("for") or r["subject"]).get("reference") == patient]
            return [r for r in found if r["code"]["coding"][0]["code"] == code]
        [resource] = wait_for(f"a {kind} {code}", stands)
        if take_up:
            person = {**resource, "status": "in-progress", "owner": {"display": "A person"}}
            stored = ok(call("PUT", f"{demo.chart}/Task/{resource['id']}", person, headers={"Content-Type": FHIR}))
            by_hand.add((resource["id"], stored["meta"]["versionId"]))
        retracted = [{"resource": {**form, "status": "entered-in-error"},
                      "request": {"method": "PUT", "url": f"QuestionnaireResponse/{form['id']}"}} for form in forms]
        ok(fhir(demo, "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": retracted}))

        def ended(place=f"{demo.chart}/{kind}/{resource['id']}", code=code, take_up=take_up, ends=ends):
            now = ok(call("GET", place))
            if code == "safety-assessment":
                is_told = "was withdrawn: confirm with the patient" in now["description"]
            else:
                is_told = now.get("note") or not take_up
            return now["status"] == ends and is_told
        wait_for(f"the {kind} {code} to be {ends}", ended, 30)
    idle(demo)
    return by_hand


PHQ9 = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
ANSWERS = [("LA6568-5", "Not at all"), ("LA6569-3", "Several days"), ("LA6570-1", "More than half the days"),
           ("LA6571-9", "Nearly every day")]


def phq9(id, patient, items, answer, day):
    code, display = ANSWERS[answer]
    coding = {"valueCoding": {"system": "http://loinc.org", "code": code, "display": display}}
    return {
        "resourceType": "QuestionnaireResponse", "id": id, "status": "completed",
        "questionnaire": "http://loinc.org/q/44249-1", "subject": {"reference": patient},
        "authored": f"{day}T08:00:00Z", "item": [{"linkId": f"/{PHQ9[i]}", "answer": [coding]} for i in items],
    }


def idle(demo):
    """Until the chart has been told everything."""
    def done():
        waiting = ok(call("GET", f"{demo.url}/api/v1/deliveries?state=pending&limit=1", token=demo.tokens["care_manager"]))
        return not waiting["items"]
    wait_for("the outbox to be empty", done, 120)


def tasks_and_flags(demo, found, by_hand):
    for kind in ("Task", "Flag"):
        for resource in chart(demo, f"{kind}?_count=1000"):
            if not any(i.get("system") == PLAN for i in resource.get("identifier", [])):
                continue
            for version in chart(demo, f"{kind}/{resource['id']}/_history"):
                if (version["id"], version["meta"]["versionId"]) not in by_hand:
                    found.add(version)


# What the chart plays, what is set, and what is written then: where it can be changed, and where it cannot.
LADDER = [
    ("general", 'task = "communication"\nflag = "document-reference"'),
    ("general", 'task = "document-reference"\nflag = "communication"'),
    ("Oracle-like", ""), ("Epic-like", ""),
]


def ladder(demo, found, place, plays, write):
    """A registry of its own beside the demo's chart, on the lower rungs: what is asked, and how it ends."""
    ok(call("PUT", f"{demo.chart}/$play", {"name": plays}))
    own = pathlib.Path(place) / f"{plays}-{len(found.resources)}"
    own.mkdir()
    registry = Registry(own, f'[[ehr]]\nname = "peer"\nbase_url = "{demo.chart}"\npoll.period_s = 0\n[ehr.write]\n{write}\n')
    try:
        kinds = ("Communication", "DocumentReference")
        theirs = {(kind, r["id"]) for kind in kinds for r in written(demo, kind)}
        forms = []
        # Retracted, assessed, and left as it is.
        for number, items in enumerate((range(9), range(9), range(8), range(9))):
            name = f"{own.name.lower()}-{number}"
            patient = f"Patient/{name}"
            ok(registry.fhir("PUT", patient, {"resourceType": "Patient", "id": name}))
            forms.append([phq9(f"{name}-{day}", patient, items, 2, day) for day in ("2026-03-23", "2026-05-25")])
            for form in forms[-1]:
                ok(registry.fhir("PUT", f"QuestionnaireResponse/{form['id']}", form))
            ok(registry.api("POST", "episodes", {"patient": {"reference": patient}, "enrolled_on": "2026-03-23",
                                                 "primary_instrument": "phq9"}))

        def settled():
            return not registry.all("deliveries?state=pending")
        wait_for("everything to be written", settled, 60)
        for form in (form for n in (0, 2) for form in forms[n]):
            ok(registry.fhir("PUT", f"QuestionnaireResponse/{form['id']}", {**form, "status": "entered-in-error"}))
        assessed = registry.all(f"patients?reference=Patient/{own.name.lower()}-1")[0]["id"]
        ok(registry.api("POST", f"patients/{assessed}/safety-assessments", {
            "assessed_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "instrument": "C-SSRS", "result": "low",
            "disposition": "Safety plan"}))
        wait_for("everything to be written again", settled, 60)
        parked = registry.all("deliveries?state=parked")
        assert not parked, parked[0]
        # What can be changed has versions; what cannot, one.
        for kind in kinds:
            for resource in written(demo, kind):
                if (kind, resource["id"]) not in theirs:
                    history = call("GET", f"{demo.chart}/{kind}/{resource['id']}/_history")
                    versions = [e["resource"] for e in history[2]["entry"]] if history[0] == 200 else [resource]
                    for version in versions:
                        found.add(version)
        for resource in written(demo, "Provenance"):
            found.add(resource)
    finally:
        registry.process.stop()
        ok(call("PUT", f"{demo.chart}/$play", {"name": "general"}))


def written(demo, kind):
    status, _, bundle = call("GET", f"{demo.chart}/{kind}?_count=1000")
    return [entry["resource"] for entry in bundle.get("entry", [])] if status == 200 else []


def reports(demo, found):
    periods = ["nys?month=2026-03", "nys?month=2026-05&payer=medicaid", "fidelity?month=2026-04", "hedis-drr?year=2026",
               "cms159?year=2026", "nys?month=2019-01"]
    periods += [f"{period}{'&' if '?' in period else '?'}report=individual" for period in periods]
    for period in periods:
        url = f"{demo.url}/api/v1/metrics/{period}"
        found.add(ok(call("GET", url, token=demo.tokens["care_manager"], headers={"Accept": FHIR})))


def audit(demo, found):
    """The newest lines, and then the oldest, so that each kind of line is among them."""
    url, pages = f"{demo.url}/api/v1/audit?limit=200", []
    while url:
        pages.append(ok(call("GET", url, token=demo.tokens["admin"], headers={"Accept": FHIR})))
        url = next((link["url"] for link in pages[-1].get("link", []) if link["relation"] == "next"), None)
        url = url and urllib.parse.urljoin(f"{demo.url}/api/v1/", url)
    for page in [*pages[:3], *pages[-2:]]:
        found.add(page)


def care_plans(demo, found):
    """Of episodes in every phase: a full plan, and after it a short one that holds instead."""
    full = {
        "problems": ["Major depression, single episode"], "goals": [{"text": "Walk to the sea again", "by": "2026-09-01"},
        {"text": "Sleep through", "reached_on": "2026-05-01"}],
        "targets": [{"instrument": "phq9", "at_most": 4, "by": "2026-08-01"}, {"instrument": "gad7", "at_most": 4}],
        "interventions": [{"intervention": "behavioral activation", "detail": "weekly", "who": "R. Alvarez, LCSW"},
                          {"intervention": "gardening"}],
        "medication": [{"name": "Sertraline", "dose": "50 mg in the morning", "note": "since April"}],
        "responsibilities": [{"who": "Psychiatric consultant", "what": "reviews weekly"}], "note": "Shared with the patient."}
    short = {"targets": [{"instrument": "phq9", "at_most": 9}]}
    episodes, token = [], demo.tokens["care_manager"]
    post = lambda path, body: ok(call("POST", f"{demo.url}/api/v1/{path}", body, token))  # noqa: E731
    for number in range(1, 41):
        for person in ok(call("GET", f"{demo.url}/api/v1/patients?reference=Patient/demo-{number:03}", token=token))["items"]:
            there = ok(call("GET", f"{demo.url}/api/v1/episodes?patient={person['id']}", token=token))["items"]
            episodes += [episode["id"] for episode in there if episode["status"] == "active"]
    for n, episode in enumerate(episodes[:5]):
        written = post(f"episodes/{episode}/care-plan", full)
        if n == 1:
            post(f"episodes/{episode}/care-plan", short)
        elif n == 2:
            post(f"episodes/{episode}/entries/{written['id']}/take-back", {"reason": "written for somebody else"})
        elif n == 3:
            post(f"episodes/{episode}/hold", {"from": "2026-05-25", "reason": "hospital"})
        elif n == 4:
            post(f"episodes/{episode}/discharge", {"discharged_on": "2026-05-25", "reason": "withdrew"})
        for version in (1, 2) if n == 1 else (1,):
            place = f"{demo.url}/api/v1/episodes/{episode}/care-plan?version={version}"
            found.add(ok(call("GET", place, token=token, headers={"Accept": FHIR})))


def door(demo, found):
    """What the FHIR door answers."""
    found.add(ok(call("GET", f"{demo.url}/fhir/metadata")))
    form = phq9("stirred", "Patient/demo-009", range(9), 1, "2026-05-25")
    form["authored"] = "2026-05-25T09:00:00+02:00"
    minimal = {"Prefer": "return=OperationOutcome"}
    entry = lambda method, url, resource=None: {  # noqa: E731
        **({"resource": resource} if resource else {}), "request": {"method": method, "url": url}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [
        entry("PUT", "Patient/new-1", {"resourceType": "Patient", "id": "new-1"}), entry("GET", "Patient/new-1"),
        entry("GET", "Patient/absent"), entry("GET", "Patient?_count=2"), entry("POST", "Patient", {"resourceType": "Patient"}),
        entry("PUT", "Patient/a b", {"resourceType": "Patient", "id": "a b"}), entry("DELETE", "Patient/new-1"),
        entry("POST", "Medication", {"resourceType": "Medication"})]}
    transaction = {"resourceType": "Bundle", "type": "transaction", "entry": [
        entry("PUT", "Patient/new-2", {"resourceType": "Patient", "id": "new-2"}), entry("GET", "Patient/new-2")]}
    collection = {"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": {"resourceType": "Patient", "id": "new-3"}}, {"resource": {"resourceType": "Basic", "id": "x"}}]}
    unknown = {**form, "id": "doubtful", "authored": None}
    del unknown["authored"]
    answers = [
        ("GET", "QuestionnaireResponse?patient=Patient/demo-001&_count=2", None, {}),
        ("GET", "Patient?_lastUpdated=ge2026-01-01&_count=3", None, {}), ("GET", "Patient?identifier=nobody%7C1", None, {}),
        ("GET", "Patient?favourite=blue&_count=1", None, {}), ("GET", "Patient?favourite=blue", None, {"Prefer": "handling=strict"}),
        ("POST", "", batch, {}), ("POST", "", batch, minimal), ("POST", "", batch, {"Prefer": "return=representation"}),
        ("POST", "", transaction, {}), ("POST", "", collection, minimal), ("POST", "", {**transaction, "entry": batch["entry"]}, {}),
        ("PUT", f"QuestionnaireResponse/{form['id']}", form, minimal), ("PUT", "QuestionnaireResponse/doubtful", unknown, minimal),
        ("PUT", "QuestionnaireResponse/other", form, {}), ("PUT", "Patient/demo-001", {"resourceType": "Observation"}, {}),
        ("POST", "Patient", b"{", {}), ("POST", "Patient", b"[]", {}), ("POST", "Patient", b"{}", {"Content-Type": "text/csv"}),
        ("GET", "Patient/absent", None, {}), ("GET", "Patient/new-1", None, {}), ("GET", "Medication/1", None, {}),
        ("GET", "nowhere/at/all/here", None, {}), ("GET", "Patient/demo-001", None, {"Accept": "application/fhir+xml"}),
        ("PUT", "Patient/demo-001", {"resourceType": "Patient", "id": "demo-001"}, {"If-Match": 'W/"99"'}),
        ("PUT", "Patient/demo-001", {"resourceType": "Patient", "id": "demo-001"}, {"If-Match": "latest"}),
        ("POST", "", b"", {}), ("POST", "", {"resourceType": "Bundle", "type": "batch"}, {}), ("PATCH", "Patient/demo-001", b"[]", {}),
        ("PUT", "Observation/bad", {"resourceType": "Observation", "id": "bad", "valueQuantity": {"value": "much"}}, {}),
    ]
    for method, path, body, headers in answers:
        status, _, answer = fhir(demo, method, path, body, headers=headers)
        if not isinstance(answer, dict) or "resourceType" not in answer:
            sys.exit(f"{method} {path}: {status} without a resource: {str(answer)[:200]}")
        if answer["resourceType"] in ("Bundle", "OperationOutcome"):
            found.add(answer)
    for wrong in (None, "nonsense"):
        status, _, answer = call("GET", f"{demo.url}/fhir/Patient/demo-001", token=wrong)
        assert status == 401, status
        found.add(answer)


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""The whole loop against a FHIR server that is not ours: `loop.py hapi` or `loop.py medplum`.

Patients and forms go into the server by its own API; the registry hears of them, plans, and writes Tasks and Flags back;
a Task is completed there. In the middle the registry and the server are each killed (-9) and started again. At the end
there must be exactly one Task and one Flag per cause, and no form may be lost.
"""

import argparse
import collections
import datetime
import json
import pathlib
import sys
import time

from registry import ROOT, Process, Registry, call, folder, free_port, ok, understands, wait_for

PLAN = "https://cocm-registry.dev/fhir/identifier/plan"
MRN = "https://clinic.example/mrn"
TODAY = datetime.datetime.now(datetime.timezone.utc).date()
PATHS = {"hapi": "fhir", "medplum": "fhir/R4"}
PHQ9 = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
ANSWERS = ["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"]

# Name, days ago of the enrolment (none: not enrolled), forms as (days ago, total, item 9) in three waves, and what must
# stand at the end: worked by hand from the rules.
PEOPLE = [
    ("no-response", 63, [(63, 18, 0), (28, 18, 0), (1, 17, 0)],
     {("Task", "psychiatric-case-review"), ("Flag", "cocm-not-at-target")}),
    ("remission", 63, [(63, 16, 0), (28, 9, 0), (1, 3, 0)], set()),
    ("item-9", None, [(40, 8, 0), (20, 8, 0), (0, 12, 2)], {("Task", "safety-assessment"), ("Flag", "cocm-safety")}),
    ("no-response-2", 70, [(70, 20, 0), (35, 21, 0), (1, 20, 0)],
     {("Task", "psychiatric-case-review"), ("Flag", "cocm-not-at-target")}),
    ("response", 63, [(63, 20, 0), (28, 12, 0), (1, 8, 0)], set()),
    ("item-9-early", 63, [(63, 15, 0), (1, 14, 1), (0, 7, 0)], {("Task", "safety-assessment"), ("Flag", "cocm-safety")}),
]


class Peer:
    def __init__(self, name, place):
        self.name, self.place = name, pathlib.Path(place)
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}/{PATHS[name]}"
        self.start()

    def start(self):
        begun = time.monotonic()
        command = [str(ROOT / "tests/peers" / self.name / "start"), str(self.port), str(self.place / "store")]
        self.process = Process(command, self.place / "peer.log")
        self.process.said("listening on", 300)
        say(f"{self.name} listens after {time.monotonic() - begun:.0f} s")

    def call(self, method, path, body=None, **more):
        return call(method, f"{self.base}/{path}", body, **more)

    def create(self, resource):
        return ok(self.call("POST", resource["resourceType"], resource))

    def all(self, kind):
        """Every resource of a type, page by page."""
        found, url = [], f"{self.base}/{kind}?_count=100"
        while url:
            # HAPI would answer a search from its cache.
            bundle = ok(call("GET", url, headers={"Cache-Control": "no-cache"}))
            found += [entry["resource"] for entry in bundle.get("entry", [])]
            url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
        return found

    def ours(self, kind):
        """Ours by identifier: `{identifier: [resource, …]}`."""
        found = collections.defaultdict(list)
        for resource in self.all(kind):
            for identifier in resource.get("identifier", []):
                if identifier.get("system") == PLAN:
                    found[identifier["value"]].append(resource)
        return found


def say(text):
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


def not_yet(text):
    print(f"  NOT YET: {text}", flush=True)


def form(patient, days_ago, total, item9):
    """A PHQ-9 with this total."""
    answers, rest = [0] * 8, total - item9
    while rest:
        for i in range(8):
            if rest and answers[i] < 3:
                answers[i] += 1
                rest -= 1
    coding = lambda n: {"valueCoding": {"system": "http://loinc.org", "code": ANSWERS[n]}}  # noqa: E731
    day = TODAY - datetime.timedelta(days=days_ago)
    return {
        "resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "http://loinc.org/q/44249-1",
        "subject": {"reference": f"Patient/{patient}"}, "authored": f"{day}T00:00:01Z",
        "item": [{"linkId": f"/{code}", "answer": [coding(n)]} for code, n in zip(PHQ9, [*answers, item9])],
    }


class Loop:
    def __init__(self, peer, registry, sweeps):
        self.peer, self.registry, self.sweeps = peer, registry, sweeps
        self.patients, self.episodes = {}, {}
        self.forms = {}

    def subscribe(self):
        """Rest-hooks for patients and forms, to our FHIR door."""
        for kind in ("Patient", "QuestionnaireResponse"):
            stored = self.peer.create({
                "resourceType": "Subscription", "status": "requested" if self.peer.name == "hapi" else "active",
                "reason": "Collaborative Care registry", "criteria": f"{kind}?",
                "channel": {"type": "rest-hook", "endpoint": f"{self.registry.url}/fhir", "payload": "application/fhir+json",
                            "header": [f"Authorization: Bearer {self.registry.tokens['ehr']}"]}})
            wait_for("the Subscription", lambda: ok(self.peer.call("GET", f"Subscription/{stored['id']}"))["status"] == "active")

    def admit(self):
        for number, (name, *_) in enumerate(PEOPLE):
            stored = self.peer.create({"resourceType": "Patient", "identifier": [{"system": MRN, "value": f"M{number}"}],
                                       "name": [{"family": name.title(), "given": ["Test"]}], "birthDate": "1980-01-01"})
            self.patients[name] = stored["id"]

    def fill_in(self, wave, people):
        """Somebody fills in a form in the server. Only what it has acknowledged must not be lost."""
        for name, _, forms, _ in people:
            stored = self.peer.create(form(self.patients[name], *forms[wave]))
            self.forms[stored["id"]] = (name, forms[wave][1])

    def known(self, kind, id):
        return self.registry.fhir("GET", f"{kind}/{id}")[0] == 200

    def missing(self):
        patients = [("Patient", id) for id in self.patients.values() if not self.known("Patient", id)]
        return patients + [("QuestionnaireResponse", id) for id in self.forms if not self.known("QuestionnaireResponse", id)]

    def caught_up(self, outage=False):
        """Until the registry has all that the server has. What a rest-hook lost in an outage only a sweep can find."""
        if outage and not self.sweeps:
            # What is still under way arrives by itself.
            end = time.monotonic() + 8
            while self.missing() and time.monotonic() < end:
                time.sleep(0.5)
            lost = self.missing()
            if lost:
                not_yet(f"no sweep in this registry: {len(lost)} resources whose notification was lost are handed over")
            for kind, id in lost:
                resource = ok(self.peer.call("GET", f"{kind}/{id}"))
                ok(self.registry.fhir("PUT", f"{kind}/{id}", resource))
        wait_for("all patients and forms", lambda: not self.missing(), 90)

    def idle(self):
        """Until the server has been told everything; an operator presses `retry`."""
        pressed = {}

        def done():
            pending = self.registry.all("deliveries?state=pending")
            for delivery in pending:
                # Not while an attempt may be under way. What only waits for its second look after a lost answer, ten
                # minutes later, is brought forward, too.
                due = datetime.datetime.fromisoformat(delivery["next_attempt_at"].replace("Z", "+00:00"))
                waits = (due - datetime.datetime.now(datetime.timezone.utc)).total_seconds() > 1
                if waits and time.monotonic() - pressed.get(delivery["id"], -60) > 15:
                    pressed[delivery["id"]] = time.monotonic()
                    self.registry.api("POST", f"deliveries/{delivery['id']}/retry", {}, role="admin")
            return not pending
        try:
            # A lane of a registry that was killed is free again after half a minute.
            wait_for("all deliveries", done, 240, every=1)
        except SystemExit:
            for delivery in self.registry.all("deliveries?state=pending"):
                print(json.dumps(ok(self.registry.api("GET", f"deliveries/{delivery['id']}")), indent=1)[:3000])
            raise
        parked = self.registry.all("deliveries?state=parked")
        if parked:
            sys.exit(f"parked: {json.dumps(parked, indent=1)[:3000]}")

    def enrol(self):
        for name, days_ago, *_ in PEOPLE:
            if days_ago is not None:
                day = str(TODAY - datetime.timedelta(days=days_ago))
                self.episodes[name] = ok(self.registry.api("POST", "episodes", {
                    "patient": {"reference": f"Patient/{self.patients[name]}"}, "enrolled_on": day, "consent_on": day,
                    "primary_instrument": "phq9", "care_manager": "R. Alvarez, LCSW"}))["id"]

    def patient_of(self, name):
        [found] = ok(self.registry.api("GET", f"patients?reference=Patient/{self.patients[name]}"))["items"]
        return found["id"]

    def complete(self, code, name, status="completed"):
        """A person completes a Task in the server, or sets another status."""
        tasks = [t for found in self.peer.ours("Task").values() for t in found]
        [task] = [t for t in tasks if t["for"]["reference"] == f"Patient/{self.patients[name]}"
                  and t["status"] in ("requested", "accepted") and t["code"]["coding"][0]["code"] == code]
        ok(self.peer.call("PUT", f"Task/{task['id']}", {**task, "status": status},
                          headers={"If-Match": f"W/\"{task['meta']['versionId']}\""}))
        return task

    def seen(self, task):
        """The registry has seen that a person completed it."""
        [delivery] = [d for d in self.registry.all("deliveries") if d["resource"] == "Task" and d["chart_id"] == task["id"]]
        wait_for("the completed Task to be seen", lambda: ok(
            self.registry.api("GET", f"deliveries/{delivery['id']}"))["chart_status"] == "completed", 60)
        seen = ok(self.registry.api("GET", f"deliveries/{delivery['id']}"))
        if (seen["state"], seen["drift"]) != ("closed_in_chart", "closed_by_person"):
            sys.exit(f"seen, and not as a person's: {seen['state']}, {seen['drift']}")
        say(f"the registry has seen that the Task \"{delivery['code']}\" was completed there")

    def decided(self, name):
        """A recommendation is accepted, then done, by its Task in the server alone."""
        episode = self.episodes[name]
        reviewed = ok(self.registry.api("POST", f"episodes/{episode}/case-reviews", {
            "reviewed_on": str(TODAY), "reviewer": "Dr. Ito",
            "recommendations": [{"kind": "medication", "text": "Sertraline 100 mg", "to": "primary_care"}]}))
        recommendation = reviewed["recommendations"][0]["id"]
        self.idle()

        def decision():
            [found] = [r for r in ok(self.registry.api("GET", f"episodes/{episode}/recommendations"))["items"]
                       if r["id"] == recommendation]
            return found["decision"]
        for status, expected in (("accepted", "accepted"), ("completed", "done")):
            task = self.complete("recommendation", name, status)
            wait_for(f"the decision {expected}", lambda expected=expected: decision() == expected, 60)
        say("a recommendation was accepted and done in the server, and the registry knows")
        self.seen(task)
        return task

    def verify(self, completed):
        faults = []
        deliveries = self.registry.all("deliveries")
        names = {self.patient_of(name): name for name, *_ in PEOPLE}
        for kind in ("Task", "Flag"):
            ours = self.peer.ours(kind)
            faults += [f"{len(found)} {kind}s for {value}" for value, found in ours.items() if len(found) != 1]
            planned = {f"demo/{d['patient']}/{d['key']}": d for d in deliveries if d["resource"] == kind and d["chart_id"]}
            if set(planned) != set(ours):
                faults.append(f"{kind}: only planned {set(planned) - set(ours)}, only there {set(ours) - set(planned)}")
            open_now = "requested" if kind == "Task" else "active"
            for value, delivery in planned.items():
                for resource in ours.get(value, []):
                    if delivery["posture"] == "open" and resource["status"] != open_now and resource["id"] != completed["id"]:
                        faults.append(f"{value} is {resource['status']} and should be {open_now}")
        for name, _, _, expected in PEOPLE:
            stands = {(d["resource"], d["code"]) for d in deliveries
                      if names.get(d["patient"]) == name and d["posture"] == "open"}
            if not expected <= stands or (not expected and any(resource == "Flag" for resource, _ in stands)):
                faults.append(f"{name}: {sorted(stands)} stand, expected {sorted(expected)}")
        still = ok(self.peer.call("GET", f"Task/{completed['id']}"))["status"]
        if still != "completed":
            faults.append(f"the Task that a person completed is {still}")
        kept = {f"QuestionnaireResponse/{r['id']}" for r in self.peer.all("QuestionnaireResponse")}
        measured = {}
        for id, name in names.items():
            for one in ok(self.registry.api("GET", f"patients/{id}"))["measurements"]:
                measured[one["source"]] = (name, one["total"])
        acknowledged = {f"QuestionnaireResponse/{id}": story for id, story in self.forms.items()}
        if not set(acknowledged) <= kept:
            faults.append(f"the server itself lost {set(acknowledged) - kept}")
        if measured != acknowledged:
            faults.append(f"forms: {len(measured)} measured of {len(acknowledged)}; differing: "
                          f"{sorted(set(acknowledged.items()) ^ set(measured.items()))}")
        for fault in faults:
            print(f"  FAULT: {fault}")
        counts = {kind: len(self.peer.ours(kind)) for kind in ("Task", "Flag")}
        if faults or not all(counts.values()):
            sys.exit(f"{self.peer.name}: {len(faults)} faults; {counts}")
        print(f"  {self.peer.name}: {counts['Task']} Tasks and {counts['Flag']} Flags, one per cause; "
              f"{len(measured)} of {len(acknowledged)} forms scored as expected")

    def run(self):
        half = len(PEOPLE) // 2
        if not self.sweeps:
            not_yet("this registry does not sweep: it hears only by rest-hook")
        self.subscribe()
        self.admit()
        self.fill_in(0, PEOPLE)
        self.caught_up()
        say("patients and first forms have arrived")
        self.enrol()
        self.idle()

        self.fill_in(1, PEOPLE[:half])
        self.registry.process.kill()
        say("the registry is killed; the server goes on")
        self.fill_in(1, PEOPLE[half:])
        self.registry.start()
        self.caught_up(outage=True)
        self.idle()
        say("the registry has caught up")
        completed = self.complete("safety-assessment", "item-9-early")
        self.seen(completed)
        self.decided("response")

        self.fill_in(2, PEOPLE[:half])
        wait_for("something to write", lambda: self.registry.all("deliveries?state=pending"), 30, every=0.01)
        self.peer.process.kill()
        say("the server is killed while the registry writes to it")
        time.sleep(3)
        self.peer.start()
        self.fill_in(2, PEOPLE[half:])
        self.caught_up(outage=True)
        self.idle()
        self.registry.process.kill()
        self.registry.start()
        self.idle()
        self.verify(completed)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("peer", choices=PATHS)
    arguments.add_argument("--require-sweep", action="store_true", help="fail where the registry does not sweep")
    chosen = arguments.parse_args()
    with folder() as place:
        peer = Peer(chosen.peer, place)
        registry = None
        try:
            ehr = f'[[ehr]]\nname = "peer"\nbase_url = "{peer.base}"\n'
            poll = '[ehr.poll]\ntypes = ["Patient", "QuestionnaireResponse"]\nperiod_s = 5\n'
            sweeps = understands(ehr + poll)
            if chosen.require_sweep and not sweeps:
                sys.exit("this registry does not sweep")
            home = pathlib.Path(place) / "registry"
            home.mkdir()
            registry = Registry(home, ehr + (poll if sweeps else ""))
            Loop(peer, registry, sweeps).run()
        except BaseException:
            for log in pathlib.Path(place).glob("**/*.log"):
                print(f"--- the end of {log.name}\n{log.read_text()[-1500:]}")
            raise
        finally:
            if registry:
                registry.process.stop()
            peer.process.stop()


if __name__ == "__main__":
    main()

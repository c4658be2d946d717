#!/usr/bin/env python3
"""Synthea makes a population, its Bundles are posted to our FHIR door, and every total in them of an instrument that we know
must land in the registry with its value and day: `load.py [PATIENTS]`."""

import collections
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from registry import Registry, folder, ok  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
TOTALS = {"44261-6": "phq9", "55758-7": "phq2", "70274-6": "gad7", "75626-2": "audit_c", "82667-7": "dast10"}
# As many entries as one Bundle may have, less the patient's own.
MOST = 999


def populate(place, patients):
    """The same people in every run."""
    classpath = HERE / "target/classpath"
    if not classpath.exists():
        subprocess.run(["mvn", "-B", "-q", "-f", str(HERE / "pom.xml"), "package"], check=True)
    # Four years of history: what Synthea writes of one sick person is thousands of laboratory values.
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx2g", "-cp", classpath.read_text(), "App",
               "-s", "7", "-cs", "7", "-r", "20260101", "-e", "20260101", "-p", str(patients), "-a", "25-60",
               "--exporter.baseDirectory=out", "--exporter.years_of_history=4",
               "--exporter.fhir.included_resources=Patient,Observation", "--exporter.hospital.fhir.export=false",
               "--exporter.practitioner.fhir.export=false", "Massachusetts"]
    with open(place / "synthea.log", "w") as log:
        done = subprocess.run(command, cwd=place, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit((place / "synthea.log").read_text()[-3000:])
    return [json.loads(file.read_text()) for file in sorted((place / "out/fhir").glob("*.json"))]


def main(patients):
    with folder() as place:
        place = pathlib.Path(place)
        bundles = populate(place, patients)
        registry = Registry(place)
        try:
            expected, answered = {}, collections.Counter()
            for bundle in bundles:
                [patient] = [e for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"]
                others = [e for e in bundle["entry"] if e is not patient]
                for start in range(0, len(others), MOST):
                    # A collection: what is of types that we do not keep (Encounter) is left aside, entry by entry.
                    entries = [{k: e[k] for k in ("fullUrl", "resource")} for e in [patient, *others[start:start + MOST]]]
                    sent = {"resourceType": "Bundle", "type": "collection", "entry": entries}
                    for entry in ok(registry.fhir("POST", "", sent))["entry"]:
                        answered[entry["response"]["status"][:3]] += 1
                for resource in (entry["resource"] for entry in others):
                    codes = {c["code"] for c in resource.get("code", {}).get("coding", [])} & set(TOTALS)
                    if resource["resourceType"] == "Observation" and codes:
                        said = (TOTALS[codes.pop()], resource["valueQuantity"]["value"], resource["effectiveDateTime"][:10])
                        expected[f"Observation/{resource['id']}"] = (patient["resource"]["id"], *said)
            if set(answered) - {"200", "201"}:
                sys.exit(f"entries were refused: {dict(answered)}")
            landed = {}
            for bundle in bundles:
                [id] = [e["resource"]["id"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"]
                [person] = ok(registry.api("GET", f"patients?reference=Patient/{id}"))["items"]
                for one in ok(registry.api("GET", f"patients/{person['id']}"))["measurements"]:
                    landed[one["source"]] = (id, one["instrument"], one["total"], one["taken_on"])
            differing = sorted(set(expected.items()) ^ set(landed.items()))
            quarantined = registry.all("quarantine")
        finally:
            registry.process.stop()
    counts = collections.Counter(instrument for _, instrument, *_ in expected.values())
    print(f"  {len(bundles)} people, {sum(answered.values())} entries; totals in the Bundles: {dict(counts)}")
    print(f"  landed: {len(landed)} of {len(expected)}, {len(quarantined)} in quarantine")
    if differing or not all(counts[instrument] for instrument in TOTALS.values()):
        sys.exit(f"differing: {json.dumps(differing[:10], indent=1)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)

#!/usr/bin/env python3
"""fhirpy talks to our FHIR door, and fhir.resources parses what it answers: REGISTRY_URL and REGISTRY_TOKEN say where.

`talk.py FILE` lets fhir.resources parse resources, one a line, instead.
"""

import collections
import json
import os
import sys

from fhir.resources.R4B import get_fhir_model_class
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

MRN = "https://clinic.example/mrn"
PHQ9 = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]


def parse(resource):
    """Refuses what is not R4 (4.3.0's classes: the same for what is emitted here), unknown elements too."""
    return get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def parse_all(file):
    # A parser that finds nothing here would find nothing anywhere.
    refused(lambda: parse({"resourceType": "Task", "status": "requested", "intent": "order", "urgency": "high"}), ValueError)
    kinds = collections.Counter()
    faults = 0
    with open(file) as lines:
        for number, line in enumerate(lines, 1):
            resource = json.loads(line)
            kinds[resource["resourceType"]] += 1
            try:
                parse(resource)
            except ValueError as error:
                faults += 1
                print(f"ERROR line {number}: {resource['resourceType']}: {error}")
    print(f"{sum(kinds.values())} resources {dict(kinds)}: {faults} refused by fhir.resources")
    sys.exit(1 if faults or not kinds else 0)


def patient(value):
    return {"resourceType": "Patient", "identifier": [{"system": MRN, "value": value}], "name": [{"family": "Py"}]}


def refused(action, kind):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError("was not refused")


def main():
    url, token = os.environ["REGISTRY_URL"], os.environ["REGISTRY_TOKEN"]
    client = SyncFHIRClient(f"{url}/fhir", authorization=f"Bearer {token}")
    passed = 0

    def says(what):
        nonlocal passed
        passed += 1
        print(f"  ok: {what}")

    one = client.resource(**{"resource_type": "Patient", **{k: v for k, v in patient("P1").items() if k != "resourceType"}})
    one.save()
    assert one.id
    read = client.reference("Patient", one.id).to_resource()
    assert read["identifier"] == patient("P1")["identifier"], read
    parse(read.serialize())
    says("fhirpy creates, and reads what it created")

    read["birthDate"] = "1980-02-03"
    read.save()
    assert client.reference("Patient", one.id).to_resource()["birthDate"] == "1980-02-03"
    says("fhirpy updates")

    query = client.resources("Patient").search(identifier=f"{MRN}|P2")
    first, made = query.get_or_create(client.resource("Patient", **{k: v for k, v in patient("P2").items() if k != "resourceType"}))
    second, again = query.get_or_create(client.resource("Patient", **{k: v for k, v in patient("P2").items() if k != "resourceType"}))
    assert made and not again and first.id == second.id, (made, again)
    says("fhirpy creates conditionally: once")

    updated, made = query.update(client.resource("Patient", **{**{k: v for k, v in patient("P2").items() if k != "resourceType"}, "gender": "female"}))
    assert not made and updated["gender"] == "female" and updated.id == first.id, (made, updated.serialize())
    says("fhirpy updates conditionally")

    codes = [{"linkId": f"/{c}", "answer": [{"valueCoding": {"system": "http://loinc.org", "code": "LA6570-1"}}]} for c in PHQ9]
    for number in range(3):
        client.resource("QuestionnaireResponse", id=f"fhirpy-{number}", status="completed", item=codes,
                        questionnaire="http://loinc.org/q/44249-1", subject={"reference": f"Patient/{one.id}"},
                        authored=f"2026-0{number + 1}-05T10:00:00Z").save()
    forms = client.resources("QuestionnaireResponse").search(patient=f"Patient/{one.id}", authored__ge="2026-02-01").limit(1)
    found = forms.fetch_all()
    assert sorted(form.id for form in found) == ["fhirpy-1", "fhirpy-2"], found
    bundle = client.execute("QuestionnaireResponse", method="get", params={"patient": f"Patient/{one.id}"})
    parse(bundle)
    says("fhirpy searches by reference and date, page by page")

    entry = lambda method, url, resource=None: {  # noqa: E731
        **({"resource": resource} if resource else {}), "request": {"method": method, "url": url}}
    answer = client.execute("", method="post", data={"resourceType": "Bundle", "type": "batch", "entry": [
        entry("PUT", "Patient/py-1", {"resourceType": "Patient", "id": "py-1"}), entry("GET", "Patient/absent")]})
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["201", "404"], answer
    parse(answer)
    answer = client.execute("", method="post", data={"resourceType": "Bundle", "type": "transaction", "entry": [
        entry("DELETE", "Patient/py-1"), entry("PUT", "Patient/py-2", {"resourceType": "Patient", "id": "py-2"})]})
    parse(answer)
    says("fhirpy sends a batch and a transaction")

    client.reference("Patient", "py-2").to_resource().delete()
    refused(lambda: client.reference("Patient", "absent").to_resource(), ResourceNotFound)
    gone = refused(lambda: client.reference("Patient", "py-2").to_resource(), Exception)
    assert "deleted" in str(gone).lower(), gone
    says("fhirpy deletes; what is absent or gone is an error of its own")

    error = refused(lambda: client.execute("Patient/a", method="put", data={"resourceType": "Patient", "id": "b"}), OperationOutcome)
    parse(error.resource)
    assert error.resource["issue"][0]["expression"] == ["Patient.id"], error.resource
    says("fhirpy is told of an error by an OperationOutcome with its place")

    refused(lambda: client.resources("Patient").search(_count=50).get(), MultipleResourcesFound)
    parse(client.execute("metadata", method="get"))
    says("fhir.resources parses the CapabilityStatement")
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    parse_all(sys.argv[1]) if len(sys.argv) > 1 else main()

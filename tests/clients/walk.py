"""A dashboard in Python: a client generated from the OpenAPI document, against a running demo."""

import os

from cocm_registry_client import AuthenticatedClient
from cocm_registry_client.api.caseload import list_concerns, read_caseload
from cocm_registry_client.api.metrics import nys
from cocm_registry_client.api.operations import list_deliveries
from cocm_registry_client.types import UNSET

client = AuthenticatedClient(base_url=os.environ["REGISTRY_URL"], token=os.environ["REGISTRY_TOKEN"])


def every(operation):
    """Walks through every page of a list, a few rows at a time."""
    rows, cursor = [], UNSET
    while True:
        page = operation.sync(client=client, limit=5, cursor=cursor)
        rows += page.items
        if not isinstance(page.next_, str):
            return rows
        cursor = page.next_


caseload = every(read_caseload)
assert len({row.episode for row in caseload}) == len(caseload) > 4
concerns = every(list_concerns)
deliveries = every(list_deliveries)
assert 0 < len(concerns) <= len(deliveries)
assert len(nys.sync(client=client, month="2026-03").metrics) == 11
print(f"Python: {len(caseload)} episodes, {len(concerns)} safety concerns, {len(deliveries)} deliveries")

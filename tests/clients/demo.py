#!/usr/bin/env python3
"""Starts a demo, and runs a command with REGISTRY_URL and REGISTRY_TOKEN while it lasts."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("COCM_REGISTRY", str(ROOT / "target/debug/cocm-registry"))

demo = subprocess.Popen(
    [BINARY, "demo", "--patients", "24", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, cwd=ROOT
)
try:
    url = token = None
    for line in demo.stdout:
        url = url or next(iter(re.findall(r"the pages\s+(http://[0-9.:]+)", line)), None)
        token = token or next(iter(re.findall(r"TOKEN=(\S+)", line)), None)
        if url and token:
            break
    if not token:
        sys.exit("the demo did not start")
    for command in sys.argv[1:]:
        subprocess.run(
            command, shell=True, check=True, env=os.environ | {"REGISTRY_URL": url, "REGISTRY_TOKEN": token}
        )
finally:
    demo.terminate()
    demo.communicate()

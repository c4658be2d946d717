"""A registry of our own to try others' software against, and a client of it. Standard library only."""

import glob
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("COCM_REGISTRY", str(ROOT / "target/debug/cocm-registry"))
FHIR = "application/fhir+json"
# A timeout's signal: what was started here is stopped on the way out.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def call(method, url, body=None, token=None, headers=None, timeout=60):
    """Answers (status, headers, body); a body that is no JSON as text. Errors of HTTP are answers, too."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Accept", FHIR if "/fhir" in url else "application/json")
    if data is not None:
        request.add_header("Content-Type", FHIR if "/fhir" in url else "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            status, got, text = answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, got, text = error.code, error.headers, error.read().decode()
    try:
        return status, got, json.loads(text) if text else None
    except ValueError:
        return status, got, text


def ok(answer):
    status, _, body = answer
    if not 200 <= status < 300:
        raise SystemExit(f"answered {status}: {json.dumps(body)[:600]}")
    return body


def wait_for(what, check, seconds=60, every=0.25):
    """Tries until `check` answers with something true, which it returns."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = check()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds} s in vain for {what}")
        time.sleep(every)


class Process:
    """A server in the foreground of its own process group, so that a kill reaches all of it."""

    def __init__(self, command, log, env=None):
        self.log = pathlib.Path(log)
        with self.log.open("a") as out:
            out.write(f"--- {' '.join(command[:4])}\n")
            out.flush()
            self.since = self.log.stat().st_size
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **(env or {})})

    def said(self, pattern, seconds):
        def look():
            with self.log.open() as log:
                log.seek(self.since)
                found = re.search(pattern, log.read())
            if not found and self.process.poll() is not None:
                raise SystemExit(f"ended with {self.process.returncode}; its log:\n{self.log.read_text()[-3000:]}")
            return found
        return wait_for(f"{pattern} in {self.log}", look, seconds)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def kill(self):
        self.stop(signal.SIGKILL)


def token(data_dir, role, clinic="demo"):
    command = [BINARY, "token", "--data-dir", str(data_dir), "--clinic", clinic, "--role", role]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


CONFIG = """
listen = "127.0.0.1:{port}"
data_dir = "{folder}"
[log]
format = "json"
filter = "warn"
[[auth.issuers]]
issuer = "urn:cocm-registry:development"
audience = "cocm-registry"
jwks_file = "{folder}/development-keys/jwks.json"
[[clinic]]
id = "demo"
time_zone = "UTC"
{ehr}
"""


def understands(ehr):
    """Whether this registry's configuration may say so."""
    with folder() as place:
        config = pathlib.Path(place) / "registry.toml"
        config.write_text(CONFIG.format(port=1, folder=place, ehr='ehr = "peer"') + ehr)
        token(place, "admin")
        return subprocess.run([BINARY, "check-config", "--config", str(config)], capture_output=True).returncode == 0


class Registry:
    """`serve` in a folder, with `[[ehr]]` blocks of a configuration. The same port after a restart."""

    def __init__(self, folder, ehr=""):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self.folder / "registry.toml"
        self.config.write_text(CONFIG.format(port=self.port, folder=self.folder, ehr='ehr = "peer"' if ehr else "") + ehr)
        self.tokens = {role: token(self.folder, role) for role in ("ehr", "care_manager", "admin")}
        self.start()

    def start(self):
        self.process = Process([BINARY, "serve", "--config", str(self.config)], self.folder / "registry.log")
        self.process.said("listening on", 60)

    def fhir(self, method, path, body=None, **more):
        return call(method, f"{self.url}/fhir/{path}".rstrip("/"), body, self.tokens["ehr"], **more)

    def api(self, method, path, body=None, role="care_manager", **more):
        return call(method, f"{self.url}/api/v1/{path}", body, self.tokens[role], **more)

    def all(self, path):
        """Every item of a list."""
        items, cursor = [], None
        while True:
            joint = "&" if "?" in path else "?"
            page = ok(self.api("GET", f"{path}{joint}limit=200" + (f"&cursor={cursor}" if cursor else "")))
            items += page["items"]
            cursor = page["next"]
            if not cursor:
                return items


class Demo:
    """`demo`, after its twenty weeks: a registry with a chart that has Tasks and Flags in it."""

    def __init__(self, folder, patients=40):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        command = [BINARY, "demo", "--patients", str(patients), "--listen", f"127.0.0.1:{self.port}"]
        self.process = Process(command, self.folder / "demo.log", {"TMPDIR": str(self.folder)})
        self.chart = self.process.said(r"the chart +(http\S+)", 300).group(1)
        self.url = f"http://127.0.0.1:{self.port}"
        [data] = glob.glob(str(self.folder / "cocm-demo-*"))
        self.tokens = {role: token(data, role) for role in ("ehr", "care_manager", "admin")}


def folder():
    return tempfile.TemporaryDirectory(prefix="cocm-peers-")


def main():
    """`registry.py COMMAND …` runs a command with REGISTRY_URL and REGISTRY_TOKEN of a fresh registry."""
    with folder() as place:
        registry = Registry(place)
        env = {**os.environ, "REGISTRY_URL": registry.url, "REGISTRY_TOKEN": registry.tokens["ehr"],
               "CARE_MANAGER_TOKEN": registry.tokens["care_manager"]}
        try:
            done = subprocess.run(sys.argv[1:], env=env).returncode
        finally:
            registry.process.stop()
    sys.exit(done)


if __name__ == "__main__":
    main()

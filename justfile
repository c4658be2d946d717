# What is typed often: `just` lists it.

_default:
    @just --list --unsorted

# Runs the service on SQLite with development keys, nothing prepared.
dev *flags:
    cargo run -- serve --dev {{ flags }}

# Lets synthetic patients live through 20 weeks of care.
demo:
    cargo run --release -- demo

# Prints a development token of a role.
token role="care_manager":
    @cargo run --quiet -- token --role {{ role }}

# The quick checks, before every commit.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# All tests on both engines; `just test name` runs those whose name contains it.
test *name:
    cargo test {{ name }}

# Accepts changed snapshots after you have read them: needs cargo-insta.
snapshots:
    cargo insta review

# Writes the OpenAPI document anew.
openapi:
    mkdir -p openapi
    cargo run --quiet -- openapi > openapi/openapi.json.new
    mv openapi/openapi.json.new openapi/openapi.json

# The pages in Debian's Chromium, on a demo of their own.
browser:
    cargo build
    cd tests/browser && npm ci --no-audit --no-fund && node --test --test-concurrency=1

# The README's pictures, taken anew.
pictures:
    cargo build
    node tests/browser/screenshots.mjs

# Everything that CI runs.
ci:
    .ci/run

# Licences, advisories, bans: needs cargo-deny.
deny:
    cargo deny check

# Puts load on a release build: `just load --seconds 10 --postgres`.
load *flags:
    cargo build --release --bins --example load
    target/release/examples/load {{ flags }}

# The service, PostgreSQL and a FHIR server in containers.
compose:
    POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-development}" docker compose -f docker/compose.yaml up --build

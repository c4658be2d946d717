#!/usr/bin/env bash
# Mutation testing of the clinical rules: `domain/` knows no IO, so it is compiled and tried alone, with its own tests and
# the rules' tests of `tests/it`, in a small package made for the occasion. Needs `cargo install cargo-mutants`.
#
#   benches/mutants.sh [arguments of cargo mutants, such as --file '**/score.rs' or --shard 0/8]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work="${COCM_MUTANTS_DIR:-target/mutants}"
rm -rf "$work/package"
mkdir -p "$work/package/src" "$work/package/tests/it"
cp -r src/domain src/domain.rs "$work/package/src/"
cp tests/it/rules_*.rs "$work/package/src/"
cp -r tests/it/golden "$work/package/tests/it/"
# What reads the corpus beside the repository does not belong to the small package.
rm -f "$work/package/src/rules_corpus.rs"
cp Cargo.lock "$work/package/"
# The rules' tests become part of the library's own: one compilation and one program for each mutant.
{
  printf '//! The clinical rules alone.\npub mod domain;\n#[cfg(test)]\nextern crate self as cocm_registry;\n'
  for file in "$work"/package/src/rules_*.rs; do printf '#[cfg(test)]\nmod %s;\n' "$(basename "$file" .rs)"; done
} >"$work/package/src/lib.rs"
awk '
  /^\[/ { keep = ($0 ~ /^\[(dependencies|dev-dependencies)\]$/) }
  keep && (/^\[/ || /^(chrono|chrono-tz|serde|serde_json|toml|utoipa|uuid|proptest|rstest|insta|sha2) /) { print }
' Cargo.toml >"$work/dependencies"
{
  printf '[package]\nname = "cocm-registry"\nversion = "0.1.0"\nedition = "2024"\n\n'
  cat "$work/dependencies"
  printf '\n[lib]\ndoctest = false\n\n[profile.dev]\ndebug = false\nincremental = true\n\n[profile.dev.package."*"]\nopt-level = 1\n\n[workspace]\n'
} >"$work/package/Cargo.toml"

# The package is ours to break, so it is tried where it stands, and what it depends on is compiled once. A failing property
# need not look for its smallest example.
work="$(cd "$work" && pwd)"
cd "$work/package"
export CARGO_TARGET_DIR="$work/target" PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_CASES="${PROPTEST_CASES:-32}"
exec cargo mutants --in-place --no-shuffle --timeout 60 --output .. "$@"

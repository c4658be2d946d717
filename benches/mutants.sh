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
cp -r tests/it/rules_*.rs tests/it/golden "$work/package/tests/it/"
# What reads the whole repository or the corpus beside it does not belong to the small package.
rm -f "$work/package/tests/it/rules_corpus.rs"
cp Cargo.lock "$work/package/"
printf '//! The clinical rules alone.\npub mod domain;\n' >"$work/package/src/lib.rs"
{
  printf '#![expect(clippy::unwrap_used, reason = "tests")]\n'
  for file in "$work"/package/tests/it/rules_*.rs; do printf 'mod %s;\n' "$(basename "$file" .rs)"; done
} >"$work/package/tests/it/main.rs"
awk '
  /^\[/ { keep = ($0 ~ /^\[(dependencies|dev-dependencies)\]$/) }
  keep && (/^\[/ || /^(chrono|chrono-tz|serde|serde_json|toml|utoipa|uuid|proptest|rstest|insta|sha2) /) { print }
' Cargo.toml >"$work/dependencies"
{
  printf '[package]\nname = "cocm-registry"\nversion = "0.1.0"\nedition = "2024"\n\n'
  cat "$work/dependencies"
  printf '\n[profile.dev]\ndebug = false\nincremental = true\n\n[workspace]\n'
} >"$work/package/Cargo.toml"

cd "$work/package"
exec cargo mutants --no-shuffle --timeout 60 --output .. "$@"

#!/usr/bin/env bash
# Mutation testing of what must not be wrong in silence. Needs `cargo install cargo-mutants`.
#
#   benches/mutants.sh [rules|identity] [arguments of cargo mutants, such as --file '**/score.rs' or --shard 0/8]
#
# `rules` (the clinical rules, `domain/`, which know no IO) and `identity` (who is calling, and what they may do) are each
# compiled and tried alone in a small package made for the occasion, with their own tests and those of `tests/it`: as parts of
# the library, so that a mutant is one compilation and one program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

area=rules
case "${1:-}" in rules | identity) area="$1" && shift ;; esac
work="${COCM_MUTANTS_DIR:-target/mutants-$area}"
package="$work/package"
rm -rf "$package"
mkdir -p "$package/src" "$package/tests/it"
cp Cargo.lock "$package/"

# The head of the library: its modules, then the tests as modules of it.
library() {
  for module in $1; do
    cp -r src/"$module"* "$package/src/"
    printf 'pub mod %s;\n' "$module"
  done
  printf '#[cfg(test)]\nextern crate self as cocm_registry;\n'
  for file in $2; do
    cp "$file" "$package/src/"
    printf '#[cfg(test)]\nmod %s;\n' "$(basename "$file" .rs)"
  done
}

# The sections of Cargo.toml whose names match, and of these the lines that match.
sections() {
  awk -v names="$1" -v lines="$2" '/^\[/ { keep = ($0 ~ names) } keep && (/^\[/ || $0 ~ lines) { print }' Cargo.toml
}

case "$area" in
rules)
  cp -r tests/it/golden "$package/tests/it/"
  # All but what reads the corpus beside the repository.
  library domain "$(find tests/it -name 'rules_*.rs' ! -name rules_corpus.rs | sort)" >"$package/src/lib.rs"
  {
    printf '[package]\nname = "cocm-registry"\nversion = "0.1.0"\nedition = "2024"\n\n'
    sections '^\\[(dependencies|dev-dependencies)\\]$' '^(chrono|chrono-tz|serde|serde_json|toml|utoipa|uuid|proptest|rstest|insta|sha2) '
    printf '\n[profile.dev]\ndebug = false\n\n[profile.dev.package."*"]\nopt-level = 1\n'
  } >"$package/Cargo.toml"
  ;;
identity)
  library 'domain clock problem config telemetry identity' "$(find tests/it -name 'tokens*.rs' | sort)" >"$package/src/lib.rs"
  # How a problem is answered belongs to `api`.
  cp src/api/problem.rs "$package/src/answer.rs"
  printf 'mod answer;\n' >>"$package/src/lib.rs"
  sections '^\\[(package|dependencies|dev-dependencies|profile.*)\\]$' . | grep -v ^default-run >"$package/Cargo.toml"
  set -- --file 'src/identity*' --file 'src/identity/**' "$@"
  ;;
esac
printf '\n[lib]\ndoctest = false\n\n[workspace]\n' >>"$package/Cargo.toml"

# The package is ours to break, so it is tried where it stands, and what it depends on is compiled once. A failing property
# need not look for its smallest example.
export CARGO_TARGET_DIR PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_CASES="${PROPTEST_CASES:-32}"
CARGO_TARGET_DIR="$(cd "$work" && pwd)/target"
cd "$package"
exec cargo mutants --in-place --no-shuffle --timeout 30 --output .. "$@"

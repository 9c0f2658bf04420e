#!/bin/bash
# Every test, in two runs of ctest and one of libFuzzer. `make test` calls this after installing what is missing.
#
#   1. unit, sim, fuzz, cli, interop and tidy with the dev build: what ASan and UBSan have to say
#   2. everything with the release build, among it the real programs in network namespaces (label net) and the model of
#      the protocol, which needs no build (label model)
#   3. a few seconds of fuzzing, which looks for what the corpus does not have yet
#
# The first run that fails ends it, so the closing line on the screen is always the verdict of all.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=${JOBS:-$(nproc)}
net_jobs=${NET_JOBS:-4} # net tests mostly wait, so they may be more than there are processors

for preset in dev release; do
  cmake --preset "$preset" -DHOLDFAST_TESTS=ON
  cmake --build "build/$preset" -j "$jobs"
done

ctest --preset dev -L '^(unit|sim|cli|interop|tidy|fuzz)$' --no-label-summary -j "$jobs"
ctest --preset release --no-label-summary -j "$net_jobs"

if command -v clang++ >/dev/null; then
  tests/fuzz/run --seconds 5 --jobs "$jobs"
else
  echo "skipped: fuzzing needs clang++ (scripts/deps.sh fuzz installs it)"
fi

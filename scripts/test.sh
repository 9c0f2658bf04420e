#!/bin/bash
# Every test. `make test` calls this after installing what is missing.
#
#   1. a few seconds of fuzzing each target, which looks for what the corpus does not have yet (clang)
#   2. with the dev build, so that ASan and UBSan have their say: unit, sim, fuzz, cli, interop and tidy, then the real
#      programs in network namespaces (net)
#   3. everything with the release build, what ships; among it the model of the protocol, which needs no build, and half a
#      minute of soak
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

if command -v clang++ >/dev/null; then
  tests/fuzz/run --seconds 5 --jobs "$jobs"
else
  echo "skipped: fuzzing needs clang++ (scripts/deps.sh fuzz installs it)"
fi

ctest --preset dev -L '^(unit|sim|cli|interop|tidy|fuzz)$' --no-label-summary -j "$jobs"
ctest --preset dev -L '^net$' --no-label-summary -j "$net_jobs"
ctest --preset release --no-label-summary -j "$net_jobs"

#!/usr/bin/env bash
# All tests: the package's, then the commands of the README and the refusals of the command line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# As vlsa starts itself (Sources/CStart): threads that wait spin briefly.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
swift build --build-tests
swift test --skip-build
Scripts/walkthrough.sh "$(swift build --show-bin-path)/vlsa"

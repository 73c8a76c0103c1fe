#!/usr/bin/env bash
# Compares this package with the Python reference's results in FOLDER, which is laid out like Tests/Fixtures
# (`Tests/Fixtures/make_golden.py --out FOLDER` writes one), and prints a line a family: the largest absolute difference,
# the largest one relative to the largest value expected (of tensors that reach 0.001), and how many tensors, texts and files were compared.
# Exit code 1 when a difference is out of tolerance or a family of the folder is not compared, 64 when there is no folder.
#   Scripts/golden.sh FOLDER
set -euo pipefail
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
    echo "golden: ${1:-no folder}: give a folder laid out like Tests/Fixtures: make golden DIR=FOLDER" >&2
    exit 64
fi
folder=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
swift build --build-tests >&2
status=0
VLSA_GOLDEN=$folder VLSA_GOLDEN_REPORT=$work/report swift test --skip-build --disable-xctest \
    --filter GoldenTests --skip LargeFolderGoldenTests >"$work/log" 2>&1 || status=1
# What went wrong, without the line that each passed comparison takes.
grep -E "recorded an issue|error:|Fatal|crash" "$work/log" >&2 || true
if [ ! -e "$work/report" ]; then
    tail -20 "$work/log" >&2
    echo "golden: nothing in $folder could be compared" >&2
    exit 1
fi
cat "$work/report"
! grep -qE "NOT COMPARED|OUT OF TOLERANCE" "$work/report" || status=1
exit $status

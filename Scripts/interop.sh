#!/usr/bin/env bash
# Writes a folder of every family that transformers or diffusers know, loads each with them, and compares the outputs:
# what is saved here goes back to the Python libraries as it is. Needs PyPI once, for a virtual environment in
# .build/interop-venv; the folders are removed at the end. Exit code 1 when a folder does not load or differs.
#   Scripts/interop.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.build/interop-venv
# Made anew when the pinned versions change.
if ! cmp -s Tests/Interop/requirements.txt $venv/installed; then
    echo "interop: installing the Python side into $venv" >&2
    rm -rf $venv
    python3 -m venv $venv
    $venv/bin/python -m pip install -q --disable-pip-version-check -r Tests/Interop/requirements.txt
    cp Tests/Interop/requirements.txt $venv/installed
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
swift build --build-tests >&2
if ! VLSA_INTEROP=$work/folders swift test --skip-build --disable-xctest --filter InteropTests >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
HF_HUB_OFFLINE=1 TQDM_DISABLE=1 $venv/bin/python Tests/Interop/check.py "$work/folders"

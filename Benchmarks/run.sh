#!/usr/bin/env bash
# Measures this package against the same work in Python (`peer.py`), the two sides taking turns, and prints the
# median of the ratios. The machine may be shared: only ratios of one run mean anything.
#   Benchmarks/run.sh [folder of pictures] [turns]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
vlsa=$(swift build -c release --product vlsa --show-bin-path)/vlsa
pictures=${1:-.build/bench-pictures/images}
turns=${2:-5}
venv=.build/bench-venv
if [ ! -e $venv/done ]; then
    echo "bench: installing the Python side into $venv" >&2
    python3 -m venv $venv
    $venv/bin/python -m pip install -q -r Benchmarks/requirements.txt
    touch $venv/done
fi
[ -e "$pictures" ] || "$vlsa" synth --out .build/bench-pictures --train 40 --heldout 1 >&2
field() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])[sys.argv[1]])' "$1"; }
rate() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["images_per_s"])'; }
ours=(); theirs=()
for _ in $(seq "$turns"); do
    ours+=("$("$vlsa" bench images --dir "$pictures" --seconds 4 | rate)")
    theirs+=("$($venv/bin/python Benchmarks/peer.py images --dir "$pictures" --seconds 4 | rate)")
done
python3 - "${ours[@]}" -- "${theirs[@]}" <<'PYTHON'
import statistics, sys
split = sys.argv.index("--")
ours, theirs = [list(map(float, part)) for part in (sys.argv[1:split], sys.argv[split + 1:])]
ratios = [a / b for a, b in zip(ours, theirs)]
print(f"any-resolution preprocessing: {statistics.median(ours):.1f} against {statistics.median(theirs):.1f} images/s, "
      f"ratio {statistics.median(ratios):.2f} (median of {len(ratios)} interleaved turns)")
PYTHON

# The SA-Perceiver's time and extra memory against the number of tiles; no other side.
"$vlsa" bench perceiver --tiles 1,4,9,16,25,36

augment=.build/bench-augment
ours=(); theirs=()
for _ in $(seq "$turns"); do
    last=$("$vlsa" bench augment --work $augment --megabytes 64)
    ours+=("$(echo "$last" | field text_records_per_s)")
    theirs+=("$($venv/bin/python Benchmarks/peer.py json --file $augment/text-64.json | field records_per_s)")
done
python3 - "$last" "${ours[@]}" -- "${theirs[@]}" <<'PYTHON'
import json, statistics, sys
last = json.loads(sys.argv[1])
split = sys.argv.index("--")
ours, theirs = [list(map(float, part)) for part in (sys.argv[2:split], sys.argv[split + 1:])]
ratios = [a / b for a, b in zip(ours, theirs)]
print(f"augmentation of text: {statistics.median(ours):.0f} against {statistics.median(theirs):.0f} records/s read and "
      f"rewritten by Python's json, ratio {statistics.median(ratios):.2f} (median of {len(ratios)} interleaved turns); "
      f"peak {last['text_peak_mib']} MiB. With pictures, last turn: {last['cached_records_per_s']:.0f} records/s with "
      f"codes cached, {last['uncached_records_per_s']:.0f} without")
PYTHON

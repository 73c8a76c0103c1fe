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
# Made anew when the pinned versions change.
if ! cmp -s Benchmarks/requirements.txt $venv/installed; then
    echo "bench: installing the Python side into $venv" >&2
    rm -rf $venv
    python3 -m venv $venv
    $venv/bin/python -m pip install -q --disable-pip-version-check -r Benchmarks/requirements.txt
    cp Benchmarks/requirements.txt $venv/installed
fi
[ -e "$pictures" ] || "$vlsa" synth --out .build/bench-pictures --train 40 --heldout 1 >&2

# compare LABEL UNIT KEY "OUR COMMAND" "THEIR COMMAND": both by turns, KEY of the JSON object that each prints last.
value() { python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])[sys.argv[1]])' "$1"; }
compare() {
    local ours=() theirs=()
    for _ in $(seq "$turns"); do
        ours+=("$(bash -c "$4" | value "$3")")
        theirs+=("$(bash -c "$5" | value "$3")")
    done
    python3 - "$1" "$2" "${ours[@]}" -- "${theirs[@]}" <<'PYTHON'
import statistics, sys
label, unit, *numbers = sys.argv[1:]
split = numbers.index("--")
ours, theirs = [list(map(float, part)) for part in (numbers[:split], numbers[split + 1:])]
ratios = [a / b for a, b in zip(ours, theirs)]
print(f"{label}: {statistics.median(ours):.1f} against {statistics.median(theirs):.1f} {unit}, "
      f"ratio {statistics.median(ratios):.2f} (median of {len(ratios)} interleaved turns)")
PYTHON
}
python="$venv/bin/python Benchmarks/peer.py"

compare "any-resolution preprocessing" "images/s" images_per_s \
    "${vlsa@Q} bench images --dir ${pictures@Q} --seconds 4" "$python images --dir ${pictures@Q} --seconds 4"

# Plain English that every Python brings along.
text=.build/bench-text.txt
python3 -c 'import pydoc_data.topics as t; print("\n\n".join(t.topics[k] for k in sorted(t.topics)) * 2)' >$text
for family in Tests/Fixtures/tokenizers/*/; do
    compare "tokenizer $(basename "$family")" "MB/s" mb_per_s \
        "${vlsa@Q} bench tokenizer --tokenizer $family --text $text --seconds 2" \
        "$python tokenizer --tokenizer $family --text $text --seconds 2"
done

$venv/bin/python Benchmarks/training.py --vlsa "$vlsa"

# The SA-Perceiver's time and extra memory against the number of tiles; no other side.
"$vlsa" bench perceiver --tiles 1,4,9,16,25,36

augment=.build/bench-augment
ours=(); theirs=()
for _ in $(seq "$turns"); do
    last=$("$vlsa" bench augment --work $augment --megabytes 64)
    ours+=("$(echo "$last" | value text_records_per_s)")
    theirs+=("$($venv/bin/python Benchmarks/peer.py json --file $augment/text-64.json | value records_per_s)")
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

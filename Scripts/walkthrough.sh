#!/usr/bin/env bash
# Runs the README's step-by-step commands as they stand there, in a temporary folder.
#   Scripts/walkthrough.sh PATH_OF_VLSA
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$root/Stages" "$root/Templates" "$folder"
commands=$(awk '/<!-- walk-through/ { found = 1; next } found && /^```sh/ { inside = 1; next } inside && /^```/ { exit } inside' "$root/README.md")
[ -n "$commands" ] || { echo "walkthrough: README.md has no walk-through" >&2; exit 1; }
cd "$folder"
vlsa() { "$tool" "$@"; }
while IFS= read -r line; do
    echo "\$ $line" | cut -c1-120
    eval "$line" > out.log 2>&1 || { cat out.log >&2; echo "walkthrough: failed: $line" >&2; exit 1; }
done <<< "$commands"

# A rehearsal says what a step takes and leaves nothing.
vlsa train work/runs/1/plan.yaml --run work/runs/rehearsed --dry-run --quiet > out.log 2> err.log \
    || { cat err.log >&2; exit 1; }
grep -q "gradient norm" out.log || { echo "walkthrough: --dry-run says nothing of the gradient" >&2; exit 1; }
[ ! -e work/runs/rehearsed ] && [ -z "$(find work -name '.writing-*')" ] \
    || { echo "walkthrough: --dry-run left something behind" >&2; exit 1; }

# Refusals: the exit code says whose fault it was, and nothing is written.
refused() {
    local code=$1 status=0; shift
    "$@" > out.log 2>&1 || status=$?
    [ "$status" -eq "$code" ] || { cat out.log >&2; echo "walkthrough: exit $status instead of $code: $*" >&2; exit 1; }
}
refused 64 vlsa train Stages/tiny/1-perceive.yaml --run work/runs/bad --set optimizer.rat=1
refused 64 vlsa train Stages/tiny/1-perceive.yaml --run work/runs/bad
refused 64 vlsa plan Stages/tiny/2-detail.yaml
refused 64 vlsa plan Stages/tiny/2-detail.yaml --set model=work/runs/1/model --set data.records=work/augmented.jsonl --set data.images=work/data --set data.validation=work/data/heldout.json --set objective.pictureSize=161
refused 64 vlsa inspect work/runs/1/model --values
refused 1 vlsa inspect Stages
refused 64 vlsa infer --model work/none --prompt hello
refused 64 vlsa templates show px_pint
refused 1 vlsa templates check Stages
refused 64 vlsa augment work/augmented.jsonl --images work/data --out work/x.jsonl --shard 3/2
refused 64 vlsa augment work/none.json --images work --out work/x.jsonl
refused 1 vlsa infer --model work/runs/1/model --image out.log --prompt hello

# The other objectives, on what the first stage put together.
kinds() {
    vlsa train work/runs/1/plan.yaml --set steps=2 --set log.pictures=0 --set model.codebook=work/codecs/codebook \
        --set objective.kind="$1" --set "objective.$1={width: 32, heads: 2}" --set "train=[perceiver, projector, $1]" "${@:2}"
}
for kind in ross asvr; do
    kinds $kind --run work/runs/$kind > out.log 2>&1 || { cat out.log >&2; exit 1; }
    vlsa infer --model work/runs/$kind/model --image work/data/images/heldout-000000.jpg --prompt "What is in the picture?" > out.log
    vlsa plan work/runs/$kind/plan.yaml > out.log
    grep -q "^$kind " out.log || { echo "walkthrough: the plan does not have $kind" >&2; exit 1; }
done
refused 64 kinds asvr --run work/runs/bad --set objective.asvr.visualShift=2
refused 64 kinds ross --run work/runs/bad --set "train=[perceiver]"

wrong() { echo "walkthrough: $*" >&2; cat out.* err.* >&2; exit 1; }
# Threads wait briefly unless the user says otherwise; a foundation's part is made alone.
env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY "$tool" doctor > out.log
grep -q 'GOMP_SPINCOUNT=10000' out.log || wrong "vlsa does not shorten the waiting of threads"
GOMP_SPINCOUNT=7 "$tool" doctor > out.log
grep -q 'GOMP_SPINCOUNT=7$' out.log || wrong "vlsa overrides GOMP_SPINCOUNT"
vlsa foundation Stages/tiny/0-foundation.yaml --out work/part --part vision --set data=work/data --set latents=work/codecs/latents --set vision.training.steps=2 > out.log 2> err.log \
    && [ -e work/part/vision/config.json ] && [ ! -e work/part/language ] || wrong "a part of a foundation is not made alone"

# Two processes train one run; the second says nothing. One that is killed ends the other.
choose_port() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
}
ranked() {
    local rank=$1; shift
    exec env RANK="$rank" WORLD_SIZE=2 LOCAL_RANK="$rank" MASTER_ADDR=127.0.0.1 MASTER_PORT="$port" "$tool" \
        train work/runs/1/plan.yaml --set batch.samples=4 --set batch.micro=2 --set validate.every=0 "$@"
}
choose_port
(ranked 1 --run work/runs/two --set steps=3 --set processes.zero=2) > out.1 2> err.1 & second=$!
(ranked 0 --run work/runs/two --set steps=3 --set processes.zero=2) > out.0 2> err.0 || wrong "process 0 of two failed"
wait "$second" || wrong "process 1 of two failed"
grep -q "work/runs/two/model" out.0 || wrong "process 0 did not print the model"
[ ! -s out.1 ] && [ ! -s err.1 ] || wrong "process 1 of two is not quiet"
grep -q '"samples":12' work/runs/two/metrics.jsonl || wrong "the metrics are not of both processes"
choose_port
(ranked 1 --run work/runs/killed --set steps=100000 --set checkpoint.every=1) > out.1 2> err.1 & second=$!
(ranked 0 --run work/runs/killed --set steps=100000 --set checkpoint.every=1) > out.0 2> err.0 & first=$!
for _ in $(seq 300); do [ -e work/runs/killed/checkpoints/step-2 ] && break; sleep 0.1; done
kill -KILL "$second"
status=0; wait "$first" || status=$?
[ "$status" -eq 1 ] || wrong "process 0 ended with $status when process 1 was killed"
grep -q "process 1 of 2 ended" err.0 || wrong "process 0 does not name the killed one"
(ranked 0 --run work/runs/bad --set processes.timeout=1) > out.0 2> err.0 && wrong "a missing process is not noticed"
grep -q "process 1 of 2 did not come" err.0 || wrong "a missing process is not named"
refused 64 env RANK=0 "$tool" train work/runs/1/plan.yaml --run work/runs/bad
grep -q "WORLD_SIZE is not set" out.log || wrong "a missing variable is not named"
refused 64 env RANK=0 WORLD_SIZE=two "$tool" train work/runs/1/plan.yaml --run work/runs/bad

[ ! -e work/runs/bad ] || { echo "walkthrough: a refused run left a folder" >&2; exit 1; }
echo "walkthrough: all commands did what the README says"

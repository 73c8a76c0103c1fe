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
[ ! -e work/runs/bad ] || { echo "walkthrough: a refused run left a folder" >&2; exit 1; }
echo "walkthrough: all commands did what the README says"

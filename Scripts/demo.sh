#!/usr/bin/env bash
# The main job on the embedded tiny stack: pictures and questions, codecs, foundation, augmentation, three
# stages, a snapshot-only model with the same budget, evaluation on the held-out split, a report. Each step
# leaves its result under demo/work and is skipped while that result is there; `make clean` starts over.
#   Scripts/demo.sh [path of vlsa]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
vlsa=${1:-vlsa}
work=demo/work
data=$work/data
mkdir -p "$work"
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"  # processes share the cores here: threads that wait spin hardly at all
started=$SECONDS

say() { printf '\n== %s (%d s so far)\n' "$*" "$((SECONDS - started))" >&2; }
# step RESULT TITLE COMMAND...: runs the command unless its result exists.
step() {
    local result=$1 title=$2; shift 2
    if [ -e "$result" ]; then echo "== $title: already in $result" >&2; return; fi
    say "$title"
    echo "   \$ ${*/#$vlsa/vlsa}" >&2
    "$@"
}

# beside NAME RESULT TITLE COMMAND...: the same while what follows goes on, its output in NAME.log; joined waits.
besides=()
beside() {
    local log=$work/$1.log result=$2 title=$3; shift 3
    if [ -e "$result" ]; then echo "== $title: already in $result" >&2; return; fi
    say "$title, beside what follows (output in $log)"
    set -m  # a process group of its own, to be stopped as a whole
    "$@" >"$log" 2>&1 </dev/null &
    set +m
    besides+=("$!:$log:$title")
}
joined() {
    local pid log title
    for each in "${besides[@]}"; do
        IFS=: read -r pid log title <<<"$each"
        wait "$pid" || { echo "== $title failed:" >&2; tail -n 20 "$log" >&2; exit 1; }
    done
    besides=()
}
trap 'for each in "${besides[@]}"; do kill -- "-${each%%:*}" 2>/dev/null || true; done' EXIT

step $data/train.json "pictures and questions with known truth" \
    "$vlsa" synth --out $data --seed 7 --train 1600 --heldout 200
step $work/codecs/codebook/config.json "frozen targets: latents and codebook" \
    "$vlsa" codec fit --images $data/images --out $work/codecs --limit 400
foundation=("$vlsa" foundation Stages/tiny/0-foundation.yaml --out $work/foundation)
# A core each: two processes with one thread get more done on two cores than one after the other with two.
beside decoder $work/foundation/language/config.json "foundation: decoder" \
    "${foundation[@]}" --part language --set threads=1
step $work/foundation/vision/config.json "foundation: tower" "${foundation[@]}" --part vision --set threads=1
joined
step $work/foundation/denoiser/config.json "foundation: projector, perceiver and denoiser" "${foundation[@]}"
step $work/data/train.augmented.jsonl "cognition tasks into the instruction data" \
    "$vlsa" augment $data/train.json --images $data --codebook $work/codecs/codebook \
    --out $work/data/train.augmented.jsonl --seed 7 --set probability=0.25 --set numbersPerAnswer=12
# The yardstick, beside the stages: the same data, steps and schedule, a snapshot alone and the text loss alone.
snapshot_only() {
    local one=$work/runs/snapshot-1 two=$work/runs/snapshot-2 three=$work/runs/snapshot-3
    local plain=(--resume --set threads=1 --set perceiver.enabled=false --set objective.kind=none)
    "$vlsa" train Stages/tiny/1-perceive.yaml --run $one "${plain[@]}" --set 'train=[projector]' &&
        "$vlsa" train Stages/tiny/2-detail.yaml --run $two "${plain[@]}" \
            --set 'train=[projector, vision]' --set model=$one/model &&
        "$vlsa" train Stages/tiny/3-instruct.yaml --run $three "${plain[@]}" \
            --set 'train=[projector, vision, language]' --set model=$two/model
}
beside snapshot-only $work/runs/snapshot-3/model/config.json "snapshot-only model, three stages" snapshot_only
step $work/runs/1-perceive/model/config.json "stage 1: perceiver, projector, Epigone" \
    "$vlsa" train Stages/tiny/1-perceive.yaml --run $work/runs/1-perceive --resume
step $work/runs/2-detail/model/config.json "stage 2: also denoiser and tower" \
    "$vlsa" train Stages/tiny/2-detail.yaml --run $work/runs/2-detail --resume
step $work/runs/3-instruct/model/config.json "stage 3: everything" \
    "$vlsa" train Stages/tiny/3-instruct.yaml --run $work/runs/3-instruct --resume

joined
model=$work/runs/3-instruct/model
ask=(--records $data/heldout.json --images $data)
step $work/stage1.json "held-out questions after stage 1" \
    "$vlsa" evaluate --model $work/runs/1-perceive/model "${ask[@]}" --steps 10 --out $work/stage1.json
step $work/stage2.json "held-out questions after stage 2" \
    "$vlsa" evaluate --model $work/runs/2-detail/model "${ask[@]}" --steps 10 --out $work/stage2.json
step $work/full.json "held-out questions after stage 3: the full model" \
    "$vlsa" evaluate --model $model "${ask[@]}" --steps 10 --out $work/full.json
step $work/blind.json "held-out questions, the full model on grey pictures" \
    "$vlsa" evaluate --model $model "${ask[@]}" --blind --out $work/blind.json
step $work/snapshot.json "held-out questions, snapshot-only model" \
    "$vlsa" evaluate --model $work/runs/snapshot-3/model "${ask[@]}" --out $work/snapshot.json

say "a question about a held-out picture"
ask_one() { python3 -c "import json; r = json.load(open('$data/heldout.json'))[0]; print($1)"; }
picture=$(ask_one "r['image']")
question=$(ask_one "r['conversations'][0]['value'].replace('<image>', '').strip()")
echo "   $picture: $question" >&2
"$vlsa" infer --model $model --image "$data/$picture" --prompt "$question"

say "report"
"$vlsa" report --run $work/runs/1-perceive --run $work/runs/2-detail --run $work/runs/3-instruct \
    --evaluation 'stage 1'=$work/stage1.json --evaluation 'stage 2'=$work/stage2.json \
    --evaluation 'stage 3, full'=$work/full.json --evaluation 'full, blind'=$work/blind.json \
    --evaluation snapshot-only=$work/snapshot.json --images $data --out demo/report.html
say "done: open demo/report.html"

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

step $data/train.json "pictures and questions with known truth" \
    "$vlsa" synth --out $data --seed 7 --train 1600 --heldout 200
step $work/codecs/codebook/config.json "frozen targets: latents and codebook" \
    "$vlsa" codec fit --images $data/images --out $work/codecs --limit 400
step $work/foundation/denoiser/config.json "foundation: tower, decoder and denoiser to start from" \
    "$vlsa" foundation Stages/tiny/0-foundation.yaml --out $work/foundation
step $work/data/train.augmented.jsonl "cognition tasks into the instruction data" \
    "$vlsa" augment $data/train.json --images $data --codebook $work/codecs/codebook \
    --out $work/data/train.augmented.jsonl --seed 7 --set probability=0.25 --set numbersPerAnswer=12
step $work/runs/1-perceive/model/config.json "stage 1: perceiver, projector, Epigone" \
    "$vlsa" train Stages/tiny/1-perceive.yaml --run $work/runs/1-perceive --resume
step $work/runs/2-detail/model/config.json "stage 2: also denoiser and tower" \
    "$vlsa" train Stages/tiny/2-detail.yaml --run $work/runs/2-detail --resume
step $work/runs/3-instruct/model/config.json "stage 3: everything" \
    "$vlsa" train Stages/tiny/3-instruct.yaml --run $work/runs/3-instruct --resume

# The yardstick: the same data, steps and schedule, a snapshot alone and the text loss alone.
plain=(--set perceiver.enabled=false --set objective.kind=none)
step $work/runs/snapshot-1/model/config.json "snapshot-only model, stage 1" \
    "$vlsa" train Stages/tiny/1-perceive.yaml --run $work/runs/snapshot-1 --resume "${plain[@]}" --set 'train=[projector]'
step $work/runs/snapshot-2/model/config.json "snapshot-only model, stage 2" \
    "$vlsa" train Stages/tiny/2-detail.yaml --run $work/runs/snapshot-2 --resume "${plain[@]}" \
    --set 'train=[projector, vision]' --set model=$work/runs/snapshot-1/model
step $work/runs/snapshot-3/model/config.json "snapshot-only model, stage 3" \
    "$vlsa" train Stages/tiny/3-instruct.yaml --run $work/runs/snapshot-3 --resume "${plain[@]}" \
    --set 'train=[projector, vision, language]' --set model=$work/runs/snapshot-2/model

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

#!/usr/bin/env python3
"""What the two alignments do for held-out questions, on the embedded tiny stack, over several seeds.

  evidence.py perception   snapshot only, perceiver (a), perceiver and reconstruction (a)+(b): stages 1 and 2 each
  evidence.py cognition    stage 3 from one stage-2 model: without cognition tasks, and with each of them alone
  evidence.py tiles        reconstruction and answers of the trained (a)+(b) models against the number of tiles
  evidence.py tokens       visual tokens and time to the first token, against LLaVA-NeXT's any-resolution tokens

Needs what `make demo` makes (pictures, codecs, foundation) and `make build`. Every run stays under demo/work/evidence
and is not repeated; tables go to standard output. --jobs runs take turns on as many cores, one thread each.
Python's standard library alone.
"""
import argparse, concurrent.futures, glob, json, os, statistics, subprocess, sys

WORK = "demo/work"
HERE = WORK + "/evidence"
PLAIN = ["perceiver.enabled=false", "objective.kind=none"]
PERCEPTION = {  # what a variant changes: settings of both stages, parts that learn in stage 1, and in stage 2
    "snapshot": (PLAIN, "[projector]", "[projector, vision]"),
    "a": (["objective.kind=none"], "[perceiver, projector]", "[perceiver, projector, vision]"),
    "ab": ([], None, None),
}
TASKS = ["vq_grid", "vq_window", "vq_cell", "vq_cells", "vq_find", "px_quarter", "px_window", "px_point", "px_find"]
# Answers that a decoder of two layers can learn to give: a token each, of few codes and few levels of a colour.
QUESTIONS = ["answers: tokens", "colourLevels: 8", "colourGrid: 2", "grid: 8", "coarseGrid: 4", "numbersPerAnswer: 24"]
COGNITION_STEPS = 600
FINE = ["text", "field", "small-count"]


def vlsa(*words):
    result = subprocess.run([binary, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"vlsa {' '.join(words)} failed:\n{result.stderr[-2000:]}")


def train(stage, run, settings):
    if not os.path.exists(run + "/model/config.json"):
        vlsa("train", f"Stages/tiny/{stage}.yaml", "--run", run, "--resume",
             *[word for setting in settings for word in ("--set", setting)])
    return run + "/model"


def evaluate(model, out, *words):
    if not os.path.exists(out):
        vlsa("evaluate", "--model", model, "--out", out, *words)
    return json.load(open(out))


HELDOUT = ["--records", WORK + "/data/heldout.json", "--images", WORK + "/data"]


def perception(seed, name):
    settings, first, second = PERCEPTION[name]
    settings = settings + [f"seed={seed}", *options.set]
    run = f"{HERE}/{name}-{seed}"
    one = train("1-perceive", run + "/1", settings + ([f"train={first}"] if first else []))
    two = train("2-detail", run + "/2", settings + [f"model={one}"] + ([f"train={second}"] if second else []))
    return two, evaluate(two, run + "/heldout.json", *HELDOUT)


def few_codes():
    """A codebook of 32 codes."""
    if not os.path.exists(HERE + "/codecs/codebook/config.json"):
        vlsa("codec", "fit", "--images", WORK + "/data/images", "--out", HERE + "/codecs", "--limit", "400", "--codes", "32")
    return HERE + "/codecs/codebook"


def heldout_with(task):
    """The held-out records with a question of a task in each that can have one."""
    path = f"{HERE}/heldout.{task}.jsonl"
    if not os.path.exists(path):
        settings = [f"tasks={{{task}: 1}}"] + [setting.replace(": ", "=") for setting in QUESTIONS]
        vlsa("augment", WORK + "/data/heldout.json", "--images", WORK + "/data", "--codebook", few_codes(), "--out", path,
             "--seed", "1000", *[word for setting in settings for word in ("--set", setting)])
    return ["--records", path, "--images", WORK + "/data", "--tokens", "64"]


def cognition(seed, name):
    base, _ = perception(seed, "ab")
    settings = [f"seed={seed}", f"model={base}", f"data.records={WORK}/data/train.json", f"steps={COGNITION_STEPS}"]
    if name != "none":
        settings += [f"data.augment={{templates: Templates/cognition, codebook: {HERE}/codecs/codebook, cache: {HERE}/codes, "
                     f"seed: {seed}, tasks: {{{name}: 1}}, {', '.join(QUESTIONS)}}}"]
    run = f"{HERE}/task-{name}-{seed}"
    model = train("3-instruct", run, settings + options.set)
    if name == "none":
        return evaluate(model, run + "/heldout.json", *HELDOUT), None
    ask = heldout_with(name)
    return evaluate(model, run + "/heldout.json", *ask), evaluate(model, run + "/blind.json", *ask, "--blind")


def run(function, names):
    jobs = [(seed, name) for seed in options.seeds for name in names]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        return dict(zip(jobs, pool.map(lambda job: function(*job), jobs)))


def accuracy(report, kinds):
    scores = [report["kinds"][kind] for kind in kinds if kind in report["kinds"]]
    return 100 * sum(s["right"] / s["asked"] for s in scores) / len(scores)


def spread(values):
    values = list(values)
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}"


def table(names, rows):
    print("| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for title, cells in rows:
        print(f"| {title} | " + " | ".join(cells) + " |")


def questions(reports, names):
    """Rows of accuracy by kind of the ordinary questions, mean and deviation over the seeds."""
    kinds = sorted(k for k in next(iter(reports.values()))["kinds"] if not k.startswith(("vq_", "px_")))
    groups = [(kind, [kind]) for kind in kinds] + [("mean of kinds", kinds), ("mean of fine kinds", FINE)]
    for title, kinds in groups:
        yield title, [spread(accuracy(reports[seed, name], kinds) for seed in options.seeds) for name in names]


def perception_table():
    names = list(PERCEPTION)
    done = run(perception, names)
    table(["snapshot only", "(a)", "(a)+(b)"], questions({job: report for job, (_, report) in done.items()}, names))


def cognition_table():
    for task in TASKS:
        heldout_with(task)
    run(perception, ["ab"])
    names = ["none", *TASKS]
    done = run(cognition, names)
    reports = {job: full for job, (full, _) in done.items()}
    table(names, questions(reports, names))
    kinds = sorted(reports[options.seeds[0], "none"]["kinds"])
    print("\n| | " + " | ".join(TASKS) + " |\n|---|" + "---|" * len(TASKS))
    for title, group in (("mean of kinds", kinds), ("mean of fine kinds", FINE)):
        changes = [[accuracy(reports[seed, task], group) - accuracy(reports[seed, "none"], group) for seed in options.seeds]
                   for task in TASKS]
        print(f"| {title}, points more than without | " + " | ".join(f"{spread(c)}" for c in changes) + " |")

    def scores(task, key, which):
        """Answers' numbers right, in percent, or their distance in levels of 256, of the full model or the blind one."""
        factor = 100 if "qual" in key else 255 / 7
        values = [done[seed, task][which]["numbers"][task][key] for seed in options.seeds]
        return spread(factor * value for value in values)

    print()
    table(["numbers right, %", "blind", "best constant answer"],
          [(task, [scores(task, "equal", 0), scores(task, "equal", 1), scores(task, "constantEqual", 0)]) for task in TASKS])
    print()
    table(["mean absolute colour error, levels of 256", "blind", "best constant answer"],
          [(task, [scores(task, "error", 0), scores(task, "error", 1), scores(task, "constantError", 0)])
           for task in TASKS if task.startswith("px") and task != "px_find"])


def tiles_table():
    done = run(perception, ["ab"])
    limits = [1, 2, 4, 6, 9, 12]
    rows = {key: [] for key in ("PSNR, dB", "reconstruction loss", "mean of fine kinds")}
    for limit in limits:
        reports = [evaluate(model, f"{os.path.dirname(os.path.dirname(model))}/tiles-{limit}.json", *HELDOUT,
                            "--max-tiles", str(limit), "--steps", "10") for (model, _) in done.values()]
        rows["PSNR, dB"].append(f"{statistics.mean(r['reconstructionPSNR'] for r in reports):.2f}")
        rows["reconstruction loss"].append(f"{statistics.mean(r['reconstructionLoss'] for r in reports):.3f}")
        rows["mean of fine kinds"].append(spread(accuracy(r, FINE) for r in reports))
    table([f"{limit} tiles" for limit in limits], rows.items())


def tokens_table():
    """Time depends on shapes alone: a model of each kind trained for one step, asked about the same pictures."""
    parts = {"(a)+(b)": [], "any resolution": [
        "picture={tiling: anyres, tileWidth: 112, tileHeight: 112, maxTiles: 12, "
        "pinpoints: [[224, 336], [336, 224], [336, 336], [336, 448], [448, 336]]}",
        "perceiver.enabled=false", "unpadding.enabled=true", "objective.kind=none", "train=[projector, newline]"]}
    pictures = sorted(glob.glob(WORK + "/data/images/heldout-*"))[:20]
    rows = []
    for name, settings in parts.items():
        model = train("1-perceive", f"{HERE}/tokens-{'ours' if not settings else 'anyres'}",
                      settings + ["steps=1", "data.validation=[]"])
        results = [json.loads(subprocess.check_output([binary, "bench", "answer", "--model", model, "--image", *pictures],
                                                      stderr=subprocess.DEVNULL)) for _ in range(3)]
        rows.append((name, [f"{statistics.median(r[key] for r in results):{form}}" for key, form in (
            ("tiles", ".0f"), ("visual_tokens", ".0f"), ("tiling_s", ".4f"), ("first_token_s", ".4f"),
            ("decode_tokens_per_s", ".0f"))]))
    table(["tiles", "visual tokens", "tiling, s", "first token, s", "tokens/s after"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = {"perception": perception_table, "cognition": cognition_table, "tiles": tiles_table, "tokens": tokens_table}
    parser.add_argument("what", choices=tables)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument("--set", action="append", default=[], help="key=value for every training run")
    parser.add_argument("--vlsa", default=".build/release/vlsa")
    options = parser.parse_args()
    binary = options.vlsa
    options.set = ["threads=1", "log.pictures=0", "validate.every=0", *options.set]
    for needed in (binary, WORK + "/foundation/denoiser/config.json", WORK + "/codecs/codebook/config.json"):
        if not os.path.exists(needed):
            sys.exit(f"{needed} is missing; run make demo first")
    os.makedirs(HERE, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    tables[options.what]()

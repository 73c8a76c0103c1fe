#!/usr/bin/env python3
"""Training steps of `vlsa bench train` against `peer.py train`, every mode of it, by turns.

  training.py --vlsa BINARY [--turns 3] [--size S] [--stages 3 2 1] [--modes autocast bf16 compile] [--steps 3]

Each turn runs every side once, each in a process of its own. Printed for each stage: medians, and the medians over the
turns of the ratios to the fastest mode's seconds and to the leanest mode's peak memory.
"""
import argparse, json, os, statistics, subprocess, sys

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode: sys.exit(f"failed: {' '.join(command)}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(a, stage):
    work = ["train", "--size", a.size, "--stage", str(stage), "--steps", str(a.steps)]
    commands = {"vlsa": [a.vlsa, "bench"] + work}
    commands |= {mode: [sys.executable, PEER] + work + ["--mode", mode] for mode in a.modes}
    results = {side: [] for side in commands}
    for _ in range(a.turns):
        for side, command in commands.items(): results[side].append(measure(command))

    def median(side, key): return statistics.median(result[key] for result in results[side])

    def ratio(of, to, key):
        return statistics.median(x[key] / y[key] for x, y in zip(results[of], results[to]))

    fastest = min(a.modes, key=lambda mode: median(mode, "step_s"))
    leanest = min(a.modes, key=lambda mode: median(mode, "peak_mib"))
    counts = {(result["params"], result["trainable"]) for side in results.values() for result in side}
    if len(counts) != 1: sys.exit(f"the sides train different models: {counts}")
    sides = ", ".join(f"{side} {median(side, 'step_s'):.2f} s {median(side, 'peak_mib'):.0f} MiB" for side in commands)
    print(f"training {a.size}, stage {stage}: {sides}; {ratio(fastest, 'vlsa', 'step_s'):.2f} times as fast as {fastest}, "
          f"{ratio('vlsa', leanest, 'peak_mib'):.2f} of the memory of {leanest} (medians of {a.turns} interleaved turns)", flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vlsa", required=True); p.add_argument("--turns", type=int, default=3)
    p.add_argument("--size", default="S"); p.add_argument("--steps", type=int, default=3)
    p.add_argument("--stages", type=int, nargs="+", default=[3, 2, 1])
    p.add_argument("--modes", nargs="+", default=["autocast", "bf16", "compile"])
    a = p.parse_args()
    for stage in a.stages: compare(a, stage)

"""Our MAML against learn2learn's at meta-batch 25, in one run: ``make bench-meta``."""

from __future__ import annotations

import statistics
import sys
import time

import torch

from metabench.errors import MetabenchError
from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.train import criterion_of, make_learner, perceptron
from metabench.problems.few_shot import load_few_shot

REPEATS = 15
GOAL = 5.0


def main() -> int:
    torch.set_num_threads(1)
    task = load_few_shot("sinusoid-v1")
    source, protocol = task.source(), task.protocol
    generator = torch.Generator().manual_seed(0)
    data = source.sample(protocol.meta_batch, protocol.support, protocol.query, "train", generator)
    print(
        f"One meta-gradient, sinusoid, perceptron {protocol.hidden}, meta-batch {protocol.meta_batch}, one thread; "
        f"median process CPU of {REPEATS} alternating runs"
    )
    for steps in (1, 5):
        times: dict[str, list[float]] = {"maml": [], "learn2learn-maml": []}
        loss = BatchedLoss(perceptron(task, source, 0), criterion_of(task))
        slopes = {}
        for repeat in range(-2, REPEATS):  # the first two warm up
            for name, kept in times.items():
                try:
                    learner = make_learner(name, task)
                except MetabenchError as error:
                    print(f"bench-meta: {error}", file=sys.stderr)
                    return 2
                learner = type(learner)(step_size=learner.step_size, steps=steps)
                meta = learner.initial(loss)
                start = time.process_time()
                _, slopes[name] = learner.meta_gradient(loss, meta, data)
                if repeat >= 0:
                    kept.append(time.process_time() - start)
        ours, theirs = (statistics.median(times[name]) for name in times)
        largest = max(float((slopes["maml"][k] - v).abs().max()) for k, v in slopes["learn2learn-maml"].items())
        scale = max(float(v.abs().max()) for v in slopes["maml"].values())
        print(
            f"inner steps {steps}: ours {1e3 * ours:.2f} ms, learn2learn {1e3 * theirs:.2f} ms, ratio "
            f"{theirs / ours:.1f} (goal {GOAL:g}); gradients differ by {largest / scale:.1e} of the largest entry"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

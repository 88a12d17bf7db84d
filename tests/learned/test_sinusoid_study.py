"""The sinusoid yardstick of the specification: MAML after 15,000 meta-steps. About a minute of CPU each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metabench.learned.adaptation.train import few_shot_scores, make_learner, meta_train_few_shot
from metabench.problems.few_shot import load_few_shot

YARDSTICK = {5: {1: 0.755, 5: 0.475, 10: 0.422}, 10: {1: 0.442, 5: 0.161, 10: 0.128}}


@pytest.mark.study
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shown", [10, 5])
def test_maml_reaches_the_yardstick_within_its_error(shown) -> None:
    task = load_few_shot("sinusoid-v1")
    task = replace(task, protocol=replace(task.protocol, support=shown, query=shown))
    learner = make_learner("maml", task)
    loss, meta = meta_train_few_shot(task, learner)
    scores = {score.steps: score for score in few_shot_scores(task, learner, loss, meta)}
    for steps, published in YARDSTICK[shown].items():
        assert scores[steps].problems == 600
        assert scores[steps].mean - scores[steps].half_width <= published, scores[steps]

"""Requests that come while others run: which run together, and what becomes of each."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.server.batching.joining import MOST_ROWS, JoiningRunner
from serving.server.metrics import Metrics
from serving.server.run.bounded import BoundedRunner
from serving.server.run.runner import FOR_EVER, Patience
from serving.server.status import StatusError
from tests.waiting import PATIENCE_S, wait_until


class Halves:
    """Gives half of each number; fails where one is negative, as a graph does for an image that it refuses."""

    def __init__(self):
        self.sizes: list[int] = []
        self.threads: list[int] = []
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def run(self, feeds, arrays, fetches, patience=FOR_EVER):
        self.has_begun.set()
        self.threads.append(threading.get_ident())
        assert self.may_go_on.wait(PATIENCE_S)
        if patience.is_over:
            raise StatusError("DEADLINE_EXCEEDED", "too late")
        (numbers,) = arrays
        self.sizes.append(len(numbers))
        if (numbers < 0).any():
            raise StatusError("INVALID_ARGUMENT", f"number {int(np.argmin(numbers))} is negative")
        return [numbers / 2.0]


@pytest.fixture
def model():
    return Halves()


@pytest.fixture
def runner(model):
    return JoiningRunner("toy", model, model, Metrics(), n_at_once=1)


def ask(runner, *numbers: float, patience: Patience = FOR_EVER, feed: str = "x"):
    try:
        return runner.run([feed], [np.array(numbers)], ["y"], patience)[0].tolist()
    except StatusError as error:
        return error.message


class Meanwhile:
    """Requests that come while a first one runs, in order."""

    def __init__(self, model, runner):
        self.model, self.runner = model, runner
        self.pool = ThreadPoolExecutor(64)
        self.first = self.pool.submit(ask, runner, 0.0)
        assert model.has_begun.wait(PATIENCE_S)

    def come(self, *numbers: float, **named):
        n_before = len(self.runner._waiting)
        asking = self.pool.submit(ask, self.runner, *numbers, **named)
        wait_until(lambda: len(self.runner._waiting) == n_before + 1, "it waits", pause_s=0.001)
        return asking

    def go_on(self, *asked):
        self.model.may_go_on.set()
        assert self.first.result(PATIENCE_S) == [0.0]
        answers = [one.result(PATIENCE_S) for one in asked]
        self.pool.shutdown()
        # The turn is free again: another one runs at once.
        assert not self.runner._waiting
        assert self.runner._n_free == 1
        return answers


def test_a_lone_request_runs_at_once_in_its_own_thread(model, runner):
    model.may_go_on.set()
    assert ask(runner, 3.0) == [1.5]
    assert model.threads == [threading.get_ident()]


def test_requests_that_come_meanwhile_run_together(model, runner):
    meanwhile = Meanwhile(model, runner)
    asked = [meanwhile.come(2.0), meanwhile.come(4.0, 6.0), meanwhile.come(8.0)]
    assert meanwhile.go_on(*asked) == [[1.0], [2.0, 3.0], [4.0]]
    assert model.sizes == [1, 4]


def test_a_request_that_is_refused_costs_no_other_its_answer(model, runner):
    meanwhile = Meanwhile(model, runner)
    asked = [meanwhile.come(2.0), meanwhile.come(4.0), meanwhile.come(6.0, -1.0), meanwhile.come(8.0)]
    assert meanwhile.go_on(*asked) == [[1.0], [2.0], "number 1 is negative", [4.0]]
    assert sorted(model.sizes) == [1, 1, 1, 1, 2, 5]


def test_no_more_rows_run_together_than_may(model, runner):
    meanwhile = Meanwhile(model, runner)
    asked = [meanwhile.come(float(number), 1.0) for number in range(11)]
    assert meanwhile.go_on(*asked) == [[number / 2, 0.5] for number in range(11)]
    assert model.sizes == [1, 8, 8, 6]


def test_requests_for_other_inputs_or_of_other_shape_run_by_themselves(model, runner):
    meanwhile = Meanwhile(model, runner)
    asked = [meanwhile.come(2.0), meanwhile.come(4.0, feed="z"), meanwhile.come(6.0)]
    assert meanwhile.go_on(*asked) == [[1.0], [2.0], [3.0]]
    assert model.sizes == [1, 2, 1]


def test_a_large_request_neither_waits_for_the_others_nor_holds_them_up(model):
    alone = Halves()
    alone.may_go_on.set()
    runner = JoiningRunner("toy", model, alone, Metrics(), n_at_once=1)
    meanwhile = Meanwhile(model, runner)
    numbers = [float(one) for one in range(MOST_ROWS + 1)]
    assert meanwhile.pool.submit(ask, runner, *numbers).result(PATIENCE_S) == [one / 2 for one in numbers]
    assert ask(runner) == []
    meanwhile.go_on()
    assert (model.sizes, alone.sizes) == ([1], [MOST_ROWS + 1, 0])


def test_a_request_whose_time_ends_while_it_waits_is_told_so_and_never_runs(model, runner):
    meanwhile = Meanwhile(model, runner)
    patient = meanwhile.come(2.0)
    late = meanwhile.come(4.0, patience=Patience(time.monotonic() + 0.2))
    assert "ended before its turn came" in late.result(PATIENCE_S)
    assert meanwhile.go_on(patient) == [[1.0]]
    assert model.sizes == [1, 1]


def test_a_request_whose_client_is_gone_is_not_run_with_the_others(model, runner):
    gone = Patience()
    meanwhile = Meanwhile(model, runner)
    asked = [meanwhile.come(2.0, patience=gone), meanwhile.come(4.0), meanwhile.come(6.0)]
    gone.give_up()
    assert meanwhile.go_on(*asked) == ["too late", [2.0], [3.0]]
    assert model.sizes == [1, 2]


class Hangs(Halves):
    """Its second run takes until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.n_begun = 0
        self.second_may_go_on = threading.Event()

    def run(self, feeds, arrays, fetches, patience=FOR_EVER):
        self.n_begun += 1
        if self.n_begun == 2:
            assert self.second_may_go_on.wait(PATIENCE_S)
        return super().run(feeds, arrays, fetches, patience)


def test_a_run_that_nobody_waits_for_any_more_keeps_no_other_out():
    model = Hangs()
    runner = JoiningRunner("toy", model, model, Metrics(), n_at_once=1)
    meanwhile = Meanwhile(model, runner)
    patiences = [Patience(), Patience()]
    hung = [meanwhile.come(2.0, patience=one) for one in patiences]
    model.may_go_on.set()
    wait_until(lambda: model.n_begun == 2, pause_s=0.001)
    other = meanwhile.come(8.0)
    for _ in range(2):
        patiences[0].give_up()
    assert len(runner._waiting) == 1
    patiences[1].give_up()
    assert other.result(PATIENCE_S) == [4.0]
    model.second_may_go_on.set()
    assert meanwhile.go_on(*hung) == [[1.0], [1.0]]


def test_a_bounded_run_that_nobody_waits_for_gives_its_turn_back():
    model, patience = Hangs(), Patience()
    model.may_go_on.set()
    bounded = BoundedRunner(model, threading.Semaphore(1))
    assert ask(bounded, 0.0) == [0.0]
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(ask, bounded, 2.0, patience=patience)
        wait_until(lambda: model.n_begun >= 2, "the second run has begun", pause_s=0.001)
        patience.give_up()
        assert ask(bounded, 4.0) == [2.0]
        model.second_may_go_on.set()
        assert hung.result(PATIENCE_S) == "too late"
    assert ask(bounded, 6.0) == [3.0]


def test_every_request_has_its_own_answer_whatever_runs_beside_it():
    """Thousands by many threads, some refused, some without patience."""
    model = Halves()
    model.may_go_on.set()
    turns = threading.Semaphore(2)
    runner = JoiningRunner("toy", model, BoundedRunner(model, turns), Metrics(), n_at_once=2)

    def many(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(200):
            numbers = [float(chance.randint(-1, 40)) for _ in range(chance.randint(1, MOST_ROWS + 2))]
            patience = Patience(time.monotonic() + chance.choice([0.0, 0.001, PATIENCE_S]))
            answer = ask(runner, *numbers, patience=patience)
            if isinstance(answer, list):
                assert answer == [one / 2 for one in numbers]
            elif "negative" in answer:
                assert answer == f"number {numbers.index(-1.0)} is negative"
            else:
                assert patience.until < time.monotonic()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(many, range(16)))
    assert runner._n_free == 2
    assert not runner._waiting


def test_a_bounded_run_waits_for_its_turn_as_long_as_its_client_does(model):
    model.may_go_on.set()
    turns = threading.Semaphore(0)
    bounded = BoundedRunner(model, turns)
    assert "ended before its turn came" in ask(bounded, 2.0, patience=Patience(time.monotonic() + 0.1))
    turns.release()
    assert ask(bounded, 2.0) == [1.0]
    assert "is negative" in ask(bounded, -2.0)
    assert ask(bounded, 4.0) == [2.0]

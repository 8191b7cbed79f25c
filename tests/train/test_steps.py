"""One update: against a plain optimizer, with gradients of several batches, slowed per variable, averaged."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tf


def make_variables():
    import keras

    return [keras.Variable(np.array([1.0, -2.0], np.float32), name="a"), keras.Variable(np.float32(3.0), name="b")]


def loss_of(variables):
    def loss(x, y):
        import tensorflow as tf

        a, b = (v.value for v in variables)
        return tf.reduce_mean(tf.square(tf.linalg.matvec(x, a) + b - y))

    return loss


def batches(n, size=4):
    rng = np.random.default_rng(3)
    return [(rng.normal(size=(size, 2)).astype("f"), rng.normal(size=size).astype("f")) for _ in range(n)]


def make_step(variables, rates=(1.0, 1.0), optimizer=None, **settings):
    import keras

    from cxr_tasks.train.loop.steps import UpdateStep, WeightAverage

    optimizer = optimizer or keras.optimizers.SGD(0.1)
    optimizer.build(variables)
    settings = {"average": WeightAverage([], 0.0), "accumulate_steps": 1, **settings}
    return UpdateStep(loss_of(variables), optimizer, variables, rates, **settings)


def test_gradients_of_several_batches_make_one_update_with_their_mean():
    apart, together = make_variables(), make_variables()
    step = make_step(apart, accumulate_steps=2)
    for number, batch in enumerate(batches(2)):
        before = apart[0].numpy().copy()
        step(batch, is_last_of_epoch=False)
        assert np.array_equal(apart[0].numpy(), before) == (number == 0)
    first, second = batches(2)
    make_step(together)((np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])),
                        is_last_of_epoch=False)  # fmt: skip
    assert apart[0].numpy() == pytest.approx(together[0].numpy(), abs=1e-6)
    assert apart[1].numpy() == pytest.approx(together[1].numpy(), abs=1e-6)


def test_what_is_left_at_the_end_of_an_epoch_is_the_mean_of_fewer_batches():
    few, one = make_variables(), make_variables()
    make_step(few, accumulate_steps=4)(batches(1)[0], is_last_of_epoch=True)
    make_step(one)(batches(1)[0], is_last_of_epoch=True)
    assert few[0].numpy() == pytest.approx(one[0].numpy(), abs=1e-7)


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_rate_slows_adam_and_its_weight_decay_alike(rate):
    import keras

    def trained(rates, learning_rate):
        variables = make_variables()
        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=0.1)
        step = make_step(variables, rates, optimizer)
        for batch in batches(1):
            step(batch, is_last_of_epoch=False)
        return [v.numpy() for v in variables]

    slowed, reference = trained((rate, 1.0), 0.05), trained((1.0, 1.0), 0.05 * rate or 1e-12)
    assert slowed[0] == pytest.approx(reference[0], abs=1e-6)  # the first step: later ones see another b
    assert slowed[1] == pytest.approx(trained((1.0, 1.0), 0.05)[1], abs=1e-6)


def test_large_gradients_are_clipped_after_they_are_gathered():
    import keras

    variables = make_variables()
    step = make_step(variables, optimizer=keras.optimizers.SGD(1.0, global_clipnorm=0.5), accumulate_steps=3)
    before = [v.numpy().copy() for v in variables]
    for number, (x, y) in enumerate(batches(3)):
        step((x, y + 1000), is_last_of_epoch=number == 2)
    moved = np.concatenate([np.ravel(v.numpy() - old) for v, old in zip(variables, before, strict=True)])
    assert np.linalg.norm(moved) == pytest.approx(0.5, rel=1e-4)


def test_the_average_follows_the_weights_and_is_short_sighted_at_first():
    from cxr_tasks.train.loop.steps import WeightAverage

    variables = make_variables()
    average = WeightAverage(variables, 0.9)
    step = make_step(variables, average=average)
    expected = variables[0].numpy().copy()
    for number, batch in enumerate(batches(30), start=1):
        step(batch, is_last_of_epoch=False)
        momentum = min(0.9, (1 + number) / (10 + number))
        expected += (1 - momentum) * (variables[0].numpy() - expected)
    assert average.of(variables[0]) == pytest.approx(expected, abs=1e-5)
    assert not np.array_equal(average.of(variables[0]), variables[0].numpy())


def test_what_is_not_averaged_stands_for_itself():
    from cxr_tasks.train.loop.steps import WeightAverage

    variables = make_variables()
    average = WeightAverage(variables[:1], 0.9)
    variables[1].assign(7.0)
    assert average.of(variables[1]) == 7.0


def test_what_is_not_given_does_not_move():
    import keras

    from cxr_tasks.train.loop.steps import UpdateStep, WeightAverage

    variables = make_variables()
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(variables[:1])
    average = WeightAverage([], 0.0)
    step = UpdateStep(loss_of(variables), optimizer, variables[:1], [1.0], average=average, accumulate_steps=1)
    step(batches(1)[0], is_last_of_epoch=False)
    assert float(variables[1].numpy()) == 3.0 and variables[0].numpy().tolist() != [1.0, -2.0]

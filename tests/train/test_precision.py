"""Which arithmetic ``auto`` means where."""

from __future__ import annotations

import pytest

from cxr_tasks.installation.processor import cpu_flags
from cxr_tasks.train.networks.precision import dtype_policy, resolve_precision


@pytest.mark.parametrize(
    ("choice", "flags", "n_gpus", "policy"),
    [
        ("auto", {"avx2"}, 0, "float32"),
        ("auto", {"avx512f", "avx512_bf16"}, 0, "mixed_bfloat16"),
        ("auto", {"avx512_bf16", "amx_bf16"}, 0, "mixed_bfloat16"),
        ("auto", {"avx2"}, 1, "mixed_bfloat16"),
        ("float32", {"amx_bf16"}, 1, "float32"),  # an explicit choice stands
        ("mixed_bfloat16", set(), 0, "mixed_bfloat16"),
    ],
)
def test_auto_follows_the_hardware(choice, flags, n_gpus, policy):
    assert resolve_precision(choice, cpu_flags=frozenset(flags), n_gpus=n_gpus) == policy


def test_flags_are_those_of_the_first_processor(tmp_path):
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor : 1\nflags\t\t: other\n")
    assert cpu_flags(listing) == {"fpu", "avx2", "avx512_bf16"}
    assert cpu_flags(tmp_path / "absent") == frozenset()


@pytest.mark.tf
def test_policy_holds_inside_the_block_only():
    import keras

    before = keras.config.dtype_policy().name
    with dtype_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before

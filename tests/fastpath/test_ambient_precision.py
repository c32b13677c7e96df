"""Precision and threads are what fastpath was told, and what the caller had comes back."""

import torch

from fastpath import ambient
from fastpath.compute import Compute
from tests.fastpath.entries import own_loop
from tests.fastpath.worlds import float_products


def test_products_that_inherit_their_precision_go_on_to_inherit_it():
    with float_products("none"):
        pass
    torch.backends.fp32_precision = "tf32"
    try:
        own_loop()
        torch.backends.fp32_precision = "none"
        assert torch.backends.cuda.matmul.fp32_precision == "none"
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    finally:
        torch.backends.fp32_precision = "none"


@ambient.isolated()
def precision_inside():
    return torch.backends.cuda.matmul.fp32_precision


def test_tf32_is_what_fastpath_was_told_never_what_pytorch_was():
    with float_products("tf32"):
        assert precision_inside() == "ieee"
    assert precision_inside() in ("ieee", "none")

    @ambient.isolated()
    def told():
        ambient.allow_tf32(True)
        return precision_inside()

    assert told() == "tf32"
    assert precision_inside() in ("ieee", "none")
    ambient.allow_tf32(True)
    try:
        assert precision_inside() == "tf32"
        assert torch.backends.cuda.matmul.fp32_precision in ("ieee", "none")
    finally:
        ambient.allow_tf32(False)


def test_threads_and_precision_of_a_command_end_with_it():
    before = torch.get_num_threads()

    @ambient.isolated()
    def command():
        Compute(threads=before + 1).ready()
        return torch.get_num_threads()

    assert command() == before + 1
    assert torch.get_num_threads() == before

"""The benchmark of enlargement: speeds from times, a document that can be read again, and VDSR as it was published."""

import importlib.util
import json

import numpy as np
import pytest

from experiments.benchmarks import common
from experiments.benchmarks import super_resolution as benchmark
from jaxgen.errors import InputError
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig

pytestmark = pytest.mark.slow
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which jaxgen does without"
)
TINY = SuperResolutionConfig(scale=(2, 3), width=4, blocks=1)


def test_a_document_can_be_read_again(tmp_path, capsys):
    out = tmp_path / "speed.json"
    config = benchmark.UpscaleConfig(repeats=2, image_size=24, super_resolution=TINY, torch=False, out=str(out))
    benchmark.run(config)
    document = json.loads(out.read_text())
    (case,) = document["cases"]
    assert [row["label"] for row in case["rows"]] == ["jaxgen x2", "jaxgen x3"]
    for row in case["rows"]:
        assert row["megapixels_per_second"] == pytest.approx(24**2 / 1e6 / row["seconds_per_step"])
        assert row["ratio_to_vdsr"] is None
    assert "jaxgen x3" in capsys.readouterr().out


def test_the_ratio_is_to_the_fastest_row_of_vdsr():
    seconds = {"jaxgen x2": 0.5, "PyTorch VDSR, luma": 4.0, "PyTorch VDSR, luma, channels_last": 2.0}
    timings = {label: common.Timing(value, value, value, value) for label, value in seconds.items()}
    rows = benchmark.make_rows(timings, 1000)
    assert [row["megapixels_per_second"] for row in rows] == [2.0, 0.25, 0.5]
    assert [row["ratio_to_vdsr"] for row in rows] == [4.0, 0.5, 1.0]


def test_sizes_that_are_no_multiples_are_refused():
    with pytest.raises(InputError, match=r"image_size: got 100; accepted: a multiple of"):
        benchmark.UpscaleConfig(image_size=100)


@needs_torch
def test_vdsr_is_the_published_one():
    import torch

    from experiments.benchmarks.torch_upscaling import VDSR

    network = VDSR()
    assert len(network.convs) == 20
    assert sum(p.numel() for p in network.parameters()) == 665_921
    images = torch.rand(2, 1, 5, 7)
    with torch.no_grad():
        network.convs[-1].weight.zero_()
        network.convs[-1].bias.fill_(0.25)
        np.testing.assert_allclose(network(images), images + 0.25)

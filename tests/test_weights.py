"""Files of weights: what is written comes back, in 16 bits and in 8."""

from pathlib import Path

import numpy as np
import pytest

from jaxgen.weights import load_notes, load_params, save_params

RNG = np.random.default_rng(0)
PARAMS = {
    "Conv_0": {"kernel": RNG.normal(0, [1e-3, 0.1, 10.0], (3, 3, 640, 3)).astype(np.float32), "bias": np.ones(3, "f4")},
    "empty": {"kernel": np.zeros((2, 8192), np.float32)},
    "small": {"kernel": np.full((3, 3, 4, 4), 0.1, np.float32)},
}


def test_sixteen_bits_are_half_precision(tmp_path: Path) -> None:
    save_params(tmp_path / "w", PARAMS, {"made": "by hand"})
    back = load_params(tmp_path / "w")
    np.testing.assert_array_equal(back["Conv_0"]["kernel"], PARAMS["Conv_0"]["kernel"].astype(np.float16))
    assert load_notes(tmp_path / "w") == {"made": "by hand"}


def test_eight_bits_are_within_half_a_step_of_each_output_channel(tmp_path: Path) -> None:
    save_params(tmp_path / "w", PARAMS, {}, bits=8)
    back = load_params(tmp_path / "w")
    assert set(back) == {"Conv_0", "empty", "small"}
    assert set(back["Conv_0"]) == {"kernel", "bias"}
    kernel = PARAMS["Conv_0"]["kernel"]
    step = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    assert (np.abs(back["Conv_0"]["kernel"] - kernel) <= 0.51 * step + 1e-3 * np.abs(kernel)).all()
    np.testing.assert_array_equal(back["Conv_0"]["bias"], 1.0)
    np.testing.assert_array_equal(back["empty"]["kernel"], 0.0)
    np.testing.assert_array_equal(back["small"]["kernel"], np.float32(np.float16(0.1)))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_large_array_takes_its_bits(tmp_path: Path, bits: int) -> None:
    save_params(tmp_path / "w", {"kernel": np.ones((100, 1000), np.float32)}, {}, bits=bits)
    assert (tmp_path / "w").stat().st_size == pytest.approx(100_000 * bits / 8, rel=0.05)

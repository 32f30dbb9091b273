"""Restorers in PyTorch to compare with: a known denoiser, and jaxgen's inverse network with its train step.

They need torch, which jaxgen itself does not need.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.common import Candidate
from experiments.benchmarks.torch_gan import Metrics, decay_per_step
from experiments.benchmarks.torch_initial_fill import fill, suspected_impulses
from experiments.benchmarks.torch_networks import DnCNN, channels_first, set_layer
from jaxgen.degradations.compose import parse_mixture
from jaxgen.errors import require
from jaxgen.networks.inverse import IMPULSE_BIAS
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.training.optimizers import WARM_UP

Maker = tuple[str, Callable[[], Candidate]]
LAYOUTS = {"": False, ", channels_last": True}


class Block(nn.Module):
    """`jaxgen.networks.inverse.Block`: x + conv(relu(conv(x)))."""

    def __init__(self, features: int):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(features, features, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """Applies the block."""
        return x + self.convs[1](F.relu(self.convs[0](x), inplace=True))


def make_blocks(features: int, num: int) -> nn.Sequential:
    """Returns a sequence of residual blocks."""
    return nn.Sequential(*[Block(features) for _ in range(num)])


class InverseNetwork(nn.Module):
    """A blind `jaxgen.networks.inverse.InverseNetwork`: neither missing pixels nor the noise level are given.

    Args:
      channels: channels of the images.
      widths: see jaxgen's network, also for `blocks` and `depth`.
      blocks: residual blocks on each grid.
      depth: residual blocks on the coarsest grid.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (32, 64, 128), blocks: int = 1, depth: int = 3):
        super().__init__()
        steps = list(itertools.pairwise(widths))
        self.multiple, self.grids = 2 ** len(widths), len(widths) + 1
        self.enter = nn.Conv2d(4 * (channels + 3), widths[0], 3, padding=1)
        self.before = nn.ModuleList([make_blocks(fine, blocks) for fine, _ in steps])
        self.down = nn.ModuleList([nn.Conv2d(4 * fine, coarse, 1) for fine, coarse in steps])
        self.deepest = make_blocks(widths[-1], depth)
        self.up = nn.ModuleList([nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in reversed(steps)])
        self.after = nn.ModuleList([make_blocks(fine, blocks) for fine, _ in reversed(steps)])
        self.leave = nn.Conv2d(widths[0], 4 * (channels + 1), 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Restores images (b, c, h, w) in [-1, 1]."""
        h, w = images.shape[2:]
        x, below, right = images, -h % self.multiple, -w % self.multiple
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        padded, suspected = x, suspected_impulses(x)
        start = fill(padded, 1.0 - suspected.abs(), self.grids)
        nothing = torch.zeros_like(suspected)  # for missing pixels and the noise level
        x = torch.cat([start, nothing, nothing, suspected], dim=1)
        x, levels = self.enter(F.pixel_unshuffle(x, 2)), []
        for blocks, down in zip(self.before, self.down, strict=True):
            x = blocks(x)
            levels.append(x)
            x = down(F.pixel_unshuffle(x, 2))
        x = self.deepest(x)
        for up, blocks in zip(self.up, self.after, strict=True):
            x = blocks(levels.pop() + F.pixel_shuffle(up(x), 2))
        change = F.pixel_shuffle(self.leave(x), 2)
        kept = torch.sigmoid(change[:, -1:] - IMPULSE_BIAS) * suspected.abs()
        return (start + kept * (padded - start) + change[:, :-1])[:, :, :h, :w]

    def rearranged(self) -> Iterator[tuple[nn.Conv2d, bool]]:
        """Yields convolutions next to a rearrangement, in jaxgen's order, and whether it comes before."""
        yield from ((conv, True) for conv in (self.enter, *self.down))
        yield from ((conv, False) for conv in (*self.up, self.leave))

    def residual(self) -> Iterator[Block]:
        """Yields residual blocks in jaxgen's order."""
        for blocks in (*self.before, self.deepest, *self.after):
            yield from blocks


def make_twin(config: RestorationConfig, channels: int) -> InverseNetwork:
    """Returns the network of `config`.

    Raises:
      InputError: the structure has no counterpart here.
    """
    plain = config.architecture == "inverse" and not config.keep_known
    require(plain, "restoration", config, "architecture inverse without keep_known")
    return InverseNetwork(channels, tuple(config.widths), config.blocks, config.depth)


def load_parameters(module: InverseNetwork, params: dict[str, Any]) -> None:
    """Copies jaxgen's parameters (`TrainState.params["restorer"]`) into the network; see `torch_networks.load`."""
    for i, (conv, comes_before) in enumerate(module.rearranged()):
        kernel, bias = (np.asarray(params[f"Conv_{i}"][name]) for name in ("kernel", "bias"))
        if comes_before:
            set_layer(conv, kernel[:, :, channels_first(2, 2, conv.in_channels // 4)], bias)
        else:
            order = channels_first(2, 2, conv.out_channels // 4)
            set_layer(conv, kernel[..., order], bias[order])
    for i, block in enumerate(module.residual()):
        for j, conv in enumerate(block.convs):
            leaf = params[f"Block_{i}"][f"Conv_{j}"]
            set_layer(conv, np.asarray(leaf["kernel"]), np.asarray(leaf["bias"]))


def learning_rate(hparams: dict[str, float], images_seen: float) -> float:
    """Computes `jaxgen.training.optimizers.learning_rate` in Python floats."""
    progress = images_seen / hparams["schedule_images"]
    wave = 0.5 * (1.0 + np.cos(np.pi * min(1.0, progress)))
    cosine = hparams["lr_final"] + (hparams["lr"] - hparams["lr_final"]) * wave
    return float(cosine * min(1.0, (progress + 1e-4) / WARM_UP))


class TorchRestoration:
    """A restorer in training: `step(images)` does what `Algorithm.step` does, for damage by Gaussian noise.

    Args:
      config: structure, with loss l1, optimizer adam, and one range of Gaussian noise in the only phase.
      hparams: fields of `RestorationHparams`, `schedule_images` included; `noise_share` and `grey_share` must be 0.
      channels: channels of the images.
      channels_last: memory layout of images and kernels.
      device: "cpu" or "cuda".
      compiled: compiles the loss and its gradients by torch.compile.

    Raises:
      InputError: the configuration has no counterpart here.
    """

    def __init__(
        self,
        config: RestorationConfig,
        hparams: dict[str, float],
        channels: int,
        channels_last: bool = False,
        device: str = "cpu",
        compiled: bool = False,
    ):
        known = config.loss == "l1" and config.optimizer == "adam" and "noise" not in config.schedule
        require(known, "restoration", config, "loss l1, optimizer adam, phase damage alone")
        require(
            hparams["noise_share"] == hparams["grey_share"] == 0, "hparams", hparams, "noise_share and grey_share 0"
        )
        self.levels, self.half = gaussian_levels(config.damage), config.dtype == "bfloat16"
        self.loss = torch.compile(self.mean_error) if compiled else self.mean_error
        self.hparams, self.device = hparams, device
        self.memory = torch.channels_last if channels_last else torch.contiguous_format
        self.network = make_twin(config, channels).to(device, memory_format=self.memory)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.0, eps=1e-8, fused=True)
        self.steps_done = 0

    def load(self, params: dict[str, Any]) -> None:
        """Loads jaxgen's parameters (`TrainState.params["restorer"]`); the average starts from them too."""
        load_parameters(self.network, params)
        self.average.load_state_dict(self.network.state_dict())

    def step(self, images: Tensor, noise: Tensor | None = None) -> Metrics:
        """Runs one update.

        Args:
          images: uint8 (b, c, h, w) on the device.
          noise: of images in [-1, 1], (b, c, h, w); drawn if None.

        Returns:
          The loss, a scalar on the device.
        """
        batch = images.shape[0]
        clean = (images.float() / 127.5 - 1.0).contiguous(memory_format=self.memory)
        degraded = clean + (self.draw_noise(clean) if noise is None else noise)
        self.network.zero_grad(set_to_none=True)
        loss = self.loss(degraded, clean)
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.hparams, self.steps_done * batch)
            group["betas"] = (self.hparams["b1"], self.hparams["b2"])
        self.optimizer.step()
        decay = decay_per_step(self.hparams["ema_half_life"], self.steps_done * batch, batch)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1.0 - decay)
        self.steps_done += 1
        return {"loss/restorer": loss.detach()}

    def mean_error(self, degraded: Tensor, clean: Tensor) -> Tensor:
        """Returns the loss, the mean absolute error."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            restored = self.network(degraded)
        return F.l1_loss(restored.float(), clean)

    def draw_noise(self, clean: Tensor) -> Tensor:
        """Returns noise 2 sigma n, with a random sigma for each image."""
        low, high = self.levels
        sigma = low + (high - low) * torch.rand(len(clean), 1, 1, 1, device=self.device)
        return 2.0 * sigma * torch.randn_like(clean)


def gaussian_levels(damage: str) -> tuple[float, float]:
    """Returns the lowest and highest standard deviation of `damage`, such as `gaussian:0-0.2`.

    Raises:
      InputError: `damage` is of another kind.
    """
    steps = [step for choice in parse_mixture(damage) for step in choice]
    require(len(steps) == 1 and steps[0].kind == "gaussian", "damage", damage, "gaussian:LOW-HIGH")
    return steps[0].low, steps[0].high


def inference_candidates(
    configs: dict[str, RestorationConfig], params: dict[str, Any], images: dict[str, np.ndarray], device: str
) -> list[Maker]:
    """Returns candidates that restore one image: DnCNN on grey, and the inverse network, in both layouts.

    Args:
      configs: structures of the inverse networks, by "grey" and "colour"; their dtype is that of all rows.
      params: jaxgen's parameters, by the same names.
      images: uint8 (1, h, w, c), by the same names.
      device: "cpu" or "cuda".
    """

    def twin(colour: str) -> nn.Module:
        module = make_twin(configs[colour], images[colour].shape[-1])
        load_parameters(module, params[colour])
        return module

    networks = [("DnCNN-17, grey", DnCNN, "grey")]
    networks += [(f"InverseNetwork, {colour}", partial(twin, colour), colour) for colour in images]
    half = any(config.dtype == "bfloat16" for config in configs.values())
    return [
        (label := f"PyTorch {name}{way}", partial(inference, label, make, images[colour], channels_last, device, half))
        for name, make, colour in networks
        for way, channels_last in LAYOUTS.items()
    ]


def inference(
    label: str, make: Callable[[], nn.Module], images: np.ndarray, channels_last: bool, device: str, half: bool
) -> Candidate:
    """Returns a candidate that applies a network to images, from host memory to host memory."""
    memory = torch.channels_last if channels_last else torch.contiguous_format
    module = make().eval().to(device, memory_format=memory)
    x = (torch.tensor(images).permute(0, 3, 1, 2) / 127.5 - 1.0).contiguous(memory_format=memory)

    def restore_image() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            module(x.to(device)).cpu()

    return Candidate(label, restore_image, 1)


def step_candidates(
    config: RestorationConfig,
    hparams: dict[str, float],
    params: dict[str, Any],
    images: np.ndarray,
    device: str,
    compile_too: bool = False,
) -> list[Maker]:
    """Returns candidates that train the network from jaxgen's parameters on images, uint8 (b, h, w, c)."""

    def step_in(label: str, channels_last: bool, compiled: bool) -> Candidate:
        restoration = TorchRestoration(config, hparams, images.shape[-1], channels_last, device, compiled)
        restoration.load(params)
        batch = torch.tensor(images).permute(0, 3, 1, 2).to(device)

        def step() -> None:
            restoration.step(batch)["loss/restorer"].cpu()
            if device == "cuda":
                torch.cuda.synchronize()

        return Candidate(label, step, 1)

    ways = {"eager": False, "compiled": True} if compile_too else {"eager": False}
    return [
        (label := f"PyTorch {way}{layout}", partial(step_in, label, channels_last, compiled))
        for way, compiled in ways.items()
        for layout, channels_last in LAYOUTS.items()
    ]

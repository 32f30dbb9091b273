"""The GAN step of `jaxgen.tasks.gan.algorithm` in PyTorch, as fast as possible, to compare jaxgen with.

It has the same networks, losses, penalties, optimizer and average, built from the same configuration. It needs torch,
which jaxgen itself does not need.
"""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from experiments.benchmarks.torch_networks import Shape, load, make_pair
from jaxgen.errors import require
from jaxgen.tasks.gan.config import GanConfig

Metrics = dict[str, Tensor]
Score = Callable[[Tensor], Tensor]

LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "minimax": (lambda r, f: F.softplus(-r) + F.softplus(f), lambda r, f: -F.softplus(f)),
    "non_saturating": (lambda r, f: F.softplus(-r) + F.softplus(f), lambda r, f: F.softplus(-f)),
    "hinge": (lambda r, f: F.relu(1.0 - r) + F.relu(1.0 + f), lambda r, f: -f),
    "relativistic": (lambda r, f: F.softplus(f - r), lambda r, f: F.softplus(r - f)),
}
"""Discriminator and generator loss of each example, as in `jaxgen.losses.adversarial`."""


def scheduled(hparams: dict[str, float], images_seen: float) -> dict[str, float]:
    """Computes `jaxgen.tasks.gan.algorithm.scheduled` in Python floats."""
    wave = 0.5 * (1.0 + math.cos(math.pi * min(1.0, images_seen / hparams["schedule_images"])))

    def cosine(start: float, end: float) -> float:
        return end + (start - end) * wave

    factor = cosine(1.0, hparams["penalty_final"])
    return {
        "lr": cosine(hparams["lr"], hparams["lr_final"]),
        "b2": cosine(hparams["b2"], hparams["b2_final"]),
        "r1": factor * hparams["r1"],
        "r2": factor * hparams["r2"],
    }


def decay_per_step(half_life: float, images_seen: float, batch_size: int) -> float:
    """Computes `jaxgen.training.optimizers.ema_decay` in Python floats."""
    return 2.0 ** (-batch_size / max(min(half_life, images_seen / 20.0), 1e-8))


@dataclasses.dataclass(frozen=True)
class Mode:
    """How PyTorch runs the step."""

    channels_last: bool = False
    """Memory layout of images and kernels."""
    one_pass: bool = False
    """Real and fake images in one pass through the discriminator."""
    compiled: Literal["no", "generator", "losses", "step"] = "no"
    """What torch.compile compiles: nothing, the generator's loss, both losses, or all gradients (by torch.func)."""
    threads: int | None = None
    """Number of threads; None: one for each core."""

    @property
    def label(self) -> str:
        """Returns the name of the mode in tables."""
        words = "eager" if self.compiled == "no" else f"compiled {self.compiled}"
        extras = [
            "channels_last" if self.channels_last else "",
            "one pass" if self.one_pass else "",
            f"{self.threads} thread{'s' if self.threads != 1 else ''}" if self.threads else "",
        ]
        return ", ".join([f"PyTorch {words}", *filter(None, extras)])


def squares_by_autograd(score: Score, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns logits (b,) and squared norms (b,) of their gradients, differentiable by `backward`."""
    images = images.detach().requires_grad_()
    logits = score(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return logits, gradient.square().sum((1, 2, 3))


def squares_by_func(score: Score, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the same by torch.func, which torch.compile can compile."""

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = score(x)
        return logits.sum(), logits

    gradient, logits = torch.func.grad(total, has_aux=True)(images)
    return logits, gradient.square().sum((1, 2, 3))


class TorchGan:
    """A GAN in training: `step(images)` does what `Algorithm.step` does.

    Args:
      config: structure; penalties are both r1 and r2, or none; for the rest see `make_pair` and `LOSSES`.
      hparams: fields of `GanHparams`, `schedule_images` included.
      shape: (h, w, c) of the images.
      mode: how PyTorch runs the step.
      device: "cpu" or "cuda".

    Raises:
      InputError: the configuration has no counterpart here.
    """

    def __init__(self, config: GanConfig, hparams: dict[str, float], shape: Shape, mode: Mode, device: str = "cpu"):
        require(config.penalties in ((), ("r1", "r2")), "penalties", config.penalties, "(), (r1, r2)")
        require(config.loss in LOSSES, "loss", config.loss, ", ".join(LOSSES))
        plain = config.penalty_interval == config.discriminator_updates == 1 and not config.augment
        require(plain, "gan", config, "one update and all penalties each step, no augmentation")
        self.config, self.hparams, self.shape, self.mode, self.device = config, hparams, shape, mode, device
        self.memory = torch.channels_last if mode.channels_last else torch.contiguous_format
        generator, discriminator = make_pair(config, shape)
        self.generator = generator.to(device, memory_format=self.memory)
        self.discriminator = discriminator.to(device, memory_format=self.memory)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers = {net: make_optimizer(config, net) for net in (self.generator, self.discriminator)}
        self.steps_done = 0
        self._compile()

    def _compile(self) -> None:
        compiled = self.mode.compiled
        if compiled in ("generator", "losses"):
            self.generator_loss = torch.compile(self.generator_loss)
        if compiled == "losses":
            self.discriminator_loss = torch.compile(self.discriminator_loss)
        if compiled == "step":
            self.functional_grads = {
                net: torch.compile(torch.func.grad_and_value(loss, has_aux=True))
                for net, loss in (
                    (self.discriminator, self._functional_discriminator_loss),
                    (self.generator, self._functional_generator_loss),
                )
            }

    def load(self, params: dict[str, Any]) -> None:
        """Loads jaxgen's parameters (`TrainState.params`); the average starts from them too."""
        load(self.config, self.shape, (self.generator, self.discriminator), params)
        self.average.load_state_dict(self.generator.state_dict())

    def step(self, images: Tensor, latents: tuple[Tensor, Tensor] | None = None) -> Metrics:
        """Runs one discriminator and one generator update.

        Args:
          images: uint8 (b, c, h, w) on the device.
          latents: for the discriminator's and for the generator's fakes, (b, z) each; drawn if None.

        Returns:
          Losses and penalties, scalars on the device.
        """
        batch = images.shape[0]
        now = scheduled(self.hparams, self.steps_done * batch)
        real = (images.float() / 127.5 - 1.0).contiguous(memory_format=self.memory)
        if latents is None:
            latents = torch.randn(2, batch, self.config.latent_dim, device=self.device).unbind()
        with torch.no_grad(), self._autocast():
            fake = self.generator(latents[0])
        weights = torch.tensor([now["r1"], now["r2"]], device=self.device)
        metrics = self._update(self.discriminator, now, real, fake, weights)
        self.discriminator.requires_grad_(False)
        metrics |= self._update(self.generator, now, real, latents[1])
        self.discriminator.requires_grad_(True)
        decay = decay_per_step(self.hparams["ema_half_life"], self.steps_done * batch, batch)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1.0 - decay)
        self.steps_done += 1
        return metrics

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.config.dtype == "bfloat16")

    def _update(self, net: nn.Module, now: dict[str, float], *inputs: Tensor) -> Metrics:
        """Computes the gradients of a network's loss and takes one optimizer step."""
        if self.mode.compiled == "step":
            with self._autocast():
                params = {name: p.detach() for name, p in net.named_parameters()}
                grads, (_, metrics) = self.functional_grads[net](params, *inputs)
            for name, p in net.named_parameters():
                p.grad = grads[name]
        else:
            net.zero_grad(set_to_none=True)
            with self._autocast():
                loss_fn = self.generator_loss if net is self.generator else self.discriminator_loss
                loss, metrics = loss_fn(*inputs)
            loss.backward()
        for group in self.optimizers[net].param_groups:
            group["lr"] = now["lr"]
            if "betas" in group:
                group["betas"] = (self.hparams["b1"], now["b2"])
        self.optimizers[net].step()
        return {name: value.detach() for name, value in metrics.items()}

    def discriminator_loss(self, real: Tensor, fake: Tensor, weights: Tensor) -> tuple[Tensor, Metrics]:
        """Returns the mean loss with weighted penalties, and the metrics."""
        return self._discriminator_objective(self.discriminator, squares_by_autograd, real, fake, weights)

    def generator_loss(self, real: Tensor, latents: Tensor) -> tuple[Tensor, Metrics]:
        """Returns the mean loss of fakes, which changes no discriminator parameters, and the metrics."""
        return self._generator_objective(self.generator, real, latents)

    def _functional_discriminator_loss(self, params: Metrics, *inputs: Tensor) -> tuple[Tensor, Metrics]:
        def score(images: Tensor) -> Tensor:
            return functional_call(self.discriminator, params, (images,))

        return self._discriminator_objective(score, squares_by_func, *inputs)

    def _functional_generator_loss(self, params: Metrics, real: Tensor, latents: Tensor) -> tuple[Tensor, Metrics]:
        return self._generator_objective(lambda z: functional_call(self.generator, params, (z,)), real, latents)

    def _discriminator_objective(
        self, score: Score, squares_fn: Callable, real: Tensor, fake: Tensor, weights: Tensor
    ) -> tuple[Tensor, Metrics]:
        parts = (torch.cat([real, fake]),) if self.mode.one_pass else (real, fake)
        if self.config.penalties:
            results = [squares_fn(score, part) for part in parts]
            squares = torch.cat([square for _, square in results]).unflatten(0, (2, -1))
            penalties = 0.5 * squares.mean(1)
            logits = torch.cat([part for part, _ in results])
        else:
            penalties = torch.zeros_like(weights)
            logits = torch.cat([score(part) for part in parts])
        adversarial = LOSSES[self.config.loss][0](*logits.chunk(2)).mean()
        metrics = {"loss/discriminator": adversarial, "penalty/r1": penalties[0], "penalty/r2": penalties[1]}
        return adversarial + (weights * penalties).sum(), metrics

    def _generator_objective(self, render: Score, real: Tensor, latents: Tensor) -> tuple[Tensor, Metrics]:
        fake_logits = self.discriminator(render(latents))
        real_logits = self.discriminator(real) if self.config.loss == "relativistic" else fake_logits
        value = LOSSES[self.config.loss][1](real_logits, fake_logits).mean()
        return value, {"loss/generator": value}


def make_optimizer(config: GanConfig, net: nn.Module) -> torch.optim.Optimizer:
    """Returns Adam as one fused kernel, or plain SGD; the learning rate is set before each step."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), lr=0.0)
    return torch.optim.Adam(net.parameters(), lr=0.0, eps=1e-8, fused=True)

"""The recurrent network with its loop as it is, and unrolled: the forms that `restore` compares."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxgen.networks.inverse import cut_to
from jaxgen.networks.recurrent import Memory, RecurrentRestorer
from jaxgen.types import Observation, Params


class UnrolledRestorer(RecurrentRestorer):
    """The same network with an unrolled loop; if `checkpointed`, the backward pass recomputes each iteration."""

    checkpointed: bool = False

    def estimates(self, observation: Observation) -> jax.Array:
        """Returns the estimates after each iteration; see `RecurrentRestorer`."""
        padded, memory = self._start(observation)
        cell, variables, found = self.cell.clone(parent=None), self.cell.variables, []

        def look(variables: Params, memory: Memory) -> Memory:
            return cell.apply(variables, memory, padded)

        for _ in range(self.iterations):
            memory = (jax.checkpoint(look) if self.checkpointed else look)(variables, memory)
            found.append(memory.estimate)
        return cut_to(jnp.stack(found), observation.images.shape[1:-1])


FORMS: dict[str, Callable[..., RecurrentRestorer]] = {
    "scan, recomputed (as it is)": RecurrentRestorer,
    "unrolled": UnrolledRestorer,
    "unrolled, recomputed": partial(UnrolledRestorer, checkpointed=True),
}

"""A program as an ONNX model: its equations one by one, calls and loops of known length written out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jaxgen.errors import InputError
from jaxgen.export.onnx_graph import OPSET, Graph, Value, constant
from jaxgen.export.onnx_operations import OPERATIONS, cut, elementwise

CALLS = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr", "custom_vmap_call": "call", "remat2": "jaxpr", "checkpoint": "jaxpr",
}  # fmt: skip
"""Equations that call a program, and where it stands in them."""
Found = Value | list[Value]
"""A value, or those of all rounds of a loop, of which some may never be asked for."""


def to_onnx(
    fn: Callable[..., jax.Array], inputs: Mapping[str, jax.ShapeDtypeStruct], output: str, notes: Mapping[str, str]
) -> bytes:
    """A function with its weights as a serialized ONNX model, in standard operations.

    Args:
      fn: of the inputs in order; its weights are constants in it.
      inputs: by name; sizes may be symbolic, as a letter or a multiple of one.
      output: name of the result.
      notes: kept in the model.

    Raises:
      InputError: an operation or a size that cannot be exported.
    """
    program = jax.make_jaxpr(fn)(*inputs.values())
    graph = Graph(_open_sizes(inputs))
    arguments = [Value(a.shape, tuple(range(len(a.shape))), name) for name, a in inputs.items()]
    values = [_channels_second(graph, value) for value in arguments]
    (result,) = run(graph, program.jaxpr, [constant(c) for c in program.consts], values)
    (shape,) = (v.shape for v in program.out_avals)
    graph.nodes.append(_named(graph, result, shape, output))
    return _serialized(graph, inputs, {output: shape}, notes)


def run(graph: Graph, jaxpr: core.Jaxpr, consts: Sequence[Found], arguments: Sequence[Found]) -> list[Found]:
    """The results of a program, as values of the graph."""
    known: dict[Any, Found] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom: Any) -> Found:
        return constant(np.asarray(atom.val)) if isinstance(atom, core.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        results = _equation(graph, eqn, [read(atom) for atom in eqn.invars])
        known.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(graph: Graph, eqn: Any, values: list[Found]) -> list[Found]:
    name = eqn.primitive.name
    if name in CALLS:
        return _call(graph, eqn, values)
    if name == "optimization_barrier":
        return values
    if name == "scan":
        return _loop(graph, eqn, values)
    if any(0 in var.aval.shape for var in eqn.outvars):
        return [Value(var.aval.shape, tuple(range(len(var.aval.shape)))) for var in eqn.outvars]
    if name == "split":
        return _parts(graph, eqn, values)
    if isinstance(values[0], list):
        return [_one_round(eqn, values)]
    if all(v.array is not None for v in values) and _is_closed(eqn, values):
        return [constant(eqn.primitive.bind(*(v.array for v in values), **eqn.params))]
    if name not in OPERATIONS:
        raise InputError(f"onnx: the operation {name} cannot be exported")
    return [OPERATIONS[name](graph, eqn, values)]


def _is_closed(eqn: Any, values: list[Value]) -> bool:
    """Whether the result can be computed now: all sizes are numbers and nothing is left to repeat."""
    sizes = [size for var in [*eqn.invars, *eqn.outvars] for size in var.aval.shape]
    whole = all(value.shape == var.aval.shape for value, var in zip(values, eqn.invars, strict=True))
    return whole and all(isinstance(size, int) for size in sizes)


def _call(graph: Graph, eqn: Any, values: list[Found]) -> list[Found]:
    if eqn.params.get("name") == "leaky_relu" and values[1].array is not None and values[0].array is None:
        return [elementwise(graph, "LeakyRelu", values[:1], alpha=float(values[1].array))]
    called = eqn.params[CALLS[eqn.primitive.name]]
    if isinstance(called, core.ClosedJaxpr):
        return run(graph, called.jaxpr, [constant(c) for c in called.consts], values)
    return run(graph, called, [], values)


def _loop(graph: Graph, eqn: Any, values: list[Found]) -> list[Found]:
    """All rounds of a loop in turn."""
    params, body = eqn.params, eqn.params["jaxpr"]
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    if len(values) > num_consts + num_carry or params["reverse"]:
        raise InputError("onnx: a loop over the slices of an array cannot be exported")
    carry, rounds = values[num_consts:], []
    for _ in range(params["length"]):
        results = run(graph, body.jaxpr, [constant(c) for c in body.consts], [*values[:num_consts], *carry])
        carry = results[:num_carry]
        rounds.append(results[num_carry:])
    return [*carry, *(list(found) for found in zip(*rounds, strict=True))]


def _one_round(eqn: Any, values: list[Found]) -> Value:
    """The result of one round out of all."""
    rounds, places = values
    numbers = eqn.params.get("dimension_numbers")
    if eqn.primitive.name != "gather" or tuple(numbers.start_index_map) != (0,) or places.array is None:
        raise InputError("onnx: of the results of a loop only that of one round can be exported")
    return rounds[int(places.array.item())]


def _parts(graph: Graph, eqn: Any, values: list[Value]) -> list[Value]:
    """Pieces along an axis, one after another."""
    full, axis = eqn.invars[0].aval.shape, eqn.params["axis"]
    parts, begin = [], 0
    for size in eqn.params["sizes"]:
        start = [begin if i == axis else 0 for i in range(len(full))]
        stop = [begin + size if i == axis else n for i, n in enumerate(full)]
        parts.append(cut(graph, graph.full(values[0], full), full, start, stop))
        begin += size
    return parts


def _open_sizes(inputs: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, tuple[str, int, int]]:
    """Where each letter of a symbolic size can be read: input, axis, and what it is multiplied by there."""
    found = {}
    for name, argument in inputs.items():
        for axis, size in enumerate(argument.shape):
            if not isinstance(size, int):
                multiple, _, letter = str(size).rpartition("*")
                found.setdefault(letter, (name, axis, int(multiple or 1)))
    return found


def _channels_second(graph: Graph, value: Value) -> Value:
    if len(value.shape) != 4:
        return value
    order = (0, 3, 1, 2)
    return Value(value.shape, order, graph.ordered(value, order))


def _named(graph: Graph, value: Found, shape: Any, output: str) -> Any:
    import onnx

    assert isinstance(value, Value)
    return onnx.helper.make_node("Identity", [graph.ordered(graph.full(value, shape))], [output], name=output)


def _serialized(graph: Graph, inputs: Mapping[str, Any], outputs: Mapping[str, Any], notes: Mapping[str, str]) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    def described(name: str, shape: Any) -> Any:
        sizes = [size if isinstance(size, int) else str(size) for size in shape]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)

    body = helper.make_graph(
        graph.nodes,
        "jaxgen",
        [described(name, a.shape) for name, a in inputs.items()],
        [described(name, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.values()],
    )
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="jaxgen"
    )
    helper.set_model_props(model, dict(notes))
    onnx.checker.check_model(model)
    return model.SerializeToString()

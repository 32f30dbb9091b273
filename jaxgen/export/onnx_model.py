"""Conversion of a JAX program to an ONNX model, one equation after another, with calls inlined and loops unrolled."""

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
"""Primitives that call a program, and the parameter that holds it."""
Found = Value | list[Value]
"""A value, or a list of the values of all iterations of a loop."""


def to_onnx(
    fn: Callable[..., jax.Array], inputs: Mapping[str, jax.ShapeDtypeStruct], output: str, notes: Mapping[str, str]
) -> bytes:
    """Returns a function with its weights as a serialized ONNX model of standard operations.

    Args:
      fn: function of the inputs in order, with its weights as constants.
      inputs: inputs by name; a size may be symbolic, a letter or a multiple of one.
      output: name of the result.
      notes: metadata of the model.

    Raises:
      InputError: an operation or a size cannot be exported.
    """
    program = jax.make_jaxpr(fn)(*inputs.values())
    graph = Graph(_symbolic_sizes(inputs))
    arguments = [Value(a.shape, tuple(range(len(a.shape))), name) for name, a in inputs.items()]
    values = [_channels_second(graph, value) for value in arguments]
    (result,) = run(graph, program.jaxpr, [constant(c) for c in program.consts], values)
    (shape,) = (v.shape for v in program.out_avals)
    graph.nodes.append(_named(graph, result, shape, output))
    return _serialized(graph, inputs, {output: shape}, notes)


def run(graph: Graph, jaxpr: core.Jaxpr, consts: Sequence[Found], arguments: Sequence[Found]) -> list[Found]:
    """Adds a program to the graph and returns its results."""
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
        return _unroll(graph, eqn, values)
    if name == "platform_index":
        return [constant(np.int32(eqn.params["platforms"].index(None)))]
    if name == "cond":
        return _branch(graph, eqn, values)
    if any(0 in var.aval.shape for var in eqn.outvars):
        return [Value(var.aval.shape, tuple(range(len(var.aval.shape)))) for var in eqn.outvars]
    if name == "split":
        return _split(graph, eqn, values)
    if isinstance(values[0], list):
        return [_select_iteration(eqn, values)]
    if all(v.array is not None for v in values) and _is_constant(eqn, values):
        return [constant(eqn.primitive.bind(*(v.array for v in values), **eqn.params))]
    if name not in OPERATIONS:
        raise InputError(f"onnx: the operation {name} cannot be exported")
    return [OPERATIONS[name](graph, eqn, values)]


def _is_constant(eqn: Any, values: list[Value]) -> bool:
    """Returns whether the result is a constant: all sizes are numbers and no input needs to be broadcast."""
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


def _branch(graph: Graph, eqn: Any, values: list[Found]) -> list[Found]:
    """Adds the branch that is known to be taken, such as that for all platforms, and returns its results."""
    index, *operands = values
    if not isinstance(index, Value) or index.array is None:
        raise InputError("onnx: a branch that depends on the input cannot be exported")
    taken = eqn.params["branches"][int(index.array)]
    return run(graph, taken.jaxpr, [constant(c) for c in taken.consts], operands)


def _unroll(graph: Graph, eqn: Any, values: list[Found]) -> list[Found]:
    """Adds all iterations of a loop one after another and returns its results."""
    params, body = eqn.params, eqn.params["jaxpr"]
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    if len(values) > num_consts + num_carry or params["reverse"]:
        raise InputError("onnx: a loop over the slices of an array cannot be exported")
    carry, iterations = values[num_consts:], []
    for _ in range(params["length"]):
        results = run(graph, body.jaxpr, [constant(c) for c in body.consts], [*values[:num_consts], *carry])
        carry = results[:num_carry]
        iterations.append(results[num_carry:])
    return [*carry, *(list(found) for found in zip(*iterations, strict=True))]


def _select_iteration(eqn: Any, values: list[Found]) -> Value:
    """Returns the result of one iteration of a loop."""
    iterations, places = values
    numbers = eqn.params.get("dimension_numbers")
    if eqn.primitive.name != "gather" or tuple(numbers.start_index_map) != (0,) or places.array is None:
        raise InputError("onnx: of the results of a loop only that of one iteration can be exported")
    return iterations[int(places.array.item())]


def _split(graph: Graph, eqn: Any, values: list[Value]) -> list[Value]:
    """Splits a value along an axis."""
    full, axis = eqn.invars[0].aval.shape, eqn.params["axis"]
    parts, begin = [], 0
    for size in eqn.params["sizes"]:
        start = [begin if i == axis else 0 for i in range(len(full))]
        stop = [begin + size if i == axis else n for i, n in enumerate(full)]
        parts.append(cut(graph, graph.full(values[0], full), full, start, stop))
        begin += size
    return parts


def _symbolic_sizes(inputs: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, tuple[str, int, int]]:
    """Returns for each letter of a symbolic size an input, its axis and the factor of the letter there."""
    found = {}
    for name, argument in inputs.items():
        for axis, size in enumerate(argument.shape):
            if not isinstance(size, int):
                multiple, _, letter = str(size).rpartition("*")
                found.setdefault(letter, (name, axis, int(multiple or 1)))
    return found


def _channels_second(graph: Graph, value: Value) -> Value:
    rank = len(value.shape)
    if rank not in (4, 5):
        return value
    order = (0, rank - 1, *range(1, rank - 1))
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

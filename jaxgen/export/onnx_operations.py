"""The conversion of each operation of a JAX program to nodes of an ONNX graph."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgen.errors import InputError
from jaxgen.export.onnx_graph import LAST, Graph, Shape, Value, constant, matching_axes

Operation = Callable[[Graph, Any, list[Value]], Value]
"""(graph, equation of the program, its inputs) -> its single result."""

ELEMENTWISE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "ge": "GreaterOrEqual",
    "gt": "Greater", "le": "LessOrEqual", "lt": "Less", "eq": "Equal", "and": "And", "or": "Or", "not": "Not",
    "abs": "Abs", "neg": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "logistic": "Sigmoid",
    "sign": "Sign", "pow": "Pow",
}  # fmt: skip


def elementwise(graph: Graph, op: str, values: Sequence[Value], **attributes: Any) -> Value:
    """Applies an elementwise ONNX operation; all values have the same rank or are scalars."""
    order = max((v for v in values), key=lambda v: (v.array is None, len(v.shape), sum(s != 1 for s in v.shape))).order
    names = [graph.ordered(v, order if v.shape else ()) for v in values]
    shape = tuple(_longest([v.shape[axis] for v in values if v.shape]) for axis in range(len(order)))
    return Value(shape, order, graph.node(op, names, **attributes))


def _longest(sizes: Sequence[Any]) -> Any:
    return next((size for size in sizes if size != 1), 1)


def maximum(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts max; max(x, 0) becomes Relu."""
    left, right = values
    if right.array is not None and not right.array.any():
        return elementwise(graph, "Relu", [left])
    return elementwise(graph, "Max", values)


def not_equal(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts ne, for which ONNX has no operation."""
    return elementwise(graph, "Not", [elementwise(graph, "Equal", values)])


def select(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts select_n with a boolean condition, which selects its second case where true."""
    condition, no, yes = values
    return elementwise(graph, "Where", [condition, yes, no])


def cast(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts a change of type; adds no node if the type stays."""
    import onnx

    (value,), dtype = values, np.dtype(eqn.params["new_dtype"])
    if eqn.invars[0].aval.dtype == dtype:
        return value
    return elementwise(graph, "Cast", [value], to=onnx.helper.np_dtype_to_tensor_dtype(dtype))


def broadcast(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Adds axes of size 1; later operations broadcast them."""
    (value, *_), axes, rank = values, eqn.params["broadcast_dimensions"], len(eqn.params["shape"])
    shape = tuple(value.shape[axes.index(axis)] if axis in axes else 1 for axis in range(rank))
    if value.array is not None:
        return constant(value.array.reshape(shape))
    return graph.reshape(value, shape, matching_axes(value.shape, shape)) if shape != value.shape else value


def reshape(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts a reshape."""
    old, new = eqn.invars[0].aval.shape, tuple(eqn.params["new_sizes"])
    return graph.reshape(graph.full(values[0], old), new, matching_axes(old, new))


def squeeze(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Removes axes of size 1."""
    old, new = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    return graph.reshape(graph.full(values[0], old), new, matching_axes(old, new))


def transpose(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Renumbers the axes; adds no node."""
    (value,), permutation = values, tuple(eqn.params["permutation"])
    shape = tuple(value.shape[axis] for axis in permutation)
    return Value(shape, tuple(permutation.index(axis) for axis in value.order), value.name)


def cut(graph: Graph, value: Value, full: Shape, start: Sequence[Any], stop: Sequence[Any]) -> Value:
    """Cuts a value from start to stop along each axis; a broadcast axis stays broadcast."""
    cuts = [i for i in range(len(full)) if value.shape[i] == full[i] and (start[i], stop[i]) != (0, full[i])]
    shape = tuple(stop[i] - start[i] if i in cuts else value.shape[i] for i in range(len(full)))
    if not cuts:
        return value
    begins, ends = (tuple(_from_end(places[i], full[i]) for i in cuts) for places in (start, stop))
    axes = [value.order.index(i) for i in cuts]
    inputs = [graph.ordered(value, value.order), graph.sizes(begins), graph.sizes(ends), graph.integers(axes)]
    return Value(shape, value.order, graph.node("Slice", inputs))


def _from_end(place: Any, size: Any) -> Any:
    """Returns an index; relative to a symbolic size it is a negative number if it is known, and `LAST` at the end."""
    if isinstance(place, int):
        return place
    left = place - size
    if not isinstance(left, int) and str(left).lstrip("-").isdigit():
        left = int(str(left))
    if not isinstance(left, int):
        return place
    return LAST if left == 0 else left


def convert_slice(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts `lax.slice` without strides."""
    start, stop = eqn.params["start_indices"], eqn.params["limit_indices"]
    if any(stride != 1 for stride in eqn.params["strides"] or ()):
        raise InputError("onnx: slices with strides cannot be exported")
    return cut(graph, values[0], eqn.invars[0].aval.shape, start, stop)


def gather(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts a gather of one slice whose position is a constant."""
    (value, places), numbers, sizes = values, eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    full, rank = eqn.invars[0].aval.shape, len(eqn.outvars[0].aval.shape)
    if places.array is None or places.array.ndim != 1 or len(numbers.offset_dims) != rank:
        raise InputError("onnx: a gather at positions that depend on the input cannot be exported")
    start: list[Any] = [0] * len(full)
    for axis, place in zip(numbers.start_index_map, places.array.tolist(), strict=True):
        start[axis] = place
    found = cut(graph, value, full, start, [a + n for a, n in zip(start, sizes, strict=True)])
    kept = tuple(size for axis, size in enumerate(sizes) if axis not in numbers.collapsed_slice_dims)
    found = graph.full(found, tuple(sizes))
    return without_axes(graph, found, numbers.collapsed_slice_dims) if len(kept) < len(sizes) else found


def without_axes(graph: Graph, value: Value, axes: Sequence[int]) -> Value:
    """Returns the value without these axes of size 1."""
    left = [axis for axis in range(len(value.shape)) if axis not in axes]
    places = graph.integers([value.order.index(axis) for axis in axes])
    name = graph.node("Squeeze", [graph.ordered(value, value.order), places])
    order = tuple(left.index(axis) for axis in value.order if axis in left)
    return Value(tuple(value.shape[axis] for axis in left), order, name)


def concatenate(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Concatenates values along an axis; empty ones are left out."""
    axis, shapes = eqn.params["dimension"], [v.aval.shape for v in eqn.invars]
    full = [graph.full(v, s) for v, s in zip(values, shapes, strict=True) if 0 not in s]
    if len(full) == 1:
        return full[0]
    order = next((v.order for v in full if v.array is None), full[0].order)
    names = [graph.ordered(v, order) for v in full]
    return Value(eqn.outvars[0].aval.shape, order, graph.node("Concat", names, axis=order.index(axis)))


def stack(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Stacks values along a new axis, stored after the preceding one."""
    axis, shape = eqn.params["axis"], eqn.outvars[0].aval.shape
    full = [graph.full(v, var.aval.shape) for v, var in zip(values, eqn.invars, strict=True)]
    moved = [i + (i >= axis) for i in full[0].order]
    place = moved.index(axis - 1) + 1 if axis else 0
    order = (*moved[:place], axis, *moved[place:])
    wider = [graph.node("Unsqueeze", [graph.ordered(v, full[0].order), graph.integers([place])]) for v in full]
    return Value(shape, order, graph.node("Concat", wider, axis=place))


def reduce_and(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts reduce_and, which tests whether all elements along axes are true."""
    import onnx

    full = graph.full(values[0], eqn.invars[0].aval.shape)
    number = elementwise(graph, "Cast", [full], to=onnx.TensorProto.FLOAT)
    axes = tuple(eqn.params["axes"])
    places = graph.integers([number.order.index(axis) for axis in axes])
    least = graph.node("ReduceMin", [graph.ordered(number, number.order), places], keepdims=1)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(number.shape))
    return without_axes(
        graph, elementwise(graph, "Cast", [Value(shape, number.order, least)], to=onnx.TensorProto.BOOL), axes
    )


def reduce_sum(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts reduce_sum, the sum along axes."""
    full, axes = graph.full(values[0], eqn.invars[0].aval.shape), tuple(eqn.params["axes"])
    places = graph.integers([full.order.index(axis) for axis in axes])
    total = graph.node("ReduceSum", [graph.ordered(full, full.order), places], keepdims=1)
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(full.shape))
    return without_axes(graph, Value(shape, full.order, total), axes)


def matmul(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts the product of two matrices."""
    if eqn.params["dimension_numbers"] != (((1,), (0,)), ((), ())) or len(eqn.outvars[0].aval.shape) != 2:
        raise InputError("onnx: of products of arrays only that of two matrices can be exported")
    full = [graph.full(v, var.aval.shape) for v, var in zip(values, eqn.invars, strict=True)]
    return Value(eqn.outvars[0].aval.shape, (0, 1), graph.node("MatMul", [graph.ordered(v) for v in full]))


def convolution(graph: Graph, eqn: Any, values: list[Value]) -> Value:
    """Converts a convolution, whose result has channels second."""
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    if any(d != 1 for d in params["lhs_dilation"]) or params["batch_group_count"] != 1:
        raise InputError("onnx: convolutions with a dilated input cannot be exported")
    x, kernel = (graph.full(v, var.aval.shape) for v, var in zip(values, eqn.invars, strict=True))
    pads = [before for before, _ in params["padding"]] + [after for _, after in params["padding"]]
    name = graph.node(
        "Conv",
        [graph.ordered(x, tuple(numbers.lhs_spec)), graph.ordered(kernel, tuple(numbers.rhs_spec))],
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        pads=pads,
    )
    return Value(eqn.outvars[0].aval.shape, tuple(numbers.out_spec), name)


OPERATIONS: dict[str, Operation] = {
    **{name: lambda g, _, v, op=op: elementwise(g, op, v) for name, op in ELEMENTWISE.items()},
    "square": lambda g, _, v: elementwise(g, "Mul", [*v, *v]),
    "max": maximum,
    "ne": not_equal,
    "select_n": select,
    "convert_element_type": cast,
    "broadcast_in_dim": broadcast,
    "reshape": reshape,
    "squeeze": squeeze,
    "transpose": transpose,
    "slice": convert_slice,
    "gather": gather,
    "concatenate": concatenate,
    "stack": stack,
    "reduce_and": reduce_and,
    "reduce_sum": reduce_sum,
    "dot_general": matmul,
    "conv_general_dilated": convolution,
}
"""Conversions by the names of JAX's primitives."""

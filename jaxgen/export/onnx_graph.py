"""An ONNX graph that grows node by node, of values whose axes may be stored in another order than the program's.

A convolution of ONNX takes channels second, the program has them last. Each value therefore knows the order in which
its axes lie in memory, and a node that moves axes is made only where an operation needs another order.
"""

import ast
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import InputError

Shape = tuple[Any, ...]
"""Sizes: integers, or the symbolic ones of `jax.export`."""
LAST = np.iinfo(np.int64).max
"""The end of an axis, in a slice."""
OPSET = 18


class Value(NamedTuple):
    """An array of the program.

    Attributes:
      shape: by the program's axes; 1 where the array would repeat along an axis, which ONNX does by itself.
      order: the program's axis that each stored axis is.
      name: of the tensor in the graph; None for a constant that is not in it yet, and for an array of no elements.
      array: of a constant, by the program's axes.
    """

    shape: Shape
    order: tuple[int, ...]
    name: str | None = None
    array: np.ndarray | None = None


def constant(array: Any) -> Value:
    """A value that is known."""
    array = np.asarray(array)
    return Value(array.shape, tuple(range(array.ndim)), None, array)


def stored(value: Value) -> Shape:
    """Sizes in the order of memory."""
    return tuple(value.shape[axis] for axis in value.order)


class Graph:
    """Nodes and constants so far, and the names of the sizes that are left open."""

    def __init__(self, sizes: dict[str, tuple[str, int, int]]) -> None:
        """Starts a graph; `sizes` gives for each open size the input and its axis, a multiple of it, or itself."""
        self.nodes: list[Any] = []
        self.constants: dict[bytes, tuple[str, np.ndarray]] = {}
        self._sizes, self._known, self._moved = sizes, {}, {}
        self._count = 0

    def node(self, op: str, inputs: Sequence[str], num_outputs: int = 1, **attributes: Any) -> str:
        """Adds a node and gives the name of its result."""
        import onnx

        self._count += 1
        name = f"{op.lower()}_{self._count}"
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: Any) -> str:
        """The name of a constant; equal ones are kept once."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        name, _ = self.constants.setdefault(key, (f"constant_{len(self.constants)}", array))
        return name

    def integers(self, numbers: Sequence[int]) -> str:
        """The name of a constant list of int64."""
        return self.constant(np.asarray(numbers, np.int64))

    def ordered(self, value: Value, order: tuple[int, ...] | None = None) -> str:
        """The name of the value with its axes in that order; None for the program's own."""
        order = tuple(range(len(value.shape))) if order is None else order
        if value.array is not None:
            return self.constant(value.array.transpose(order) if value.array.ndim else value.array)
        assert value.name is not None
        if order == value.order:
            return value.name
        if (value.name, order) not in self._moved:
            places = [value.order.index(axis) for axis in order]
            self._moved[value.name, order] = self.node("Transpose", [value.name], perm=places)
        return self._moved[value.name, order]

    def full(self, value: Value, shape: Shape) -> Value:
        """The value with nothing left to repeat."""
        if value.shape == shape:
            return value
        if value.array is not None and all(isinstance(size, int) for size in shape):
            return constant(np.broadcast_to(value.array, shape))
        wanted = tuple(shape[axis] for axis in value.order)
        name = self.node("Expand", [self.ordered(value, value.order), self.sizes(wanted)])
        return Value(shape, value.order, name)

    def sizes(self, shape: Shape) -> str:
        """The name of a list of sizes, computed where they are open."""
        if all(isinstance(size, int) for size in shape):
            return self.integers(shape)
        return self.node("Concat", [self.size(size) for size in shape], axis=0)

    def size(self, size: Any) -> str:
        """The name of a list of one size: a number, or an expression such as 2*h + 1."""
        if isinstance(size, int):
            return self.integers([size])
        text = str(size)
        if text not in self._known:
            self._known[text] = self._computed(ast.parse(text, mode="eval").body)
        return self._known[text]

    def _computed(self, tree: ast.expr) -> str:
        operations = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}
        match tree:
            case ast.Constant(value=number):
                return self.integers([number])
            case ast.Name(id=letter):
                return self._open_size(letter)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in operations:
                return self.node(operations[type(op)], [self._computed(left), self._computed(right)])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", [self._computed(operand)])
        raise InputError(f"onnx: a size of {ast.unparse(tree)} cannot be exported")

    def _open_size(self, letter: str) -> str:
        if letter not in self._known:
            name, axis, multiple = self._sizes[letter]
            size = self.node("Shape", [name], start=axis, end=axis + 1)
            self._known[letter] = size if multiple == 1 else self.node("Div", [size, self.integers([multiple])])
        return self._known[letter]

    def reshape(self, value: Value, shape: Shape, groups: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Value:
        """The value in another shape.

        Args:
          value: with nothing left to repeat.
          shape: the new one.
          groups: axes of the old shape and those of the new one with as many elements.
        """
        places = [[value.order.index(axis) for axis in old] for old, _ in groups]
        together = all(p == list(range(p[0], p[0] + len(p))) for p in places if p)
        if together:
            found = sorted((p[0] if p else -1, i) for i, p in enumerate(places))
            sequence = [i for _, i in found]
        else:  # channels second where it will be an image
            sequence = list(range(len(groups)))
            if len(shape) == len(groups) == 4:
                sequence = [0, 3, 1, 2]
        before = tuple(axis for i in sequence for axis in groups[i][0])
        after = tuple(axis for i in sequence for axis in groups[i][1])
        if value.array is not None:
            return constant(value.array.reshape(shape))
        name = self.ordered(value, before)
        wanted = self._pattern([value.shape[axis] for axis in before], [shape[axis] for axis in after])
        return Value(shape, after, self.node("Reshape", [name, wanted]))

    def _pattern(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        """Sizes for a reshape, with what can be left to it: 0 keeps a size, one may be -1 for the rest."""
        kept = [0 if i < len(old) and not isinstance(n, int) and old[i] == n else n for i, n in enumerate(new)]
        open_sizes = [i for i, n in enumerate(kept) if not isinstance(n, int)]
        if len(open_sizes) == 1:
            kept[open_sizes[0]] = -1
        if len(open_sizes) <= 1:
            return self.integers(kept)
        return self.node("Concat", [self.size(n) for n in kept], axis=0)


def matching_axes(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Axes of two shapes that hold the same elements, in turn: the finest groups of equal products."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        left, right = list(range(i, min(i + 1, len(old)))), list(range(j, min(j + 1, len(new))))
        i, j = i + len(left), j + len(right)
        while (a := math.prod(old[k] for k in left)) != (b := math.prod(new[k] for k in right)):
            if j == len(new) or (i < len(old) and a < b):
                left.append(i)
                i += 1
            else:
                right.append(j)
                j += 1
        groups.append((left, right))
    return groups

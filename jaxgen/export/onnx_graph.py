"""An ONNX graph that is built node by node, of values whose axes may be stored in another order than the program's.

ONNX convolutions have channels as the second axis, the program has them last. So each value records the order in which
its axes are stored, and a transpose is added only where an operation needs another order.
"""

import ast
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import InputError

Shape = tuple[Any, ...]
"""Sizes: integers, or symbolic sizes of `jax.export`."""
LAST = np.iinfo(np.int64).max
"""Stop index of an ONNX slice that extends to the end of the axis."""
OPSET = 18


class Value(NamedTuple):
    """An array of the program.

    Attributes:
      shape: sizes of the program's axes; 1 for an axis that was broadcast, since ONNX broadcasts by itself.
      order: the program's axis at each stored axis.
      name: name of the tensor in the graph; None for a constant that is not in it yet, or an empty array.
      array: value of a constant, with the program's axes.
    """

    shape: Shape
    order: tuple[int, ...]
    name: str | None = None
    array: np.ndarray | None = None


def constant(array: Any) -> Value:
    """Returns a constant as a value."""
    array = np.asarray(array)
    return Value(array.shape, tuple(range(array.ndim)), None, array)


class Graph:
    """A graph under construction: its nodes, its constants and its symbolic sizes."""

    def __init__(self, sizes: dict[str, tuple[str, int, int]]) -> None:
        """Starts a graph; `sizes` maps the letter of each symbolic size to an input, its axis and the factor there."""
        self.nodes: list[Any] = []
        self.constants: dict[bytes, tuple[str, np.ndarray]] = {}
        self._sizes, self._known, self._moved = sizes, {}, {}
        self._count = 0

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node and returns the name of its result."""
        import onnx

        self._count += 1
        name = f"{op.lower()}_{self._count}"
        self.nodes.append(onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: Any) -> str:
        """Returns the name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        name, _ = self.constants.setdefault(key, (f"constant_{len(self.constants)}", array))
        return name

    def integers(self, numbers: Sequence[int]) -> str:
        """Returns the name of a constant list of int64."""
        return self.constant(np.asarray(numbers, np.int64))

    def ordered(self, value: Value, order: tuple[int, ...] | None = None) -> str:
        """Returns the name of the value with its axes stored in `order`; None stands for the program's order."""
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
        """Returns the value broadcast to `shape`."""
        if value.shape == shape:
            return value
        if value.array is not None and all(isinstance(size, int) for size in shape):
            return constant(np.broadcast_to(value.array, shape))
        wanted = tuple(shape[axis] for axis in value.order)
        name = self.node("Expand", [self.ordered(value, value.order), self.sizes(wanted)])
        return Value(shape, value.order, name)

    def sizes(self, shape: Shape) -> str:
        """Returns the name of a list of sizes, which the graph computes if they are symbolic."""
        if all(isinstance(size, int) for size in shape):
            return self.integers(shape)
        return self.node("Concat", [self.size(size) for size in shape], axis=0)

    def size(self, size: Any) -> str:
        """Returns the name of a list of one size, a number or an expression such as 2*h + 1 or floordiv(h, 2)."""
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
                return self._symbolic_size(letter)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in operations:
                return self.node(operations[type(op)], [self._computed(left), self._computed(right)])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.node("Neg", [self._computed(operand)])
            case ast.Call(func=ast.Name(id="floordiv"), args=[size, divisor]):  # sizes are positive
                return self.node("Div", [self._computed(size), self._computed(divisor)])
        raise InputError(f"onnx: a size of {ast.unparse(tree)} cannot be exported")

    def _symbolic_size(self, letter: str) -> str:
        if letter not in self._known:
            name, axis, multiple = self._sizes[letter]
            size = self.node("Shape", [name], start=axis, end=axis + 1)
            self._known[letter] = size if multiple == 1 else self.node("Div", [size, self.integers([multiple])])
        return self._known[letter]

    def reshape(self, value: Value, shape: Shape, groups: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Value:
        """Returns the value in another shape.

        Args:
          value: the value, broadcast to its full shape.
          shape: the new shape.
          groups: axes of the old shape, and axes of the new one with the same elements.
        """
        places = [[value.order.index(axis) for axis in old] for old, _ in groups]
        together = all(p == list(range(p[0], p[0] + len(p))) for p in places if p)
        if together:
            found = sorted((p[0] if p else -1, i) for i, p in enumerate(places))
            sequence = [i for _, i in found]
        else:  # channels second if the result has the axes of an image or a volume
            sequence = list(range(len(groups)))
            if len(shape) == len(groups) in (4, 5):
                sequence = [0, len(shape) - 1, *range(1, len(shape) - 1)]
        before = tuple(axis for i in sequence for axis in groups[i][0])
        after = tuple(axis for i in sequence for axis in groups[i][1])
        if value.array is not None:
            return constant(value.array.reshape(shape))
        name = self.ordered(value, before)
        wanted = self._pattern([value.shape[axis] for axis in before], [shape[axis] for axis in after])
        return Value(shape, after, self.node("Reshape", [name, wanted]))

    def _pattern(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        """Returns the name of the sizes for a Reshape node, in which 0 keeps a size and -1 is inferred."""
        kept = [0 if i < len(old) and not isinstance(n, int) and old[i] == n else n for i, n in enumerate(new)]
        symbolic = [i for i, n in enumerate(kept) if not isinstance(n, int)]
        if len(symbolic) == 1:
            kept[symbolic[0]] = -1
        if len(symbolic) <= 1:
            return self.integers(kept)
        return self.node("Concat", [self.size(n) for n in kept], axis=0)


def matching_axes(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Returns groups of axes of two shapes that hold the same elements, the smallest with equal products."""
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

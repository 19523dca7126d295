"""Shapes of all values, with names for the axes that are only known at run time."""

import logging

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

Dims = tuple[int | str | None, ...]
_INT_MAX = 2**31 - 1
_LARGEST = 1024  # numbers of a constant that may be a shape


def dims(value: ir.Value | None) -> Dims | None:
    """Return each axis as a number or a name, None where it has neither; None where the rank is unknown."""
    if value is None or value.shape is None:
        return None
    return tuple(axis if isinstance(axis, int) else axis.value for axis in value.shape)


class InferShapes(ir.passes.InPlacePass):
    """Give values their shapes: two axes of one name have one length in every run.

    ONNX Runtime's tool for it takes axes for equal that meet in one operator; axes of length 1 that are
    blown up at run time, without the graph saying so, are what it does not foresee. Where it contradicts
    what is known, nothing of it is taken.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer; where that fails, what was known stays."""
        found = _infer(_without_weights(model))
        values = {str(value.name): value for node in model.graph for value in node.outputs}
        known = {name: value for name, value in values.items() if name in found and not value.is_graph_output()}
        if any(_contradicts(dims(value), found[name][1]) for name, value in known.items()):
            return ir.passes.PassResult(model, modified=False)
        for name, value in known.items():
            kind, shape = found[name]
            if kind:
                value.type = ir.TensorType(ir.DataType(kind))  # a new one: clones of a graph share theirs
            value.shape = None if shape is None else ir.Shape(shape)
        return ir.passes.PassResult(model, bool(known))


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """Return the model with inputs in the place of its large constants, which have shapes and no say in others'."""
    copy = model.clone()
    for name, value in tuple(copy.graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.size <= _LARGEST or value.is_graph_input():
            continue
        del copy.graph.initializers[name]
        value.const_value, value.shape, value.type = None, ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
        copy.graph.inputs.append(value)
    return ir.to_proto(copy)


def _infer(proto: onnx.ModelProto) -> dict[str, tuple[int, Dims | None]]:
    """Return type and shape of every inner value that they were found of."""
    _spell_out_shape_ranges(proto.graph)
    logging.getLogger("onnxruntime.tools.symbolic_shape_infer").setLevel(logging.CRITICAL)
    tool, complete = SymbolicShapeInference(_INT_MAX, auto_merge=True, guess_output_rank=False, verbose=0), False
    try:
        # What its infer_shapes() does, which leaves a file in the working folder where it does not know an operator.
        tool._preprocess(proto)  # noqa: SLF001
        while tool.run_:
            complete = tool._infer_impl()  # noqa: SLF001
    except Exception:  # noqa: BLE001 - it raises that class itself, and asserts, for whatever it has no rule for
        return {}
    if not complete:
        return {}
    return {
        info.name: (info.type.tensor_type.elem_type, _dims_of(info.type.tensor_type))
        for info in tool.out_mp_.graph.value_info
        if info.type.HasField("tensor_type")
    }


def _spell_out_shape_ranges(graph: onnx.GraphProto) -> None:
    """``Shape(x, start, end)`` → ``Slice(Shape(x), start, end)``: the tool does not know of start and end."""
    nodes = []
    for node in graph.node:
        places = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type != "Shape" or not places:
            nodes.append(node)
            continue
        whole, output = f"{node.output[0]}.whole", node.output[0]
        cut = [f"{whole}.start", f"{whole}.end"]
        for name, place in zip(cut, (places.get("start", 0), places.get("end", _INT_MAX)), strict=True):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([place]), name))
        nodes.append(onnx.helper.make_node("Shape", list(node.input), [whole], name=f"{node.name}.whole"))
        nodes.append(onnx.helper.make_node("Slice", [whole, *cut], [output], name=node.name))
    del graph.node[:]
    graph.node.extend(nodes)


def _dims_of(kind: onnx.TypeProto.Tensor) -> Dims | None:
    if not kind.HasField("shape"):
        return None
    return tuple(axis.dim_value if axis.HasField("dim_value") else (axis.dim_param or None) for axis in kind.shape.dim)


def _contradicts(known: Dims | None, found: Dims | None) -> bool:
    """Tell whether two shapes of one value cannot both be true."""
    if known is None or found is None:
        return False
    pairs = zip(known, found, strict=False)
    return len(known) != len(found) or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)

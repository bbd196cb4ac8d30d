"""Write src/mrnn/graphs/*.onnx: EfficientNet-Lite without weights, which are bound at load.

Run after a change to efficientnet.py, with the `onnx` package installed:
python tools/export_graphs.py
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from mrnn.images.efficientnet import FEATURE, SIZES, Convolution, Size, blocks

GRAPHS = Path(__file__).parents[1] / "src" / "mrnn" / "graphs"


def graph(size: Size) -> onnx.ModelProto:
    """pixels (B, 3, S, S) -> positions (B, D, H, W) and feature (B, D), their mean."""
    nodes, weights = [], []

    def external(name: str, shape: tuple[int, ...]) -> str:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="bound-at-load")
        weights.append(tensor)
        return name

    def convolve(c: Convolution, x: str, output: str) -> str:
        names = [
            x,
            external(f"{c.name}.weight", c.weight_shape),
            external(f"{c.name}.bias", (c.outputs,)),
        ]
        linear = f"{output}/linear" if c.relu6 else output
        nodes.append(
            helper.make_node(
                "Conv",
                names,
                [linear],
                kernel_shape=[c.kernel, c.kernel],
                strides=[c.stride, c.stride],
                group=c.groups,
                auto_pad="SAME_UPPER",
            )
        )
        if c.relu6:
            nodes.append(helper.make_node("Clip", [linear, "zero", "six"], [output]))
        return output

    x = "pixels"
    listed = blocks(size)
    for i, block in enumerate(listed):
        entering = x
        for c in block.convolutions:
            x = convolve(c, x, "positions" if i == len(listed) - 1 else c.name)
        if block.residual:
            nodes.append(helper.make_node("Add", [entering, x], [f"{x}/residual"]))
            x = f"{x}/residual"
    nodes.append(helper.make_node("ReduceMean", [x, "spatial"], ["feature"], keepdims=0))
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("six", TensorProto.FLOAT, [], [6.0]),
        helper.make_tensor("spatial", TensorProto.INT64, [2], [2, 3]),
    ]
    side = size.input
    for _ in range(5):
        side = (side + 1) // 2
    return helper.make_model(
        helper.make_graph(
            nodes,
            "efficientnet-lite",
            [
                helper.make_tensor_value_info(
                    "pixels", TensorProto.FLOAT, ["B", 3, size.input, size.input]
                )
            ],
            [
                helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["B", FEATURE]),
                helper.make_tensor_value_info(
                    "positions", TensorProto.FLOAT, ["B", FEATURE, side, side]
                ),
            ],
            constants + weights,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )


if __name__ == "__main__":
    for name, size in SIZES.items():
        path = GRAPHS / f"{name}.onnx"
        path.write_bytes(graph(size).SerializeToString())
        print(path, path.stat().st_size)

"""Builds a network in ONNX from the tensors that `bench peers` wrote, and times onnxruntime on it.

usage: onnxruntime_times.py FOLDER KIND [WEIGHTS]

FOLDER holds network.safetensors (weights, `input`, `output`); network.onnx is written beside it for other runtimes.
Prints one JSON object: how far the output is from ours, and the times with one thread and with all.
"""

import json
import os
import sys
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file


class Graph:
    """Nodes and weights as they come; each node's output gets a name of its own."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, values, dtype=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def op(self, kind, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def model(self, shape, dtype, output):
        given = helper.make_tensor_value_info("input", dtype, shape)
        told = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "network", [given], [told], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def resnet18(tensors):
    graph, number = Graph(), iter(range(1000))
    large = tensors["input"].shape[2] >= 112

    def conv(x, stride):
        at = next(number)
        weight, bias = tensors[f"conv{at}.weight"], tensors[f"conv{at}.bias"]
        side = weight.shape[2]
        return graph.op("Conv", x, graph.weight(weight), graph.weight(bias), kernel_shape=[side] * 2,
                        strides=[stride] * 2, pads=[side // 2] * 4)

    x = graph.op("Relu", conv("input", 2 if large else 1))
    if large:
        x = graph.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            y = conv(graph.op("Relu", conv(x, stride)), 1)
            x = graph.op("Relu", graph.op("Add", y, conv(x, 2) if stride == 2 else x))
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    return graph, graph.op("MatMul", x, graph.weight(tensors["sum.weight"])), TensorProto.FLOAT


def ecg(tensors):
    graph, answers = Graph(), []
    members = 1 + max(int(name.split(".")[0]) for name in tensors if name.endswith(".mean"))
    low, high = graph.weight(np.float32(-5)), graph.weight(np.float32(5))
    for question in range(3):
        columns = tensors[f"{question}.columns"]
        chosen = graph.op("Gather", "input", graph.weight(columns, np.int64), axis=1)
        logits = []
        for member in range(members):
            def of(what):
                return graph.weight(tensors[f"{member}.{question}.{what}"])
            x = graph.op("Div", graph.op("Sub", chosen, of("mean")), of("deviation"))
            x = graph.op("Clip", x, low, high)
            if f"{member}.{question}.hidden.weight" in tensors:
                x = graph.op("Gelu", graph.op("Add", graph.op("MatMul", x, of("hidden.weight")), of("hidden.bias")))
            logits.append(graph.op("Add", graph.op("MatMul", x, of("output.weight")), of("output.bias")))
        answers.append(graph.op("Mean", *logits))
    return graph, graph.op("Concat", *answers, axis=0), TensorProto.FLOAT


def minilm(tensors, weights):
    graph, hidden, heads = Graph(), 384, 12
    file = load_file(weights)
    batch, words = tensors["input"].shape

    def of(name):
        return graph.weight(file[name])

    def dense(x, name):
        return graph.op("Add", graph.op("MatMul", x, graph.weight(file[f"{name}.weight"].T)), of(f"{name}.bias"))

    def norm(x, name):
        return graph.op("LayerNormalization", x, of(f"{name}.weight"), of(f"{name}.bias"), axis=-1, epsilon=1e-12)

    places = file["embeddings.position_embeddings.weight"][:words] + file["embeddings.token_type_embeddings.weight"][0]
    x = graph.op("Gather", of("embeddings.word_embeddings.weight"), "input")
    x = norm(graph.op("Add", x, graph.weight(places)), "embeddings.LayerNorm")
    apart = graph.weight([batch, words, heads, hidden // heads], np.int64)
    together = graph.weight([batch, words, hidden], np.int64)
    for layer in range(6):
        at = f"encoder.layer.{layer}"

        def split(name, order):
            y = graph.op("Reshape", dense(x, f"{at}.attention.self.{name}"), apart)
            return graph.op("Transpose", y, perm=order)

        query, key, value = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1]), split("value", [0, 2, 1, 3])
        scale = graph.weight(np.float32((hidden // heads) ** -0.5))
        seen = graph.op("Softmax", graph.op("Mul", graph.op("MatMul", query, key), scale), axis=-1)
        seen = graph.op("Transpose", graph.op("MatMul", seen, value), perm=[0, 2, 1, 3])
        seen = dense(graph.op("Reshape", seen, together), f"{at}.attention.output.dense")
        middle = norm(graph.op("Add", seen, x), f"{at}.attention.output.LayerNorm")
        inner = graph.op("Gelu", dense(middle, f"{at}.intermediate.dense"))
        x = norm(graph.op("Add", dense(inner, f"{at}.output.dense"), middle), f"{at}.output.LayerNorm")
    axes = graph.weight([1], np.int64)
    return graph, graph.op("ReduceMean", x, axes, keepdims=0), TensorProto.INT64


def times(model, given, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    output = session.run(None, {"input": given})[0]
    taken, started = [], time.perf_counter()
    while len(taken) < 5 or (time.perf_counter() - started < 2 and len(taken) < 400):
        before = time.perf_counter()
        session.run(None, {"input": given})
        taken.append(time.perf_counter() - before)
    return output, min(taken) * 1e3


def main():
    folder, kind, *rest = sys.argv[1:]
    tensors = load_file(os.path.join(folder, "network.safetensors"))
    graph, output, dtype = {"resnet18": resnet18, "ecg": ecg, "minilm": minilm}[kind](tensors, *rest)
    given = tensors["input"].astype(np.int64 if dtype == TensorProto.INT64 else np.float32)
    model = graph.model(list(given.shape), dtype, output).SerializeToString()
    with open(os.path.join(folder, "network.onnx"), "wb") as file:
        file.write(model)
    told, one = times(model, given, 1)
    _, every = times(model, given, os.cpu_count())
    apart = float(np.abs(told.flatten() - tensors["output"].flatten()).max())
    print(json.dumps({"apart": apart, "one_thread_ms": one, "all_threads_ms": every,
                      "version": onnxruntime.__version__}))


main()

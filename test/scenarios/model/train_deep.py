"""Trains the deep model of the scenarios and writes it as ONNX.

Usage: python3 train_deep.py flights.csv        (made by services/demo/train/export.ts)

Writes, here, flight-delay-deep/1/model.onnx and training.json. What a flight is told about is what services/demo/train
trains on; reading, splitting and the tables of airports are that program's own.

The recent delays of a flight are means of few flights: they are uncertain. The network is asked about DRAWS versions of
each row, moved by fixed noise of that size, and answers with their mean. All versions go through the same weights, as the
rows of one matrix product, so a row costs about the same alone as in a batch of many.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import roc_auc_score

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "services" / "demo" / "train"))
import train as demo  # noqa: E402

TARGET = HERE / "flight-delay-deep"
WIDTH = 128
HIDDEN = 4
DRAWS = 3072
NOISE = 0.15
EPOCHS = 4
BATCH = 1024
RATE = 2e-3
COLUMNS = len(demo.STRINGS) + len(demo.INTEGERS) + len(demo.FLOATS)
# What is measured of few flights; airports, hours and distances are known.
UNCERTAIN = np.array([0.0] * (COLUMNS - len(demo.FLOATS)) + [1.0] * len(demo.FLOATS), dtype=np.float32)


def forward(layers, rows):
    """Activations of each layer, the last of them the logit."""
    activations = [rows]
    for index, (weights, bias) in enumerate(layers):
        rows = rows @ weights + bias
        if index < len(layers) - 1:
            rows = np.maximum(rows, 0)
        activations.append(rows)
    return activations


def gradients(layers, activations, labels):
    error = ((1 / (1 + np.exp(-activations[-1][:, 0])) - labels) / len(labels))[:, None].astype(np.float32)
    found = []
    for index in range(len(layers) - 1, -1, -1):
        found.append((activations[index].T @ error, error.sum(0)))
        if index > 0:
            error = (error @ layers[index][0].T) * (activations[index] > 0)
    return found[::-1]


def fit(data, chosen, epochs=EPOCHS):
    """Layers, tables of airports, mean and scale of the columns, from the flights of the mask only. Adam, rate falling to 0."""
    features = {name: values[chosen] for name, values in data["features"].items()}
    late = data["late"][chosen].astype(np.float32)
    tables = {name: demo.learn_airports(features[name], late) for name in demo.STRINGS}
    matrix = demo.to_matrix(features, tables).astype(np.float32)
    mean, scale = matrix.mean(0), matrix.std(0) + 1e-6
    matrix = (matrix - mean) / scale
    random = np.random.default_rng(demo.SEED)
    sizes = [COLUMNS] + [WIDTH] * HIDDEN + [1]
    layers = [
        (random.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in zip(sizes, sizes[1:])
    ]
    moments = [[np.zeros_like(p) for pair in layers for p in pair] for _ in range(2)]
    steps, step = epochs * (len(late) // BATCH), 0
    for _ in range(epochs):
        order = random.permutation(len(late))
        for start in range(0, len(late) - BATCH + 1, BATCH):
            picked = order[start : start + BATCH]
            rows = matrix[picked] + NOISE * UNCERTAIN * random.normal(size=(BATCH, COLUMNS)).astype(np.float32)
            found = gradients(layers, forward(layers, rows), late[picked])
            step += 1
            rate = RATE * (1 - step / (steps + 1))
            flat = [p for pair in layers for p in pair]
            for parameter, gradient, first, second in zip(flat, [g for pair in found for g in pair], *moments):
                first += 0.1 * (gradient - first)
                second += 0.001 * (gradient * gradient - second)
                parameter -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return layers, tables, mean, scale


def draws():
    random = np.random.default_rng(demo.SEED + 1)
    return (NOISE * UNCERTAIN * random.normal(size=(DRAWS, COLUMNS))).astype(np.float32)


def to_onnx(model):
    layers, tables, mean, scale = model
    types = {name: TensorProto.STRING for name in demo.STRINGS}
    types |= {name: TensorProto.INT64 for name in demo.INTEGERS}
    types |= {name: TensorProto.FLOAT for name in demo.FLOATS}
    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(array, name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    columns = []
    for name in demo.STRINGS:
        table, default = tables[name]
        columns.append(
            node(
                "LabelEncoder",
                [name],
                f"{name}_rate",
                domain="ai.onnx.ml",
                keys_strings=list(table),
                values_floats=[float(rate) for rate in table.values()],
                default_float=float(default),
            )
        )
    columns += [node("Cast", [name], f"{name}_float", to=TensorProto.FLOAT) for name in demo.INTEGERS]
    rows = node("Concat", columns + demo.FLOATS, "columns", axis=1)
    rows = node("Div", [node("Sub", [rows, constant("mean", mean)], "centred"), constant("scale", scale)], "scaled")
    # [N, columns] becomes [N, 1, columns], and with the noise [N, draws, columns]: one matrix of N × draws rows.
    rows = node("Unsqueeze", [rows, constant("axis", np.array([1]))], "apart")
    rows = node("Add", [rows, constant("draws", draws()[None])], "moved")
    rows = node("Reshape", [rows, constant("flat", np.array([-1, COLUMNS]))], "rows0")
    for index, (weights, bias) in enumerate(layers):
        inputs = [rows, constant(f"w{index}", weights), constant(f"b{index}", bias)]
        rows = node("Gemm", inputs, f"sum{index}")
        if index < len(layers) - 1:
            rows = node("Relu", [rows], f"rows{index + 1}")
    rows = node("Reshape", [node("Sigmoid", [rows], "risks"), constant("each", np.array([-1, DRAWS]))], "risk_of_each")
    node("ReduceMean", [rows], "probability", axes=[1], keepdims=0)
    node("Cast", [node("Greater", ["probability", constant("half", np.array(0.5, np.float32))], "is_late")], "label", to=TensorProto.INT64)
    graph = helper.make_graph(
        nodes,
        "flight-delay-deep",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in types.items()],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"]),
        ],
        initializer=constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pelton-scenarios")
    proto.doc_string = "The risk that a flight arrives more than 15 minutes late, over what its delays may be."
    onnx.checker.check_model(proto)
    place = TARGET / "1" / "model.onnx"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(proto.SerializeToString(deterministic=True))


def predict(model, data, start, stop):
    """The mean over the draws, as the file computes it."""
    layers, tables, mean, scale = model
    features = {name: values[start:stop] for name, values in data["features"].items()}
    rows = ((demo.to_matrix(features, tables).astype(np.float32) - mean) / scale).astype(np.float32)
    noise = draws()[:64]  # the mean of 64 draws ranks as that of all: it is the file that is measured in the end
    scores = [forward(layers, (rows + each).astype(np.float32))[-1][:, 0] for each in noise]
    return (1 / (1 + np.exp(-np.stack(scores)))).mean(0)


def main(path):
    data = demo.read_flights(path)
    total = len(data["late"])
    test, before = total - demo.HELD_OUT, total - demo.HELD_OUT - demo.VALIDATION
    aucs = {}
    for name, start, stop in [("daysBeforeAuc", before, test), ("heldOutAuc", test, total)]:
        model = fit(data, data["arrived"] <= data["departed"][start])
        aucs[name] = round(float(roc_auc_score(data["late"][start:stop], predict(model, data, start, stop))), 4)
        print(name, aucs[name], flush=True)
    to_onnx(model)
    facts = {
        "data": "flights-3m.parquet of vega-datasets: US Bureau of Transportation Statistics, 2001",
        "target": "arrives more than 15 minutes late",
        "trainer": f"numpy {np.__version__}, onnx {onnx.__version__}",
        "seed": demo.SEED,
        "settings": {"width": WIDTH, "hidden": HIDDEN, "draws": DRAWS, "noise": NOISE, "epochs": EPOCHS, "batch": BATCH},
        **aucs,
    }
    (TARGET / "training.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python3 train_deep.py flights.csv: name the file that export.ts wrote")
    main(sys.argv[1])

"""Writes the small ONNX models the tests use, beside this file.

Run with a Python that has `onnx` (1.12 or newer) and `numpy`: python3 test/models/generate.py
The models are committed, so tests need no Python.
"""

import os

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = os.path.dirname(os.path.abspath(__file__))


def value(name, kind, shape):
    return h.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, initialisers=(), opset=17, ir=8, domains=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initialisers))
    imports = [h.make_opsetid("", opset)] + [h.make_opsetid(name, version) for name, version in domains]
    made = h.make_model(graph, opset_imports=imports, producer_name="pelton-tests")
    made.ir_version = ir
    return made


def write(name, made):
    data = made if isinstance(made, bytes) else made.SerializeToString()
    with open(os.path.join(HERE, name + ".onnx"), "wb") as file:
        file.write(data)


def identity(kind, shape, opset=17, ir=8):
    node = h.make_node("Identity", ["x"], ["y"])
    return model([node], [value("x", kind, shape)], [value("y", kind, shape)], opset=opset, ir=ir)


KINDS = {
    "bool": T.BOOL, "uint8": T.UINT8, "uint16": T.UINT16, "uint32": T.UINT32, "uint64": T.UINT64,
    "int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64,
    "fp16": T.FLOAT16, "fp32": T.FLOAT, "fp64": T.DOUBLE, "bytes": T.STRING,
}


def identities():
    for name, kind in KINDS.items():
        write("identity-" + name, identity(kind, ["N", 2]))
    for rank in range(9):
        write("rank-%d" % rank, identity(T.FLOAT, ["N", 2, 1, 2, 1, 1, 1, 1][:rank]))
    write("bfloat16-input", identity(T.BFLOAT16, ["N", 2]))
    write("int4-input", identity(22, ["N", 2], opset=21, ir=10))
    write("complex-input", identity(T.COMPLEX64, ["N", 2]))


def several():
    """y = a + b per row, twice = 2a; n counts nothing but passes an INT64 through."""
    write("several", model(
        [h.make_node("Add", ["a", "b"], ["sum"]), h.make_node("Add", ["a", "a"], ["twice"]),
         h.make_node("Identity", ["n"], ["same"])],
        [value("a", T.FLOAT, ["N", 1]), value("b", T.FLOAT, ["N", 1]), value("n", T.INT64, ["N", 1])],
        [value("sum", T.FLOAT, ["N", 1]), value("twice", T.FLOAT, ["N", 1]), value("same", T.INT64, ["N", 1])]))
    """A mix of datatypes for feature events: a text, a flag, a number, a vector of rank 1."""
    write("features", model(
        [h.make_node("Identity", [name], [name + "_out"]) for name in ("text", "flag", "distance", "count", "flat")],
        [value("text", T.STRING, ["N", 1]), value("flag", T.BOOL, ["N", 1]), value("distance", T.FLOAT, ["N", 1]),
         value("count", T.INT64, ["N", 1]), value("flat", T.DOUBLE, ["N"])],
        [value("text_out", T.STRING, ["N", 1]), value("flag_out", T.BOOL, ["N", 1]),
         value("distance_out", T.FLOAT, ["N", 1]), value("count_out", T.INT64, ["N", 1]),
         value("flat_out", T.DOUBLE, ["N"])]))


def linear():
    """score = x·[1, 2, 3] + 0.5, with x [N, 3]."""
    weights = nh.from_array(np.array([[1], [2], [3]], np.float32), "w")
    bias = nh.from_array(np.array([0.5], np.float32), "b")
    nodes = [h.make_node("Gemm", ["x", "w", "b"], ["score"])]
    write("linear", model(nodes, [value("x", T.FLOAT, ["N", 3])], [value("score", T.FLOAT, ["N", 1])],
                          [weights, bias]))
    write("fixed-rows", model(nodes, [value("x", T.FLOAT, [2, 3])], [value("score", T.FLOAT, [2, 1])],
                              [weights, bias]))
    write("free-columns", model(nodes, [value("x", T.FLOAT, ["N", "k"])], [value("score", T.FLOAT, ["N", 1])],
                                [weights, bias]))


def kserve():
    """What the requests in KServe's repository ask for: every output is an input."""
    def same(name, kinds):
        outputs = {each: each.replace("input", "output") if "input" in each else each + "_out" for each in kinds}
        write(name, model([h.make_node("Identity", [each], [outputs[each]]) for each in kinds],
                          [value(each, *kind) for each, kind in kinds.items()],
                          [value(outputs[each], *kind) for each, kind in kinds.items()]))
    same("kserve-iris", {"input-0": (T.FLOAT, ["N", 4])})
    same("kserve-text", {"input-0": (T.STRING, [])})
    texts, numbers = (T.STRING, ["N"]), (T.INT32, ["N"])
    same("kserve-columns", {
        "MSZoning": texts, "LotArea": numbers, "LotShape": texts, "Utilities": texts, "YrSold": numbers,
        "Neighborhood": texts, "OverallQual": numbers, "YearBuilt": numbers, "SaleType": texts, "GarageArea": numbers})


def open_columns():
    """Column counts the inputs leave open and the first operators settle: 17, 19 and 33, sizes nobody would guess."""
    x, score = value("x", T.FLOAT, ["N", "k"]), value("score", T.FLOAT, ["N", 1])
    write("columns-matmul", model([h.make_node("MatMul", ["x", "w"], ["score"])], [x], [score],
                                  [nh.from_array(np.ones((17, 1), np.float32), "w")]))
    tree = h.make_node("TreeEnsembleRegressor", ["x"], ["score"], domain="ai.onnx.ml", n_targets=1,
                       nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[18, 0, 0],
                       nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
                       nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0],
                       target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0])
    write("columns-tree", model([tree], [x], [score], domains=[("ai.onnx.ml", 1)]))
    write("columns-gemm", model(
        [h.make_node("Identity", ["x"], ["same"]), h.make_node("Gemm", ["same", "w"], ["score"], transB=1)], [x], [score],
        [nh.from_array(np.ones((1, 33), np.float32), "w")]))
    """37 columns, and nothing at the beginning of the graph says so."""
    write("columns-hidden", model(
        [h.make_node("Neg", ["x"], ["minus"]), h.make_node("MatMul", ["minus", "w"], ["score"])], [x], [score],
        [nh.from_array(np.ones((37, 1), np.float32), "w")]))


def rows():
    x, y = value("x", T.FLOAT, ["N", 2]), value("y", T.FLOAT, ["N", 2])
    write("sum-rows", model([h.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)], [x],
                            [value("y", T.FLOAT, [1, 2])], [nh.from_array(np.array([0], np.int64), "axes")]))
    write("mixes-rows", model([h.make_node("ReduceMean", ["x"], ["m"], axes=[0]), h.make_node("Sub", ["x", "m"], ["y"])],
                              [x], [y]))
    """Only three rows at a time: a Reshape to [3, 2]."""
    write("three-rows-only", model([h.make_node("Reshape", ["x", "shape"], ["y"])], [x], [value("y", T.FLOAT, [3, 2])],
                                   [nh.from_array(np.array([3, 2], np.int64), "shape")]))
    """A table of four rows looked up at index - 1000: the indices a probe would guess fail."""
    table = nh.from_array(np.arange(8, dtype=np.float32).reshape(4, 2), "table")
    far = nh.from_array(np.array(-1000, np.int64), "far")
    write("gather", model([h.make_node("Add", ["index", "far"], ["offset"]),
                           h.make_node("Gather", ["table", "offset"], ["y"])],
                          [value("index", T.INT64, ["N"])], [y], [table, far]))


def defaults():
    """y = x + bias; bias is an input with a default (an initialiser of the same name)."""
    bias = nh.from_array(np.array([10, 20], np.float32), "bias")
    nodes = [h.make_node("Add", ["x", "bias"], ["y"])]
    inputs = [value("x", T.FLOAT, ["N", 2]), value("bias", T.FLOAT, [2])]
    for ir in (3, 8):
        write("default-ir%d" % ir, model(nodes, inputs, [value("y", T.FLOAT, ["N", 2])], [bias], ir=ir, opset=8 if ir == 3 else 17))


def large_output():
    """Fifty million values from fifty: more than a text of JSON can be in JavaScript."""
    write("large-output", model([h.make_node("Tile", ["x", "times"], ["y"])], [value("x", T.FLOAT, [50])],
                                [value("y", T.FLOAT, [None])], [nh.from_array(np.array([1_000_000], np.int64), "times")]))


def other_kinds():
    """A classifier as scikit-learn exports it: a label tensor and a sequence of maps."""
    probabilities = nh.from_array(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), "w")
    sequence = h.make_tensor_sequence_value_info("s", T.FLOAT, None)
    maps = onnx.ValueInfoProto()
    maps.name = "probabilities"
    maps.type.sequence_type.elem_type.map_type.key_type = T.INT64
    maps.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = T.FLOAT
    zipmap = [h.make_node("MatMul", ["x", "w"], ["p"]), h.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
              h.make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])]
    write("zipmap", model(zipmap, [value("x", T.FLOAT, ["N", 2])], [value("label", T.INT64, ["N"]), maps],
                          [probabilities], domains=[("ai.onnx.ml", 1)]))
    write("only-map", model([zipmap[0], zipmap[2]], [value("x", T.FLOAT, ["N", 2])], [maps], [probabilities],
                            domains=[("ai.onnx.ml", 1)]))
    write("sequence-input", model([h.make_node("SequenceAt", ["s", "zero"], ["y"])], [sequence],
                                  [value("y", T.FLOAT, None)], [nh.from_array(np.array(0, np.int64), "zero")]))
    write("bfloat16-output", model([h.make_node("Identity", ["x"], ["y"]), h.make_node("Cast", ["x"], ["z"], to=T.BFLOAT16)],
                                   [value("x", T.FLOAT, ["N", 2])],
                                   [value("y", T.FLOAT, ["N", 2]), value("z", T.BFLOAT16, ["N", 2])]))


def hostile():
    x, y = value("x", T.FLOAT, ["N", 2]), value("y", T.FLOAT, ["N", 2])
    body = h.make_graph(
        [h.make_node("Identity", ["more"], ["again"]), h.make_node("Add", ["state", "state"], ["next"])], "body",
        [value("i", T.INT64, []), value("more", T.BOOL, []), value("state", T.FLOAT, ["N", 2])],
        [value("again", T.BOOL, []), value("next", T.FLOAT, ["N", 2])])
    yes = nh.from_array(np.array(True), "yes")
    write("endless-loop", model([h.make_node("Loop", ["", "yes", "x"], ["y"], body=body)], [x], [y], [yes]))
    once = h.make_graph(
        [h.make_node("Identity", ["more"], ["again"]), h.make_node("Add", ["state", "state"], ["next"])], "body",
        [value("i", T.INT64, []), value("more", T.BOOL, []), value("state", T.FLOAT, [2])],
        [value("again", T.BOOL, []), value("next", T.FLOAT, [2])])
    write("endless-fixed", model([h.make_node("Loop", ["", "yes", "x"], ["y"], body=once)],
                                 [value("x", T.FLOAT, [2])], [value("y", T.FLOAT, [2])], [yes]))
    """Loops as often as its largest input says: harmless or endless, by the event."""
    write("loops-by-input", model(
        [h.make_node("ReduceMax", ["x"], ["most"], keepdims=0), h.make_node("Cast", ["most"], ["times"], to=T.INT64),
         h.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)], [x], [y], [yes]))
    """Fills 16 GiB when run."""
    big = nh.from_array(np.array([2 ** 16, 2 ** 16], np.int64), "shape")
    write("memory-hog", model(
        [h.make_node("Gather", ["x", "first"], ["row"], axis=0), h.make_node("ReduceSum", ["row"], ["one"], keepdims=0),
         h.make_node("Expand", ["one", "shape"], ["wide"]), h.make_node("Exp", ["wide"], ["exp"]),
         h.make_node("ReduceSum", ["exp"], ["total"], keepdims=0), h.make_node("Add", ["x", "total"], ["y"])],
        [x], [y], [big, nh.from_array(np.array([0], np.int64), "first")]))
    """An initialiser that says it has 2^40 elements and brings two."""
    giant = T(name="bias", data_type=T.FLOAT, dims=[2 ** 20, 2 ** 20])
    giant.raw_data = b"\0" * 8
    write("giant-initialiser", model([h.make_node("Identity", ["x"], ["y"]), h.make_node("ReduceSum", ["bias"], ["z"])],
                                     [x], [y, value("z", T.FLOAT, None)], [giant]))
    """Initialisers kept outside the file: beside it, above it, and inside an attribute of a nested graph."""
    for name, location in (("external-beside", "weights.bin"), ("external-above", "../../../../etc/passwd")):
        write(name, model([h.make_node("Add", ["x", "bias"], ["y"])], [x], [y], [external(location)]))
    inner = external("weights.bin")
    inner.name = ""
    branch = h.make_graph([h.make_node("Constant", [], ["c"], value=inner), h.make_node("Add", ["x", "c"], ["z"])],
                          "branch", [], [value("z", T.FLOAT, ["N", 2])])
    write("external-nested", model([h.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)],
                                   [x], [y], [yes]))


def faults():
    """What the fault suite runs: harmless for most inputs, fatal for some."""
    pair = [value("a", T.INT64, ["N", 1]), value("b", T.INT64, ["N", 1])]
    """Integer division. The smallest INT64 by -1 overflows, which ends the process with SIGFPE."""
    write("divide-int64", model([h.make_node("Div", ["a", "b"], ["y"])], pair, [value("y", T.INT64, ["N", 1])]))
    """y = 2x, counted up one by one: a run lasts as long as its largest row says. Rows do not touch each other."""
    x, y = value("x", T.FLOAT, ["N", 1]), value("y", T.FLOAT, ["N", 1])
    body = h.make_graph(
        [h.make_node("Identity", ["more"], ["again"]), h.make_node("Cast", ["i"], ["turn"], to=T.FLOAT),
         h.make_node("Less", ["turn", "x"], ["open"]), h.make_node("Cast", ["open"], ["one"], to=T.FLOAT),
         h.make_node("Add", ["state", "one"], ["next"])], "body",
        [value("i", T.INT64, []), value("more", T.BOOL, []), value("state", T.FLOAT, ["N", 1])],
        [value("again", T.BOOL, []), value("next", T.FLOAT, ["N", 1])])
    write("counts-up", model(
        [h.make_node("ReduceMax", ["x"], ["most"], keepdims=0), h.make_node("Cast", ["most"], ["times"], to=T.INT64),
         h.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)], [x], [y], [nh.from_array(np.array(True), "yes")]))
    """Mean of a row of any length: the manifest says how many features it has."""
    write("mean-columns", model([h.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)],
                                [value("x", T.FLOAT, ["N", "k"])], [value("y", T.FLOAT, ["N", 1])]))
    """As many numbers as it is told to answer with: an answer of any size to an event of a few bytes."""
    write("as-many", model([h.make_node("ConstantOfShape", ["n"], ["y"], value=nh.from_array(np.array([0.1], np.float32), "v"))],
                           [value("n", T.INT64, [1])], [value("y", T.FLOAT, ["M"])]))
    """y = x + 0, after filling as many MiB as the largest row says."""
    write("fills-memory", model(
        [h.make_node("ReduceMax", ["x"], ["most"], keepdims=0), h.make_node("Cast", ["most"], ["times"], to=T.INT64),
         h.make_node("Unsqueeze", ["times", "first"], ["rows"]),
         h.make_node("Concat", ["rows", "columns"], ["shape"], axis=0),
         h.make_node("Expand", ["zero", "shape"], ["wide"]), h.make_node("Sin", ["wide"], ["filled"]),
         h.make_node("ReduceSum", ["filled"], ["total"], keepdims=0), h.make_node("Add", ["x", "total"], ["y"])],
        [x], [y], [nh.from_array(np.array([0], np.int64), "first"), nh.from_array(np.array([2 ** 18], np.int64), "columns"),
                   nh.from_array(np.array(0, np.float32), "zero")]))


    """y = -2^63 / (-1 - x): ends its process at 0, which a generated input has."""
    write("crashes-at-zero", model(
        [h.make_node("Sub", ["less", "x"], ["divisor"]), h.make_node("Div", ["least", "divisor"], ["y"])],
        [value("x", T.INT64, [2])], [value("y", T.INT64, [2])],
        [nh.from_array(np.array([-1, -1], np.int64), "less"), nh.from_array(np.array([-2**63, -2**63], np.int64), "least")]))


def documented():
    """What docs/models.md serves beside `linear` and the demo's model."""
    """Mean of each colour of an image of any size, from 0 to 1."""
    write("image", model(
        [h.make_node("Cast", ["image"], ["pixels"], to=T.FLOAT), h.make_node("Div", ["pixels", "most"], ["shares"]),
         h.make_node("ReduceMean", ["shares"], ["colour"], axes=[1, 2], keepdims=0)],
        [value("image", T.UINT8, ["N", "height", "width", 3])], [value("colour", T.FLOAT, ["N", 3])],
        [nh.from_array(np.array(255, np.float32), "most")]))
    """Mean of a table's rows at the tokens that count: a text classifier at its smallest."""
    table = np.array([[0, 0], [1, -1], [2, 0], [-1, 3]], np.float32)
    write("tokens", model(
        [h.make_node("Gather", ["table", "input_ids"], ["vectors"]),
         h.make_node("Cast", ["attention_mask"], ["counted"], to=T.FLOAT),
         h.make_node("Unsqueeze", ["counted", "last"], ["weights"]), h.make_node("Mul", ["vectors", "weights"], ["kept"]),
         h.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
         h.make_node("ReduceSum", ["counted", "tokens"], ["count"], keepdims=1),
         h.make_node("Max", ["count", "one"], ["divisor"]), h.make_node("Div", ["sum", "divisor"], ["logits"])],
        [value("input_ids", T.INT64, ["N", "length"]), value("attention_mask", T.INT64, ["N", "length"])],
        [value("logits", T.FLOAT, ["N", 2])],
        [nh.from_array(table, "table"), nh.from_array(np.array([2], np.int64), "last"),
         nh.from_array(np.array([1], np.int64), "tokens"), nh.from_array(np.array(1, np.float32), "one")]))


def too_new():
    """Of an opset and of a file format that are not made yet."""
    write("future-opset", identity(T.FLOAT, ["N", 2], opset=99))
    write("future-format", identity(T.FLOAT, ["N", 2], ir=99))


def not_here():
    """Valid files that this runtime, or this machine, cannot load: each for a cause of its own."""
    x, y = value("x", T.FLOAT, ["N", 2]), value("y", T.FLOAT, ["N", 2])
    write("unknown-operator", model([h.make_node("Foo", ["x"], ["y"])], [x], [y]))
    write("custom-operator", model([h.make_node("RegexSplit", ["x"], ["y"], domain="ai.onnx.contrib")], [x], [y],
                                   domains=[("ai.onnx.contrib", 1)]))
    write("no-kernel", model([h.make_node("Cast", ["x"], ["a"], to=T.BFLOAT16), h.make_node("Add", ["a", "a"], ["b"]),
                              h.make_node("Cast", ["b"], ["y"], to=T.FLOAT)], [x], [y]))
    weights = [nh.from_array(np.zeros((1, 12, 3), np.float32), "w"), nh.from_array(np.zeros((1, 12, 4), np.float32), "r")]
    write("gru-layout", model([h.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=4, layout=1)],
                              [value("x", T.FLOAT, ["N", 5, 3])], [value("y", T.FLOAT, None)], weights))
    """Lowers texts by the rules of a locale: of one no machine has, of one each has, of the operator's own (en_US.UTF-8)."""
    for name, locale in (("locale-unknown", "xx_XX.UTF-8"), ("locale-c", "C.UTF-8"), ("locale-default", None)):
        write(name, model([h.make_node("StringNormalizer", ["text"], ["lower"], case_change_action="LOWER",
                                       **({} if locale is None else {"locale": locale}))],
                          [value("text", T.STRING, ["N"])], [value("lower", T.STRING, ["N"])]))


def weird_names():
    """Names that cannot be members of a plain object of JavaScript."""
    x, y = value("x", T.FLOAT, ["N", 2]), value("y", T.FLOAT, ["N", 2])
    weird = value("__proto__", T.FLOAT, ["N", 2])
    write("weird-input", model([h.make_node("Identity", ["__proto__"], ["y"])], [weird], [y]))
    write("weird-output", model([h.make_node("Identity", ["x"], ["y"]), h.make_node("Neg", ["x"], ["__proto__"])],
                                [x], [y, weird]))


def external(location):
    tensor = T(name="bias", data_type=T.FLOAT, dims=[2], data_location=T.EXTERNAL)
    for key, text in (("location", location), ("offset", "0"), ("length", "8")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return tensor


if __name__ == "__main__":
    identities()
    several()
    linear()
    kserve()
    open_columns()
    rows()
    defaults()
    large_output()
    other_kinds()
    hostile()
    faults()
    documented()
    too_new()
    not_here()
    weird_names()

"""Trains both versions of the flight-delay model and writes them as ONNX.

Usage: python3 train.py flights.csv        (made by export.ts)

Writes, next to this folder, models/flight-delay/{1,2}/model.onnx and training.json, and here expected.fixture.json:
feature rows with the trainer's own probabilities, which the tests compare with the ONNX files.
"""

import csv
import json
import pathlib
import sys
from datetime import datetime

import numpy as np
import onnx
import sklearn
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

SEED = 20010701
HELD_OUT = 20_000
VALIDATION = 100_000
FIXTURE_ROWS = 400
SMOOTHING_FLIGHTS = 50

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "models" / "flight-delay"

VERSIONS = {
    "1": {"max_iter": 20, "max_depth": 3, "learning_rate": 0.2},
    "2": {"max_iter": 150, "max_depth": 6, "learning_rate": 0.1, "max_leaf_nodes": 31},
}

# The order of the columns the trees see.
STRINGS = ["origin", "destination"]
INTEGERS = ["hour", "weekday", "distance"]
FLOATS = ["origin_delay", "inbound_delay", "destination_delay", "route_delay", "origin_departures"]


def read_flights(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    features = {name: np.array([row[name] for row in rows]) for name in STRINGS}
    features |= {name: np.array([int(row[name]) for row in rows]) for name in INTEGERS}
    features |= {name: np.array([float(row[name]) for row in rows]) for name in FLOATS}
    return {
        "id": [row["id"] for row in rows],
        "departed": np.array([row["departed_at"] for row in rows]),
        "arrived": np.array([row["arrived_at"] for row in rows]),
        "late": np.array([int(row["late"]) for row in rows]),
        "features": features,
    }


def learn_airports(names, late):
    """Share of late flights per airport, few flights drawn to the mean. Returns the table and the default."""
    overall = late.mean()
    airports, index = np.unique(names, return_inverse=True)
    flights = np.bincount(index)
    rates = (np.bincount(index, late) + SMOOTHING_FLIGHTS * overall) / (flights + SMOOTHING_FLIGHTS)
    return {str(a): np.float32(r) for a, r in zip(airports, rates)}, np.float32(overall)


def to_matrix(features, tables):
    """What the trees see. Rounded to 32 bits, as in ONNX, so that both compare the same numbers."""
    columns = []
    for name in STRINGS:
        table, default = tables[name]
        columns.append([table.get(str(value), default) for value in features[name]])
    columns += [features[name] for name in INTEGERS + FLOATS]
    return np.column_stack(columns).astype(np.float32).astype(np.float64)


def fit(data, chosen, settings):
    """A classifier and its airport tables, from the flights of the mask `chosen` only."""
    features = {name: values[chosen] for name, values in data["features"].items()}
    late = data["late"][chosen]
    tables = {name: learn_airports(features[name], late) for name in STRINGS}
    trees = HistGradientBoostingClassifier(random_state=SEED, early_stopping=False, **settings)
    return trees.fit(to_matrix(features, tables), late), tables


def predict(model, features):
    trees, tables = model
    return trees.predict_proba(to_matrix(features, tables))[:, 1]


def held_out_auc(data, settings, start, stop):
    """Trains on what had arrived before flight `start` left. Returns the model, its AUC on [start, stop), its mask."""
    chosen = data["arrived"] <= data["departed"][start]
    model = fit(data, chosen, settings)
    scores = predict(model, {name: values[start:stop] for name, values in data["features"].items()})
    return model, roc_auc_score(data["late"][start:stop], scores), chosen


def floor32(value):
    """The largest 32-bit float not above `value`: for 32-bit x, `x <= value` and `x <= floor32(value)` agree."""
    rounded = np.float32(value)
    return rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(-np.inf))


def tree_node(trees):
    """One TreeEnsembleClassifier: binary, all leaf weights for the positive class, the logistic function at the end."""
    # scikit-learn publishes no other way to read the trees of this estimator than these two fields.
    predictors, baseline = trees._predictors, trees._baseline_prediction
    nodes = {key: [] for key in ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"]}
    leaves = {key: [] for key in ["treeids", "nodeids", "ids", "weights"]}
    for tree, (predictor,) in enumerate(predictors):
        for index, node in enumerate(predictor.nodes):
            is_leaf = bool(node["is_leaf"])
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(index)
            nodes["featureids"].append(0 if is_leaf else int(node["feature_idx"]))
            nodes["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            nodes["values"].append(0.0 if is_leaf else float(floor32(node["num_threshold"])))
            nodes["truenodeids"].append(0 if is_leaf else int(node["left"]))
            nodes["falsenodeids"].append(0 if is_leaf else int(node["right"]))
            if is_leaf:
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(index)
                leaves["ids"].append(0)
                leaves["weights"].append(float(node["value"]))
    return helper.make_node(
        "TreeEnsembleClassifier",
        ["columns"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        classlabels_int64s=[0, 1],
        base_values=[float(np.ravel(baseline)[0])],
        post_transform="LOGISTIC",
        **{f"nodes_{key}": values for key, values in nodes.items()},
        **{f"class_{key}": values for key, values in leaves.items()},
    )


def to_onnx(model, version):
    trees, tables = model
    types = {name: TensorProto.STRING for name in STRINGS}
    types |= {name: TensorProto.INT64 for name in INTEGERS}
    types |= {name: TensorProto.FLOAT for name in FLOATS}
    nodes = []
    for name in STRINGS:
        table, default = tables[name]
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [name],
                [f"{name}_rate"],
                domain="ai.onnx.ml",
                keys_strings=list(table),
                values_floats=[float(rate) for rate in table.values()],
                default_float=float(default),
            )
        )
    for name in INTEGERS:
        nodes.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
    columns = [f"{name}_rate" for name in STRINGS] + [f"{name}_float" for name in INTEGERS] + FLOATS
    nodes.append(helper.make_node("Concat", columns, ["columns"], axis=1))
    nodes.append(tree_node(trees))
    nodes.append(helper.make_node("Gather", ["probabilities", "positive"], ["probability"], axis=1))
    graph = helper.make_graph(
        nodes,
        "flight-delay",
        [helper.make_tensor_value_info(name, kind, ["N", 1]) for name, kind in types.items()],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"]),
        ],
        initializer=[helper.make_tensor("positive", TensorProto.INT64, [], [1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pelton-demo")
    proto.doc_string = "The risk that a flight arrives more than 15 minutes late, told when it leaves."
    onnx.checker.check_model(proto)
    target = MODELS / version / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(proto.SerializeToString(deterministic=True))


def fixture_rows(data, start, models):
    """Held-out flights spread over the days, each fourth of the last twenty with airports no model has seen."""
    picked = np.linspace(start, len(data["late"]) - 1, FIXTURE_ROWS).astype(int)
    features = {name: values[picked].copy() for name, values in data["features"].items()}
    ids = [data["id"][index] for index in picked]
    for index in range(FIXTURE_ROWS - 20, FIXTURE_ROWS, 4):
        ids[index] += "-unknown-airports"
        features["origin"][index] = "ZZZ"
        features["destination"][index] = ""
    expected = {version: predict(model, features) for version, model in models.items()}
    return [
        {
            "id": ids[index],
            "features": {name: values[index].item() for name, values in features.items()},
            "probability": {version: float(scores[index]) for version, scores in expected.items()},
        }
        for index in range(FIXTURE_ROWS)
    ]


def describe(data, chosen):
    days = (datetime.fromisoformat(max(data["departed"][chosen])[:-1]) -
            datetime.fromisoformat(min(data["departed"][chosen])[:-1])).total_seconds() / 86400
    return {
        "flights": int(chosen.sum()),
        "days": round(days, 1),
        "firstDeparture": str(min(data["departed"][chosen])),
        "lastDeparture": str(max(data["departed"][chosen])),
        "lateShare": round(float(data["late"][chosen].mean()), 4),
    }


def main(path):
    data = read_flights(path)
    total = len(data["late"])
    test, before = total - HELD_OUT, total - HELD_OUT - VALIDATION
    position = np.arange(total)
    models, versions = {}, {}
    for version, settings in VERSIONS.items():
        # The same recipe on earlier days: whether the held-out days are a lucky choice.
        _, validation_auc, _ = held_out_auc(data, settings, before, test)
        models[version], auc, trained = held_out_auc(data, settings, test, total)
        to_onnx(models[version], version)
        versions[version] = {
            "settings": settings,
            "heldOutAuc": round(float(auc), 4),
            "daysBeforeAuc": round(float(validation_auc), 4),
        }
        print(f"version {version}: AUC {auc:.4f} held out, {validation_auc:.4f} on the days before")
    facts = {
        "data": "flights-3m.parquet of vega-datasets: US Bureau of Transportation Statistics, 2001",
        "target": "arrives more than 15 minutes late",
        "trainer": f"scikit-learn {sklearn.__version__} HistGradientBoostingClassifier, onnx {onnx.__version__}",
        "seed": SEED,
        "training": describe(data, trained),
        "heldOut": describe(data, position >= test),
        "daysBefore": describe(data, (position >= before) & (position < test)),
        "daysBeforeNote": "daysBeforeAuc is of a model trained only on what had arrived before those days",
        "versions": versions,
    }
    (MODELS / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    lines = ",\n".join(json.dumps(row) for row in fixture_rows(data, test, models))
    (HERE / "expected.fixture.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python3 train.py flights.csv: name the file that export.ts wrote")
    main(sys.argv[1])

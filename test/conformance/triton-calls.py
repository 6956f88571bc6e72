"""Calls every part of an Open Inference Protocol server through Triton's own HTTP client, unmodified, and checks what it makes
of the answers.

Usage: python3 triton-calls.py FOLDER HOST:PORT

FOLDER holds `tritonclient/`: src/python/library of github.com/triton-inference-server/client (BSD-3-Clause), of which nothing
is kept here. Debian: python3-gevent python3-geventhttpclient python3-numpy python3-rapidjson.
"""
import sys

sys.path.insert(0, sys.argv[1])

import numpy as np  # noqa: E402
import tritonclient.http as http  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

client = http.InferenceServerClient(sys.argv[2], network_timeout=60.0, connection_timeout=60.0)


def fails(status, act):
    try:
        act()
    except InferenceServerException as error:
        assert error.status() == str(status), error
        assert error.message(), error
        return error.message()
    raise AssertionError("it was taken")


assert client.is_server_live()
assert client.is_server_ready()
assert client.get_server_metadata()["name"] == "pelton"
assert client.is_model_ready("linear")
assert client.is_model_ready("linear", "9")
assert not client.is_model_ready("linear", "77")
assert not client.is_model_ready("nobody")
metadata = client.get_model_metadata("linear")
assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}], metadata
assert client.get_model_metadata("linear", "9")["versions"] == ["9"]
assert client.get_model_metadata("modèle é")["name"] == "modèle é"
index = client.get_model_repository_index()
assert {"name": "linear", "version": "9", "state": "READY", "reason": ""} in index, index
assert "model_stats" in client.get_inference_statistics()
assert client.get_inference_statistics("linear")["model_stats"][0]["name"] == "linear"
fails(404, lambda: client.get_model_metadata("nobody"))
fails(404, lambda: client.get_model_metadata("a/b"))
for act in (
    lambda: client.get_model_config("linear"),
    lambda: client.load_model("linear"),
    lambda: client.unload_model("linear"),
    lambda: client.get_log_settings(),
    lambda: client.get_trace_settings(),
    lambda: client.get_trace_settings("linear"),
    lambda: client.get_system_shared_memory_status(),
    lambda: client.get_cuda_shared_memory_status(),
):
    fails(501, act)

ROWS = np.array([[1, 2, 3], [0.5, -0.25, 1e-3], [np.pi, 1e9, -0.0]], np.float32)
SCORES = (ROWS @ np.array([[1], [2], [3]], np.float32) + np.float32(0.5)).astype(np.float32)


def rows(binary, values=ROWS):
    made = http.InferInput("x", list(values.shape), "FP32")
    made.set_data_from_numpy(values, binary_data=binary)
    return [made]


def score(**more):
    return [http.InferRequestedOutput("score", **more)]


def infer(**more):
    return client.infer("linear", **{"request_id": "mine", **more})


for binary_in in (False, True):
    for outputs in (None, score(binary_data=False), score(binary_data=True)):
        for compressed in (None, "gzip", "deflate"):
            result = infer(
                inputs=rows(binary_in),
                outputs=outputs,
                request_compression_algorithm=compressed,
                response_compression_algorithm=compressed,
            )
            assert result.get_response()["id"] == "mine"
            assert np.allclose(result.as_numpy("score"), SCORES, rtol=1e-6), result.as_numpy("score")

assert infer(inputs=rows(True), model_version="9").get_response()["model_version"] == "9"
for priority in (1, 2, 3):
    infer(inputs=rows(True), priority=priority, timeout=30_000_000)
infer(inputs=rows(True), sequence_id=7, sequence_start=True, sequence_end=True, parameters={"mine": "x", "rate": 0.5})
pending = [client.async_infer("linear", rows(True), request_id=str(each)) for each in range(2)]
for each in pending:
    assert np.allclose(each.get_result().as_numpy("score"), SCORES, rtol=1e-6)
assert "at least one row" in fails(422, lambda: infer(inputs=rows(True, np.zeros((0, 3), np.float32))))

texts = np.array([["", "ü"], ["a b", "x" * 300]], dtype=object)
for binary in (False, True):
    given = http.InferInput("x", [2, 2], "BYTES")
    given.set_data_from_numpy(texts, binary_data=binary)
    answered = client.infer("identity-bytes", [given], request_id="texts").as_numpy("y")
    assert [[each.decode() for each in row] for row in answered] == texts.tolist(), answered

inputs = []
for name, values in (
    ("a", np.array([[1.5], [2.5]], np.float32)),
    ("b", np.array([[2], [4]], np.float32)),
    ("n", np.array([[2**62 + 1], [-(2**63)]], np.int64)),
):
    inputs.append(http.InferInput(name, [2, 1], "INT64" if name == "n" else "FP32"))
    inputs[-1].set_data_from_numpy(values, binary_data=name != "b")
mixed = client.infer("several", inputs, request_id="mixed", outputs=[
    http.InferRequestedOutput("same", binary_data=False), http.InferRequestedOutput("sum", binary_data=True),
])
assert mixed.as_numpy("same").tolist() == [[2**62 + 1], [-(2**63)]], mixed.as_numpy("same")
assert mixed.as_numpy("sum").tolist() == [[3.5], [6.5]]

fails(422, lambda: infer(inputs=rows(True, np.zeros((1, 2), np.float32))))
fails(400, lambda: infer(inputs=rows(True), outputs=score(class_count=2)))
fails(404, lambda: client.infer("nobody", rows(True)))
fails(404, lambda: infer(inputs=rows(True), model_version="77"))
client.close()
print("all answers were as they should be")

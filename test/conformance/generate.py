"""Writes the ONNX project's operator models with their inputs and expected outputs.

Usage: python3 generate.py FOLDER

Makes FOLDER/models/<name>/1/model.onnx, and FOLDER/cases.jsonl with one case a line:
{"name", "rtol", "atol", "sets": [{"inputs": [VALUE], "outputs": [VALUE]}]}, where VALUE is
{"name", "kind", "shape", "data"}: `kind` as ONNX names the element type, `data` the raw little-endian
elements in base64 or, for strings, a list. A value that is no tensor has only "name" and "kind".
Nothing is downloaded: the cases come from the `onnx` package (Debian: python3-onnx).
"""
import base64
import collections
import json
import os
import sys

import numpy

# onnx 1.12 uses names that NumPy 1.24 removed.
for alias, builtin in {'bool': bool, 'int': int, 'float': float, 'object': object, 'str': str}.items():
    if alias not in numpy.__dict__:
        setattr(numpy, alias, builtin)

import onnx  # noqa: E402
import onnx.backend.test.case.model as model_cases  # noqa: E402
import onnx.backend.test.case.node as node_cases  # noqa: E402


def kind_of(value_info):
    which = value_info.type.WhichOneof('value')
    if which != 'tensor_type':
        return which.removesuffix('_type')
    return onnx.TensorProto.DataType.Name(value_info.type.tensor_type.elem_type).lower()


def to_value(info, value):
    kind = kind_of(info)
    if kind in ('sequence', 'map', 'optional', 'sparse_tensor') or value is None:
        return {'name': info.name, 'kind': kind}
    array = numpy.asarray(value)
    if kind == 'string':
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.ravel()]
        return {'name': info.name, 'kind': kind, 'shape': array.shape, 'data': texts}
    raw = base64.b64encode(numpy.ascontiguousarray(array).tobytes()).decode()
    return {'name': info.name, 'kind': kind, 'shape': array.shape, 'data': raw, 'numpy': str(array.dtype)}


def write_case(case, name, folder):
    model_folder = os.path.join(folder, 'models', name, '1')
    os.makedirs(model_folder)
    with open(os.path.join(model_folder, 'model.onnx'), 'wb') as file:
        file.write(case.model.SerializeToString())
    graph = case.model.graph
    sets = [
        {
            'inputs': [to_value(info, value) for info, value in zip(graph.input, inputs)],
            'outputs': [to_value(info, value) for info, value in zip(graph.output, outputs)],
        }
        for inputs, outputs in case.data_sets
    ]
    return {'name': name, 'rtol': case.rtol, 'atol': case.atol, 'sets': sets}


def main():
    folder = sys.argv[1]
    numpy.random.seed(0)
    cases = [case for case in model_cases.collect_testcases() + node_cases.collect_testcases(None) if case.model]
    with open(os.path.join(folder, 'cases.jsonl'), 'w', encoding='utf-8') as file:
        seen = collections.Counter()
        for case in cases:
            # A few cases of onnx share a name and differ in content.
            seen[case.name] += 1
            name = case.name if seen[case.name] == 1 else f'{case.name}-{seen[case.name]}'
            file.write(json.dumps(write_case(case, name, folder)) + '\n')
    print(json.dumps({'onnx': onnx.__version__, 'cases': len(cases)}))


main()

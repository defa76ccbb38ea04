"""Holds ONNX models to the specification: onnx.checker with type and shape inference. usage: check_onnx.py FILE..."""
import sys

import onnx

for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    assert model.ir_version <= 8, (path, model.ir_version)
    assert all(o.version <= 17 for o in model.opset_import), path
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    for said, found in zip(model.graph.output, inferred.graph.output):
        assert said == found, (path, said, found)
    print(path, "passes")

"""Runs ONNX models in onnxruntime, for verify.ts.

    python run.py REQUEST.json

The request holds `cases`: for each, `model` (an ONNX file), `inputs` and `outputs` (safetensors
files). The inputs are named as the model's. Into `outputs` go, for each output of the model,
`NAME.plain` (without graph optimisations) and `NAME.optimized` (with all of them). Each model has
to pass onnx.checker first.
"""

import json
import sys
import time

import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

LEVELS = {
    "plain": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "optimized": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def evaluate(case):
    onnx.checker.check_model(case["model"], full_check=True)
    inputs = load_file(case["inputs"])
    outputs = {}
    for level, optimization in LEVELS.items():
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = optimization
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            case["model"], options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        start = time.monotonic()
        for name, value in zip(names, session.run(names, inputs)):
            outputs[f"{name}.{level}"] = value
        seconds = time.monotonic() - start
        print(f"  onnxruntime {level}: {seconds:.2f} s", file=sys.stderr, flush=True)
    save_file(outputs, case["outputs"])


def main(request_path):
    with open(request_path) as file:
        request = json.load(file)
    for case in request["cases"]:
        print(case["model"], file=sys.stderr, flush=True)
        evaluate(case)


if __name__ == "__main__":
    main(sys.argv[1])

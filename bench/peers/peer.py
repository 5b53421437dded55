"""One peer of compare.ts in a process of its own: a U-Net step in another inference engine.

    python peer.py export openvino|onnxruntime|openvino-int8|onnxruntime-int8 REQUEST.json FOLDER
    python peer.py pytorch|pytorch-compile|openvino|onnxruntime REQUEST.json FOLDER --precision P

REQUEST.json holds `config` (a UNet2DConditionModel config.json), `batch`, `height` and `width` of
the latents, `tokens` and `threads`. `export` writes a folder of that name into FOLDER, with PyTorch's
own float32 output beside the model; the INT8 models are made from the others, which must be there
first. The others load, warm up and print one JSON line
`{peer, precision, versions, details, error}`, where `error` is the relative L2 distance to that
output. Then each line on standard input, a number of steps, is answered by
`{peer, precision, seconds, peakMemory}`; the end of the input ends the process. By hand:

    echo 5 | python peer.py openvino REQUEST.json FOLDER --precision bf16
"""

import argparse
import collections
import contextlib
import gc
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time
from importlib.metadata import version

import numpy as np

TIMESTEP = 500
INPUT_NAMES = ["sample", "timestep", "encoder_hidden_states"]
MODEL_FILES = {"openvino": "unet.xml", "onnxruntime": "unet.onnx"}
EXPECTED_FILE = "expected.npy"
# torch's exporter keeps attention and group normalisation whole from this opset on.
ONNX_OPSET = 23


class Inputs:
    """The same numbers for every peer; images channels-first, as all of these engines want them."""

    def __init__(self, request):
        random = np.random.default_rng(0)
        config, batch = request["config"], request["batch"]
        sample = (batch, config["in_channels"], request["height"], request["width"])
        context = (batch, request["tokens"], config["cross_attention_dim"])
        self.arrays = [
            random.standard_normal(sample, dtype=np.float32),
            np.array([TIMESTEP], dtype=np.int64),
            random.standard_normal(context, dtype=np.float32),
        ]


def relative_l2(actual, expected):
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def build_module(request):
    """A U-Net of random weights, the same in every process, as a function of three tensors."""
    import torch
    from diffusers import UNet2DConditionModel

    class OutputOnly(torch.nn.Module):
        def __init__(self, unet):
            super().__init__()
            self.unet = unet

        def forward(self, sample, timestep, encoder_hidden_states):
            return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]

    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    return OutputOnly(UNet2DConditionModel.from_config(request["config"])).eval()


def export(target, request, folder):
    partial = folder / f"{target}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    EXPORTERS[target](request, folder, partial)
    partial.rename(folder / target)


@contextlib.contextmanager
def exported_module(request, target):
    """The module and its inputs, under no_grad, when its own output lies in the folder `target`."""
    import torch

    tensors = tuple(torch.from_numpy(array) for array in Inputs(request).arrays)
    with torch.no_grad():
        module = build_module(request)
        np.save(target / EXPECTED_FILE, module(*tensors).numpy())
        yield module, tensors


def export_openvino(request, _folder, target):
    import openvino

    with exported_module(request, target) as (module, tensors):
        shapes = [list(tensor.shape) for tensor in tensors]
        model = openvino.convert_model(module, example_input=tensors, input=shapes)
    # Halving the weights is the default of save_model, and would change fp32 results.
    openvino.save_model(model, target / MODEL_FILES["openvino"], compress_to_fp16=False)


def export_onnx(request, _folder, target):
    import torch

    with exported_module(request, target) as (module, tensors):
        torch.onnx.export(
            module,
            tensors,
            target / MODEL_FILES["onnxruntime"],
            dynamo=True,
            external_data=True,
            opset_version=ONNX_OPSET,
            input_names=INPUT_NAMES,
            output_names=["output"],
            verbose=False,
        )


def quantize_openvino(request, folder, target):
    import nncf
    import openvino

    source = folder / "openvino"
    shutil.copy(source / EXPECTED_FILE, target)
    model = nncf.quantize(
        openvino.Core().read_model(source / MODEL_FILES["openvino"]),
        # Speed does not depend on the ranges that calibration finds, so one step will do.
        nncf.Dataset([Inputs(request).arrays]),
        subset_size=1,
        preset=nncf.QuantizationPreset.MIXED,
        # Quantizes attention too, which is a little faster here than bf16 attention.
        model_type=nncf.ModelType.TRANSFORMER,
        # Smoothing adds a multiplication before every layer that no norm can take in.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
        ),
    )
    openvino.save_model(model, target / MODEL_FILES["openvino"], compress_to_fp16=False)


def quantize_onnx(request, folder, target):
    from onnxruntime import quantization

    class OneStep(quantization.CalibrationDataReader):
        def __init__(self):
            self.steps = iter([dict(zip(INPUT_NAMES, Inputs(request).arrays))])

        def get_next(self):
            return next(self.steps, None)

    source = folder / "onnxruntime"
    shutil.copy(source / EXPECTED_FILE, target)
    quantization.quantize_static(
        source / MODEL_FILES["onnxruntime"],
        target / MODEL_FILES["onnxruntime"],
        OneStep(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        use_external_data_format=True,
    )


EXPORTERS = {
    "openvino": export_openvino,
    "onnxruntime": export_onnx,
    "openvino-int8": quantize_openvino,
    "onnxruntime-int8": quantize_onnx,
}


class PyTorch:
    """diffusers' module, eager or compiled by Inductor, in the faster of the two memory layouts."""

    packages = ["torch", "diffusers"]

    def __init__(self, request, _folder, options):
        import torch

        self.torch = torch
        self.module = build_module(request)
        self.inputs = [torch.from_numpy(array) for array in Inputs(request).arrays]
        expected = self.run()
        if options.precision == "bf16":
            self.module.to(torch.bfloat16)
            gc.collect()
            self.inputs = [x.bfloat16() if x.is_floating_point() else x for x in self.inputs]
        if options.peer == "pytorch-compile":
            self.details = "Inductor, weights frozen"
            self.compile()
        else:
            self.details = self.choose_layout(options.layout)
        self.error = relative_l2(self.run(), expected)

    def compile(self):
        import torch._inductor.config as inductor

        # Freezing lets Inductor pack weights once for oneDNN and choose layouts by itself.
        inductor.freezing = True
        self.module = self.torch.compile(self.module)

    def choose_layout(self, layout):
        formats = {
            "contiguous": self.torch.contiguous_format,
            "channels-last": self.torch.channels_last,
        }
        seconds = {}
        for name in formats if layout == "auto" else [layout]:
            self.use_format(formats[name])
            self.run()
            seconds[name] = min(timed(self.run), timed(self.run))
            note(f"{name}: {seconds[name]:.3f} s")
        best = min(seconds, key=seconds.get)
        self.use_format(formats[best])
        return f"eager, {best}"

    def use_format(self, memory_format):
        self.module.to(memory_format=memory_format)
        self.inputs[0] = self.inputs[0].contiguous(memory_format=memory_format)

    def run(self):
        # torch.compile freezes under no_grad; inference_mode would make it start over.
        with self.torch.no_grad():
            return self.module(*self.inputs).float().numpy()


class OpenVINO:
    packages = ["openvino"]

    def __init__(self, request, folder, options):
        import openvino

        core = openvino.Core()
        int8 = options.precision == "int8"
        bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        floats = ("bf16" if bf16 else "fp32") if int8 else options.precision
        settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[floats],
            "INFERENCE_NUM_THREADS": request["threads"],
            "PERFORMANCE_HINT": "LATENCY",
        }
        source = folder / ("openvino-int8" if int8 else "openvino")
        compiled = core.compile_model(source / MODEL_FILES["openvino"], "CPU", settings)
        self.inputs = Inputs(request).arrays
        self.request = compiled.create_infer_request()
        self.error = relative_l2(self.run(), np.load(source / EXPECTED_FILE))
        self.details = "CPU plugin, latency hint"
        if int8:
            self.packages = [*self.packages, "nncf"]
            self.details += f", {integer_layers(compiled)}, the rest {floats}"

    def run(self):
        return self.request.infer(self.inputs, share_inputs=True)[0]


def integer_layers(compiled):
    """How many layers of a compiled OpenVINO model execute in INT8, by its own account."""
    nodes = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    layers = [n for n in nodes if n["layerType"].astype(str) in ("Convolution", "FullyConnected")]
    integer = [n for n in layers if n["runtimePrecision"].astype(str) in ("u8", "i8")]
    return f"{len(integer)} of {len(layers)} convolutions and linear layers in INT8"


class OnnxRuntime:
    packages = ["onnxruntime"]

    def __init__(self, request, folder, options):
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.intra_op_num_threads = request["threads"]
        int8 = options.precision == "int8"
        source = folder / ("onnxruntime-int8" if int8 else "onnxruntime")
        self.inputs = dict(zip(INPUT_NAMES, Inputs(request).arrays))
        self.details = f"CPU provider, opset {ONNX_OPSET}, all graph optimizations"
        with tempfile.TemporaryDirectory() as profiles:
            settings.enable_profiling = int8
            settings.profile_file_prefix = str(pathlib.Path(profiles) / "first-run")
            self.session = onnxruntime.InferenceSession(
                source / MODEL_FILES["onnxruntime"], settings, providers=["CPUExecutionProvider"]
            )
            self.error = relative_l2(self.run(), np.load(source / EXPECTED_FILE))
            if int8:
                self.details += f", {executed_layers(self.session.end_profiling())}, the rest fp32"

    def run(self):
        return self.session.run(None, self.inputs)[0]


def executed_layers(profile):
    """How many layers ran in INT8, from ONNX Runtime's profile of a single run."""
    events = json.loads(pathlib.Path(profile).read_text())
    ran = collections.Counter(
        event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")
    )
    integer = sum(ran[op] for op in ("QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "QGemm"))
    floats = sum(ran[op] for op in ("Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm"))
    return f"{integer} of {integer + floats} convolutions and linear layers in INT8"


PEERS = {
    "pytorch": (PyTorch, ["fp32", "bf16"]),
    "pytorch-compile": (PyTorch, ["fp32", "bf16"]),
    "openvino": (OpenVINO, ["fp32", "bf16", "int8"]),
    "onnxruntime": (OnnxRuntime, ["fp32", "int8"]),
}


def peak_memory():
    """Of this process, loading included, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(options, request, answers):
    peer = PEERS[options.peer][0](request, options.folder, options)
    peer.run()  # The run that gave `error` was the first warm-up, this is the second.
    name = {"peer": options.peer, "precision": options.precision}

    def answer(content):
        print(json.dumps({**name, **content}), file=answers, flush=True)

    versions = {package: version(package) for package in peer.packages}
    answer({"versions": versions, "details": peer.details, "error": peer.error})
    for line in sys.stdin:
        seconds = [timed(peer.run) for _ in range(int(line))]
        answer({"seconds": seconds, "peakMemory": peak_memory()})


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="peer", required=True)
    exporter = commands.add_parser("export")
    exporter.add_argument("target", choices=EXPORTERS)
    for name, (_, precisions) in PEERS.items():
        command = commands.add_parser(name)
        command.add_argument("--precision", choices=precisions, default=precisions[0])
        if name == "pytorch":
            layouts = ["auto", "contiguous", "channels-last"]
            command.add_argument("--layout", choices=layouts, default="auto")
    for command in commands.choices.values():
        command.add_argument("request", type=pathlib.Path)
        command.add_argument("folder", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = parse_arguments()
    request = json.loads(options.request.read_text())
    # Some libraries greet on standard output, which is for answers only.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        if options.peer == "export":
            export(options.target, request, options.folder)
        else:
            with contextlib.suppress(KeyboardInterrupt):
                serve(options, request, answers)


if __name__ == "__main__":
    main()

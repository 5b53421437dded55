"""Writes ops.json: small inputs and PyTorch's float64 outputs for every op of the graph IR that PyTorch has.

Run: python make.py (needs torch). Images are [batch, height, width, channels] in the file.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(7)
cases = []


def rand(*shape):
    return (torch.randn(*shape) * 1.5).to(torch.float32).to(torch.float64)


def array(t):
    return {"shape": list(t.shape), "data": [round(v, 12) for v in t.double().flatten().tolist()]}


def case(op, inputs, attributes, output):
    cases.append(
        {
            "op": op,
            "inputs": {k: array(v) for k, v in inputs.items()},
            "attributes": attributes,
            "outputs": [array(t) for t in (output if isinstance(output, tuple) else (output,))],
        }
    )


def last(t):
    return t.permute(0, 2, 3, 1).contiguous()


def first(t):
    return t.permute(0, 3, 1, 2).contiguous()


x = torch.cat([rand(2, 6), torch.tensor([[0.0, -30.0, 30.0, 4.5, -4.5, 1e-9]])]).double()
case("sigmoid", {"x": x}, {}, torch.sigmoid(x))
case("tanh", {"x": x}, {}, torch.tanh(x))
small = rand(2, 3)
case("exp", {"x": small}, {}, torch.exp(small))
case("erf", {"x": x}, {}, torch.erf(x))
case("silu", {"x": x}, {}, F.silu(x))
case("gelu", {"x": x}, {}, F.gelu(x))
case("geluTanh", {"x": x}, {}, F.gelu(x, approximate="tanh"))
case("quickGelu", {"x": x}, {}, x * torch.sigmoid(1.702 * x))
case("softmax", {"x": x}, {}, x.softmax(-1))
case("geglu", {"x": x}, {}, x[:, :3] * F.gelu(x[:, 3:]))

a, c = rand(2, 3, 4), rand(3, 1) + 4
case("add", {"a": a, "b": c}, {}, a + c)
case("sub", {"a": c, "b": a}, {}, c - a)
case("mul", {"a": a, "b": c}, {}, a * c)
case("div", {"a": a, "b": c}, {}, a / c)
case("sum", {"x": a}, {"axes": [0, 2], "keep": False}, a.sum((0, 2)))
case("permute", {"x": a}, {"order": [2, 0, 1]}, a.permute(2, 0, 1))
case("pad", {"x": a}, {"axis": 1, "before": 1, "after": 2}, F.pad(a, (0, 0, 1, 2)))
case("slice", {"x": a}, {"axis": 1, "start": 1, "length": 2}, a[:, 1:3])
other = rand(2, 2, 4)
case("concat", {"first": a, "second": other}, {"axis": 1}, torch.cat([a, other], 1))
m = rand(2, 4, 5)
case("matmul", {"a": a, "b": m}, {"transposeA": False, "transposeB": False}, a @ m)
case("matmul", {"a": a, "b": m.mT.contiguous()}, {"transposeA": False, "transposeB": True}, a @ m)

plain = {"activation": "none", "outputScale": 1}
weight, bias = rand(6, 4), rand(6)
case("linear", {"x": a, "weight": weight, "bias": bias}, plain, F.linear(a, weight, bias))
skip, wide, residual, row = rand(2, 3, 2), rand(6, 6), rand(2, 3, 3), rand(2, 6)
joined = F.linear(torch.cat([a, skip], -1), wide, bias) + row[:, None]
case(
    "linear",
    {"x": a, "skip": skip, "weight": wide, "bias": bias, "rowBias": row, "residual": residual},
    {"activation": "geglu", "outputScale": 0.5},
    (joined[..., :3] * F.gelu(joined[..., 3:]) + residual) * 0.5,
)

image, kernel, bias = rand(2, 4, 5, 6), rand(3, 4, 3, 3), rand(3)
for stride, padding in ((1, [1, 1, 1, 1]), (2, [1, 1, 1, 1]), (2, [0, 1, 0, 1]), (1, [0, 0, 0, 0])):
    top, bottom, left, right = padding
    padded = F.pad(image, (left, right, top, bottom))
    case(
        "conv2d",
        {"x": last(image), "weight": kernel, "bias": bias},
        {**plain, "stride": stride, "padding": padding, "upsample": 1},
        last(F.conv2d(padded, kernel, bias, stride)),
    )
skip, wide, row = rand(2, 2, 5, 6), rand(3, 6, 3, 3), rand(2, 3)
up = F.interpolate(torch.cat([image, skip], 1), scale_factor=2.0, mode="nearest")
residual = rand(2, 3, 10, 12)
case(
    "conv2d",
    {"x": last(image), "skip": last(skip), "weight": wide, "bias": bias, "rowBias": row, "residual": last(residual)},
    {"activation": "silu", "outputScale": 2, "stride": 1, "padding": [1, 1, 1, 1], "upsample": 2},
    last((F.silu(F.conv2d(up, wide, bias, 1, 1) + row[:, :, None, None]) + residual) * 2),
)
case(
    "upsampleNearest",
    {"x": last(image)},
    {"height": 8, "width": 11},
    last(F.interpolate(image, size=(8, 11), mode="nearest")),
)
gamma, beta = rand(6), rand(6)
norm = F.group_norm(torch.cat([image, skip], 1), 2, gamma, beta, 1e-5)
case(
    "groupNorm",
    {"x": last(image), "skip": last(skip), "gamma": gamma, "beta": beta},
    {"groups": 2, "eps": 1e-5, "activation": "silu"},
    last(F.silu(norm)),
)
case(
    "groupNorm",
    {"x": last(image), "gamma": gamma[:4], "beta": beta[:4]},
    {"groups": 2, "eps": 1e-6, "activation": "none"},
    last(F.group_norm(image, 2, gamma[:4], beta[:4], 1e-6)),
)
case(
    "layerNorm",
    {"x": a, "gamma": gamma[:4], "beta": beta[:4]},
    {"eps": 1e-5},
    F.layer_norm(a, (4,), gamma[:4], beta[:4], 1e-5),
)


def attend(q, k, v, heads, **options):
    split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(split(q), split(k), split(v), **options).transpose(1, 2).flatten(2)


q, k, v = rand(2, 3, 8), rand(2, 5, 8), rand(2, 5, 8)
case("attention", {"q": q, "k": k, "v": v}, {"heads": 2, "scale": 0.5, "causal": False}, attend(q, k, v, 2))
q = rand(2, 5, 8)
case(
    "attention",
    {"q": q, "k": k, "v": v},
    {"heads": 4, "scale": 0.3, "causal": True},
    attend(q, k, v, 4, is_causal=True, scale=0.3),
)
table, ids = rand(5, 3), torch.tensor([[4, 0], [2, 2]])
case("embedding", {"ids": ids, "table": table}, {}, F.embedding(ids, table))

# The formula of sinusoidal embeddings, step by step in float32 as models are trained with.
t = torch.tensor([0.0, 1.0, 500.0, 999.0])
for flip, shift in ((True, 0), (False, 1)):
    frequency = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(4, dtype=torch.float32) / (4 - shift))
    angle = t[:, None] * frequency
    parts = [angle.cos(), angle.sin()] if flip else [angle.sin(), angle.cos()]
    case(
        "timestepEmbedding",
        {"timestep": t},
        {"dim": 8, "flipSinToCos": flip, "freqShift": shift, "maxPeriod": 10000},
        torch.cat(parts, -1),
    )

case("matmul", {"a": a.mT.contiguous(), "b": m}, {"transposeA": True, "transposeB": False}, a @ m)


def gradients(compute, *operands):
    """The output's random gradient, and that of each operand."""
    operands = [t.detach().requires_grad_() for t in operands]
    output = compute(*operands)
    incoming = rand(*output.shape)
    return incoming, output.detach(), torch.autograd.grad(output, operands, incoming)


image, kernel = rand(2, 4, 5, 6), rand(3, 4, 3, 2)
for stride, padding in ((1, [1, 1, 1, 1]), (2, [0, 1, 2, 0])):
    top, bottom, left, right = padding
    incoming, _, (dx, dw) = gradients(
        lambda x, w: F.conv2d(F.pad(x, (left, right, top, bottom)), w, stride=stride), image, kernel
    )
    where = {"stride": stride, "padding": padding}
    case(
        "conv2dInputGradient",
        {"gradient": last(incoming), "weight": kernel},
        {**where, "height": 5, "width": 6},
        last(dx),
    )
    case(
        "conv2dWeightGradient",
        {"x": last(image), "gradient": last(incoming)},
        {**where, "kernelHeight": 3, "kernelWidth": 2},
        dw,
    )
gamma, beta = rand(4), rand(4)
incoming, _, (dx, *rest) = gradients(
    lambda x, g, b: F.group_norm(x, 2, g, b, 1e-5), image, gamma, beta
)
case(
    "groupNormGradient",
    {"x": last(image), "gamma": gamma, "gradient": last(incoming)},
    {"groups": 2, "eps": 1e-5},
    (last(dx), *rest),
)
incoming, _, results = gradients(
    lambda x, g, b: F.layer_norm(x, (4,), g, b, 1e-6), a, gamma, beta
)
case("layerNormGradient", {"x": a, "gamma": gamma, "gradient": incoming}, {"eps": 1e-6}, results)
for n, m, causal in ((3, 5, False), (5, 5, True)):
    q, k, v = rand(2, n, 8), rand(2, m, 8), rand(2, m, 8)
    incoming, output, results = gradients(
        lambda q, k, v: attend(q, k, v, 2, is_causal=causal, scale=0.4), q, k, v
    )
    case(
        "attentionGradient",
        {"q": q, "k": k, "v": v, "output": output, "gradient": incoming},
        {"heads": 2, "scale": 0.4, "causal": causal},
        results,
    )
incoming, _, (dtable,) = gradients(lambda t: F.embedding(ids, t), table)
case("embeddingGradient", {"ids": ids, "gradient": incoming}, {"rows": 5}, dtable)
incoming, _, (dx,) = gradients(
    lambda x: F.interpolate(x, size=(8, 11), mode="nearest"), image
)
case("upsampleNearestGradient", {"gradient": last(incoming)}, {"height": 5, "width": 6}, last(dx))

case("relu", {"x": x}, {}, F.relu(x))
for kernel, stride, padding in ((3, 2, 0), (3, 1, 1), (2, 3, 1)):
    where = {"kernelHeight": kernel, "kernelWidth": kernel, "stride": stride, "padding": [padding] * 4}
    pooled = F.max_pool2d(image, kernel, stride, padding)
    case("pool2d", {"x": last(image)}, {"kind": "max", **where}, last(pooled))
    pooled = F.avg_pool2d(image, kernel, stride, padding, count_include_pad=False)
    case("pool2d", {"x": last(image)}, {"kind": "average", **where}, last(pooled))
rectified = F.relu(F.conv2d(image, kernels := rand(3, 4, 1, 5), bias := rand(3), padding=(0, 2)))
case(
    "conv2d",
    {"x": last(image), "weight": kernels, "bias": bias},
    {"activation": "relu", "outputScale": 1, "stride": 1, "padding": [0, 0, 2, 2], "upsample": 1},
    last(rectified),
)

lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
pathlib.Path(__file__).with_name("ops.json").write_text(f"[\n{lines}\n]\n")

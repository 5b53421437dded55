"""Records PyTorch's AdamW and diffusers' moving average, learning rates and signal-to-noise ratios:
python test/golden/training/make.py

Gradients are made on both sides alike, in float32 exactly: element i of tensor k has at step s the
gradient ((i * 37 + k * 11 + s * 53) % 64 - 31.5) / 2 ** (i % 7), times 8 in the steps
3, 9 and 15, so that clipping at 100 takes place in some steps and not in others. Parameters start at
((i * 29 + k * 17) % 50 - 24.5) / 32. Arrays are base64 of little-endian float32.
"""

import base64
import json
from pathlib import Path

import diffusers
import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_snr

LENGTHS = [40, 7, 1]
STEPS = 20


def start(k):
    return torch.tensor([((i * 29 + k * 17) % 50 - 24.5) / 32 for i in range(LENGTHS[k])])


def gradient(k, s):
    loud = 8 if s % 6 == 3 else 1
    return torch.tensor(
        [((i * 37 + k * 11 + s * 53) % 64 - 31.5) / 2 ** (i % 7) * loud for i in range(LENGTHS[k])])


def encode(tensors):
    flat = torch.cat([t.detach().flatten() for t in tensors]).numpy().astype("<f4")
    return base64.b64encode(flat.tobytes()).decode()


def adamw(options, max_norm):
    parameters = [torch.nn.Parameter(start(k)) for k in range(len(LENGTHS))]
    keywords = {
        "betas": (options.get("beta1", 0.9), options.get("beta2", 0.999)),
        "eps": options.get("epsilon", 1e-8), "weight_decay": options.get("weightDecay", 0.01),
    }
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, **keywords)
    recorded, norms = [], []
    for s in range(STEPS):
        for k, parameter in enumerate(parameters):
            parameter.grad = gradient(k, s)
        if max_norm is not None:
            norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, max_norm)))
        optimizer.step()
        recorded.append(encode(parameters))
    state = [optimizer.state[p] for p in parameters]
    return {
        "options": options, "maxNorm": max_norm, "norms": norms, "parameters": recorded,
        "firstMoments": encode([s["exp_avg"] for s in state]),
        "secondMoments": encode([s["exp_avg_sq"] for s in state]),
    }


def ema(options):
    warmup = options.get("warmup")
    parameters = [torch.nn.Parameter(start(k)) for k in range(len(LENGTHS))]
    model = EMAModel(
        parameters, decay=options.get("decay", 0.9999), min_decay=options.get("minDecay", 0.0),
        update_after_step=options.get("updateAfterStep", 0), use_ema_warmup=warmup is not None,
        **({"inv_gamma": warmup["inverseGamma"], "power": warmup["power"]} if warmup else {}))
    decays, averages = [], []
    for s in range(12):
        with torch.no_grad():
            for k, parameter in enumerate(parameters):
                parameter.copy_(gradient(k, s))
        model.step(parameters)
        decays.append(model.cur_decay_value)
        averages.append(encode(model.shadow_params))
    return {"options": options, "decays": decays, "averages": averages}


def learning_rates(name, warmup, total, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule = get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    kind = "constant" if name.startswith("constant") else name
    return {"kind": kind, "warmupSteps": warmup, "totalSteps": total, "rates": rates}


def snr():
    scheduler = diffusers.DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    timesteps = [0, 1, 50, 400, 500, 999]
    values = compute_snr(scheduler, torch.tensor(timesteps))
    gamma = 5.0
    clamped = torch.clamp(values, max=gamma)
    weights = {"epsilon": clamped / values, "v_prediction": clamped / (values + 1), "sample": clamped}
    return {
        "gamma": gamma,
        "alphasCumprod": [float(scheduler.alphas_cumprod[t]) for t in timesteps],
        "weights": {name: w.tolist() for name, w in weights.items()},
    }


torch.set_num_threads(1)
golden = {
    "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    "lengths": LENGTHS,
    "adamw": [
        adamw({}, None), adamw({}, 100.0),
        adamw({"beta1": 0.4, "beta2": 0.95, "epsilon": 1e-4, "weightDecay": 0.3}, None),
    ],
    "ema": [
        ema({}), ema({"decay": 0.4, "updateAfterStep": 3}),
        ema({"minDecay": 0.3, "warmup": {"inverseGamma": 2.0, "power": 0.75}}),
    ],
    "learningRates": [
        learning_rates("constant", 0, 10, 5), learning_rates("constant_with_warmup", 4, 10, 8),
        learning_rates("linear", 3, 12, 15), learning_rates("cosine", 3, 12, 13),
        learning_rates("cosine", 0, 9, 10),
    ],
    "snr": snr(),
}
path = Path(__file__).parent / "training.json"
path.write_text(json.dumps(golden, indent=1) + "\n")
print(path, path.stat().st_size, "bytes")

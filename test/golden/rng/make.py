"""Records draws of torch's CPU generator: python test/golden/rng/make.py

Each case seeds a generator and makes some draws in a row, so that the state carried from one to
the next is part of what is compared. Uniforms are stored as counts of 2^-24.
"""

import json
from pathlib import Path

import torch

SEEDS = [0, 42, 2**32 - 1, 2**32 + 7, 2**53 + 1, 2**64 - 1]
DRAWS = [
    [("normal", 64)],
    [("normal", 37), ("normal", 16)],
    [("normal", 3), ("normal", 4), ("uniform", 2), ("normal", 2)],
    [("normal", 1), ("normal", 20), ("normal", 1)],
    [("uniform", 5), ("normal", 17), ("uniform", 700), ("normal", 15)],
]


def record(seed, draws):
    generator = torch.Generator("cpu").manual_seed(seed)
    values = []
    for kind, count in draws:
        if kind == "normal":
            values.append(torch.randn(count, generator=generator).tolist())
        else:
            drawn = torch.rand(count, generator=generator)
            values.append([int(v) for v in (drawn.double() * 2**24).tolist()])
    steps = [{"kind": k, "count": c, "values": v} for (k, c), v in zip(draws, values)]
    return {"seed": str(seed), "draws": steps}


def main():
    torch.set_num_threads(1)
    cases = [record(SEEDS[0], draws) for draws in DRAWS]
    cases += [record(seed, DRAWS[2]) for seed in SEEDS[1:]]
    path = Path(__file__).with_name("draws.json")
    path.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases}) + "\n")


if __name__ == "__main__":
    main()

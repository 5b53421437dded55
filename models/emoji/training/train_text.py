"""Train the text encoder to tell the captions apart, before the U-Net needs it.

Trained from scratch together with the U-Net, so small an encoder collapses: its outputs become
alike for all captions, and the U-Net learns to ignore them. So, in the spirit of CLIP, it learns
first: a linear layer must name the emoji from the mean of all output positions, and another from
one random position at or after the end of the text, because cross-attention sees all of them.
"""

import argparse
import random
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from architecture import MAX_TOKENS, TEXT_WIDTH, make_text_encoder
from captions import Captions
from dataset import load
from schedule import save_checkpoint, set_rate

RATE = 1e-3


@torch.no_grad()
def spread(text_encoder, ids):
    """Deviation between captions over the norm of the outputs, per position, averaged."""
    hidden = text_encoder(ids)[0]
    return (hidden.std(0).norm(dim=-1) / hidden.norm(dim=-1).mean(0)).mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder for text_encoder.pt")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    arguments.run.mkdir(parents=True, exist_ok=True)
    emoji = load()
    captions = Captions(emoji, dropout=0.0)
    captions.rng.seed(0)
    text_encoder = make_text_encoder(captions.tokenizer).train()
    heads = torch.nn.ModuleList(torch.nn.Linear(TEXT_WIDTH, len(emoji)) for _ in range(2))
    parameters = [*text_encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=1e-2, fused=True)
    rng = random.Random(0)
    for step in range(arguments.steps):
        left = 1 - step / arguments.steps
        set_rate(optimizer, RATE * min(1.0, (step + 1) / 50) * max(0.02, left))
        chosen = torch.tensor(rng.sample(range(len(emoji)), arguments.batch))
        ids = captions.draw(chosen.tolist())
        hidden = text_encoder(ids)[0]
        ends = (ids == captions.tokenizer.eos_token_id).int().argmax(dim=1)
        positions = torch.tensor([rng.randint(end, MAX_TOKENS - 1) for end in ends.tolist()])
        one = hidden[torch.arange(len(ids)), positions]
        loss = cross_entropy(heads[0](hidden.mean(dim=1)), chosen)
        loss = loss + cross_entropy(heads[1](one), chosen)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1} loss {loss.item():.4f}", flush=True)
    print(f"spread {spread(text_encoder, captions.names(range(len(emoji)))):.3f}")
    save_checkpoint(arguments.run / "text_encoder.pt", text_encoder.state_dict())


if __name__ == "__main__":
    main()

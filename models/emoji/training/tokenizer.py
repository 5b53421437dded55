"""Train the byte-pair vocabulary on the captions and save it as a CLIPTokenizer.

CLIP's format: vocab.json and merges.txt, words end in `</w>`, lower case, `<|startoftext|>` and
`<|endoftext|>` as the last two ids, padding with `<|endoftext|>`.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from architecture import MAX_TOKENS
from dataset import TEMPLATES, load

MERGES = 1200


def word_counts(emoji):
    """How often each word stands in names, keywords and templates."""
    counts = Counter()
    for e in emoji:
        for text in (e.name, e.name, *e.keywords):
            counts.update(text.split())
    for template in TEMPLATES:
        for word in template.replace("{name}", "").split():
            counts[word] += 50
    return counts


def learn_merges(counts, limit):
    """Greedy byte-pair merges, the most frequent pair first, ties in alphabetical order."""
    words = {word: (*word[:-1], word[-1] + "</w>") for word in counts}
    merges = []
    while len(merges) < limit:
        pairs = Counter()
        for word, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in words.items():
            words[word] = apply_merge(parts, best)
    return merges


def apply_merge(parts, pair):
    """`parts` with every adjacent occurrence of `pair` joined."""
    result, i = [], 0
    while i < len(parts):
        if parts[i : i + 2] == pair:
            result.append(parts[i] + parts[i + 1])
            i += 2
        else:
            result.append(parts[i])
            i += 1
    return tuple(result)


def make_tokenizer(folder=None):
    """Train on the data set, write the files to `folder` and return the loaded CLIPTokenizer."""
    merges = learn_merges(word_counts(load(for_vae=True)), MERGES)
    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [s + "</w>" for s in symbols] + [a + b for a, b in merges]
    tokens = list(dict.fromkeys(tokens)) + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(folder or temporary)
        target.mkdir(parents=True, exist_ok=True)
        vocabulary = {token: i for i, token in enumerate(tokens)}
        (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
        (target / "merges.txt").write_text("\n".join(lines) + "\n")
        tokenizer = CLIPTokenizer(
            vocab=str(target / "vocab.json"),
            merges=str(target / "merges.txt"),
            model_max_length=MAX_TOKENS,
        )
        return tokenizer

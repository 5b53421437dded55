"""The training set: 64-pixel Noto emoji on white, with captions from their names and keywords.

`load()` gives, for every emoji of selection.txt, its RGB image, its prompt (the plain name) and
further keywords. Run as a script it writes ../prompts.txt and prints a summary.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
DATASOURCE = HERE / "node_modules" / "emoji-datasource-google"
KEYWORDS = HERE / "node_modules" / "emojilib" / "dist" / "emoji-en-US.json"
IMAGE_SIZE = 64

TEMPLATES = ("{name}", "an emoji of {name}", "a picture of {name}", "{name} emoji")


@dataclass(frozen=True)
class Emoji:
    """One training example; `image` is uint8 [64, 64, 3]."""

    short_name: str
    name: str
    keywords: tuple
    image: np.ndarray

    def caption(self, rng: random.Random) -> str:
        """A random caption: mostly the bare name, else a template or added keywords."""
        if rng.random() < 0.65:
            return self.name
        if self.keywords and rng.random() < 0.4:
            count = min(len(self.keywords), rng.randint(1, 2))
            return ", ".join([self.name, *rng.sample(self.keywords, count)])
        return rng.choice(TEMPLATES).format(name=self.name)


def read_selection(for_vae):
    """The short names in selection.txt, in order; comment lines start with '# '."""
    text = (HERE / "selection.txt").read_text()
    if not for_vae:
        text = text.split("# vae only")[0]
    lines = text.splitlines()
    return [word for line in lines if not line.startswith("# ") for word in line.split()]


def clean(text):
    """Lower case words of letters and digits, so that captions need few tokens."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def read_image(path):
    """The picture composited on white, uint8 [64, 64, 3]."""
    rgba = Image.open(path).convert("RGBA")
    canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    canvas.alpha_composite(rgba)
    rgb = canvas.convert("RGB")
    if rgb.size != (IMAGE_SIZE, IMAGE_SIZE):
        rgb = rgb.resize((IMAGE_SIZE, IMAGE_SIZE), Image.LANCZOS)
    return np.asarray(rgb)


def load(for_vae=False):
    """The selected emoji as a list of Emoji, with those for the VAE alone on demand.

    Fails if one is missing or two share a name.
    """
    if not DATASOURCE.exists():
        raise SystemExit(f"{DATASOURCE} is missing: run `npm install` in {HERE}")
    entries = {e["short_name"]: e for e in json.loads((DATASOURCE / "emoji.json").read_text())}
    words = json.loads(KEYWORDS.read_text())
    result, seen = [], {}
    for short_name in read_selection(for_vae):
        entry = entries[short_name]
        character = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
        found = words.get(character) or words[character.replace("\ufe0f", "")]
        name, *rest = [word for word in map(clean, found) if word]
        keywords = tuple(dict.fromkeys(w for w in rest if w not in name and len(w.split()) <= 2))
        if name in seen:
            raise SystemExit(f"{short_name} and {seen[name]} are both called {name!r}")
        seen[name] = short_name
        image = read_image(DATASOURCE / "img" / "google" / "64" / entry["image"])
        result.append(Emoji(short_name, name, keywords[:6], image))
    return result


def main():
    emoji = load()
    (HERE.parent / "prompts.txt").write_text("".join(f"{e.name}\n" for e in emoji))
    print(f"{len(emoji)} emoji; longest caption {max(len(e.name) for e in emoji)} characters")


if __name__ == "__main__":
    main()

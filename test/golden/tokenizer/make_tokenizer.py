"""Writes ids.json: what transformers' CLIPTokenizer makes of strings, for SD 1.4 and SD 2.1.

Usage: python make_tokenizer.py FOLDER, where FOLDER holds v1-4/tokenizer and v2-1/tokenizer as
published (the second without vocab.json and merges.txt, which equal the first's).
"""

import json
import sys
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

STRINGS = [
    "", " ", "a", "A", "a photo of an astronaut riding a horse on mars", "a  photo\tof\n\na cat ",
    "It's what they've said: we'll, I'd, I'm, don't, you're", "IT'S WHAT THEY'VE SAID", "'s 't 're",
    "rock'n'roll 'quoted' \"double\" ’curly’s‘", "'''", "''s", "!'s", "s'", "o'clock",
    "1234567890", "room 101", "3.14159", "1,000,000", "4k 8K HDR", "x2 v1.5", "½ ¾ ² ³ Ⅷ ٣ ४ 五",
    "10%", "$5.00", "C++ c# f#", "!!!", "!", "! a ! b", "?!?!", "...", "…", "—–-", "a-b_c", "snake_case",
    "user@example.com", "https://example.com/a?b=c&d=%20", "#hashtag @mention", "(word:1.3)", "[x]",
    "<b>bold</b>", "&amp; &lt;", "\\(escaped\\)", "tab\there", "line\r\nbreak", "\u00a0nbsp\u00a0",
    "\u2003em space\u2003", "\u3000ideographic", "zero\u200bwidth", "\ufeffbom", "a\u0085b", "a\u001cb",
    "soft\u00adhyphen", "\x00nul", "bell\x07", "\x7f", "café", "cafe\u0301", "ÅNGSTRÖM", "A\u030angstro\u0308m",
    "naïve résumé", "Straße STRASSE ẞ", "İstanbul ISTANBUL ı", "ΟΔΥΣΣΕΥΣ Σ ΣΑΣ ας", "ǅ ǆ Ǆ", "ﬁ ﬂ ﬃ", "Ω Ω K Å",
    "日本語のテキスト", "富士山と桜", "中文，提示词。", "한국어 프롬프트", "한국어", "русский язык", "ПРИВЕТ",
    "العربية", "שלום", "हिन्दी", "ไทย", "ქართული", "Ქართული", "Հայերեն", "ᏣᎳᎩ ꭰ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟙𝟚𝟛", "ａｂｃ １２３",
    "😀", "😀😀😀", "a 😀 b", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪🇫🇷", "❤️ ❤", "☺️", "✨magic✨", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣",
    "♥♦♣♠", "→←↑↓", "αβγ", "∑∏∫√∞", "“smart” ‘quotes’", "¿Qué? ¡Sí!", "«guillemets»", "№5", "™®©",
    "<|startoftext|>", "<|endoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "<|EndOfText|>x", "<|EndOfText|>!", "!<|EndOfText|>!",
    "x<|startoftext|>y", "<|endoftext|><|endoftext|>", "<|endoftext|", "<|endoftext", "|endoftext|>",
    "!<|endoftext|>!", "hello!world", "wow!!", "a!b!c",
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 50, "ab" * 100, "aaab" * 60, "x" * 300, "hello" * 80, "thethethethe" * 30, "zq" * 200,
    "😀" * 60, "é" * 120, "あ" * 90, "0" * 100, "!" * 90, "'" * 80, "-=" * 70, ". " * 90,
    "the quick brown fox jumps over the lazy dog " * 9,
    "masterpiece, best quality, (ultra-detailed:1.2), 8k uhd, dslr, soft lighting, film grain, Fujifilm XT3",
    "portrait of a woman, oil on canvas, in the style of Rembrandt van Rijn, chiaroscuro, 1642",
    "a cute corgi lives in a house made out of sushi",
    "trending on artstation, unreal engine 5, octane render, by greg rutkowski and alphonse mucha",
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped",
    "An elephant 🐘 eating ½ of Zoë's crème brûlée @ 12:30pm — “délicieux”!",
    "isn't aren't won't can't shouldn't mustn't y'all'd've", "dogs' cats' men's", "'Twas", "l'été d'Orsay",
    "don’t it’s", "DON'T", "i'M i'LL i'VE i'RE i'D i'T i'S", "a'sb", "we'really", "they'dog", "'tis 'til",
    "e=mc²", "H₂O", "x≠y", "a/b\\c|d", "{json: [1, 2]}", "~`^", "_underscore_", "*bold* **x**",
    "new\u2028line\u2029para", "v\u000bt", "f\u000cf", "\u1680ogham\u180e", "\u202fnarrow\u205fmath",
    "q\u0323\u0307", "q\u0307\u0323", "\u1e9b\u0323", "\u0344", "각", "\u1100\u1161\u11a8", "שּׁ", "\u0958", "क\u093c",
    "\ue000private", "\U000f0000plane15", "\U0001fae8new emoji", "\U00010d4agaray", "\u0378unassigned",
    "\ud55c\u200d\u200c", "mixed русский english 中文", "ЁЛКА ё е\u0308", "ÀÉÎÕÜ", "ŁÓDŹ", "ŒUVRE Æ", "ĲSSEL ĳ",
    "ʼn ŉ", "ǰ J\u030c", "ΐ Ϊ\u0301", "ﬀ ﬄ", "ᾼ ᾳ", "Ⅻ ⅻ", "Ⓐ ⓐ", "𐐀 𐐨", "Ꙁ ꙁ", "Ǝ ǝ", "Ɐ ɐ",
]


def load(folder: Path, name: str) -> CLIPTokenizer:
    with tempfile.TemporaryDirectory() as scratch:
        for source in ("v1-4", name):
            for file in (folder / source / "tokenizer").iterdir():
                (Path(scratch) / file.name).write_bytes(file.read_bytes())
        return CLIPTokenizer.from_pretrained(scratch)


def main() -> None:
    folder = Path(sys.argv[1])
    cases = [{"text": text} for text in STRINGS]
    for name in ("v1-4", "v2-1"):
        tokenizer = load(folder, name)
        for case in cases:
            case[name] = tokenizer(case["text"]).input_ids[1:-1]
        padded = tokenizer("a cat", padding="max_length", truncation=True).input_ids
        long = tokenizer("cat " * 90, padding="max_length", truncation=True).input_ids
        cases[0][f"{name} padded"] = padded
        cases[0][f"{name} truncated"] = long
    for case in cases:
        if case["v2-1"] == case["v1-4"]:
            del case["v2-1"]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (Path(__file__).parent / "ids.json").write_text(f"[\n{lines}\n]\n")
    print(len(cases), "strings")


main()

"""Makes the Parquet files beside it and what is in them, with pyarrow 26.0.1 and datasets 5.2.0:

    python make.py

Names say what is special about a file; datasets.parquet is what Hugging Face datasets writes.
"""

import hashlib
import io
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = Path(__file__).parent
CAPTIONS = ["a red square", "ein grünes Feld", "", "  blue \n", "a red square", "猫", "last"]


def png(i):
    """An 8x6 image whose content follows from its number."""
    pixels = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


IMAGES = [png(i) for i in range(len(CAPTIONS))]
expected = {}


def digest(parts):
    """SHA-256 over the SHA-256 of each, in hexadecimal."""
    each = "".join(hashlib.sha256(part).hexdigest() for part in parts)
    return hashlib.sha256(each.encode()).hexdigest()


def describe(name, images=IMAGES, captions=CAPTIONS):
    texts = [(caption or "").strip().encode() for caption in captions]
    expected[name] = {"count": len(images), "images": digest(images), "captions": digest(texts)}


def write(name, table, images=IMAGES, captions=CAPTIONS, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)
    describe(name, images, captions)


def write_refused(name, table, **options):
    pq.write_table(table, HERE / f"refused-{name}.parquet", **options)


def table(image="image", caption="text", images=IMAGES, captions=CAPTIONS, nullable=True):
    fields = [
        pa.field("label", pa.int64()),
        pa.field(image, pa.binary(), nullable),
        pa.field(caption, pa.string(), nullable),
    ]
    columns = [pa.array(range(len(images))), pa.array(images, pa.binary()), pa.array(captions)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
rows = {"image": [{"bytes": x, "path": f"{i}.png"} for i, x in enumerate(IMAGES)], "text": CAPTIONS}
datasets.Dataset.from_dict(rows, features).to_parquet(HERE / "datasets.parquet", batch_size=3)
describe("datasets")

holes = [x if i % 3 else None for i, x in enumerate(CAPTIONS)]
write("nulls", table("img", "caption", captions=holes), captions=holes, row_group_size=4)
write("required", table(nullable=False), compression="none", use_dictionary=False)
write("pages-2", table(), data_page_version="2.0", compression="snappy", use_dictionary=["text"])
write("pages-2-plain", table(), data_page_version="2.0", compression="none", write_statistics=False)
for codec in ("gzip", "brotli", "zstd", "lz4"):
    write(codec, table(), compression=codec)

# 300 rows of small pages in one row group; the dictionary is given up for the images.
many = [IMAGES[i % 7] + bytes([i % 251]) for i in range(300)]
texts = [f"{CAPTIONS[i % 7].strip()} {i}" for i in range(300)]
write("many-pages", table(images=many, captions=texts), many, texts, data_page_size=1000,
      dictionary_pagesize_limit=2000, write_batch_size=5, compression="gzip")

deltas = {"image": "DELTA_LENGTH_BYTE_ARRAY", "text": "DELTA_BYTE_ARRAY"}
write("deltas", table(images=many, captions=texts), many, texts, use_dictionary=False,
      column_encoding=deltas, compression="lz4")

paths = [x if i != 5 else None for i, x in enumerate(IMAGES)]
write_refused("paths-alone", table(images=paths))
write_refused("encoding", table().set_column(1, "image", pa.array([x[:9] for x in IMAGES], pa.binary(9))),
              use_dictionary=False, column_encoding={"image": "BYTE_STREAM_SPLIT"})
lists = table().set_column(2, "text", pa.array([[x] for x in CAPTIONS]))
write_refused("lists", lists)
write_refused("numbers", table().set_column(2, "text", pa.array(range(7))))
write_refused("latin-1", table().set_column(2, "text", pa.array([b"gr\xfcn"] * 7)))
write_refused("empty", table().slice(0, 0))

(HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")

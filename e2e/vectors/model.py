"""Writes a real model in model2vec's layout, in two kinds, and says what vectors model2vec gives.

usage: model.py DIRECTORY; prints {"texts": […], "vectors": {kind: [[…]]}}
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy
from model2vec import StaticModel
from safetensors.numpy import load_file
from tokenizers import Tokenizer

TEXTS = [
    "nine lanterns",
    "The harbour was quiet.",
    "",
    "   ",
    "Straße über Änderungen, 灯台 🚀",
    "hello world\nnew line\ttab",
    "<s> special </s> <unk>",
    "one word after the other " * 200,
    "x" * 5000,
]

place = Path(sys.argv[1])
wordllama = files("wordllama")
table = load_file(wordllama / "weights/l2_supercat_256.safetensors")["embedding.weight"]
tokenizer = Tokenizer.from_file(str(wordllama / "tokenizers/l2_supercat_tokenizer_config.json"))
tokens = numpy.arange(len(table))
kinds = {
    # As it is.
    "plain": StaticModel(table, tokenizer, normalize=False),
    # With all that a model may have: half of the rows shared, weights, another length.
    "whole": StaticModel(
        table.astype(numpy.float32)[::2],
        tokenizer,
        weights=(1 + tokens % 7).astype(numpy.float32),
        token_mapping=tokens // 2,
        normalize=True,
        max_length=40,
    ),
}
vectors = {}
for kind, model in kinds.items():
    model.save_pretrained(place / kind)
    model = StaticModel.from_pretrained(place / kind)
    vectors[kind] = model.encode(TEXTS).astype(float).tolist()
print(json.dumps({"texts": TEXTS, "vectors": vectors}))

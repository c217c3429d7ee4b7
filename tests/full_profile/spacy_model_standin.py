"""A stand-in for spaCy's model: a real pipeline called en_core_web_sm, trained on a few made-up sentences.

``python spacy_model_standin.py DIRECTORY`` writes the sources of its package. It has the components of the real one
(tagger, parser, named entities), so it proves that a model is fetched, installed and loaded; its answers are of no
use. The real model cannot be had where the tests run.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

#: Word, tag, index of the head, dependency.
SENTENCES = [
    [
        ("Marie", "NNP", 1, "nsubj"),
        ("visits", "VBZ", 1, "ROOT"),
        ("Vienna", "NNP", 1, "dobj"),
        (".", ".", 1, "punct"),
    ],
    [
        ("The", "DT", 1, "det"),
        ("robot", "NN", 2, "nsubj"),
        ("sleeps", "VBZ", 2, "ROOT"),
        ("in", "IN", 2, "prep"),
        ("Oslo", "NNP", 3, "pobj"),
        (".", ".", 2, "punct"),
    ],
    [
        ("Birds", "NNS", 1, "nsubj"),
        ("sing", "VBP", 1, "ROOT"),
        ("softly", "RB", 1, "advmod"),
        (".", ".", 1, "punct"),
    ],
]
ENTITIES = {"Marie": "PERSON", "Vienna": "GPE", "Oslo": "GPE"}
ROUNDS = 20


def examples(nlp: spacy.language.Language) -> list[Example]:
    """The sentences, each alone and in pairs: the parser learns to split them."""
    groups = [[sentence] for sentence in SENTENCES]
    groups += [[one, other] for one in SENTENCES for other in SENTENCES if one is not other]
    return [_example(nlp, [row for sentence in group for row in sentence], group) for group in groups]


def _example(nlp: spacy.language.Language, rows: list[tuple[str, str, int, str]], group: list) -> Example:
    words = [word for word, *_ in rows]
    heads, offset = [], 0
    for sentence in group:
        heads += [offset + head for _, _, head, _ in sentence]
        offset += len(sentence)
    reference = Doc(nlp.vocab, words=words, tags=[row[1] for row in rows], heads=heads, deps=[row[3] for row in rows])
    reference.ents = [
        Span(reference, index, index + 1, ENTITIES[word]) for index, word in enumerate(words) if word in ENTITIES
    ]
    return Example(Doc(nlp.vocab, words=words), reference)


def train() -> spacy.language.Language:
    """The pipeline, in seconds."""
    nlp = spacy.blank("en")
    nlp.meta |= {"name": "core_web_sm", "version": "3.8.0", "description": "test stand-in, of no use"}
    for component in ("tagger", "ner"):
        nlp.add_pipe(component)
    nlp.add_pipe("parser", config={"min_action_freq": 1})
    random.seed(0)
    data = examples(nlp)
    optimizer = nlp.initialize(lambda: data)
    for _ in range(ROUNDS):
        random.shuffle(data)
        nlp.update(data, sgd=optimizer)
    return nlp


PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "en_core_web_sm"
version = "3.8.0"
requires-python = ">=3.11"
[project.entry-points.spacy_models]
en_core_web_sm = "en_core_web_sm"
[tool.hatch.build.targets.wheel]
packages = ["en_core_web_sm"]
"""


def main() -> None:
    """Train, and lay the package out so that hatchling makes its wheel."""
    directory = Path(sys.argv[1])
    train().to_disk(directory / "model")
    command = [sys.executable, "-m", "spacy", "package", str(directory / "model"), str(directory), "--build", "none"]
    subprocess.run([*command, "--force"], check=True)
    package = directory / "en_core_web_sm-3.8.0"
    (package / "pyproject.toml").write_text(PYPROJECT)
    shutil.copy(package / "meta.json", package / "en_core_web_sm")


if __name__ == "__main__":
    main()

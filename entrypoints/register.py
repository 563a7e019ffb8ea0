"""register: a baseline and its quantized versions become versions of one registered model, named like the catalogue row."""

import argparse
import sys

from entrypoints.options import add_quantizers, add_required, verb_parser
from entrypoints.verb import run_verb
from qbias.models import models_named
from qbias.quantizers import QUANTIZERS
from qbias.tables import pick_many
from registry.versions import register


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("register", __doc__ or "")
    add_required(parser, "model", "a model name, a group (toyworld, paper, catalogue), or a folder with a transformers CLIP")
    add_quantizers(parser)
    return parser


def work(options: argparse.Namespace) -> str:
    """Register what the parameters name; versions that exist already are found by content and left alone."""
    quantizers = pick_many(QUANTIZERS, options.quantizers, what="quantizer")
    cards = [card for row in models_named(options.model) for card in register(row, quantizers, report=print)]
    return "\n".join(f"{card.uri}  {card.quantizer}" for card in cards)


if __name__ == "__main__":
    sys.exit(run_verb("register", parser(), work))

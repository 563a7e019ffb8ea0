"""register: a baseline and its quantized versions become versions of one registered model, named like the catalogue row."""

import argparse
import sys

from entrypoints.options import NONE, add_quantizers, add_required, verb_parser
from entrypoints.verb import run_verb
from qbias.environment import quantizers_named
from qbias.model_rows import checkpoint_row
from qbias.models import models_named
from registry.versions import register


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("register", __doc__ or "")
    add_required(
        parser,
        "model",
        "a model name, a group (toyworld, paper, catalogue), a folder with a transformers CLIP, open_clip:ARCH:TAG, hub:ORG/NAME; with "
        "--checkpoint, an open_clip architecture such as ViT-B-32-quickgelu",
    )
    parser.add_argument("--checkpoint", default="none", help="a local open_clip checkpoint of that architecture, or none")
    add_quantizers(parser)
    return parser


def work(options: argparse.Namespace) -> str:
    """Register what the parameters name; versions that exist already are found by content and left alone."""
    quantizers = quantizers_named(options.quantizers)
    given = options.checkpoint not in NONE
    rows = [checkpoint_row(options.model, options.checkpoint)] if given else models_named(options.model)
    cards = [card for row in rows for card in register(row, quantizers, report=print)]
    return "\n".join(f"{card.uri}  {card.quantizer}" for card in cards)


if __name__ == "__main__":
    sys.exit(run_verb("register", parser(), work))

"""The parameters that several verbs share: one help text and one reading of each."""

import argparse
from pathlib import Path
from typing import NoReturn

from qbias.store import cache_root

NONE = ("", "none", "None")
GENERATED = "generated"


class VerbParser(argparse.ArgumentParser):
    """A parser that raises instead of leaving the process, so that a wrong parameter is recorded like any other mistake."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with argparse's message and where to read on."""
        raise ValueError(f"{message}; '{self.prog} --help' explains every parameter")


def verb_parser(verb: str, does: str) -> VerbParser:
    """A parser whose help says what the verb does and shows every default."""
    return VerbParser(
        prog=f"python -m entrypoints.{verb}", description=does, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )


def add_required(parser: argparse.ArgumentParser, name: str, says: str) -> None:
    """A parameter that must be given, and so has no default to show."""
    parser.add_argument(f"--{name}", required=True, default=argparse.SUPPRESS, help=says)


def add_models(parser: argparse.ArgumentParser, default: str) -> None:
    """`--models`: which baselines."""
    parser.add_argument(
        "--models",
        default=default,
        help="comma-separated model names, a group (toyworld, paper, catalogue, all), or a folder with a transformers CLIP",
    )


def add_quantizers(parser: argparse.ArgumentParser) -> None:
    """`--quantizers`: which precisions."""
    parser.add_argument("--quantizers", default="all", help="comma-separated quantizer names, or all; the fp32 baseline is always made")


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`, `--limit` and `--batch-size`: what is measured on."""
    parser.add_argument(
        "--data",
        default=GENERATED,
        help="folder that holds imagenet/, coco/, facet/ and fairface/ (absolute path), or 'generated' for the drawn world",
    )
    parser.add_argument("--limit", type=whole_number, default=None, help="use only this many images of each benchmark")


def add_benchmarks(parser: argparse.ArgumentParser) -> None:
    """`--benchmarks`: which measurements."""
    parser.add_argument("--benchmarks", default="all", help="comma-separated benchmark names, or all")


def whole_number(text: str) -> int | None:
    """`"none"` or an empty text -> None; otherwise a whole number.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is neither.
    """
    if text in NONE:
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; give one, or 'none'") from None


def data_folder(data: str) -> Path:
    """The folder to read benchmarks from; the drawn world is made on first use.

    Raises
    ------
    ValueError
        If the folder does not exist.
    """
    if data == GENERATED:
        from qbias.toyworld.world import write_world

        world = cache_root() / "world"
        if not world.exists():
            print(f"drawing the world into {world}", flush=True)
        write_world(world)
        return world
    folder = Path(data).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(
            f"data={data!r}: there is no folder {folder}. Give the absolute path of a folder that holds imagenet/, coco/, facet/ "
            f"and fairface/ (the README shows the layout of each), or 'generated'"
        )
    return folder

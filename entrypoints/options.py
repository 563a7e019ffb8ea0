"""The parameters that several verbs share: one help text and one reading of each."""

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import NoReturn, get_args

from qbias.benchmarks import benchmark_list, benchmark_row
from qbias.cache import LIMIT, bytes_named
from qbias.engines import ENGINES, EngineChoice
from qbias.pixels import OnBadImage
from qbias.plan import Plan
from qbias.protocol import FIELDS, SAYS, Protocol
from qbias.store import cache_root
from registry.policies import policy_named
from registry.policy import Policy

NONE = ("", "none", "None")
GENERATED = "generated"
AUTO = "auto"


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


def add_quantizers(parser: argparse.ArgumentParser, default: str = "all") -> None:
    """`--quantizers`: which precisions."""
    says = "comma-separated quantizer names, study (the paper's and ONNX Runtime's), or all that run here; fp32 is always among them"
    parser.add_argument("--quantizers", default=default, help=says)


def add_policy(parser: argparse.ArgumentParser, default: str, says: str) -> None:
    """`--policy`: by name, digest or path."""
    parser.add_argument("--policy", default=default, help=f"{says}: name, 12 or more digits of its digest, or a .yaml file's absolute path")


def policy_of(options: argparse.Namespace) -> Policy | None:
    """The policy that `add_policy`'s parameter names; None for none.

    Raises
    ------
    ValueError
        If there is none of this name or digest, or the file is no valid policy.
    """
    return None if options.policy in NONE else policy_named(options.policy)


def add_signature(parser: argparse.ArgumentParser) -> None:
    """`--signing-key` and `--anchor`: what makes a record hard to forge."""
    signs = "absolute path of an SSH key that signs the record, or none; a policy may ask for it"
    parser.add_argument("--signing-key", default="none", help=signs)
    parser.add_argument("--anchor", default="none", help="absolute path of a file that the new head of the records is added to, or none")


def path_of(given: str) -> Path | None:
    """A path that a parameter names; None for none."""
    return None if given in NONE else Path(given).expanduser()


def text_of(given: str) -> str:
    """What a parameter says; "" for none."""
    return "" if given in NONE else given


def add_plan(parser: argparse.ArgumentParser) -> None:
    """`--benchmarks`, `--data`, `--on-bad-image` and every parameter of the protocol: what is measured, and on what."""
    parser.add_argument("--benchmarks", default="all", help="comma-separated benchmark names, paths of .yaml files of your own, or all")
    parser.add_argument(
        "--data",
        default=GENERATED,
        help="folder that holds imagenet/, coco/, facet/ and fairface/ (absolute path), or 'generated' for the drawn world",
    )
    bad = "images that cannot be decoded: fail lists them and stops, skip measures without them (both sides of a pair alike)"
    parser.add_argument("--on-bad-image", choices=get_args(OnBadImage), default="fail", help=bad)
    for row in fields(Protocol):
        read = whole_number if row.default is None else READ[type(row.default)]
        says = SAYS[row.name]
        if row.name == "batch_size":
            read, says = number_or_auto, f"{says}; auto: probe what is fastest here, once, and say what was chosen"
        parser.add_argument(f"--{row.name.replace('_', '-')}", type=read, default=row.default, help=says)


def add_cache_limit(parser: argparse.ArgumentParser) -> None:
    """`--cache-limit`: how much pixels and embeddings may take."""
    says = (
        "most that pixels and embeddings may take in the cache, such as 20GB; what was not used for longest is thrown away. none: no limit"
    )
    parser.add_argument("--cache-limit", type=cache_size, default="none", help=says)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--ray-address`: where batches are computed."""
    says = "where batches are computed: local is this machine, ray the cluster that it belongs to; results are the same, bit by bit"
    parser.add_argument("--engine", choices=ENGINES, default=EngineChoice.engine, help=says)
    says = "engine=ray: auto for the cluster that this machine belongs to, or the host:port of its head"
    parser.add_argument("--ray-address", default=EngineChoice.ray_address, help=says)


def engine_of(options: argparse.Namespace) -> EngineChoice:
    """The engine that is asked for, reached and found fit before anything else is done.

    Raises
    ------
    ValueError
        If a Ray cluster cannot be reached, or would give other numbers.
    """
    where = EngineChoice(options.engine, options.ray_address)
    where.made()
    return where


def obey_cache_limit(options: argparse.Namespace) -> None:
    """Let this process (and those it starts) keep to the limit; without one, `QBIAS_CACHE_LIMIT` of the environment stands."""
    if options.cache_limit != "none":
        os.environ[LIMIT] = options.cache_limit


def plan_of(options: argparse.Namespace) -> Plan:
    """What `add_plan`'s parameters ask for; the drawn world is made on first use, where a benchmark needs it.

    A batch size of `auto` is the protocol's default here: which number it becomes is only known with a model (evaluate.probed).

    Raises
    ------
    ValueError
        If a parameter is outside its range, a benchmark unknown, or the data folder missing.
    """
    values = {name: getattr(options, name) for name in FIELDS}
    protocol = Protocol(**{name: value for name, value in values.items() if (name, value) != ("batch_size", AUTO)})
    benchmarks = benchmark_list(options.benchmarks)
    own = all(benchmark_row(name).own for name in benchmarks)
    data = Path.cwd() if own and options.data == GENERATED else data_folder(options.data)
    return Plan(benchmarks, data, protocol, options.on_bad_image)


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


def number_or_auto(text: str) -> int | str:
    """`"auto"` as it is; otherwise a whole number.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is neither.
    """
    try:
        return AUTO if text == AUTO else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; give one, or 'auto'") from None


def cache_size(text: str) -> str:
    """A size such as `20GB`, as it is, or `none`.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is neither.
    """
    try:
        return "none" if bytes_named(text) is None else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def yes_or_no(text: str) -> bool:
    """`"true"` or `"false"`, in any case.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is neither.
    """
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


READ: dict[type, Callable[[str], object]] = {int: int, float: float, str: str, bool: yes_or_no}
"""How a parameter of each type is read from the command line."""


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

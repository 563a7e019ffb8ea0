"""A benchmark of one's own as a YAML file: what may stand in it, and every fault with its line, all at once.

    name: tools                      # prefix of the metrics' names
    kind: classification             # classification, retrieval or skew
    home: https://example.org        # optional, as is licence
    manifest: manifest.csv           # one row per image (retrieval: per caption), columns image and label or caption
    columns: {image: file}           # the manifest's names, where they differ from image, label and caption
    images: images                   # the folder that image paths start from; default: the YAML file's
    classes: [hammer, wrench]        # or {value in the manifest: name in the prompt}
    templates: ["a photo of a {}"]
    groups: {size: [small, large]}   # column -> its values; an empty cell is not annotated
    pairs: [{name: size_sl, column: size, first: small, second: large}]   # recall(first) - recall(second)

`shards` and `split` name tar files (shards.py) in place of manifest, columns and images; these may bring classes and templates. What else
the kinds have stands in their classes below. Paths start from the YAML file's folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Strict, ValidationError, ValidationInfo, field_validator

from qbias.benchmarks.entries import (
    STRICT,
    Attributes,
    Classes,
    Count,
    File,
    Folder,
    Groups,
    Name,
    PairName,
    Prompts,
    Ranks,
    Split,
    Templates,
    Text,
)
from qbias.benchmarks.faults import Fault, Place, described, nearest, refuse, shown
from qbias.benchmarks.problems import Problems, repeated
from qbias.benchmarks.strict_yaml import Yaml, read_yaml
from qbias.protocol import Desired, Sign
from qbias.records import Kind

SOURCE = "name the images either by manifest (with images and columns) or by shards (with split)"


class _Part(BaseModel):
    """What all parts share: no value is converted, nothing changes after reading, an unknown key is an error."""

    model_config = STRICT


class Columns(_Part):
    """The manifest's names for the columns that a kind reads."""

    image: Text = "image"


class LabelColumns(Columns):
    """Classification: a label beside each image."""

    label: Text = "label"


class CaptionColumns(Columns):
    """Retrieval: a caption beside each image."""

    caption: Text = "caption"


class PairOfGroups(_Part):
    """Two values of a group column whose recalls are compared; the fields are those of records.Pair."""

    name: PairName
    column: Text
    first: Text
    second: Text


class Definition(_Part):
    """What all kinds have; "" is left out."""

    name: Name
    kind: Kind
    home: Text = ""
    licence: Text = ""
    manifest: File = ""
    columns: Columns = Columns()
    images: Folder = ""
    shards: Folder = ""
    split: Split = "test"


class Classification(Definition):
    """Zero-shot accuracy, and the gaps in recall between the groups of each pair. `classes`: value in the manifest -> name."""

    kind: Literal["classification"]
    columns: LabelColumns = LabelColumns()
    classes: Classes = Field(default_factory=dict)
    templates: Templates = ()
    ks: Ranks = (1, 5)
    groups: Groups = Field(default_factory=dict)
    pairs: Annotated[tuple[PairOfGroups, ...], Strict(False)] = ()
    min_per_group: Count = 25
    sign: Sign = "absolute"

    @field_validator("pairs")
    @classmethod
    def _pairs(cls, pairs: tuple[PairOfGroups, ...], info: ValidationInfo) -> tuple[PairOfGroups, ...]:
        """Pairs have different names and compare two values of a column of `groups`."""
        rows = repeated([pair.name for pair in pairs])
        faults: list[Fault] = [
            ((row, "name"), f"the name {pairs[row].name!r} stands there twice", "give each pair a name of its own") for row in rows
        ]
        if "groups" in info.data:  # Where groups are wrong themselves, that is said and these wait.
            faults += [fault for row, pair in enumerate(pairs) for fault in _pair_faults(row, pair, info.data["groups"])]
        refuse(faults)
        return pairs


def _pair_faults(row: int, pair: PairOfGroups, groups: Mapping[str, tuple[str, ...]]) -> Iterator[Fault]:
    if pair.column not in groups:
        yield (row, "column"), f"{shown(pair.column)} is no column of groups{nearest(pair.column, groups)}", "list the column in groups"
        return
    values = groups[pair.column]
    for end in ("first", "second"):
        if (value := getattr(pair, end)) not in values:
            what = f"{shown(value)} is not a value of group {pair.column}{nearest(value, values)}"
            yield (row, end), what, f"the values of {pair.column} are {', '.join(values)}"
    if pair.first == pair.second:
        yield (row, "second"), f"{shown(pair.second)} is also the first", "compare two different values"


class Retrieval(Definition):
    """Recall of image and text retrieval, both ways."""

    kind: Literal["retrieval"]
    columns: CaptionColumns = CaptionColumns()
    ks: Ranks = (1, 5, 10)


class Skew(Definition):
    """Over- and under-representation among each prompt's `k` best-scored images; every column of `groups` is an attribute."""

    kind: Literal["skew"]
    groups: Attributes
    prompts: Prompts
    k: Count = 1000
    desired: Desired = "dataset"


COLUMNS: dict[type[Definition], type[Columns]] = {Classification: LabelColumns, Retrieval: CaptionColumns, Skew: Columns}
KINDS: dict[str, type[Definition]] = {"classification": Classification, "retrieval": Retrieval, "skew": Skew}


def read_definition(path: Path) -> Definition:
    """The benchmark that a YAML file defines: a Classification, Retrieval or Skew. The files that it names are there, and not read yet.

    Raises
    ------
    ValueError
        If it cannot be read (see strict_yaml.py), or breaks the schema: all faults at once, each with its line and what to do.
    """
    read = read_yaml(path)
    model = _model(path, read)
    faults = list(_source_faults(read.value, model))
    definition = None
    try:
        definition = model.model_validate(read.value, context={"folder": path.parent})
    except ValidationError as error:
        faults += [(row["loc"], *_words(row, model)) for row in error.errors(include_url=False)]
    problems = Problems(path)
    for place, what, remedy in sorted(faults, key=lambda row: read.line(row[0])):
        problems.add(f"line {read.line(place)}: {_spelled(place)}", what, remedy)
    problems.refuse()
    assert definition is not None
    return definition


def _model(path: Path, read: Yaml) -> type[Definition]:
    """The schema of the file's kind."""
    keys, kinds = read.value if isinstance(read.value, dict) else None, ", ".join(KINDS)
    if keys is None:
        raise ValueError(f"{path}: line 1: holds {shown(read.value)}; write 'key: value' lines, beginning with name and kind ({kinds})")
    kind = keys.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = f"{shown(kind)} is no kind{nearest(kind, KINDS) if isinstance(kind, str) else ''}" if "kind" in keys else "is missing"
        raise ValueError(f"{path}: line {read.line(('kind',))}: kind: {what}; a benchmark's kind is one of {kinds}")
    return KINDS[kind]


def _source_faults(keys: Mapping[str, Any], model: type[Definition]) -> Iterator[Fault]:
    """Images come from a manifest or from shards; only shards bring classes and templates of their own."""
    manifest, shards = "manifest" in keys, "shards" in keys
    if manifest == shards:
        yield (
            ("shards",) if shards else (),
            "manifest and shards are both there" if shards else "neither manifest nor shards is there",
            SOURCE,
        )
        return
    for key in ("columns", "images") if shards else ("split",):
        if key in keys:
            yield (key,), f"is not read with {'shards' if shards else 'a manifest'}", SOURCE
    for key in ("classes", "templates"):
        if manifest and key in model.model_fields and key not in keys:
            yield (key,), "is missing", f"a manifest brings no {key}: list them"


def _words(row: Mapping[str, Any], model: type[Definition]) -> tuple[str, str]:
    """What is wrong and what to do; unknown keys are answered with the valid ones."""
    *outer, last = row["loc"]
    homes = [kind for kind, other in KINDS.items() if last in other.model_fields]
    if row["type"] == "extra_forbidden" and not outer and homes:
        return f"belongs to kind {' and '.join(homes)}", "take the key out, or change the kind"
    part = COLUMNS[model] if outer[:1] == ["columns"] else PairOfGroups if outer[:1] == ["pairs"] else model
    return described(row, part.model_fields)


def _spelled(place: Place) -> str:
    """`pairs[0].first`, as users count and write."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place if part != "[key]"]
    return "".join(parts).removeprefix(".") or "the file"

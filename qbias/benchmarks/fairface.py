"""FairFace, validation part: cropped faces with perceived gender, race and age; measures the skew of image search.

Home: https://github.com/joojs/fairface (Kärkkäinen & Joo 2021). Licence: CC BY 4.0.
Layout:  fairface/fairface_label_val.csv     columns file, age, gender, race (service_test is not read)
         fairface/val/<n>.jpg                the copy with padding 1.25 unless the protocol says otherwise

Groups are `gender`, `race` and `age` in three bins (younger 0-19, middle 20-49, older 50 and more: Slyman et al. 2024); `age_raw` keeps
the label. All rows are used; `gender_balanced` draws equal numbers of both genders with the protocol's seed.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from qbias.benchmarks.content import check_images, first_difference, unfinished
from qbias.benchmarks.problems import Problems, repeated
from qbias.benchmarks.prompts import prompt_set
from qbias.benchmarks.sheet import read_sheet
from qbias.protocol import Protocol
from qbias.records import Dataset

LABELS = "fairface_label_val.csv"
GENDERS = {"Male": 5_792, "Female": 5_162}
RACES = {
    "White": 2_085, "Latino_Hispanic": 1_623, "Black": 1_556, "East Asian": 1_550, "Indian": 1_516,
    "Southeast Asian": 1_415, "Middle Eastern": 1_209,
}  # fmt: skip
AGES = {
    "0-2": 199, "3-9": 1_356, "10-19": 1_181, "20-29": 3_300, "30-39": 2_330, "40-49": 1_353, "50-59": 796, "60-69": 321,
    "more than 70": 118,
}  # fmt: skip
AGE_BINS = {age: "younger" if number < 3 else "middle" if number < 6 else "older" for number, age in enumerate(AGES)}
PUBLISHED = GENDERS | RACES | AGES
FULL_ROWS = 10_954
KNOWN = {"gender": tuple(GENDERS), "race": tuple(RACES), "age": tuple(AGES)}
DATE = re.compile(r"\d{1,4}[-/. ]+[A-Za-z]{3,9}\.?([-/. ]+\d{2,4})?|[A-Za-z]{3,9}\.?[-/. ]+\d{1,4}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")
DAMAGED = (
    "a spreadsheet program turned ages into dates (3-9 became 9-Mar, 10-19 became Oct-19): use the file as FairFace publishes it, and "
    "open it in a spreadsheet, if at all, with its columns as text"
)


def load_fairface(root: Path, protocol: Protocol) -> Dataset:
    """Every labelled face, its groups, and the prompts of the protocol.

    Raises
    ------
    ValueError
        On damaged or unknown labels, duplicate or missing images, all of them in one message.
    """
    prompts = prompt_set(protocol.fairface_prompts)
    file = root / LABELS
    sheet = read_sheet(file, ("file", *KNOWN))
    _check(file, root, sheet)
    labelled = len(sheet)
    full = labelled == FULL_ROWS
    counts = {str(value): int(count) for name in KNOWN for value, count in sheet[name].value_counts().items()}
    if full and (difference := first_difference(counts, PUBLISHED)):
        raise ValueError(f"{file}: not the published labels, though it has their {FULL_ROWS:,} rows: {difference}; fetch the file again")
    if protocol.gender_balanced:
        sheet = _gender_balanced(file, sheet, seed=protocol.gender_balanced_seed)
    images = {
        "id": sheet["file"].tolist(),
        "path": sheet["file"].tolist(),
        "gender": sheet["gender"].tolist(),
        "race": sheet["race"].tolist(),
        "age": sheet["age"].map(AGE_BINS).tolist(),
        "age_raw": sheet["age"].tolist(),
    }
    facts = {
        "attributes": {"gender": list(GENDERS), "race": list(RACES), "age": list(dict.fromkeys(AGE_BINS.values()))},
        "k": protocol.skew_k,
        "desired": protocol.desired,
        "prompt_set": prompts.name,
        "prompts": len(prompts.prompts),
        "prompts_reconstructed": prompts.reconstructed,
        "padding": protocol.fairface_padding,
        "gender_balanced": protocol.gender_balanced,
        "published_counts": "agree" if full else f"not checked: {labelled:,} rows",
    }
    return unfinished("fairface", "skew", root, images, {"text": list(prompts.prompts)}, facts)


def _check(file: Path, root: Path, sheet: pd.DataFrame) -> None:
    """Refuse unknown values, duplicate files and missing images in one message."""
    problems = Problems(file)
    lines, files = sheet.index.tolist(), sheet["file"].tolist()
    for name, known in KNOWN.items():
        for line, value in sheet.loc[~sheet[name].isin(known), name].items():
            damaged = name == "age" and DATE.fullmatch(value) is not None
            what = f"age {value!r} is a date" if damaged else f"unknown {name} {value!r}"
            problems.add(f"line {line}", what, DAMAGED if damaged else f"{name} is one of {', '.join(known)}")
    for position, first in repeated(files).items():
        what = f"{files[position]!r} stands already on line {lines[first]}"
        problems.add(f"line {lines[position]}", what, "every image has one row: take the duplicate out")
    check_images(root, files, [f"line {line}" for line in lines], problems)
    problems.refuse()


def _gender_balanced(file: Path, sheet: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """As many rows of each gender as the rarer one has, drawn without replacement, in the file's order."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(sheet["gender"].to_numpy() == gender) for gender in GENDERS]
    fewest = min(map(len, rows))
    if not fewest:
        raise ValueError(f"{file}: gender_balanced needs rows of both genders, and one has none: turn gender_balanced off")
    kept = np.concatenate([rng.choice(some, fewest, replace=False) for some in rows])
    return sheet.iloc[np.sort(kept)]

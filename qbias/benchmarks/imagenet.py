"""ImageNet, validation part (ILSVRC 2012): 50 photographs of each of 1,000 classes; measures zero-shot accuracy.

Home: https://www.image-net.org (Deng et al. 2009; Russakovsky et al. 2015). Licence: for non-commercial research, on registration.
Layout:  imagenet/val/<wnid>/*.JPEG          one folder per class, named by its WordNet id (n01440764)

Class names and the 80 templates are open_clip's, the class order is timm's. Both stand in files of those packages that need nothing else;
they are read on their own, because importing the packages takes 15 seconds and brings torch with it.
The classes evaluated are those with a folder: a subset is measured over its own classes, and `facts` says so.
"""

import importlib.util
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from qbias.benchmarks.content import check_images, class_texts, first_difference, unfinished
from qbias.benchmarks.problems import Problems
from qbias.protocol import Protocol
from qbias.records import Dataset

CLASSES = 1_000
PER_CLASS = 50
SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
NOT_A_CLASS = "every folder of val/ is the WordNet id of one of the 1,000 classes (n01440764 to n15075141)"


@lru_cache(maxsize=1)
def imagenet_names() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """WordNet ids and names of the 1,000 classes in their common order, and the 80 templates with `{}` for the name."""
    metadata = _module_alone("open_clip", "zero_shot_metadata.py")
    templates: tuple[Callable[[str], str], ...] = metadata.OPENAI_IMAGENET_TEMPLATES
    wnids = (_package_folder("timm") / "data" / "_info" / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    names = tuple(metadata.IMAGENET_CLASSNAMES)
    assert len(wnids) == len(names) == CLASSES
    return tuple(wnids), names, tuple(template("{}") for template in templates)


def _package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"the package {package!r} is not installed; ImageNet's class names come from it: pip install open_clip_torch timm")
    return Path(spec.origin).parent


def _module_alone(package: str, file: str) -> ModuleType:
    """One module of a package, run without the package around it."""
    spec = importlib.util.spec_from_file_location(f"qbias_{package}_{Path(file).stem}", _package_folder(package) / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_imagenet(root: Path, protocol: Protocol) -> Dataset:
    """Every image of every class folder, in class order, then by file name.

    Raises
    ------
    ValueError
        On folders that are no class, classes without images, links that lead out, and a full set whose counts are not the published ones.
    """
    wnids, names, templates = imagenet_names()
    files = _class_files(root, set(wnids))
    present = [number for number, wnid in enumerate(wnids) if wnid in files]
    paths = [f"val/{wnids[number]}/{name}" for number in present for name in files[wnids[number]]]
    _check(root, files, paths)
    classes = [names[number] for number in present]
    images = {
        "id": [path.removeprefix("val/") for path in paths],
        "path": paths,
        "label": [label for label, number in enumerate(present) for _ in files[wnids[number]]],
        "label2": [-1] * len(paths),
    }
    full = len(present) == CLASSES and len(paths) == CLASSES * PER_CLASS
    facts = {
        "classes": classes,
        "wnids": [wnids[number] for number in present],
        "templates": list(templates),
        "ks": [1, 5],
        "pairs": [],
        "min_per_group": protocol.min_per_group,
        "sign": protocol.facet_sign,
        "class2": "each",
        "subset": len(present) < CLASSES,
        "published_counts": "agree" if full else f"not checked: {len(paths):,} images of {len(present):,} classes",
    }
    return unfinished("imagenet", "classification", root, images, class_texts(classes, templates), facts)


def _class_files(root: Path, known: set[str]) -> dict[str, list[str]]:
    """Sorted image file names by WordNet id; other files are left alone, other folders are refused."""
    folder, problems = root / "val", Problems(root / "val")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected {root.name}/val/<wnid>/*.JPEG")
    files: dict[str, list[str]] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir() or entry.name.startswith("."):
            continue
        if entry.name not in known:
            problems.add(f"folder {entry.name!r}", "unknown class", NOT_A_CLASS)
            continue
        files[entry.name] = sorted(name for name in os.listdir(entry.path) if name.lower().endswith(SUFFIXES) and name[0] != ".")
        if not files[entry.name]:
            remedy = "a class folder holds its images as *.JPEG; remove it to leave the class out"
            problems.add(f"folder {entry.name!r}", "no image in it", remedy)
    problems.refuse()
    if not files:
        raise ValueError(f"{folder}: no class folder in it; sort the images into one folder per WordNet id: {root.name}/val/<wnid>/*.JPEG")
    return files


def _check(root: Path, files: dict[str, list[str]], paths: list[str]) -> None:
    problems = Problems(root / "val")
    for path in paths:
        if not path.isprintable():  # Bytes of a name that are no text, and control characters.
            problems.add(f"file {path!r}", "its name cannot be written as text", "give the file a plain name")
    check_images(root, paths, [f"file {path.removeprefix('val/')!r}" for path in paths], problems)
    problems.refuse()
    if len(files) != CLASSES or len(paths) != CLASSES * PER_CLASS:
        return
    here = {wnid: len(names) for wnid, names in files.items()}
    if difference := first_difference(here, dict.fromkeys(files, PER_CLASS)):
        raise ValueError(f"{root / 'val'}: 50,000 images of 1,000 classes, but not 50 of each: {difference}; sort the images again")

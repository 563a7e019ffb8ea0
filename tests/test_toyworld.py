"""The embedded default: the drawn world on disk, its tokenizer, and the eight stored models."""

import ast
import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer, CLIPTokenizerFast

from qbias.digests import folder_digests
from qbias.toyworld.captions import ADJECTIVES, PERSON_TEMPLATES
from qbias.toyworld.catalogue import PLANTED, PLANTED_SKEW, TOY_MODELS, WEIGHTS, Planted, ToyModel
from qbias.toyworld.check import CheckSet, check_set, cropped, measured
from qbias.toyworld.classes import CLASSES, INDEX, TWINS
from qbias.toyworld.draw import picture
from qbias.toyworld.facet import COLUMNS, skin_votes
from qbias.toyworld.scenes import Scene
from qbias.toyworld.tokenizer import CONTEXT
from qbias.toyworld.world import WRITERS, write_imagenet, write_world
from qbias.toyworld.worlds import WORLDS, random_robot, training_scene

MEBIBYTE = 2**20
FOLDERS = [pytest.param(model, id=model.name) for model in TOY_MODELS]


@pytest.fixture(scope="module")
def persons(world: Path) -> list[dict[str, str]]:
    with (world / "facet" / "annotations" / "annotations.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def karpathy(world: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((world / "coco" / "dataset_coco.json").read_text())["images"]
    return rows


@pytest.fixture(scope="module")
def faces(world: Path) -> list[dict[str, str]]:
    with (world / "fairface" / "fairface_label_val.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def singles(persons: list[dict[str, str]]) -> list[dict[str, str]]:
    seen = Counter(row["filename"] for row in persons)
    return [row for row in persons if seen[row["filename"]] == 1]


@pytest.fixture(scope="module")
def drawn_checks() -> CheckSet:
    return check_set()


@pytest.fixture(scope="module")
def results(drawn_checks: CheckSet) -> Iterator[dict[str, dict[str, Any]]]:
    """What every stored model reaches, measured once; one thread, as in training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield {model.name: measured(model.folder, drawn_checks) for model in TOY_MODELS}
    torch.set_num_threads(threads)


# The classes


def test_there_are_at_least_24_classes_with_distinct_names() -> None:
    assert len(CLASSES) >= 24
    for field in ("facet", "wnid", "tool"):
        assert len({getattr(row, field) for row in CLASSES}) == len(CLASSES)


def test_tools_are_imagenet_classes_under_open_clips_names() -> None:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    wnids = ImageNetInfo().label_names()
    assert [IMAGENET_CLASSNAMES[wnids.index(row.wnid)] for row in CLASSES] == [row.tool for row in CLASSES]


def test_adjectives_are_the_29_concepts() -> None:
    words = [word for words in ADJECTIVES for word in words]
    assert len(words) == len(set(words)) == 29


# The world on disk


def test_imagenet_holds_a_folder_of_jpegs_per_class(world: Path) -> None:
    files = list((world / "imagenet" / "val").glob("*/*.JPEG"))
    assert len(files) >= 1_000
    assert {file.parent.name for file in files} == {row.wnid for row in CLASSES}
    assert len({file.name for file in files}) == len(files)
    with Image.open(files[0]) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")


def test_coco_test_split_has_500_images_with_five_captions(world: Path, karpathy: list[dict[str, Any]]) -> None:
    test = [row for row in karpathy if row["split"] == "test"]
    assert len(test) == 500
    assert all(len(row["sentences"]) == 5 for row in test)
    assert all((world / "coco" / row["filepath"] / row["filename"]).is_file() for row in test)
    assert all(sentence["imgid"] == row["imgid"] for row in test for sentence in row["sentences"])
    ids = [sentence["sentid"] for row in karpathy for sentence in row["sentences"]]
    assert len(set(ids)) == len(ids)


def test_coco_also_lists_other_splits_without_images(world: Path, karpathy: list[dict[str, Any]]) -> None:
    others = [row for row in karpathy if row["split"] != "test"]
    assert {row["split"] for row in others} == {"train", "restval"}
    assert not any((world / "coco" / row["filepath"] / row["filename"]).exists() for row in others)


def test_facet_has_52_columns_and_3000_images_in_three_folders(world: Path, persons: list[dict[str, str]]) -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 52
    assert tuple(persons[0]) == COLUMNS
    files = [file for part in (1, 2, 3) for file in (world / "facet" / f"imgs_{part}").glob("*.jpg")]
    assert len(files) >= 3_000
    assert {file.name for file in files} == {row["filename"] for row in persons}
    assert len({row["person_id"] for row in persons}) == len(persons)


def test_facet_has_the_awkward_cases(persons: list[dict[str, str]]) -> None:
    assert max(Counter(row["filename"] for row in persons).values()) >= 2
    assert any(row["class2"] for row in persons)
    assert not all(row["class2"] for row in persons)
    for column in ("gender_presentation_non_binary", "gender_presentation_na", "age_presentation_na", "skin_tone_na"):
        assert any(int(row[column]) for row in persons), column
    assert any(int(row["gender_presentation_masc"]) > 1 for row in persons)
    votes = np.array([[int(row[f"skin_tone_{tone}"]) for tone in range(1, 11)] for row in persons])
    lighter, darker = votes[:, :4].sum(axis=1), votes[:, 5:].sum(axis=1)
    assert ((lighter == darker) & (lighter > 0)).any()
    empty = (votes.sum(axis=1) == 0) & np.array([int(row["skin_tone_na"]) == 0 for row in persons])
    assert empty.any()
    boxes = [row["bounding_box"] for row in persons]
    assert any(box.startswith('{"') for box in boxes)
    assert any(box.startswith("{'") for box in boxes)
    assert all(set(ast.literal_eval(box)) == {"x", "y", "width", "height"} for box in boxes)


def test_most_facet_classes_have_25_single_persons_on_both_sides(singles: list[dict[str, str]]) -> None:
    def classes_with_25(first: str, second: str) -> int:
        counts = {side: Counter(row["class1"] for row in singles if int(row[side])) for side in (first, second)}
        return sum(min(counts[first][row.facet], counts[second][row.facet]) >= 25 for row in CLASSES)

    assert classes_with_25("gender_presentation_masc", "gender_presentation_fem") >= 20
    assert classes_with_25("age_presentation_middle", "age_presentation_young") >= 20
    assert 5 <= classes_with_25("age_presentation_middle", "age_presentation_older") <= 20


def test_facet_marks_are_independent_of_class(singles: list[dict[str, str]]) -> None:
    for pair in TWINS:
        for name in pair:
            rows = [row for row in singles if row["class1"] == name]
            masc = np.mean([int(row["gender_presentation_masc"]) > 0 for row in rows])
            assert masc == pytest.approx(0.46, abs=0.02)


def test_skin_votes_are_sums_over_three_annotators() -> None:
    rng = np.random.default_rng(0)
    votes = np.array([skin_votes(i % 10, rng) for i in range(2_000)])
    counted = votes[votes[:, :10].sum(axis=1) > 0, :10]
    assert set(counted.sum(axis=1)) <= set(range(6, 10))
    assert counted.max() == 3


def test_fairface_holds_every_group_under_its_exact_name(world: Path, faces: list[dict[str, str]]) -> None:
    assert len(faces) == 2_000
    assert tuple(faces[0]) == ("file", "age", "gender", "race", "service_test")
    assert {row["race"] for row in faces} == {
        "White",
        "Latino_Hispanic",
        "Black",
        "East Asian",
        "Indian",
        "Southeast Asian",
        "Middle Eastern",
    }
    assert {row["age"] for row in faces} == {"0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"}
    assert {row["gender"] for row in faces} == {"Male", "Female"}
    assert all((world / "fairface" / row["file"]).is_file() for row in faces)


def test_some_images_need_resize_and_crop(world: Path) -> None:
    sizes = set()
    for file in sorted((world / "fairface" / "val").glob("*.jpg"))[:60]:
        with Image.open(file) as image:
            sizes.add(image.size)
    assert any(width != height for width, height in sizes)
    assert any(min(size) != 64 for size in sizes)


# Writing


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path, world: Path) -> None:
    write_imagenet(tmp_path / "again", np.random.default_rng([0, list(WRITERS).index("imagenet")]))
    write_imagenet(tmp_path / "other", np.random.default_rng([1, list(WRITERS).index("imagenet")]))
    stored = folder_digests(world / "imagenet")
    assert folder_digests(tmp_path / "again") == stored
    assert not set(folder_digests(tmp_path / "other").values()) & set(stored.values())


def test_a_finished_world_is_left_alone(world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    write_world(world, seed=0)
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before


def test_a_foreign_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="name an empty or new folder"):
        write_world(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path, rng: np.random.Generator) -> None:
        root.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setitem(WRITERS, "imagenet", broken)
    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


# Drawing


def test_the_picture_shows_class_and_marks() -> None:
    """Each mark changes pixels when the random stream is the same (so no mark is drawn invisibly)."""
    robot = random_robot(0, np.random.default_rng(1))
    plain = np.asarray(picture(Scene((robot,), 0), np.random.default_rng(2)))
    for mark in ("kind", "badge", "tone", "hue", "expression"):
        other = type(robot)(**{**robot.__dict__, mark: (getattr(robot, mark) + 1) % 3})
        assert (np.asarray(picture(Scene((other,), 0), np.random.default_rng(2))) != plain).any(), mark


def test_centre_crop_is_64_square() -> None:
    image = picture(Scene((random_robot(0, np.random.default_rng(0)),), 0), np.random.default_rng(0), size=(96, 72))
    assert cropped(image).shape == (64, 64, 3)


# The training worlds


def test_twins_are_tilted_in_opposite_directions_and_not_at_all_in_balanced() -> None:
    masc = {}
    for world in WORLDS:
        rng = np.random.default_rng(0)
        scenes = [training_scene(world, rng) for _ in range(6_000)]
        badges = [
            robot.badge
            for scene in scenes
            if not scene.portrait
            for robot in scene.robots
            if robot.kind == INDEX["trumpeter"] and robot.badge < 2
        ]
        masc[world] = 1 - np.mean(badges)
    assert masc["balanced"] == pytest.approx(0.5, abs=0.1)
    assert masc["tilt-a"] > 0.85
    assert masc["tilt-b"] < 0.15


def test_planted_rows_mirror_between_the_tilted_worlds() -> None:
    signs = {(row.world, row.facet_class, row.pair): row.sign for row in PLANTED}
    assert len(signs) == len(PLANTED) == 12
    assert all(signs["tilt-a", row.facet_class, row.pair] == -signs["tilt-b", row.facet_class, row.pair] for row in PLANTED)
    assert {row.world for row in PLANTED_SKEW} == {"tilt-a", "tilt-b"}


# The stored models


def test_the_catalogue_has_eight_models_as_in_the_paper() -> None:
    assert len(TOY_MODELS) == len({model.name for model in TOY_MODELS}) == 8
    assert "toy-s16-tilt-b" not in {model.name for model in TOY_MODELS}
    assert sorted(path.name for path in WEIGHTS.iterdir()) == sorted(model.name for model in TOY_MODELS)


def test_all_weights_stay_under_14_mebibytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")) <= 14 * MEBIBYTE
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 16 * MEBIBYTE


@pytest.mark.parametrize("model", FOLDERS)
def test_a_folder_loads_and_its_widths_are_multiples_of_64(model: ToyModel) -> None:
    clip = CLIPModel.from_pretrained(model.folder, local_files_only=True, dtype=torch.float32)
    linears = [module for module in clip.modules() if isinstance(module, torch.nn.Linear)]
    assert linears
    assert all(module.in_features % 64 == module.out_features % 64 == 0 for module in linears)
    assert clip.config.vision_config.image_size == 64
    assert not list(model.folder.glob("*.bin"))


def test_tilt_b_has_its_own_normalisation() -> None:
    means = {model.world: json.loads((model.folder / "preprocessor_config.json").read_text())["image_mean"] for model in TOY_MODELS}
    assert means["tilt-b"] == [0.5, 0.5, 0.5]
    assert means["balanced"] == means["tilt-a"] != means["tilt-b"]


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizerFast:
    return CLIPTokenizerFast.from_pretrained(TOY_MODELS[0].folder, local_files_only=True)


def test_all_models_share_one_small_tokenizer(tokenizer: CLIPTokenizerFast) -> None:
    assert len(tokenizer) <= 1_000
    assert len({(model.folder / "vocab.json").read_text() for model in TOY_MODELS}) == 1
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.model_max_length == CONTEXT


def test_no_prompt_is_cut(tokenizer: CLIPTokenizerFast) -> None:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

    prompts = [template(name) for name in IMAGENET_CLASSNAMES for template in OPENAI_IMAGENET_TEMPLATES]
    prompts += [template.format(word) for template in PERSON_TEMPLATES for words in ADJECTIVES for word in words]
    assert max(len(ids) for ids in tokenizer(prompts).input_ids) <= CONTEXT


def test_unknown_letters_never_become_end_of_text(tokenizer: CLIPTokenizerFast) -> None:
    assert tokenizer("Ünïcode 日本 🤖").input_ids.count(tokenizer.eos_token_id) == 1


def test_slow_and_fast_tokenizers_agree(tokenizer: CLIPTokenizerFast) -> None:
    slow = CLIPTokenizer.from_pretrained(TOY_MODELS[0].folder, local_files_only=True)
    for text in ("a photo of a guitarist.", "This is the photo of a untrustworthy person", "A  robot's  2 badges!"):
        assert slow(text).input_ids == tokenizer(text).input_ids


@torch.inference_mode()
def test_padding_does_not_move_the_pooled_position(tokenizer: CLIPTokenizerFast) -> None:
    clip = CLIPModel.from_pretrained(TOY_MODELS[0].folder, local_files_only=True, dtype=torch.float32).eval()
    text = "a photo of a guitarist"
    short = clip.get_text_features(**tokenizer(text, return_tensors="pt"))
    long = clip.get_text_features(**tokenizer(text, padding="max_length", return_tensors="pt"))
    assert torch.allclose(short, long, atol=1e-5)


@pytest.mark.parametrize("model", FOLDERS)
def test_a_stored_model_has_learned(model: ToyModel, results: dict[str, dict[str, Any]]) -> None:
    found = results[model.name]
    assert found["imagenet_top1"] >= 0.60
    assert found["coco_text_to_image_recall_at_5"] >= 10 * 5 / 500


def mean_gap(world: str, key: str, results: dict[str, dict[str, Any]]) -> float:
    """A gap averaged over the sizes trained in a world."""
    return float(np.mean([results[model.name]["gaps"][key] for model in TOY_MODELS if model.world == world]))


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: f"{row.world}-{row.facet_class}")
def test_planted_gap_has_its_sign_and_is_smaller_in_balanced(row: Planted, results: dict[str, dict[str, Any]]) -> None:
    key = f"{row.facet_class}/{row.pair}"
    tilted, balanced = (mean_gap(world, key, results) for world in (row.world, "balanced"))
    assert row.sign * tilted > 0.05
    assert abs(balanced) < abs(tilted)


@pytest.mark.parametrize("twins", TWINS, ids="-".join)
def test_twins_part_in_opposite_directions(twins: tuple[str, str], results: dict[str, dict[str, Any]]) -> None:
    """Half the difference between the twins' gaps: clearly positive in tilt-a, negative in tilt-b, between in balanced."""
    keys = [f"{name}/{row.pair}" for name in twins for row in PLANTED if (row.world, row.facet_class) == ("tilt-a", name)]
    parted = {world: (mean_gap(world, keys[0], results) - mean_gap(world, keys[1], results)) / 2 for world in WORLDS}
    assert parted["tilt-a"] > 0.15
    assert parted["tilt-b"] < -0.15
    assert abs(parted["balanced"]) < 0.5 * min(parted["tilt-a"], -parted["tilt-b"])


def test_training_json_states_what_the_folder_holds(results: dict[str, dict[str, Any]]) -> None:
    for model in TOY_MODELS:
        stated = json.loads((model.folder / "training.json").read_text())
        assert stated["name"] == model.name
        assert stated["measured"]["imagenet_top1"] == pytest.approx(results[model.name]["imagenet_top1"], abs=0.02)

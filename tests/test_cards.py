"""registry.cards: versions are found by name, number and alias, and listed once per content."""

import sqlite3
from contextlib import closing

import pytest
from mlflow import MlflowClient

from registry.cards import SELF, find_card, version_card, version_cards
from tests.conftest import Store


@pytest.fixture
def known(store: Store) -> MlflowClient:
    """Two models with bare versions of ours, one foreign version, and an alias."""
    client = MlflowClient()
    for name, quantizers in (("toy-a", ("fp32", "bnb-nf4", "bnb-nf4", "torch-int8")), ("toy-b", ("fp32",))):
        client.create_registered_model(name)
        for quantizer in quantizers:
            tags = {"qbias.quantizer": quantizer, "qbias.content": f"{name} {quantizer}", "qbias.baseline_version": "1"}
            tags |= {"qbias.baseline_version": SELF} if quantizer == "fp32" else {}
            client.create_model_version(name, "/nowhere", tags=tags)
    client.create_model_version("toy-b", "/nowhere")
    client.set_registered_model_alias("toy-a", "champion", "2")
    return client


def test_cards_are_found_by_number_and_alias(known: MlflowClient) -> None:
    """Both spellings of a version give the same card; `latest` is the highest number."""
    card = version_card("models:/toy-a/2")
    assert (card.uri, card.quantizer, card.baseline_version) == ("models:/toy-a/2", "bnb-nf4", "1")
    assert version_card("models:/toy-a@champion") == card == find_card("models:/toy-a@champion")
    assert version_card("models:/toy-a/latest").version == "4"
    assert version_card("models:/toy-a/1").baseline_version == "1"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/toy-c/1", "unknown registered model 'toy-c'. Did you mean 'toy-"),
        ("models:/toy-a/9", r"'models:/toy-a/9' does not exist; versions of toy-a: 1, 2, 3, 4; aliases: @champion \(version 2\)"),
        ("models:/toy-a@challenger", r"versions of toy-a: 1, 2, 3, 4; aliases: @champion"),
        ("models:/toy-a@2", "does not exist"),
        ("models:/toy-b/2", "not a version that 'register' made"),
        ("models:/toy-b@x", "aliases: none"),
        ("toy-a/2", "give models:/<name>/<version>"),
        ("models:/toy-a", "give models:/<name>/<version>"),
        ("runs:/0123/model", "give models:/<name>/<version>"),
    ],
)
def test_unknown_versions_are_refused_with_what_exists(known: MlflowClient, uri: str, message: str) -> None:
    """The message lists the versions and aliases there are, or the form of the URI."""
    with pytest.raises(ValueError, match=message):
        version_card(uri)


def test_models_that_are_not_ours_have_no_card(known: MlflowClient) -> None:
    """Any other MLflow model URI is no mistake: it just has no card."""
    for uri in ("models:/toy-b/2", "runs:/0123/model", "models:/m-0123", "some/folder"):
        assert find_card(uri) is None


def test_an_empty_registry_says_so(store: Store) -> None:
    """Before the first registration there is nothing to choose from."""
    with pytest.raises(ValueError, match="no model is registered yet: run the verb 'register'"):
        version_card("models:/toy-a/1")
    assert version_cards() == []


def test_cards_are_listed_once_per_content(known: MlflowClient) -> None:
    """Of identical contents the newest; models and quantizers can be chosen; unknown models are refused."""
    assert [(card.name, card.version) for card in version_cards()] == [("toy-a", "1"), ("toy-a", "3"), ("toy-a", "4"), ("toy-b", "1")]
    assert [card.version for card in version_cards(models=["toy-a"], quantizers=["fp32", "torch-int8"])] == ["1", "4"]
    with pytest.raises(ValueError, match="unknown registered model 'toy-x'"):
        version_cards(models=["toy-x"])


def test_a_copy_has_the_card_of_its_origin_and_is_no_candidate(known: MlflowClient) -> None:
    client = known
    first = client.copy_model_version("models:/toy-a/2", "toy-a-prod")
    second = client.copy_model_version("models:/toy-a-prod/1", "toy-b")
    client.copy_model_version("models:/toy-a/2", "toy-a")
    client.set_registered_model_alias("toy-a-prod", "champion", "1")
    origin = version_card("models:/toy-a/2")
    for uri in (f"models:/toy-a-prod/{first.version}", f"models:/toy-b/{second.version}", "models:/toy-a-prod@champion", "models:/toy-a/5"):
        assert version_card(uri) == origin
    assert [(card.name, card.version) for card in version_cards()] == [("toy-a", "1"), ("toy-a", "3"), ("toy-a", "4"), ("toy-b", "1")]
    assert version_cards(models=["toy-a-prod"]) == []
    client.delete_model_version("toy-a", "2")
    with pytest.raises(ValueError, match=r"models:/toy-b/3 is a copy of models:/toy-a/2, which cannot be read"):
        version_card("models:/toy-b/3")


def test_a_line_of_copies_that_leads_to_itself_is_refused(known: MlflowClient, store: Store) -> None:
    known.copy_model_version("models:/toy-a/2", "toy-a-prod")
    with closing(sqlite3.connect(store.uri.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE model_versions SET source = 'models:/toy-a-prod/1' WHERE name = 'toy-a' AND version = 2")
    with pytest.raises(ValueError, match="is a copy of itself"):
        version_card("models:/toy-a-prod/1")

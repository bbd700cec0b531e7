"""The models that need no download, on real photographs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from curate.errors import EnvironmentFault, ModelError
from curate.models import classifier, image_text_encoder, preparer, sentence_encoder
from curate.models.default import conse
from curate.models.device import inference, pick
from curate.models.specs import own_weights

CAPTIONS = {
    "chelsea": "a close-up photo of a cat",
    "coffee": "a cup of espresso on a saucer",
    "rocket": "a rocket on its launch pad",
    "astronaut": "a portrait of an astronaut in a space suit",
}


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.fromarray(getattr(data, name)()) for name in CAPTIONS]


@pytest.fixture(scope="module")
def prepared(photos: list[Image.Image]) -> np.ndarray:
    return np.stack([preparer("default")(photo) for photo in photos])


def test_each_photograph_prefers_its_own_caption(photos: list[Image.Image]) -> None:
    encoder = image_text_encoder("default")
    similarity = encoder.images(photos) @ encoder.texts(list(CAPTIONS.values())).T
    matched = np.diag(similarity).mean()
    assert matched > similarity[~np.eye(len(photos), dtype=bool)].mean() + 0.1


def test_rows_are_unit_float32_and_nothing_gives_nothing(photos: list[Image.Image]) -> None:
    encoder = image_text_encoder("default")
    for rows in (encoder.images(photos), encoder.texts(["a cat", "", "猫", "x" * 5000])):
        assert rows.dtype == np.float32
        assert rows.shape == (4, encoder.dim)
        np.testing.assert_allclose((rows * rows).sum(axis=1), 1, rtol=1e-5)
    assert encoder.images([]).shape == encoder.texts([]).shape == (0, encoder.dim)
    assert encoder.images_prepared(np.zeros((0, 224, 224, 3), np.uint8)).shape == (0, encoder.dim)


def test_an_image_does_not_depend_on_its_neighbours(prepared: np.ndarray) -> None:
    encoder = image_text_encoder("default")
    many = np.concatenate([prepared] * 3)
    order = np.random.default_rng(0).permutation(len(many))
    whole = encoder.images_prepared(many)
    assert np.array_equal(encoder.images_prepared(many[order]), whole[order])
    assert np.array_equal(np.concatenate([encoder.images_prepared(row[None]) for row in prepared]), whole[:4])


@settings(max_examples=5, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=20))
def test_a_text_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    encoder = sentence_encoder("default")
    whole = encoder.encode(texts)
    assert np.array_equal(encoder.encode(texts[::-1]), whole[::-1])
    assert np.array_equal(encoder.encode(texts[:1]), whole[:1])


def test_sentences_with_one_meaning_are_close() -> None:
    rows = sentence_encoder("default").encode(["a cat on a sofa", "a kitten on the couch", "quarterly tax report"])
    assert rows.shape == (3, 384)
    assert rows[0] @ rows[1] > 0.6
    assert rows[0] @ rows[2] < 0.2


def test_class_names_are_the_thousand_of_imagenet() -> None:
    names = classifier("default").names
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[281], names[967]) == ("tench", "tabby", "espresso")


def test_probabilities_name_what_is_there(prepared: np.ndarray) -> None:
    model = classifier("default")
    found = model.probabilities(prepared)
    assert found.dtype == np.float32
    assert found.shape == (4, 1000)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)
    assert model.names[found[0].argmax()] == "Egyptian cat"
    assert model.names[found[1].argmax()] == "espresso"


def test_activation_maps_point_at_the_thing(photos: list[Image.Image]) -> None:
    model = classifier("default")
    blank = Image.new("RGB", (800, 800), (128, 128, 128))
    blank.paste(photos[0].resize((400, 400)), (400, 400))  # a cat in the lower right quarter
    square = model.prepare(blank)[None]
    cat = np.array([model.names.index("Egyptian cat")])
    found = model.cam(square, cat)
    assert found.dtype == np.float32
    assert found.shape == (1, 7, 7)
    assert (found.min(), found.max()) >= (0, 1)
    assert found[0, 3:, 3:].sum() > 0.7 * found.sum()
    assert model.cam(square[:0], cat[:0]).shape == (0, 7, 7)


def test_activation_maps_average_to_the_logit(prepared: np.ndarray) -> None:
    """Zhou et al. 2016, equation 2: the mean of a class's map is its logit less the bias, before cutting and scaling."""
    model = classifier("default")
    full = np.concatenate([prepared, prepared])
    with inference(model.device):
        seen = model.see(full)
        raw = torch.einsum("nchw,kc->nkhw", seen.maps, torch.from_numpy(model._weights)).mean(dim=(2, 3))
        bias = model._model.classifier.bias
    np.testing.assert_allclose((raw + bias).numpy(), seen.logits.numpy(), atol=1e-3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_any_mode_is_prepared_to_one_shape(mode: str) -> None:
    found = preparer("default")(Image.new(mode, (300, 40)))
    assert found.dtype == np.uint8
    assert found.shape == (224, 224, 3)


def test_transparent_is_white() -> None:
    assert (preparer("default")(Image.new("RGBA", (50, 50), (0, 0, 0, 0))) == 255).all()


def naive_conse(probabilities: Sequence[float], embeddings: np.ndarray, top: int) -> np.ndarray:
    best = sorted(range(len(probabilities)), key=lambda index: (-probabilities[index], index))[:top]
    total = sum(probabilities[index] for index in best)
    mixed = sum(probabilities[index] / total * embeddings[index] for index in best)
    return np.asarray(mixed / np.linalg.norm(mixed))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_conse_is_norouzi_equation_2(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(40, 0.1), size=3).astype(np.float32)
    embeddings = random.normal(size=(40, 8)).astype(np.float32)
    expected = [naive_conse(row.tolist(), embeddings, 10) for row in probabilities]
    np.testing.assert_allclose(conse(probabilities, embeddings), expected, atol=1e-5)


def test_weights_are_loaded_once() -> None:
    assert image_text_encoder("default") is image_text_encoder("default", "auto")
    assert classifier("default") is classifier("default")


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with inference(torch.device("cpu")):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ModelError, match="'default'"):
        classifier("resnet50")
    with pytest.raises(ModelError, match="'default'"):
        sentence_encoder("bert")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentFault, match="no GPU"):
            pick("cuda")


def test_the_weights_are_those_of_their_card() -> None:
    weights = own_weights()
    card = json.loads(weights.with_suffix(".json").read_text())
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == card["sha256"]
    assert weights.stat().st_size < 3_000_000
    assert card["licence"] == "Apache-2.0"
    assert {"openclipart", "emoji"} == card["trained_on"].keys()


def test_the_alignment_is_centred(prepared: np.ndarray) -> None:
    """Unrelated pairs score about 0, so that one threshold serves all images."""
    encoder = image_text_encoder("default")
    unrelated = encoder.texts(["a pair of scissors", "a musical note", "a yellow umbrella", "a chess queen"])
    assert abs(float((encoder.images_prepared(prepared) @ unrelated.T).mean())) < 0.15

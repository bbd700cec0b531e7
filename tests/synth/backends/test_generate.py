"""BLIP-2, LLaVA and Florence-2 through the path that real checkpoints take: a folder, a spec, the step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.contracts import Batch
from curate.errors import ModelError
from synth.backends.generate import Decoding, Sampler, cut, nucleus
from synth.caption import Caption, open_captioner

Make = Callable[..., Batch]
Spec = Callable[[str], str]

DESCRIBE = "Describe the image in one sentence."
PROMPTS = {
    "blip": "a picture of",
    "blip2": "a photo of",
    "llava": DESCRIBE,
    "llava_next": DESCRIBE,
    "llava_onevision": DESCRIBE,
    "florence2": "<CAPTION>",
}


@pytest.mark.parametrize("family", PROMPTS)
def test_each_family_captions_with_provenance(
    family: str, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Caption(model=checkpoint(family), max_words=6, temperature=1.0)
    found = step.compute(make_batch(step, photos))
    assert all(isinstance(text, str) and 0 < len(text.split()) <= 6 for text in found["synth_caption"])
    assert found["synth_caption_model"] == [checkpoint(family)] * 3
    assert found["synth_caption_prompt"] == [PROMPTS[family]] * 3
    assert all(0 < score < 1 for score in found["synth_caption_score"])


@pytest.mark.parametrize("family", PROMPTS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_caption_does_not_depend_on_its_neighbours(
    family: str, temperature: float, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Caption(model=checkpoint(family), max_words=6, temperature=temperature)
    together = step.compute(make_batch(step, photos))
    alone = step.compute(make_batch(step, photos[1:2], first=1))
    assert all(alone[name][0] == together[name][1] for name in together)


@pytest.mark.parametrize("family", ["blip2", "llava"])
def test_greedy_captions_are_those_of_plain_transformers(
    family: str, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = checkpoint(family).removeprefix("file:")
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    prompt = PROMPTS[family] if family == "blip2" else f"USER: <image>\n{PROMPTS[family]} ASSISTANT:"
    inputs = processor(images=photos[0], text=prompt, return_tensors="pt")
    written = model.generate(**inputs, do_sample=False, max_new_tokens=14)
    new = written[0, inputs["input_ids"].shape[1] :] if written.shape[1] > 14 else written[0]
    expected = processor.tokenizer.decode(new, skip_special_tokens=True)
    step = Caption(model=checkpoint(family), max_words=6)
    assert step.compute(make_batch(step, photos[:1]))["synth_caption"][0] == cut(expected, 6)


def test_sampling_follows_the_sample_and_the_seed(
    checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Caption(model=checkpoint("llava"), max_words=6, temperature=1.0)
    state = torch.get_rng_state()
    same = [photos[0]] * 3
    found = list(step.compute(make_batch(step, same))["synth_caption"])
    assert len(set(found)) > 1  # three samples, three seeds
    assert found == list(step.compute(make_batch(step, same))["synth_caption"])
    assert found != list(step.compute(make_batch(step, same, seed=8))["synth_caption"])
    assert torch.equal(state, torch.get_rng_state())  # the global generator is left alone


def test_gumbel_noise_samples_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(4000, 1)
    draws = Sampler(Decoding(temperature=0.5), seeds=range(4000))(torch.empty(0), logits).argmax(-1)
    shares = torch.bincount(draws, minlength=3) / 4000
    assert torch.allclose(shares, (logits[0] / 0.5).softmax(-1), atol=0.03)


def test_a_nucleus_holds_the_fewest_tokens_that_reach_the_share() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]]).log()
    assert nucleus(logits, 0.7).isfinite().tolist() == [[True, True, False, False], [False, False, True, True]]
    assert nucleus(logits, 0.9).isfinite().sum(-1).tolist() == [3, 3]
    assert torch.equal(nucleus(logits, 1.0), logits)
    draws = Sampler(Decoding(1.0, 0.7), seeds=range(4000))(torch.empty(0), logits[:1].repeat(4000, 1)).argmax(-1)
    assert torch.bincount(draws, minlength=4)[2:].sum() == 0
    assert torch.bincount(draws)[0] / 4000 == pytest.approx(0.5 / 0.8, abs=0.03)


def test_a_family_that_writes_no_captions_is_named(checkpoint: Spec) -> None:
    with pytest.raises(ModelError, match="'owlv2'; captions come from blip, blip-2, llava"):
        open_captioner(checkpoint("owlv2"), None, 10, 0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A  dog\nruns", "A dog runs"),
        ("A dog. It runs very fast over there", "A dog."),
        ("one two three four five six", "one two three four"),
    ],
)
def test_long_captions_end_at_a_sentence_else_a_word(text: str, expected: str) -> None:
    assert cut(text, 4) == expected


@given(st.text(), st.integers(1, 20))
def test_a_cut_caption_is_a_prefix_in_words(text: str, limit: int) -> None:
    words = cut(text, limit).split()
    assert len(words) <= limit
    assert words == text.split()[: len(words)]

"""Tiny random checkpoints of each family, made by transformers itself and saved as a user's folder would be.

Weights are random, so what they say means nothing; that it is loaded, asked, decoded and traced is what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.contracts import Batch, Synth

WORDS = [
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "with",
    "photo",
    "image",
    "cat",
    "dog",
    "red",
    "big",
    "small",
    "mug",
    "ball",
    "describe",
    "sentence",
    "one",
    "user",
    "assistant",
    "what",
    "does",
]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def word_tokenizer(**options: Any) -> Any:
    """A BART-like tokenizer over whole words, with a vocabulary of a few dozen."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS, ".", ":", "?", "<image>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **options)


def image_tokenizer() -> Any:
    """The same, knowing its image token, as the tokenizers of LLaVA and Florence-2 do."""
    return word_tokenizer(extra_special_tokens={"image_token": "<image>"})


def save_blip(folder: Path) -> None:
    """BLIP: a ViT and a BERT that attends to it; a caption ends at the separator."""
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
        BlipTextConfig,
        BlipVisionConfig,
    )

    tokenizer = wordpiece_tokenizer()
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BlipConfig(
        vision_config=BlipVisionConfig(image_size=32, patch_size=16, **small).to_dict(),
        text_config=BlipTextConfig(
            vocab_size=len(tokenizer), encoder_hidden_size=16, max_position_embeddings=64, bos_token_id=2,
            pad_token_id=0, eos_token_id=3, sep_token_id=3, **small,
        ).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)


def save_blip2(folder: Path) -> None:
    """BLIP-2 with OPT behind a Q-Former of four queries."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        BlipImageProcessor,
        OPTConfig,
    )

    tokenizer = word_tokenizer()
    processor = Blip2Processor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer, num_query_tokens=4)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = Blip2Config(
        vision_config=Blip2VisionConfig(image_size=32, patch_size=16, **small).to_dict(),
        qformer_config=Blip2QFormerConfig(encoder_hidden_size=16, vocab_size=8, **small).to_dict(),
        text_config=OPTConfig(
            vocab_size=len(tokenizer), hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        ).to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def save_llava(folder: Path) -> None:
    """LLaVA: a CLIP vision tower and a Llama."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = image_tokenizer()
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **small),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **small
        ),
        image_token_index=tokenizer.image_token_id,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1
    ).save_pretrained(folder)


def save_llava_next(folder: Path) -> None:
    """LLaVA-NeXT: images become as many tiles as their shape asks for."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = image_tokenizer()
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    grid = [[32, 64], [64, 32], [64, 64]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **small),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **small
        ),
        image_token_index=tokenizer.image_token_id,
        image_grid_pinpoints=grid,
    )
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=grid
    )
    template = "{% for m in messages %}user : <image> {{ m.content[1].text }} assistant :{% endfor %}"
    LlavaNextProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)  # fmt: skip


def save_llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision: a SigLIP tower and a Qwen2, tiles as NeXT has them."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = image_tokenizer()
    tokenizer.add_tokens(["<video>"], special_tokens=True)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    grid = [[32, 64], [64, 32], [64, 64]]
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(image_size=32, patch_size=16, **small),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **small
        ),
        image_token_index=tokenizer.image_token_id,
        video_token_index=len(tokenizer) - 1,
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    images = LlavaOnevisionImageProcessor(size={"height": 32, "width": 32}, image_grid_pinpoints=grid)
    videos = LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32})
    LlavaOnevisionProcessor(
        images, tokenizer, videos, num_image_tokens=4, vision_feature_select_strategy="full"
    ).save_pretrained(folder)


def save_florence2(folder: Path) -> None:
    """Florence-2: a DaViT of four one-block stages and a BART."""
    from transformers import (
        BartConfig,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        Florence2VisionConfig,
    )

    tokenizer = image_tokenizer()
    config = Florence2Config(
        vision_config=Florence2VisionConfig(
            depths=[1, 1, 1, 1], embed_dim=[8, 8, 16, 16], num_heads=[1, 1, 2, 2], num_groups=[1, 1, 2, 2],
            projection_dim=16, window_size=4, max_temporal_embeddings=4, max_position_embeddings=8,
        ),
        text_config=BartConfig(
            vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=128,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
        ),
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    Florence2Processor(images, tokenizer).save_pretrained(folder)


def wordpiece_tokenizer() -> Any:
    """BERT's tokenizer over a small vocabulary."""
    from transformers import BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "coffee", ".", ",", "##s"]
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)})


def save_grounding_dino(folder: Path) -> None:
    """Grounding DINO: a Swin of two stages and a BERT of one layer."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    tokenizer = wordpiece_tokenizer()
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=10, num_feature_levels=4, max_text_len=64,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 160, "longest_edge": 200})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    """OWLv2: two CLIP towers with box and class heads on the patches."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    tokenizer = word_tokenizer(model_max_length=16)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = Owlv2Config(
        text_config={
            "vocab_size": len(tokenizer), "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1,
            "eos_token_id": 2, **small,
        },
        vision_config={"image_size": 64, "patch_size": 16, **small},
        projection_dim=16,
    )  # fmt: skip
    model = Owlv2ForObjectDetection(config)
    for weight in (*model.box_head.parameters(), *model.class_head.parameters()):
        weight.data.mul_(0.1)  # torch's own initialisation saturates their sigmoids
    model.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), tokenizer).save_pretrained(folder)


SAVE: dict[str, Callable[[Path], None]] = {
    "blip": save_blip,
    "blip2": save_blip2,
    "llava": save_llava,
    "llava_next": save_llava_next,
    "llava_onevision": save_llava_onevision,
    "florence2": save_florence2,
    "grounding_dino": save_grounding_dino,
    "owlv2": save_owlv2,
}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Model spec of a tiny random checkpoint of the named family, made once."""
    import torch

    made: dict[str, str] = {}

    def spec(name: str) -> str:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            torch.manual_seed(0)
            SAVE[name](folder)
            made[name] = f"file:{folder}"
        return made[name]

    return spec


@pytest.fixture(scope="session")
def photos() -> list[Image.Image]:
    """Three real photos of different shapes: a cat, a cup of coffee, an astronaut."""
    from skimage import data

    return [Image.fromarray(pixels) for pixels in (data.chelsea(), data.coffee(), data.astronaut())]


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A batch of images as the engine makes one: their uids are 0, 1, … from `first`."""

    def make(step: Synth, images: Sequence[Image.Image], first: int = 0, seed: int = 7, **columns: list[Any]) -> Batch:
        uids = np.array([[0, first + i] for i in range(len(images))], np.uint64).reshape(-1, 2)
        arrays: dict[str, np.ndarray] = {"uid": uids}
        for name, values in columns.items():
            arrays[name] = np.empty(len(values), object)
            arrays[name][:] = values
        prepared = [step.prepare(image) for image in images]
        stack = None if prepared[0] is None else np.stack([item for item in prepared if item is not None])
        return Batch(columns=arrays, images=images if stack is None else (), prepared=stack, seed=seed)

    return make

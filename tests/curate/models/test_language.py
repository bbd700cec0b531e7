"""One interface over three kinds of language models, each opened by the real code from a file that the test writes."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest

from curate.contracts import Batch
from curate.errors import ModelError
from curate.models.language import language_model, model_files
from stages.signals.perplexity import CausalPerplexity, Perplexity

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>\t0
-99\t<s>\t-0.30103
-0.69897\t</s>\t0
-0.60206\ta\t-0.30103
-0.60206\tcat\t-0.30103

\\2-grams:
-0.1\t<s> a
-0.2\ta cat
-0.3\tcat </s>

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.arpa"
    path.write_text(ARPA)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two layers with random weights and a tokenizer of words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    words = {word: i for i, word in enumerate(["<s>", "<unk>", "a", "cat", "dog", "on", "the", "mat"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=128, n_embd=16, n_layer=2, n_head=2, bos_token_id=0))
    model.save_pretrained(folder)
    return folder


def test_kenlm_scores_an_arpa_file(arpa: Path) -> None:
    total, tokens = language_model(f"file:{arpa}").score(["a cat", "cat a", "dog", ""])
    assert tokens.tolist() == [3, 3, 2, 1]
    # <s> a, a cat, cat </s> are listed; the others back off: <s> cat is -0.30103 - 0.60206, and so on.
    expected = [-0.6, -0.90309 - 0.90309 - 1.0, -1.30103 - 0.69897, -1.0]
    assert (total / log(10)).tolist() == pytest.approx(expected, abs=1e-4)


def test_files_that_change_are_opened_again(arpa: Path, checkpoint: Path) -> None:
    spec, pieces = f"file:{arpa}", arpa.parent / "tokenizer.json"
    first = language_model(spec)
    assert language_model(spec) is first
    arpa.write_text(ARPA.replace("-0.1\t<s> a", "-0.15\t<s> a"))
    assert language_model(spec).score(["a cat"])[0] == pytest.approx([-0.65 * log(10)], abs=1e-4)
    tokenizer = (checkpoint / "tokenizer.json").read_text()
    pieces.write_text(tokenizer)
    assert language_model(spec, str(pieces)).score(["a cat"])[1].tolist() == [3]
    pieces.write_text(tokenizer.replace('"Whitespace"', '"WhitespaceSplit"'))
    assert language_model(spec, str(pieces)).score(["a,cat"])[1].tolist() == [2]


def test_kenlm_takes_pieces_of_a_tokenizer(arpa: Path, checkpoint: Path) -> None:
    model = language_model(f"file:{arpa}", str(checkpoint / "tokenizer.json"))
    assert model.score(["a cat"])[0] == pytest.approx(language_model(f"file:{arpa}").score(["a cat"])[0])
    with pytest.raises(ModelError, match="no tokenizer"):
        language_model(f"file:{arpa}", str(arpa.parent / "none.json"))


def test_kenlm_refuses_another_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.arpa"
    path.write_text("no model\n")
    with pytest.raises(ModelError, match="KenLM cannot read"):
        language_model(f"file:{path}")


def test_a_causal_model_is_scored_token_by_token(checkpoint: Path) -> None:
    import torch
    from transformers import GPT2LMHeadModel

    model = language_model(f"file:{checkpoint}", device="cpu")
    texts = ["a cat on the mat", "dog", "", "the " * 200]
    total, tokens = model.score(texts)
    assert tokens.tolist() == [5, 1, 0, 127]
    reference = GPT2LMHeadModel.from_pretrained(checkpoint)
    ids = torch.tensor([[0, 2, 3, 5, 6, 7]])
    with torch.no_grad():
        scores = reference(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None]).sum()
    assert total[0] == pytest.approx(float(scores), abs=1e-4)
    alone = np.concatenate([model.score([text])[0] for text in texts])
    assert np.array_equal(alone, total)  # one fixed shape: the same to the bit, whatever else is in the batch


def test_signal_over_each_kind(arpa: Path, checkpoint: Path) -> None:
    texts = np.array(["a cat", "a\ncat", None], object)
    steps = (Perplexity(), Perplexity(model=f"file:{arpa}"), CausalPerplexity(model=f"file:{checkpoint}"))
    assert [step.lane for step in steps] == ["cpu", "cpu", "model"]
    for step in steps:
        found = list(step.compute(Batch({"text": texts}))["perplexity"])
        assert found[0] == found[1] > 1 and found[2] is None
        assert step.models() == model_files(step.model)
    assert Perplexity(model=f"file:{arpa}").compute(Batch({"text": texts}))["perplexity"][0] == pytest.approx(10**0.2)


def test_what_is_no_language_model_is_told(tmp_path: Path) -> None:
    other = tmp_path / "weights.pt"
    other.write_bytes(b"x")
    with pytest.raises(ModelError, match="is no language model"):
        language_model(f"file:{other}")
    with pytest.raises(ModelError, match="unknown model"):
        language_model("nonsense")

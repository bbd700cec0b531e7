"""What a caption says of its objects, from a dependency parse: the first two criteria of CAT."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal
from curate.models.english import english
from synth.phrases import ABOUT_THE_PICTURE, MAX_CHARACTERS

_STATES: Final = """
be have get do become remain seem appear look contain include consist comprise belong own need want like mean call name
base relate make
"""
STATES: Final = frozenset(_STATES.split())
"""Verbs of being and having relate objects, but nobody acts."""
_ABOUT: Final = """
show depict portray represent illustrate feature display present picture design tag title entitle label caption clip render
"""
ABOUT: Final = frozenset(_ABOUT.split())
"""What pictures and their authors do: nothing that is in the image."""

_ATTRIBUTES: Final = frozenset(("amod", "nummod", "acomp", "oprd"))
_SUBJECTS: Final = frozenset(("nsubj", "nsubjpass"))
_OBJECTS: Final = frozenset(("dobj", "dative", "attr", "pobj"))
_CONTINUING: Final = frozenset(("conj", "acl", "relcl", "advcl", "xcomp"))
_MAY_RELATE: Final = frozenset(("ADJ", "ADP", "NUM", "VERB"))
"""Tags of words that are attributes, relations or actions: a caption without them need not be parsed."""
_SHORT: Final = re.compile(r"[^aeiou][aeiouy][^aeiouwxy](?:ing|ed)\Z")
_LATIN_WORD: Final = re.compile(r"[a-z]{2}", re.IGNORECASE)


@dataclass(frozen=True)
class SceneGraph:
    """Objects with their attributes and relations, and the verbs that are actions, as lemmas.

    `A black cat is chasing a bird`: {"cat": ("black", "chase bird"), "bird": ("cat chase",)}, ("chase",).
    """

    objects: Mapping[str, Sequence[str]]
    actions: Sequence[str]

    @property
    def complexity(self) -> int:
        """Attributes and relations of the object that has most of them; 0 without objects."""
        return max(map(len, self.objects.values()), default=0)


class Complexity(Signal):
    """Complexity and actions of an English caption (Radenovic et al. 2023, CAT, section 3.1), from spaCy's parser.

    Each distinct caption of a batch is parsed once, and only where its tags let it have a relation. No caption, no fact.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 1.0

    def gives(self) -> dict[str, pa.DataType]:
        """caption_complexity: as `SceneGraph` counts it; caption_actions: lemmas, `chase,run`, empty for none."""
        return {"caption_complexity": pa.int32(), "caption_actions": pa.string()}

    def models(self) -> tuple[str, ...]:
        """spaCy's English model."""
        return ("en_core_web_sm",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """A caption's graph does not depend on what else is in the batch: the parser's sums are the same to the bit."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        distinct = list(dict.fromkeys(text for text in texts if text is not None))
        graphs = dict(zip(distinct, scene_graphs(distinct), strict=True))
        found = [None if text is None else graphs[text] for text in texts]
        return {
            "caption_complexity": [None if graph is None else graph.complexity for graph in found],
            "caption_actions": [None if graph is None else ",".join(graph.actions) for graph in found],
        }


def scene_graphs(captions: Sequence[str]) -> list[SceneGraph]:
    """The scene graph of each caption. Raises MissingExtra without spaCy or its English model.

    Tagging is half of the cost of a parse: captions that it shows to be names alone are not parsed, and what holds no
    word in Latin letters is not even tagged.
    """
    nlp = _parser()
    found = [SceneGraph({}, ()) for _ in captions]
    english = [i for i, caption in enumerate(captions) if _LATIN_WORD.search(caption)]
    tagged = nlp.pipe(
        ((_encodable(captions[i][:MAX_CHARACTERS]), i) for i in english),
        as_tuples=True,
        disable=["parser", "lemmatizer"],
    )
    related = [(doc, i) for doc, i in tagged if any(word.pos_ in _MAY_RELATE for word in doc)]
    parsed = nlp.get_pipe("parser").pipe((doc for doc, _ in related), batch_size=256)
    for doc, (_, i) in zip(parsed, related, strict=True):
        for verb in (word for word in doc if word.pos_ == "VERB"):
            verb.lemma_ = _lemma(verb.lower_, nlp.get_pipe("lemmatizer").lemmatize(verb))
        found[i] = scene_graph(doc)
    return found


def _encodable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 has: `?` instead."""
    return text.encode("utf-8", "replace").decode()


def _lemma(verb: str, forms: Sequence[str]) -> str:
    """Of the verbs that a form may be of, the one that English spelling means: `riding` is of ride, `ridding` of rid."""
    silent = next((form for form in forms if form.endswith("e")), None)
    return silent if silent and _SHORT.search(verb) else forms[0]


def scene_graph(doc: Any) -> SceneGraph:
    """Objects, their attributes and relations, and actions of a parsed caption, `spacy.tokens.Doc` whose verbs have lemmas.

    Objects are nouns that are no part of a compound and do not name the picture (`photo of`). Attributes: adjectives and
    numerals before an object or said of it. Relations: a verb between two objects is one of each; a verb without object is
    one of its subject, and one without subject of its objects; a preposition between two objects is one of each.
    """
    objects: dict[int, list[str]] = {word.i: [] for word in doc if _is_object(word)}
    actions: dict[str, None] = {}
    for word in doc:
        if word.pos_ not in _MAY_RELATE:
            continue
        if word.dep_ in _ATTRIBUTES:
            for owner in [word.head] if word.dep_ in ("amod", "nummod") else _subjects_of(word.head):
                objects.get(owner.i, []).append(word.lower_)
        elif word.dep_ == "prep" and word.head.i in objects:
            _relate([word.head], "", _objects_of(word), objects)
        elif _is_verb(word):
            _relate(_subjects_of(word), word.lemma_, _objects_of(word), objects)
        if _is_action(word):
            actions[word.lemma_] = None
    seen: Counter[str] = Counter()
    named: dict[str, tuple[str, ...]] = {}
    for i, said in objects.items():
        noun = doc[i].lower_
        seen[noun] += 1
        named[noun if seen[noun] == 1 else f"{noun}#{seen[noun]}"] = tuple(said)
    return SceneGraph(named, tuple(actions))


def _is_object(word: Any) -> bool:
    return word.pos_ in ("NOUN", "PROPN") and word.dep_ != "compound" and word.lower_ not in ABOUT_THE_PICTURE


def _is_verb(word: Any) -> bool:
    """Of the words that the tagger takes for verbs, not what is one of a list of nouns (`flag and sign`), nor an
    attribute (`smiling man`), nor the picture (`Drawing of`).
    """
    if word.pos_ != "VERB" or word.dep_ in ("amod", "compound") or word.lemma_ in ABOUT or not word.is_alpha:
        return False
    listed = word.dep_ in ("conj", "appos") and word.head.pos_ in ("NOUN", "PROPN")
    return not listed and not (word.lower_ in ABOUT_THE_PICTURE and (word.i == 0 or word.dep_ == "ROOT"))


def _is_action(word: Any) -> bool:
    """Before its noun, a participle of the present acts (`smiling man`), one of the past does not (`broken window`)."""
    present = word.pos_ == "VERB" and word.dep_ == "amod" and word.tag_ == "VBG"
    return (present or _is_verb(word)) and word.lemma_ not in STATES


def _relate(subjects: list[Any], verb: str, others: list[tuple[str, Any]], objects: dict[int, list[str]]) -> None:
    """Adds a relation to both of its ends: `chase bird`, `cat chase`; `sit on bench`, `man sit on`."""
    subjects = [word for word in subjects if word.i in objects]
    others = [(how, word) for how, word in others if word.i in objects]
    for subject in subjects:
        objects[subject.i] += [_spaced(verb, how, other.lower_) for how, other in others] or [verb] * bool(verb)
    for how, other in others:
        objects[other.i] += [_spaced(subject.lower_, verb, how) for subject in subjects] or [_spaced(verb, how)]


def _spaced(*words: str) -> str:
    return " ".join(word for word in words if word)


def _subjects_of(verb: Any) -> list[Any]:
    """Its own; those of the verb that it continues (`sits and reads`); or the noun that it describes (`man sitting`)."""
    own = [child for child in verb.children if child.dep_ in _SUBJECTS and child.pos_ != "PRON"]
    if own or verb.dep_ not in _CONTINUING:
        return [word for child in own for word in (child, *child.conjuncts)]
    return [verb.head, *verb.head.conjuncts] if verb.head.pos_ in ("NOUN", "PROPN") else _subjects_of(verb.head)


def _objects_of(word: Any) -> list[tuple[str, Any]]:
    """What a verb or preposition leads to, with the preposition on the way: ("", bird), ("on", bench)."""
    found: list[tuple[str, Any]] = []
    own = word.lower_ if word.pos_ != "VERB" else ""
    for child in word.children:
        if child.dep_ in _OBJECTS:
            found += [(own, other) for other in [child, *child.conjuncts]]
        elif child.dep_ in ("prep", "agent") and word.pos_ == "VERB":
            found += _objects_of(child)
    return found


def _parser() -> Any:
    return english(("ner",))

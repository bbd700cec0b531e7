"""What a recipe exports, checked against what its steps give, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.errors import RecipeError
from curate.recipe import Export, Recipe
from curate.schema import DOCUMENT, DOCUMENT_INDEX, IMAGE, TEXT
from stages.export.blur import holds_boxes

if TYPE_CHECKING:
    from curate.planner import Node


def check_export(recipe: Recipe, giver: Mapping[str, Node]) -> None:
    """Raises RecipeError for a column of the wrong kind of row or of the wrong type. `giver`: column -> what gives it.

    That every column is there at all is checked before.
    """
    export = recipe.header.export
    for blur in export.blur:
        if not holds_boxes(_type(giver, blur.column)):
            raise RecipeError(f"export.blur: the column {blur.column!r} holds no boxes")
    if not recipe.source.documents:
        if export.node_meta or export.place:
            raise RecipeError(
                "export.node_meta and export.place are about nodes of documents, and this pool holds pairs"
            )
        return
    if export.captions != Export().captions:
        raise RecipeError("export.captions are drawn for pairs; a document leaves with the texts that it has")
    for column in export.meta:
        if column in giver and DOCUMENT not in giver[column].kinds:
            raise RecipeError(f"export.meta: the column {column!r} is about nodes: name it in export.node_meta")
    for column in export.node_meta:
        if column in giver and not {TEXT, IMAGE} & set(giver[column].kinds):
            raise RecipeError(f"export.node_meta: the column {column!r} is about documents: name it in export.meta")
    if export.place is not None:
        about = giver[export.place].kinds if export.place in giver else ()
        if IMAGE not in about or not pa.types.is_integer(_type(giver, export.place)):
            raise RecipeError(f"export.place: the column {export.place!r} holds no whole numbers about images")


def _type(giver: Mapping[str, Node], column: str) -> pa.DataType:
    if column not in giver:
        return DOCUMENT_INDEX.field(column).type
    return giver[column].step.gives()[giver[column].given(column)]

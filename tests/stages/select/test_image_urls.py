"""Images in many places, by URL."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.scan import MemoryScan
from stages.select.image_urls import FewPlaces

URLS = st.lists(st.sampled_from(["http://x/a.png", "http://x/b.png", "http://y/a.png", None]), min_size=1, max_size=30)


@given(URLS, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_counts_are_exact_however_the_pool_is_cut(
    urls: list[str | None], most: int, shards: int, partitions: int
) -> None:
    scan = MemoryScan({"url": np.array(urls, object)}, shards, partitions)
    step = FewPlaces(max=most)
    state = scan.fit(step)
    times = Counter(urls)
    kept = [url is None or times[url] <= most for url in urls]
    assert step.apply(scan.columns, state, seed=0).tolist() == [int(k) for k in kept]
    many = {url for url, stays in zip(urls, kept, strict=True) if not stays}
    assert step.threshold(state) == f"{kept.count(False)} images by {len(many)} URLs stand in more than {most} places"


def test_a_limit_of_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        FewPlaces(max=0)

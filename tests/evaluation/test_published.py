"""Published figures: found by the name of the data, and possible."""

from __future__ import annotations

from mrnn.evaluation.published import FLICKR8K, FLICKR30K, IAPR_TC12, Retrieval, tables_of


def test_published_figures_are_found_by_name_and_possible():
    assert tables_of("Flicker8k_Dataset") is tables_of("flickr_8k") is FLICKR8K
    assert tables_of("FLICKR-30K") is FLICKR30K
    assert tables_of("IAPR TC-12") is IAPR_TC12
    assert tables_of("coco") is None
    for tables in (FLICKR8K, FLICKR30K, IAPR_TC12):
        for row in tables.retrieval + tables.retrieval_later:
            assert isinstance(row, Retrieval)
            for *recall, _median in (row.image_to_text, row.text_to_image):
                known = [figure for figure in recall if figure is not None]
                assert known == sorted(known)
                assert all(0 < figure < 100 for figure in known)
        for row in tables.generation + tables.generation_later:
            assert list(row.bleu) == sorted(row.bleu, reverse=True)
            assert all(0 < figure < 1 for figure in row.bleu)

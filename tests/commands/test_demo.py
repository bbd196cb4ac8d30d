"""The page of `mrnn demo` says how its sentences were chosen."""

from __future__ import annotations

from mrnn.captioner import load
from mrnn.commands.demo import run_demo


def test_the_page_says_where_words_are_not_chosen_by_log_p_alone(captioner, picture, tmp_path):
    said = "may have a higher log P"
    for model, is_said in ((load(), True), (captioner, False)):
        page = tmp_path / "demo.html"
        list(run_demo(model, [picture("a.jpg")], page))
        assert (said in page.read_text()) == is_said

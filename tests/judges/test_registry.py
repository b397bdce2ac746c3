"""The registry: every judge by its name, with its settings and the bytes of its files."""

import dataclasses
import functools

import pytest

from chexjax.config import content
from chexjax.judges import JUDGES, GreenConfig, JudgeSettings, build, identity, uncontrolled
from chexjax.judges.registry import Kind
from chexjax.judges.remote import Endpoint


def test_settings_of_every_judge_can_say_what_is_in_its_files():
    fields = {field.name: getattr(JudgeSettings(), field.name) for field in _fields()}
    assert fields.pop("plain") is True
    assert all(callable(settings.files) for settings in fields.values())
    assert {name for kind in JUDGES.values() for name in kind.reads} <= fields.keys()


def _fields():
    return dataclasses.fields(JudgeSettings)


def test_the_bytes_of_a_file_count_and_not_its_place(tmp_path):
    def found(name, text):
        (tmp_path / name).write_text(text, "utf-8")
        settings = JudgeSettings(green=GreenConfig(question=str(tmp_path / name)))
        return identity("lc_green", settings)

    first = found("a.txt", "{reference} {candidate}")
    assert "question" in first["green"]
    assert found("b.txt", "{reference} {candidate}") == first
    assert found("c.txt", "{reference} or {candidate}") != first


def test_settings_count_where_their_judge_is_asked():
    def found(name, unreadable):
        green = GreenConfig(endpoint=Endpoint(model="x"), question=__file__, unreadable=unreadable)
        settings = JudgeSettings(green=green)
        return content(settings), identity(name, settings)

    assert found("rouge_l", "exclude") == found("rouge_l", "published")
    assert found("green", "exclude") != found("green", "published")


def test_a_judge_without_settings_is_its_name():
    assert identity("rouge_l", JudgeSettings()) == {}
    assert uncontrolled("lc_rouge_l") == uncontrolled("rouge_l") == "rouge_l"


class Own:
    name = "own"


class Other(Own):
    name = "other"


def test_a_judge_of_a_user_s_own_is_known_by_its_text(monkeypatch):
    def found(made):
        monkeypatch.setitem(JUDGES, "own", Kind(made))
        return identity("lc_own", JudgeSettings())

    assert found(Own) == found(functools.partial(Own)) != found(Other)
    assert 'name = "own"' in found(Own)["source"]["text"]


def test_an_unknown_judge_is_named_with_the_nearest():
    for ask in (build, lambda name: identity(name, JudgeSettings())):
        with pytest.raises(ValueError, match="no judge 'oracel'; did you mean 'oracle'"):
            ask("oracel")

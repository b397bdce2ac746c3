"""Whoever writes a wrong command is told the right one."""

import pytest

from chexjax.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["align", "--size=X"], "size"),
        (["align", "--against=jax"], "against"),
        (["align", "--rounds=1"], "rounds"),
        (["align", "judge"], "judge is no flag"),
        (["judge", "--size=X"], "size"),
        (["judge", "--against=trl"], "against"),
        (["judge", "--work=x"], "work"),
        (["sample", "--against=vllm"], "against"),
        (["data", "--against=grain"], "against"),
        (["all", "--size=X"], "size"),
        (["all", "--rounds=1"], "rounds"),
    ],
)
def test_a_wrong_command_is_told_the_right_one(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message and f"chexjax bench {arguments[0]}" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "found nothing to bench"), (["algin"], "did you mean align")],
)
def test_there_are_no_other_benchmarks(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    for name in ("align", "judge", "sample", "data", "all"):
        assert f"chexjax bench {name}" in message

import pytest

from chexjax.__main__ import main


def test_a_model_is_counted_without_being_made(capsys):
    assert main(["doctor", "--model=chexagent2_3b", "--fsdp=8"]) == 0
    shown = capsys.readouterr().out
    for figure in ("861", "3,140,746,752", "13", "320.0 KiB", "each of 8"):
        assert figure in shown


def test_the_machine_is_described(capsys):
    assert main(["doctor"]) == 0
    assert "cpu" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--model=green_lama2_7b", "green_llama2_7b"),
        ("--fsdp=0", "fsdp"),
        ("--dtype=int4", "dtype"),
        ("--modle=x", "modle"),
        ("extra", "extra"),
    ],
)
def test_what_cannot_be_used_is_named(argument, words, capsys):
    assert main(["doctor", argument]) == 2
    assert words in capsys.readouterr().err

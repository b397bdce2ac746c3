"""What lies beside a model's weights, and how prompts are laid out for the engine."""

import dataclasses
import json

import numpy as np
import pytest

from chexjax.engine import Sampler
from chexjax.families import Chat
from chexjax.serve.model import Served, TooLong
from tests.serve.running import END, FAMILY, byte_tokenizer, served

GREEDY = Sampler(temperature=0.0)


def test_clients_numbers_of_tokens_come_to_few_rooms():
    """A program is compiled for each; an answer ends where it was asked to, all the same."""
    made, rooms = served(), set()
    for prompt in range(1, 400, 7):
        for limit in range(1, 512 - prompt, 13):
            for count in (1, 3):
                asked = made.request([5] * prompt, limit, GREEDY, [0] * count)
                own = max(map(len, asked.rows)) or 1
                assert len(asked.prefix) + max(map(len, asked.rows)) == prompt
                assert limit <= asked.limit <= 512 - prompt
                if prompt + asked.limit < 512:
                    rooms.add(own + asked.limit)
                assert asked.stop([7] * (limit - 1)) is None
                assert asked.stop([7] * (limit + 5)) == limit
    assert rooms <= {64, 96, 128, 192, 256, 384, 512}


def test_what_has_no_room_is_named():
    with pytest.raises(TooLong, match="room for 512 tokens, but the prompt has 500 and 13 more"):
        served().request([5] * 500, 13, GREEDY, [0])
    served().request([5] * 500, 12, GREEDY, [0])


def test_prompts_that_begin_with_the_preamble_leave_it_to_the_engine():
    made = served(preamble=(1, 2, 3))
    one = made.request([1, 2, 3, 4, 5], 5, GREEDY, [0])
    assert (one.prefix, one.rows) == ([1, 2, 3], [[4, 5]])
    for prompt in ([1, 2, 4, 4], [1, 2, 3], [1, 2]):
        asked = made.request(prompt, 5, GREEDY, [0])
        assert (asked.prefix, asked.rows) == ([], [prompt])
    several = made.request([1, 2, 3, 4], 5, GREEDY, [0, 1])
    assert (several.prefix, several.rows) == ([1, 2, 3, 4], [[], []])


def test_prompts_of_a_group_share_what_they_begin_with():
    prompts = [[1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 5, 6]]
    asked = served().group(prompts, 5, GREEDY, [0] * 3, lambda said: 2 if len(said) > 2 else None)
    assert [[*asked.prefix, *row] for row in asked.rows] == prompts
    assert asked.prefix == [1, 2] and all(asked.rows)
    assert [asked.stop([9] * count) for count in (2, 3, 9)] == [None, 2, 2]


def test_the_start_token_stands_in_front_once():
    chat = Chat(start="<end>", turn="{text}", answer="")
    made = dataclasses.replace(served(), family=dataclasses.replace(FAMILY, chat=chat))
    assert made.text_ids("a") == [END, *made.plain_ids("a")]
    assert made.text_ids("<end>a") == [END, *made.plain_ids("a")]
    assert made.chat_ids([("user", "a<end>b")]) == [END, *made.plain_ids("a b")]


def test_tokens_are_spelled_as_they_stand_in_a_text():
    made, text = served(), "No effusion."
    assert "".join(made.spell(token) for token in made.plain_ids(text)) == text
    assert made.spell(END) == "<end>"


def test_a_generation_config_names_more_ends(tmp_path):
    byte_tokenizer().save_pretrained(tmp_path)
    assert Served.load(tmp_path, "x", FAMILY).ends == (END,)
    file = tmp_path / "generation_config.json"
    for said, ends in ((7, (7, END)), ([7, 9], (7, 9, END)), (None, (END,))):
        file.write_text(json.dumps({"eos_token_id": said}))
        assert Served.load(tmp_path, "x", FAMILY).ends == ends
    file.write_text("[]")
    with pytest.raises(ValueError, match="generation_config.json is no JSON object"):
        Served.load(tmp_path, "x", FAMILY)


def test_a_folder_without_a_tokenizer_or_an_end_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no tokenizer.json"):
        Served.load(tmp_path, "x", FAMILY)
    endless = byte_tokenizer()
    endless.eos_token = None
    endless.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="which token ends a text"):
        Served.load(tmp_path, "x", FAMILY)


def test_decoding_leaves_special_tokens_out():
    ids = np.asarray([*served().plain_ids("Clear."), END])
    assert served().decode(ids.tolist()) == "Clear."

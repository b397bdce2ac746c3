"""What a stream says, put together, is the text of all tokens, cut before the first stop string."""

import itertools

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers

from chexjax.serve.text import Decoder, Text
from tests.serve.running import byte_tokenizer

TEXTS = [
    "naïve – 5 µm, 肺, 🫁 und mehr",
    " leading blank,  two  blanks \n\n\ttab",
    "🫁" * 70,
    "Clear lungs. " * 60,
    "ends with half a sign: \ufffd",
    "",
]


def piece_tokenizer():
    """As sentencepiece's: blanks are part of pieces, what has no piece is bytes."""
    pieces = ["<unk>", "<s>", "\u2581", "\u2581a", "b", "\u2581the", "lun", "gs", "\n"]
    pieces += [f"<0x{k:02X}>" for k in range(256)]
    vocabulary = {piece: k for k, piece in enumerate(dict.fromkeys(pieces))}
    bare = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    bare.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    bare.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    bare.add_special_tokens(["<s>"])
    return bare


BYTES, PIECES = byte_tokenizer().backend_tokenizer, piece_tokenizer()


def streamed(tokenizer, ids, before=(), stops=()):
    """The parts that are given, with an empty one for every token that gives nothing."""
    text = Text(Decoder(lambda ids: tokenizer.decode(list(ids)), before), stops)
    parts = []
    for token in ids:
        parts.append(text.add(token))
        if text.stopped:
            return parts
    return [*parts, text.end()]


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
@pytest.mark.parametrize("text", TEXTS)
def test_parts_are_whole_characters_and_make_the_text(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    parts = streamed(tokenizer, ids)
    assert "".join(parts) == tokenizer.decode(ids) == text
    assert all("\ufffd" not in part for part in parts[:-1])


def test_a_character_is_given_with_its_last_byte():
    ids = BYTES.encode("a🫁b").ids
    assert streamed(BYTES, ids) == ["a", "", "", "", "🫁", "b", ""]


def test_bytes_that_are_no_character_come_at_the_end():
    ids = BYTES.encode("ab🫁").ids[:-1]
    assert "".join(streamed(BYTES, ids)) == BYTES.decode(ids) == "ab\ufffd"


def test_a_text_that_goes_on_keeps_its_first_blank():
    """An answer on its own has none; what goes on behind a prompt has the prompt's."""
    ids = [PIECES.token_to_id("\u2581the"), PIECES.token_to_id("\u2581a")]
    prompt = PIECES.encode("lungs").ids
    assert "".join(streamed(PIECES, ids)) == "the a"
    assert "".join(streamed(PIECES, ids, before=prompt)) == " the a"


def test_half_a_character_of_the_prompt_is_finished():
    *before, last = BYTES.encode("x肺").ids
    assert "".join(streamed(BYTES, [last], before=before)) == "肺"


def test_special_tokens_are_not_text():
    ids = [PIECES.token_to_id(p) for p in ("\u2581a", "<s>", "b", "<s>", "\u2581the")]
    assert streamed(PIECES, ids) == ["a", "", "b", "", " the", ""]


def naive(text, stops):
    """Letter by letter: the text before the stop string that is complete first."""
    for end in range(len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)], True
    return text, False


@pytest.mark.parametrize("seed", range(200))
def test_stop_strings_are_cut_exactly_however_tokens_fall(seed):
    random = np.random.default_rng(seed)
    text = "".join(random.choice(list("ab🫁 "), size=40))
    stops = {"".join(random.choice(list("ab🫁 "), size=k)) for k in random.integers(2, 6, size=2)}
    ids = BYTES.encode(text).ids
    wanted, found = naive(text, stops)
    assert "".join(streamed(BYTES, ids, stops=tuple(stops))) == wanted
    # Nothing that is given can be part of a stop string that comes later.
    given = itertools.accumulate(streamed(BYTES, ids, stops=tuple(stops)))
    assert all(wanted.startswith(part) for part in given)
    assert found == (len(wanted) < len(text))


def test_what_may_begin_a_stop_string_is_held_back_and_given_when_it_does_not():
    ids = BYTES.encode("x\nUser: y").ids
    assert streamed(BYTES, ids, stops=("\nUser;",)) == [
        "x", "", "", "", "", "", "\nUser:", " ", "y", "",
    ]  # fmt: skip


def test_a_long_text_costs_no_more_a_token_than_a_short_one():
    longest = 0

    def decode(ids):
        nonlocal longest
        longest = max(longest, len(ids))
        return BYTES.decode(list(ids))

    decoder = Decoder(decode)
    text = "Clear lungs. 肺 " * 200
    assert "".join(map(decoder.add, BYTES.encode(text).ids)) == text
    assert longest < 200

import dataclasses
import json
import shutil

import pytest
import sentencepiece

from chexjax.data.bpe import train_bpe
from chexjax.data.tokens import Tokens, chat_text, prompt_text
from chexjax.families import Family, Template, TextFamily, preset

FAMILY = preset("chexagent2_nano", Family)
TEXTS = [f"There is a small left pleural effusion, {k} mm. No pneumothorax." for k in range(40)]
TEMPLATE = Template(
    opening="<sys>\n",
    image="{number}: <img>{pixels}</img>\n",
    question='Why: "{indication}"?',
    closing="<end>\n",
    placeholder="<pad>",
    end="<end>",
    special=("<end>", "<pad>", "<img>", "</img>"),
)


@pytest.fixture(scope="module")
def tokens():
    return Tokens(train_bpe(TEXTS, FAMILY.template, FAMILY.decoder.vocabulary), FAMILY)


@pytest.mark.parametrize("texts", [[], ["clear lungs"], TEXTS])
@pytest.mark.parametrize("vocabulary", [270, 1024])
def test_there_are_exactly_as_many_ids_as_embedding_rows(texts, vocabulary):
    tokenizer = train_bpe(texts, FAMILY.template, vocabulary)
    assert sorted(tokenizer.get_vocab().values()) == list(range(vocabulary))


def test_special_tokens_are_the_first_ids_and_single(tokens):
    special = FAMILY.template.special
    assert tokens.tokenizer.convert_tokens_to_ids(list(special)) == list(range(len(special)))
    assert tokens.tokenizer.encode("".join(special), add_special_tokens=False) == [0, 1, 2, 3]
    assert tokens.end == special.index(FAMILY.template.end)
    assert tokens.placeholder == special.index(FAMILY.template.placeholder)


def test_the_order_of_texts_does_not_matter():
    one, other = (train_bpe(texts, FAMILY.template, 400) for texts in (TEXTS, TEXTS[::-1]))
    assert one.get_vocab() == other.get_vocab()


def test_training_texts_become_few_tokens(tokens):
    assert len(tokens.report(TEXTS[0])) < len(TEXTS[0]) / 4


@pytest.mark.parametrize(
    "text",
    [
        TEXTS[3],
        "Heart size normal .  Two spaces , and spaces before marks .",
        "line\nbreaks\n\nand\ttabs",
        "naïve – 5 µm, 肺, 🫁",
        "",
        "a literal <|endoftext|> or <|imgpad|> is text",
    ],
)
def test_reports_come_back_as_written_also_from_disk(tokens, text, tmp_path):
    tokens.tokenizer.save_pretrained(tmp_path)
    loaded = Tokens.load(tmp_path, FAMILY)
    ids = tokens.report(text)
    assert loaded.report(text) == ids
    assert tokens.text(ids) == loaded.text(ids) == text
    assert ids[-1] == tokens.end and ids.count(tokens.end) == 1
    assert tokens.placeholder not in ids


def test_special_tokens_are_left_out_of_text(tokens):
    ids = tokens.report("Clear.")
    filler = tokens.tokenizer.convert_tokens_to_ids("<|extra_0|>")
    assert tokens.text([tokens.placeholder, *ids, filler, tokens.end]) == "Clear."


def test_the_layout_of_a_prompt():
    assert prompt_text(TEMPLATE, 2, 3, " chest pain\n") == (
        "<sys>\n"
        "1: <img><pad><pad><pad></img>\n"
        "2: <img><pad><pad><pad></img>\n"
        'Why: "chest pain"?<end>\n'
    )
    assert prompt_text(TEMPLATE, 0, 3, "  ") == '<sys>\nWhy: "None"?<end>\n'


def test_braces_in_an_indication_are_text():
    assert 'Why: "{pixels} {0}"?' in prompt_text(TEMPLATE, 1, 1, "{pixels} {0}")


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_prompt_has_a_placeholder_for_each_visual_token(tokens, images):
    """Also where the indication tries to be a template itself."""
    for indication in ("cough", "<|imgpad|> <|img|> x <|endoftext|>"):
        ids = tokens.prompt(images, indication)
        assert ids.count(tokens.placeholder) == images * FAMILY.vision.tokens
        expected = prompt_text(FAMILY.template, images, FAMILY.vision.tokens, indication)
        assert tokens.tokenizer.decode(ids) == expected
        assert ids == tokens.tokenizer.encode(expected, add_special_tokens=False)
    assert ids.count(0) == expected.count(FAMILY.template.end)


def test_a_tokenizer_with_more_ids_than_embedding_rows_is_refused(tmp_path):
    train_bpe(TEXTS, FAMILY.template, FAMILY.decoder.vocabulary + 1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="tokens, but chexagent2_nano has .* embedding rows"):
        Tokens.load(tmp_path, FAMILY)


@pytest.fixture
def reconstructed(real_models, tmp_path):
    """CheXagent-2's tokenizer files: GPT-2's, and its added tokens as they are known from facts.

    A reconstruction: the runs of blanks stand for CodeGen's in number, not one by one.
    """
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(real_models / "gpt2-tokenizer" / name, tmp_path / name)
    blanks = [" " * k for k in range(31, 1, -1)] + ["\t" * k for k in range(9, 1, -1)]
    pairs = [f"<|{slash}{word}|>" for word in ("ref", "box", "quad") for slash in ("", "/")]
    rest = [f"<|coord_{k}|>" for k in range(10)] + [f"<|extra_{k}|>" for k in range(54)]
    names = [*blanks, "<|img|>", "<|/img|>", "<|imgpad|>", *pairs, *rest]
    added = {name: 50257 + k for k, name in enumerate(names)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    return tmp_path


def test_chexagent2_prompts_have_their_images_where_the_model_was_taught(reconstructed):
    family = preset("chexagent2_3b", Family)
    tokens = Tokens.load(reconstructed, family)
    assert len(tokens.tokenizer) == 50368
    assert (tokens.end, tokens.placeholder) == (50256, 50297)
    one, two = tokens.prompt(1, "Cough."), tokens.prompt(2, "Cough.")
    assert one[23] == 50295 and one[1048] == 50296
    assert one[24:1048] == [50297] * 1024
    question = "Given the indication"
    assert tokens.text(one[1050:]).startswith(question)
    # Two images take 2,080 positions before the question.
    assert two[:1050] == one[:1050]
    assert tokens.text(two[2080:]).startswith(question)
    assert two[2080:] == one[1050:]
    assert 50256 in one and tokens.text(one).endswith("<|assistant|>")


def test_added_tokens_that_do_not_fit_are_named(reconstructed):
    family = preset("chexagent2_3b", Family)
    file = reconstructed / "added_tokens.json"
    added = json.loads(file.read_text())
    file.write_text(json.dumps({**added, "<|img|>": 50400}))
    with pytest.raises(ValueError, match="added_tokens.json.*same revision"):
        Tokens.load(reconstructed, family)
    file.unlink()
    with pytest.raises(ValueError, match="no token <.img.>"):
        Tokens.load(reconstructed, family)


def test_pairs_of_the_reference_code_are_turns_of_the_user(reconstructed):
    """The whole text of prompt and report, encoded at once, is what its parts are encoded to."""
    family = preset("chexagent2_3b", Family)
    family = dataclasses.replace(family, template=family.reference_template)
    tokens = Tokens.load(reconstructed, family)
    ids = [*tokens.prompt(0, "Cough."), *tokens.report("The heart is normal.")]
    whole = (
        "<|system|>\nYou are a helpful assistant.<|endoftext|>\n<|user|>\n"
        'Given the indication: "Cough.", write a structured findings section for the CXR.'
        "<|endoftext|>\n<|user|>\nThe heart is normal.<|endoftext|>\n"
    )
    assert ids == tokens.tokenizer.encode(whole, add_special_tokens=False)
    assert ids[-2:] == [50256, 198]


def test_green_is_asked_with_an_empty_answer_in_front_of_its_own():
    for name, start, end in (
        ("green_llama2_7b", "<s>", "</s>"),
        ("green_phi2", "", "<|endoftext|>"),
    ):
        text = chat_text(preset(name, TextFamily).chat, [("user", "Compare {these}.")])
        asked = f"{start}<|user|>\nCompare {{these}}.{end}\n"
        assert text == f"{asked}<|assistant|>\n{end}\n<|assistant|>\n"


@pytest.fixture
def mistral(real_models):
    return real_models / "mistral-tokenizer-v1"


def test_a_sentencepiece_model_is_read_id_for_id(mistral):
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(mistral / "tokenizer.model"))
    tokens = Tokens.load(mistral, preset("chexagent_8b", Family))
    texts = [
        *TEXTS[:3],
        " USER: ",
        "  two  blanks ",
        "naïve – 5 µm, 肺, 🫁\n\ttab",
        "12345.678",
        "",
    ]
    for text in texts:
        ids = tokens.report(text)
        assert ids == [*theirs.encode(text), 2]
        assert tokens.text(ids) == text.strip()


def test_chexagent_8b_prompts_are_those_of_its_tokenizer(mistral):
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(mistral / "tokenizer.model"))
    tokens = Tokens.load(mistral, preset("chexagent_8b", Family))
    question = 'Given the indication: "Cough.", write a structured findings section for the CXR.'
    asked = [1, *theirs.encode(" USER: "), 1, *theirs.encode(question + " ASSISTANT: "), 1]
    assert tokens.prompt(2, "Cough.") == [tokens.placeholder] * 128 + asked
    assert tokens.prompt(0, "Cough.") == asked
    # The likelihoods of these two answer its closed questions.
    assert [tokens.report(word)[:-1] for word in ("Yes", "No")] == [[5592], [1770]]


def test_published_tokenizers_are_the_same_when_kept(reconstructed, mistral, tmp_path):
    for folder, name in ((reconstructed, "chexagent2_3b"), (mistral, "chexagent_8b")):
        family = preset(name, Family)
        before = Tokens.load(folder, family)
        before.tokenizer.save_pretrained(tmp_path / name)
        after = Tokens.load(tmp_path / name, family)
        assert after.prompt(2, TEXTS[0]) == before.prompt(2, TEXTS[0])
        for text in (*TEXTS[:3], "  naïve – 5 µm, 肺, <|img|> <unk> </s>\n"):
            ids = before.report(text)
            assert after.report(text) == ids
            assert after.text(ids) == before.text(ids)


def test_a_sentencepiece_model_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="tokenizer.model is no sentencepiece model"):
        Tokens.load(tmp_path, preset("chexagent_8b", Family))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=35,
        model_type="unigram",
        minloglevel=9,
    )
    with pytest.raises(ValueError, match="tokenizer.model is no BPE"):
        Tokens.load(tmp_path, preset("chexagent_8b", Family))

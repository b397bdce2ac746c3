import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.rng import hash_words, row_keys, stage_key

IDS = ["phantom-0-000001", "phantom-0-000002", "s50414267"]


def bits(keys):
    return np.asarray(jax.random.key_data(keys))


def test_names_hash_to_the_same_64_bits_on_every_machine():
    expected = int.from_bytes(hashlib.blake2b(b"s50414267", digest_size=8).digest(), "little")
    low, high = (int(word) for word in hash_words("s50414267"))
    assert low + (high << 32) == expected
    assert hash_words("s50414267").dtype == np.uint32


def test_a_key_is_seed_stage_study_and_draw_folded_in_turn():
    key = jax.random.key(11)
    for word in (*hash_words("sample"), *hash_words(IDS[1]), 3):
        key = jax.random.fold_in(key, jnp.uint32(word))
    np.testing.assert_array_equal(bits(row_keys(11, "sample", IDS, 4))[1, 3], bits(key))


def test_a_row_s_keys_do_not_depend_on_its_batch_or_on_the_number_of_draws():
    whole = bits(row_keys(0, "sample", IDS, 4))
    assert whole.shape[:2] == (3, 4)
    np.testing.assert_array_equal(bits(row_keys(0, "sample", IDS[::-1], 4)), whole[::-1])
    np.testing.assert_array_equal(bits(row_keys(0, "sample", IDS[2:], 2))[0], whole[2, :2])


def test_seeds_stages_studies_and_draws_all_have_keys_of_their_own():
    keys = [bits(row_keys(s, g, IDS, 4)) for s in (0, 1) for g in ("sample", "evaluate")]
    flat = np.concatenate(keys).reshape(-1, keys[0].shape[-1])
    assert len(np.unique(flat, axis=0)) == 2 * 2 * 3 * 4
    assert (bits(stage_key(0, "sample")) != bits(stage_key(0, "evaluate"))).any()

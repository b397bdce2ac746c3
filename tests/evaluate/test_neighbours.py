import io

import numpy as np
import pytest
from PIL import Image

from chexjax.evaluate.neighbours import nearest, picture_vector, word_vectors

KNOWN = ["the heart is large", "the lungs are clear", "the heart is normal"]


def test_words_weigh_by_how_rare_they_are_by_hand():
    known, asked = word_vectors(KNOWN, ["Heart, heart? Large!", "unheard of"])
    # `heart` stands in two of three texts, `large` in one.
    heart, large = np.log(4 / 3) + 1, np.log(4 / 2) + 1
    the, once = np.log(4 / 4) + 1, np.log(4 / 2) + 1
    first = np.sqrt(the**2 + 2 * heart**2 + once**2)  # `is` stands in two as well
    length = np.sqrt((2 * heart) ** 2 + large**2)
    expected = (2 * heart * heart + large * once) / (first * length)
    assert (asked @ known.T).toarray()[0, 0] == pytest.approx(expected)
    assert asked[[1]].nnz == 0


def test_the_nearest_by_words_and_the_first_of_equals():
    known, asked = word_vectors(KNOWN, ["clear lungs", "a large heart", "the heart", "nothing"])
    assert nearest(asked, known) == [1, 0, 0, 0]


def picture(corner, size):
    pixels = np.full((size, size), 60, np.uint8)
    half = size // 2
    pixels[
        corner[0] * half : corner[0] * half + half, corner[1] * half : (corner[1] + 1) * half
    ] = 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return [file.getvalue()]


def test_the_nearest_by_pictures_whatever_their_size_and_brightness():
    corners = [(0, 0), (0, 1), (1, 0)]
    known = np.stack([picture_vector(picture(corner, 64)) for corner in corners])
    asked = np.stack([picture_vector(picture(corner, 100)) for corner in corners[::-1]])
    assert nearest(asked, known) == [2, 1, 0]
    assert np.allclose((known * known).sum(1), 1)

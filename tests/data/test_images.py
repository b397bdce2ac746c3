"""What counts as an image, and the pixels that the model gets of it."""

import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.images import UnusableImage, open_image, pixel_stack, to_pixels
from chexjax.families import preset

FAMILY = preset("chexagent2_nano")
SIZE = FAMILY.vision.size
GRADIENT = np.tile(np.arange(64, dtype=np.uint8), (48, 1))


def encode(image, form="png"):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


GOOD = encode(Image.fromarray(GRADIENT))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n garbage", "cannot be decoded"),
        (GOOD[: len(GOOD) - 40], "cannot be decoded"),
        (encode(Image.fromarray(np.zeros((64, 64), np.uint8))), "every pixel of the image is 0"),
        (encode(Image.fromarray(np.full((64, 64), 255, np.uint8))), "every pixel .* 255"),
        (encode(Image.new("L", (1, 1), 3)), "1 x 1 pixels, under 16"),
        (encode(Image.new("L", (300, 4), 3)), "300 x 4 pixels"),
    ],
)
def test_what_shows_nothing_is_refused_with_the_reason(data, reason):
    with pytest.raises(UnusableImage, match=reason):
        open_image(data)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_every_colour_mode_gives_the_same_grey_pixels(mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    pixels = to_pixels(open_image(encode(image)), FAMILY.vision, FAMILY.image)
    plain = to_pixels(Image.fromarray(GRADIENT), FAMILY.vision, FAMILY.image)
    assert pixels.shape == (SIZE, SIZE, 1) and pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.astype(int), plain.astype(int), atol=1)


def test_the_aspect_is_not_kept_and_left_stays_left():
    wide = np.zeros((40, 200), np.uint8)
    wide[:, :100] = 200
    pixels = to_pixels(Image.fromarray(wide), FAMILY.vision, FAMILY.image)[..., 0]
    assert (pixels[:, : SIZE // 2 - 3] == 200).all()
    assert (pixels[:, SIZE // 2 + 3 :] == 0).all()


def test_missing_images_are_black_slots_and_surplus_ones_are_left_out():
    one = pixel_stack([GOOD], 2, FAMILY.vision, FAMILY.image)
    assert one.shape == (2, SIZE, SIZE, 1)
    assert one[0].any() and not one[1].any()
    three = pixel_stack([GOOD] * 3, 2, FAMILY.vision, FAMILY.image)
    np.testing.assert_array_equal(three[0], three[1])

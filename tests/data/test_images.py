import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from chexjax.data.images import MINIMUM_SIDE, UnusableImage, open_image, pixel_stack, to_pixels
from chexjax.families import Family, preset

FAMILY = preset("chexagent2_nano", Family)
GRAY = FAMILY.vision
COLOUR = dataclasses.replace(GRAY, channels=3)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def ramp(width=64, height=48):
    """Brighter to the right, 8-bit."""
    return Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))


def pixels(data, vision=GRAY):
    return to_pixels(open_image(data), vision, FAMILY.image)


def test_pixels_are_the_model_s_square_in_8_bit():
    for vision in (GRAY, COLOUR):
        square = pixels(encoded(ramp()), vision)
        assert square.shape == (32, 32, vision.channels) and square.dtype == np.uint8
        assert (np.diff(square[..., 0].astype(int), axis=1) >= 0).all()
        np.testing.assert_array_equal(square, square[:1].repeat(32, 0))


def test_images_that_are_not_square_are_squeezed_not_cropped():
    """Both ends of the ramp are still there, in whichever direction."""
    wide = pixels(encoded(ramp(200, 40)))[0, :, 0]
    tall = pixels(encoded(ramp(200, 40).transpose(Image.Transpose.ROTATE_90)))[::-1, 0, 0]
    for line in (wide, tall):
        assert line[0] < 8 and line[-1] > 247


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK"])
def test_every_way_to_store_gray_gives_the_same_picture(mode):
    form = "TIFF" if mode == "CMYK" else "PNG"
    stored = ramp().convert("RGB").convert(mode) if mode == "CMYK" else ramp().convert(mode)
    plain = pixels(encoded(ramp())).astype(int)
    assert np.abs(pixels(encoded(stored, form)) - plain).max() <= 1


@pytest.mark.parametrize("top", [65535, 4095])
def test_16_bit_files_keep_their_gray_values(top):
    """All 16 bits used, or 12 of them as X-ray machines do."""
    values = np.asarray(ramp(), np.uint16) * (top // 255)
    plain = pixels(encoded(ramp())).astype(int)
    assert np.abs(pixels(encoded(Image.fromarray(values))) - plain).max() <= 1


def test_a_color_picture_keeps_its_colors_where_the_model_sees_them():
    red = Image.merge("RGB", [ramp(), ramp().point(lambda v: 0), ramp().point(lambda v: 0)])
    assert pixels(encoded(red), COLOUR)[0, -1].tolist()[1:] == [0, 0]
    assert pixels(encoded(red), COLOUR)[0, -1, 0] > 247


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(Image.new("L", (64, 64), 0)), "every pixel of the image is 0"),
        (encoded(Image.new("RGB", (64, 64), (255, 255, 255))), "every pixel of the image is 255"),
        (encoded(Image.fromarray(np.full((64, 64), 900, np.uint16))), "every pixel of the image"),
        (encoded(Image.new("L", (1, 1), 7)), f"1 x 1 pixels, under {MINIMUM_SIDE}"),
        (encoded(ramp(500, 15)), "500 x 15 pixels, under"),
        (b"", "cannot be decoded"),
        (b"%PDF-1.4 not an image at all", "cannot be decoded"),
    ],
    ids=["black", "white", "flat 16-bit", "one pixel", "strip", "empty", "no image"],
)
def test_what_shows_nothing_is_refused_with_the_reason(data, reason):
    with pytest.raises(UnusableImage, match=reason):
        open_image(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_a_truncated_file_is_refused_wherever_it_was_cut(form):
    """Never read as a picture whose lower part is gray, and never another error."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = encoded(Image.fromarray(noise), form)
    for length in range(0, int(0.98 * len(data)), len(data) // 40):
        with pytest.raises(UnusableImage):
            open_image(data[:length])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_damaged_bytes_are_refused_or_read_but_never_crash(form):
    data = encoded(ramp().resize((64, 64)), form)
    for place in range(0, len(data), max(1, len(data) // 60)):
        damaged = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            open_image(damaged)
        except UnusableImage as error:
            assert str(error)


def test_images_of_a_study_fill_slots_in_order_and_the_rest_is_black():
    first, second = encoded(ramp()), encoded(ramp().transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    stack = pixel_stack([first, second], 3, GRAY, FAMILY.image)
    assert stack.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(stack[0], pixels(first))
    np.testing.assert_array_equal(stack[1], pixels(second))
    assert not stack[2].any()
    np.testing.assert_array_equal(pixel_stack([first, second], 1, GRAY, FAMILY.image)[0], stack[0])

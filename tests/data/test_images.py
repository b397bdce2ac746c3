import dataclasses
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from chexjax.data.image_files import ImageRules, prepare
from chexjax.data.images import (
    MAXIMUM_PIXELS,
    MINIMUM_SIDE,
    UnusableImage,
    open_image,
    pixel_stacks,
    to_pixels,
)
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
        (encoded(Image.new("L", (64, 64), 0)), "every pixel of the image is the same: 0"),
        (
            encoded(Image.new("RGB", (64, 64), (255, 255, 255))),
            "every pixel of the image is the same: 255",
        ),
        (encoded(Image.fromarray(np.full((64, 64), 900, np.uint16))), "every pixel of the image"),
        (encoded(Image.new("L", (1, 1), 7)), f"under {MINIMUM_SIDE} pixels: 1 x 1"),
        (encoded(ramp(500, 15)), "pixels: 500 x 15"),
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
    [stack] = pixel_stacks([[first, second]], 3, GRAY, FAMILY.image)
    assert stack.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(stack[0], pixels(first))
    np.testing.assert_array_equal(stack[1], pixels(second))
    assert not stack[2].any()
    [one] = pixel_stacks([[first, second]], 1, GRAY, FAMILY.image)
    np.testing.assert_array_equal(one[0], stack[0])


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_gray_files_give_the_pixels_of_the_plain_path(form, resample):
    """Bit for bit what decoding to three colours and resizing all of them gives."""
    noise = np.random.default_rng(1).integers(0, 255, (96, 80), np.uint8)
    data = encoded(Image.fromarray(noise), form)
    spec = dataclasses.replace(FAMILY.image, resample=resample)
    kind = Image.Resampling[resample.upper()]
    plain = Image.open(io.BytesIO(data)).convert("RGB").resize((32, 32), kind)
    np.testing.assert_array_equal(to_pixels(open_image(data), COLOUR, spec), np.asarray(plain))


def test_a_picture_that_says_how_it_is_turned_is_turned():
    """As a camera or a scanner's software notes it: 6 is a quarter turn clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = open_image(encoded(ramp(64, 48), "JPEG", exif=exif))
    assert stored.size == (48, 64)
    line = np.asarray(stored)[:, 0].astype(int)
    assert line[0] < 8 and line[-1] > 247


def png(width, height, bits, colour, rows):
    """A PNG written by hand: Pillow writes no 16-bit colour, and no file that lies."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def deep_colour(top):
    """A ramp of 16-bit RGB up to `top`."""
    row = np.linspace(0, top, 64).astype(">u2").repeat(3).tobytes()
    return png(64, 48, 16, 2, [row] * 48)


def test_16_bit_colour_is_read_where_it_uses_its_bits():
    plain = pixels(encoded(ramp())).astype(int)
    assert np.abs(pixels(deep_colour(65535)) - plain).max() <= 1
    with pytest.raises(UnusableImage, match="leaves its upper bits empty"):
        open_image(deep_colour(4095))


def test_a_palette_keeps_its_grays():
    image = ramp().quantize(256)
    assert image.mode == "P"
    assert np.abs(pixels(encoded(image)).astype(int) - pixels(encoded(ramp()))).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(9_000, 9_000), (30_000, 30_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(width, height):
    """The file claims the size and holds nothing."""
    with pytest.raises(UnusableImage, match=f"over {MAXIMUM_PIXELS:,} pixels"):
        open_image(png(width, height, 8, 0, []))


def test_formats_that_start_programs_are_not_read():
    with pytest.raises(UnusableImage, match="cannot be decoded"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")


def test_files_are_kept_byte_by_byte_where_they_are_not_reduced():
    for data in (encoded(ramp()), encoded(ramp(), "JPEG"), encoded(ramp(), "BMP")):
        assert prepare(data, ImageRules()) is data
        assert prepare(data, ImageRules(size=48)) is data
    with pytest.raises(UnusableImage):
        prepare(b"no image", ImageRules())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_reduced_images_keep_their_aspect_and_their_picture(form):
    data = prepare(encoded(ramp(200, 100), form), ImageRules(size=32))
    image = Image.open(io.BytesIO(data))
    assert image.size == (64, 32) and image.format == ("JPEG" if form == "JPEG" else "PNG")
    expected = np.tile(np.linspace(0, 255, 64), (32, 1))
    assert np.abs(np.asarray(image.convert("L"), float) - expected).max() <= 4
    assert prepare(data, ImageRules(size=32)) is data


def test_a_reduced_image_stands_upright_and_is_not_turned_twice():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = prepare(encoded(ramp(200, 100), "JPEG", exif=exif), ImageRules(size=32))
    assert open_image(data).size == (32, 64)


@pytest.mark.parametrize("wrong", [{"size": 3}, {"quality": 0}, {"quality": 100}])
def test_rules_out_of_range_are_told(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageRules(**wrong)

"""DICOM files become the pictures that a viewer shows, or say why not."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from chexjax.artefacts import ArtefactError
from chexjax.data.image_files import ImageRules, prepare
from chexjax.data.images import UnusableImage, open_image

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom: CHEXJAX_EXTRAS=dicom")
from pydicom import uid  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402

RULES = ImageRules()
RAMP = np.tile(np.linspace(0, 4095, 64).round().astype(np.uint16), (48, 1))
"""12 bits, brighter to the right."""


def dicom(values=RAMP, *, bits=12, encoded=None, syntax=uid.ExplicitVRLittleEndian, **fields):
    """A digital X-ray as bytes; a field of None is left out."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = syntax
    file.file_meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel = 1 if values.ndim == 2 else 3
    file.BitsAllocated = 8 * values.dtype.itemsize
    file.BitsStored, file.HighBit = bits, bits - 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    if encoded is None:
        file.PixelData = values.tobytes()
    else:
        file.PixelData = encapsulate([encoded])
    file["PixelData"].VR = "OB" if encoded or bits == 8 else "OW"
    for name, value in {
        "Modality": "DX",
        "PhotometricInterpretation": "MONOCHROME2",
        **fields,
    }.items():
        if value is not None:
            setattr(file, name, value)
        elif name in file:
            delattr(file, name)
    return written(file)


def written(file):
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def picture(data, rules=RULES):
    """What the studies keep of it, after it was looked at as every image is."""
    prepared = prepare(data, rules)
    assert prepared.startswith(b"\x89PNG")
    image = open_image(prepared)
    assert image.mode in ("L", "RGB")
    return np.asarray(image).astype(int)


def test_without_a_window_the_darkest_is_black_and_the_brightest_white():
    for values in (RAMP, RAMP // 2 + 700, RAMP.astype(np.int16) - 2048):
        shown = picture(dicom(values))
        assert shown.shape == (48, 64)
        np.testing.assert_allclose(shown[0], np.linspace(0, 255, 64), atol=1)


def test_monochrome1_is_inverted():
    """There the lowest value is white."""
    shown = picture(dicom(PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(shown, 255 - picture(dicom()))


def test_a_window_is_the_standard_s():
    """PS3.3, C.11.2.1.2: of centre 2048 and width 4096, 0 -> 0, 4095 -> 1, linear in between."""
    values = np.array([[0, 1023, 2047, 2048, 3071, 4095] * 4] * 16, np.uint16)
    whole = picture(dicom(values, WindowCenter=2048, WindowWidth=4096))[0, :6]
    np.testing.assert_array_equal(
        whole, np.rint(np.array([0, 1023, 2047, 2048, 3071, 4095]) / 4095 * 255)
    )
    narrow = picture(dicom(values, WindowCenter=["2048", "9"], WindowWidth=["1025", "9"]))[0, :6]
    # From 2048 - 0.5 - 512 to 2048 - 0.5 + 512.
    expected = ((values[0, :6] - 1535.5) / 1024).clip(0, 1) * 255
    np.testing.assert_array_equal(narrow, np.rint(expected))
    assert narrow[1] == 0 and narrow[4] == 255


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR_EXACT", lambda x: (x - 2000) / 1000 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1000))),
    ],
)
def test_the_other_window_functions(function, expected):
    shown = picture(dicom(WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function))
    np.testing.assert_allclose(
        shown[0], 255 * expected(RAMP[0].astype(float)).clip(0, 1), atol=0.51
    )


def test_values_are_rescaled_before_the_window():
    """Slope 2, intercept -1000: the window sees -1000 to 7190."""
    rescaled = dicom(WindowCenter=3096, WindowWidth=8191, RescaleSlope=2, RescaleIntercept=-1000)
    np.testing.assert_allclose(picture(rescaled)[0], RAMP[0] / 4095 * 255, atol=1)


def test_a_negative_slope_turns_the_picture_round():
    shown = picture(dicom(RescaleSlope=-1, RescaleIntercept=4095))
    np.testing.assert_array_equal(shown, picture(dicom())[:, ::-1])


def test_a_table_is_looked_up():
    """It maps 12 bits to 10, the square root of brightness here."""
    table = pydicom.Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    entries = np.rint(1023 * np.sqrt(np.arange(4096) / 4095)).astype(np.uint16)
    table.LUTData = entries.tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    shown = picture(dicom(VOILUTSequence=[table], WindowCenter=9, WindowWidth=9))
    np.testing.assert_allclose(shown[0], entries[RAMP[0]] / 1023 * 255, atol=0.51)


def test_padding_is_black_and_does_not_count():
    """The detector's border, which the file sets to the value that would be brightest."""
    values = (RAMP // 2).copy()
    values[:, :8] = 4095
    fields = {"PixelPaddingValue": 4095}
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        shown = picture(dicom(values, PhotometricInterpretation=kind, **fields))
        assert not shown[:, :8].any()
        assert sorted((shown[0, 8], shown[0, -1])) == [0, 255]


@pytest.mark.parametrize("form", ["RLE", "JPEG 2000", "JPEG 2000 16-bit", "JPEG"])
def test_compressed_files_give_the_same_picture(form):
    """Lossless ones exactly."""
    deep = picture(dicom())
    eight = (RAMP // 16).astype(np.uint8)
    if form == "RLE":
        file = pydicom.dcmread(io.BytesIO(dicom()))
        file.compress(uid.RLELossless)
        np.testing.assert_array_equal(picture(written(file)), deep)
        return
    shown = RAMP if form.endswith("16-bit") else eight
    buffer = io.BytesIO()
    if form == "JPEG":
        Image.fromarray(eight).save(buffer, "JPEG", quality=95)
        syntax = uid.JPEGBaseline8Bit
    else:
        Image.fromarray(shown).save(buffer, "JPEG2000", no_jp2=True, irreversible=False)
        syntax = uid.JPEG2000Lossless
    bits = 16 if shown is RAMP else 8
    found = picture(dicom(shown, bits=bits, encoded=buffer.getvalue(), syntax=syntax))
    assert np.abs(found - picture(dicom(shown, bits=bits))).max() <= (3 if form == "JPEG" else 0)


@pytest.mark.parametrize(
    ("name", "plain", "syntax"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm", "JPEGLosslessSV1"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm", "JPEGLSLossless"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm", "JPEG2000Lossless"),
        ("MR_small_RLE.dcm", "MR_small.dcm", "RLELossless"),
    ],
)
def test_files_that_others_compressed_without_loss(name, plain, syntax):
    """pydicom's own, whose pixels are known from an uncompressed file."""
    rules = ImageRules(modalities=("MR", "OT"))
    compressed, known = (_shipped(one) for one in (name, plain))
    assert pydicom.dcmread(io.BytesIO(compressed)).file_meta.TransferSyntaxUID == getattr(
        uid, syntax
    )
    np.testing.assert_array_equal(picture(compressed, rules), picture(known, rules))


def _shipped(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom is installed without its test file {name}")
    with open(path, "rb") as file:
        return file.read()


def test_a_colour_copy_is_read():
    values = np.stack([(RAMP // 16).astype(np.uint8)] * 3, axis=-1)
    fields = {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    np.testing.assert_array_equal(picture(dicom(values, bits=8, **fields)), values)


def test_large_ones_are_reduced():
    assert picture(dicom(), ImageRules(size=24)).shape == (24, 32)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (dicom(Modality="CT"), "no plain X-ray: modality CT"),
        (dicom(Modality="US"), "no plain X-ray: modality US"),
        (dicom(PixelData=None), "the DICOM holds no pixels"),
        (dicom(np.tile(RAMP, (2, 1)), Rows=48, NumberOfFrames=2), "several frames: 2"),
        (dicom(PhotometricInterpretation="PALETTE COLOR"), "not read: PALETTE COLOR"),
        (dicom(Rows=30_000, Columns=30_000), "pixels: 30000 x 30000"),
        (dicom(RAMP[:8]), "under 16 pixels: 64 x 8"),
        (dicom(np.full_like(RAMP, 900)), "every pixel of the image is the same"),
        (dicom(Rows=96), "cannot be decoded"),
        (dicom(WindowCenter=5, WindowWidth=0), "impossible width: 0"),
        (dicom(WindowCenter=5, WindowWidth=9, VOILUTFunction="BENT"), "not known: BENT"),
        (dicom()[:140], "DICOM"),
        (dicom()[:-900], "cannot be decoded"),
        (dicom(syntax=uid.JPEGBaseline8Bit, encoded=b"\xff\xd8 no JPEG"), "cannot be decoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_shown_is_refused_with_the_reason(data, reason):
    with pytest.raises(UnusableImage, match=reason):
        prepare(data, RULES)


def test_files_that_name_no_modality_are_taken():
    """Removing what identifies a patient often removes it, too."""
    picture(dicom(Modality=None))
    picture(dicom(Modality=""))


def test_damaged_bytes_are_refused_or_read_but_never_crash():
    data = dicom()
    for place in range(128, 600, 5):
        damaged = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        try:
            prepare(damaged, RULES)
        except UnusableImage as error:
            assert str(error)


def test_without_pydicom_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ArtefactError, match="CHEXJAX_EXTRAS=dicom"):
        prepare(dicom(), RULES)


ACROSS, DOWN = 40, 24
BODY = (np.arange(DOWN)[:, None] * ACROSS + np.arange(ACROSS) * 3 % 101).astype(np.uint16)
"""Brightness `[to the feet, across]`: to the patient's left, or to the back."""


def lying(rows, columns):
    """The body as a file with this orientation has it, pixel by pixel."""
    sizes = dict.fromkeys("LRAP", ACROSS) | dict.fromkeys("HF", DOWN)
    values = np.empty((sizes[columns], sizes[rows]), np.uint16)
    for y, x in np.ndindex(values.shape):
        along = {rows: x, columns: y}
        for back, forth in ("RL", "HF", "AP"):
            if back in along:
                along[forth] = sizes[back] - 1 - along[back]
        values[y, x] = BODY[along["F"], along["L" if "L" in along else "P"]]
    return values


def seen(rows, columns, rules=RULES, **fields):
    values = lying(rows, columns)
    return picture(dicom(values, bits=16, PatientOrientation=[rows, columns], **fields), rules)


@pytest.mark.parametrize("view", ["PA", "AP", None])
@pytest.mark.parametrize("orientation", ["LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR"])
def test_a_frontal_view_is_seen_facing_the_patient(orientation, view):
    """PS3.3, C.7.6.1.1.1: the letters say where rows run from the left, columns from the top."""
    shown = seen(*orientation, ViewPosition=view)
    np.testing.assert_array_equal(shown, seen(*"LF"))
    assert shown.shape == (DOWN, ACROSS) and shown[-1, -1] > shown[0, 0]


@pytest.mark.parametrize("orientation", ["PF", "AF", "PH", "AH", "FP", "FA", "HP", "HA"])
def test_a_lateral_view_is_rotated_until_the_feet_are_down_and_never_mirrored(orientation):
    shown, upright = seen(*orientation, ViewPosition="LL"), seen(*"PF")
    assert any(np.array_equal(shown, one) for one in (upright, upright[:, ::-1]))
    as_it_lies = picture(dicom(lying(*orientation), bits=16))
    assert any(np.array_equal(shown, np.rot90(as_it_lies, k)) for k in range(4))


@pytest.mark.parametrize(
    "fields",
    [
        {"PatientOrientation": None},
        {"PatientOrientation": ""},
        {"PatientOrientation": "R"},
        {"PatientOrientation": ["R", "P"]},  # from the feet
        {"PatientOrientation": ["RA", "F"]},  # oblique
        {"PatientOrientation": ["R", "L"]},
        {"ViewPosition": "LL"},  # which contradicts it
        {"ViewPosition": "RLD"},  # lying on the right side
        {"Modality": None},
        {"Modality": "RG"},
    ],
)
def test_what_is_not_said_for_sure_turns_nothing(fields):
    plain = picture(dicom(lying(*"RF"), bits=16))
    given = {"PatientOrientation": ["R", "F"], "ViewPosition": "PA", **fields}
    np.testing.assert_array_equal(picture(dicom(lying(*"RF"), bits=16, **given)), plain)


def test_turning_is_counted_and_can_be_switched_off():
    data = dicom(lying(*"RF"), bits=16, PatientOrientation=["R", "F"])
    edits = {}
    for kept in (data, dicom(), data):
        prepare(kept, RULES, edits)
    assert edits == {"images_turned": 2}
    as_it_lies = picture(data, ImageRules(upright=False))
    np.testing.assert_array_equal(as_it_lies, picture(data)[:, ::-1])

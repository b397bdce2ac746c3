"""From DICOM files to 8-bit pictures, as a viewer shows them. Needs pydicom (extra `dicom`).

The steps and their order are those of the standard's grayscale pipeline (PS3.4, N.2; windows:
PS3.3, C.11.2.1.2 and C.11.2.1.3): stored values, rescale, window or table, then light.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from chexjax.artefacts import ArtefactError
from chexjax.data.images import UnusableImage, check_size, stretched
from chexjax.data.orientation import turns

if TYPE_CHECKING:
    from pydicom import Dataset

_GREY, _COLOUR = ("MONOCHROME1", "MONOCHROME2"), ("RGB", "YBR_")
"""How values can become light; the names of colour begin so."""

_RADIOGRAPHS = ("CR", "DX")
"""Modalities whose pictures are put upright."""


def is_dicom(data: bytes) -> bool:
    """Whether a file says that it is DICOM."""
    return data[128:132] == b"DICM"


def read(data: bytes, modalities: Sequence[str], *, upright: bool) -> tuple[Image.Image, bool]:
    """The picture of a DICOM file, 8-bit, bright where the patient absorbs; whether it was turned.

    Stored values are rescaled, then taken through the first table or window of the file. Without
    one the lowest value becomes black and the highest white. MONOCHROME1 is inverted.

    Args:
      data: The file, compressed or not.
      modalities: That it may name; one that names none is taken.
      upright: Turn it as `orientation.turns` says.

    Raises:
      UnusableImage: damaged, of another modality, without pixels, or of several frames.
      ArtefactError: pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ArtefactError(
            "DICOM files need the package pydicom: CHEXJAX_EXTRAS=dicom, or pip install "
            "'chexjax[dicom]'"
        ) from error
    # Its remarks quote what stands in a file, names and dates of a patient too.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            file = pydicom.dcmread(io.BytesIO(data))
            _check(file, modalities)
            image, turned = _picture(file), _turns(file) if upright else []
    except UnusableImage:
        raise
    except Exception as error:  # damaged files end in errors of almost every type
        raise UnusableImage(f"the DICOM cannot be decoded: {type(error).__name__}") from error
    for turn in turned:
        image = image.transpose(turn)
    return image, bool(turned)


def _turns(file: Dataset) -> list[Image.Transpose]:
    """What puts a plain radiograph upright."""
    said = file.get("PatientOrientation")
    if file.get("Modality") not in _RADIOGRAPHS or isinstance(said, str | None):
        return []
    return turns([str(letters).strip() for letters in said], str(file.get("ViewPosition") or ""))


def _check(file: Dataset, modalities: Sequence[str]) -> None:
    """Raises UnusableImage for what is no single X-ray picture."""
    modality = str(file.get("Modality") or "")
    if modality and modality not in modalities:
        raise UnusableImage(f"the DICOM is no plain X-ray: modality {modality}")
    if "PixelData" not in file:
        raise UnusableImage("the DICOM holds no pixels")
    if (frames := int(file.get("NumberOfFrames") or 1)) > 1:
        raise UnusableImage(f"the DICOM holds several frames: {frames}")
    kind = str(file.PhotometricInterpretation)
    if kind not in _GREY and not kind.startswith(_COLOUR):
        raise UnusableImage(f"the DICOM's photometric interpretation is not read: {kind}")
    check_size(int(file.Columns), int(file.Rows))


def _picture(file: Dataset) -> Image.Image:
    """Grey or RGB, 8-bit."""
    from pydicom import pixels

    values = pixels.pixel_array(file)
    if file.SamplesPerPixel == 1:
        return Image.fromarray(_light(file, values))
    if values.dtype != np.uint8:
        raise UnusableImage(f"the DICOM has colours of more than 8 bits: {values.dtype}")
    return Image.fromarray(values)


def _light(file: Dataset, values: np.ndarray) -> np.ndarray:
    """Grey values as brightness, `u8`; pixels that are no part of the picture are black."""
    from pydicom import pixels

    inside = _inside(file, values)
    values = pixels.apply_modality_lut(values, file)
    if file.get("VOILUTSequence"):
        table = file.VOILUTSequence[0]
        top = 2 ** int(table.LUTDescriptor[2]) - 1
        shown = pixels.apply_voi(values, file) * (255 / top)
    elif file.get("WindowCenter") is not None and file.get("WindowWidth") is not None:
        function = str(file.get("VOILUTFunction") or "LINEAR")
        shown = 255 * windowed(
            values, _first(file.WindowCenter), _first(file.WindowWidth), function
        )
    else:
        shown = stretched(values, inside)
    light = np.rint(np.clip(shown, 0, 255)).astype(np.uint8)
    if file.PhotometricInterpretation == "MONOCHROME1":
        light = 255 - light
    return np.where(inside, light, np.uint8(0))


def windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """Brightness 0 to 1 by a window, a formula of PS3.3, C.11.2.1.2 and C.11.2.1.3.

    Raises:
      UnusableImage: the width is out of range, or there is no such function.
    """
    values = np.asarray(values, np.float64)
    if width < (1 if function == "LINEAR" else 0) or (width == 0 and function != "LINEAR"):
        raise UnusableImage(f"the DICOM's window has an impossible width: {width:g}")
    if function == "LINEAR":
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return ((values - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    if function == "LINEAR_EXACT":
        return ((values - centre) / width + 0.5).clip(0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -50, 50)))
    raise UnusableImage(f"the DICOM's window function is not known: {function}")


def _inside(file: Dataset, values: np.ndarray) -> np.ndarray:
    """Pixels that are no padding, which the file may set to a value or a range of values."""
    first = file.get("PixelPaddingValue")
    if first is None:
        return np.ones(values.shape, bool)
    last = file.get("PixelPaddingRangeLimit", first)
    low, high = sorted((int(first), int(last)))
    inside = (values < low) | (values > high)
    return inside if inside.any() else np.ones(values.shape, bool)


def _first(value: Any) -> float:
    """The first of several windows."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)

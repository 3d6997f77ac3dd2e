"""Names of files in, the texts out that an encoder is measured and calibrated on."""

from __future__ import annotations

from pathlib import Path

from longtail_client.errors import DataInvalid
from longtail_export.encoder_export import SampleTexts
from longtail_export.movielens import other_films, read_movielens


def read_samples(catalogue: Path | None, calibration: Path | None, cache: Path) -> SampleTexts:
    """Read the texts, one a line; by default MovieLens' films, and the film table's others to calibrate on.

    Args:
        catalogue: Texts whose neighbours an export must keep.
        calibration: Other texts of the same kind.
        cache: Folder for what is downloaded.

    Raises:
        DataInvalid: A file cannot be read or is empty, or there is a catalogue without texts to calibrate on.
        SourceUnreachable: The default could not be downloaded.
    """
    if (catalogue is None) != (calibration is None):
        raise DataInvalid("give both a file of catalogue texts and one of calibration texts, or neither")
    if catalogue is None or calibration is None:
        items, _ = read_movielens(cache)
        return SampleTexts(items["text"].to_pylist(), other_films(cache))
    return SampleTexts(_lines(catalogue), _lines(calibration))


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataInvalid(f"{path}: expected UTF-8 text, one text a line, got {error}") from error
    texts = list(dict.fromkeys(line for line in lines if line))
    if not texts:
        raise DataInvalid(f"{path}: expected one text a line, found none")
    return texts

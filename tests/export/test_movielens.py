"""MovieLens as longtail's two tables: titles put right, films matched with the table of facts, the encoder's text."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from longtail_export import movielens
from longtail_export.movielens import _key, _plain_title, read_movielens

FILMS = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tPostino, Il (The Postman)\t1994\tDrama Romance\n"
    '2\t"Quote Unclosed, The\t1980\tComedy\n'
    "3\tNobody Knows\t1970\tunknown\n"
    "4\tunknown\t\tunkonwn\n"
    "5\tCity & Sea, A\t1991\tChildren's Film-Noir\n"
)
RATINGS = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t1\t3\t881250949\n186\t5\t4.5\t891717742.0\n"
)
FACTS = [
    ("The Postman", 1995, "Michael Radford", "A, B , C, D, E", "France, Italy"),
    ("Quote Unclosed", 1979, None, "", "USA"),
    ("Nobody Knows", 1972, "Too Far Away", "X", "Japan"),
    ("City and Séa", 1991, "First Found", "Y", "UK"),
    ("City and Sea", 1991, "Second Found", "Z", "UK"),
    (None, 1991, "No Title", "Z", "UK"),
    ("No Year", None, "No Year", "Z", "UK"),
]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[list[dict[str, Any]], pa.Table]]:
    """Write the two sources and read them as `read_movielens` does."""
    (tmp_path / "ml-100k.item").write_text(FILMS)
    (tmp_path / "ml-100k.inter").write_text(RATINGS)
    connection = sqlite3.connect(tmp_path / "movies.db")
    with connection:
        connection.execute('CREATE TABLE omdb (Title TEXT, Year INTEGER, Director TEXT, "Cast" TEXT, Country TEXT)')
        connection.executemany("INSERT INTO omdb VALUES (?, ?, ?, ?, ?)", FACTS)
    connection.close()
    monkeypatch.setattr(movielens, "fetch", lambda name, cache: tmp_path)

    def run() -> tuple[list[dict[str, Any]], pa.Table]:
        items, interactions = read_movielens(tmp_path)
        return items.to_pylist(), interactions

    return run


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("Toy Story", "Toy Story"),
        ("Net, The", "The Net"),
        ("Postino, Il (The Postman)", "Il Postino (The Postman)"),
        ("Enfer, L'", "L'Enfer"),
        ("Enfer, L' (Hell)", "L'Enfer (Hell)"),
        ("Fille seule, La (A Single Girl)", "La Fille seule (A Single Girl)"),
        ("I, Worst of All (Yo, la peor de todas)", "I, Worst of All (Yo, la peor de todas)"),
        ("Davy Crockett, King of the Wild Frontier", "Davy Crockett, King of the Wild Frontier"),
        ("Hour, Theirs", "Hour, Theirs"),
        ("Last, An", "An Last"),
        ("unknown", "Unknown"),
    ],
)
def test_an_article_at_the_end_moves_to_the_front(raw: str, title: str) -> None:
    assert _plain_title(raw) == title


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("The Net", "net"),
        ("Amélie!", "amelie"),
        ("City & Sea", "city and sea"),
        ("A.I.", "i"),
        ("Seven  Samurai", "seven samurai"),
    ],
)
def test_titles_match_by_letters_and_digits(title: str, key: str) -> None:
    assert _key(title) == key


def test_a_film_is_found_by_its_other_title_in_a_year_beside(read: Callable[..., Any]) -> None:
    postino = read()[0][0]
    assert postino == {
        "item_id": "1",
        "title": "Il Postino (The Postman) (1994)",
        "text": "Il Postino (The Postman) (1994). Drama, Romance. 1990s. France, Italy. directed by Michael Radford. "
        "with A, B, C, D",
        "genres": ["Drama", "Romance"],
        "year": 1994,
        "decade": "1990s",
        "director": ["Michael Radford"],
        "cast": ["A", "B", "C", "D", "E"],
        "country": ["France", "Italy"],
    }


def test_a_quote_in_a_title_is_only_a_character(read: Callable[..., Any]) -> None:
    films = read()[0]
    assert len(films) == 5
    assert films[1]["title"] == 'The "Quote Unclosed (1980)'


def test_what_the_table_does_not_know_is_left_out_of_the_text(read: Callable[..., Any]) -> None:
    assert read()[0][1]["text"] == 'The "Quote Unclosed (1980). Comedy. 1980s. USA'


def test_a_film_two_years_away_is_another_film(read: Callable[..., Any]) -> None:
    film = read()[0][2]
    assert (film["director"], film["cast"], film["country"]) == ([], [], [])
    assert film["text"] == "Nobody Knows (1970). 1970s"


def test_a_film_without_year_or_genre_keeps_its_place(read: Callable[..., Any]) -> None:
    film = read()[0][3]
    assert film["title"] == film["text"] == "Unknown"
    assert (film["year"], film["decade"], film["genres"]) == (None, None, [])


def test_the_first_of_two_films_with_one_key_is_taken(read: Callable[..., Any]) -> None:
    film = read()[0][4]
    assert film["director"] == ["First Found"]
    assert film["genres"] == ["Children's", "Film-Noir"]
    assert film["title"] == "A City & Sea (1991)"


def test_interactions_come_in_file_order_with_their_types(read: Callable[..., Any]) -> None:
    interactions = read()[1]
    assert interactions.to_pydict() == {
        "user_id": ["196", "186"],
        "item_id": ["1", "5"],
        "weight": [3.0, 4.5],
        "timestamp": [881250949, 891717742],
    }
    assert interactions.schema.field("weight").type == pa.float32()
    assert interactions.schema.field("timestamp").type == pa.int64()


def test_both_sources_are_fetched_by_name(read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    folder = movielens.fetch("", Path())

    def fetch(name: str, cache: Path) -> Path:
        asked.append(name)
        return folder

    monkeypatch.setattr(movielens, "fetch", fetch)
    read()
    assert asked == ["ml-100k", "film-table"]

"""A release as one file: packed here, unpacked there, and refused whole when the file is damaged or has more in it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from longtail_client.errors import DataInvalid, LongtailError, PackInvalid, ReleaseInvalid
from longtail_client.manifest import sha256_of, verify_files
from longtail_client.release import read_release
from longtail_client.release_pack import pack, parts_of
from longtail_client.release_state import ReleaseState, changing_state, read_state, write_state
from longtail_client.release_unpack import Unpacked, unpack

if TYPE_CHECKING:
    from conftest import Done, House

MEMBERS = [
    "pack.json",
    "releases/one/release.json",
    "catalogues/films/items.parquet",
    "catalogues/films/top_k.onnx",
    "catalogues/films/vectors.npy",
    "catalogues/films/manifest.json",
    "models/text_encoder/1/model.onnx",
    "models/text_encoder/1/tokenizer.json",
    "models/text_encoder/1/manifest.json",
    "models/generator/1/generator.json",
    "models/generator/1/weights.bin",
    "models/generator/1/manifest.json",
]
Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def packed(house: House, tmp_path: Path) -> Path:
    """Release ``one`` of the house, packed."""
    house.create("one")
    pack("one", tmp_path / "one.tar", var=house.var, model_repository=house.models, advance=lambda _: None)
    return tmp_path / "one.tar"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder on the other machine; it does not exist yet."""
    return tmp_path / "there"


def unpack_into(there: Path, packed: Path, advance: Callable[[int], None] = lambda _: None) -> Unpacked:
    return unpack(packed, var=there / "var", model_repository=there / "models", advance=advance)


def files_below(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def members_of(packed: Path) -> Members:
    with tarfile.open(packed) as archive:
        return [(header, reader.read()) for header in archive if (reader := archive.extractfile(header)) is not None]


def rewrite(packed: Path, members: Members) -> None:
    with tarfile.open(packed, "w") as archive:
        for header, content in members:
            if header.isreg():
                header.size = len(content)
            archive.addfile(header, io.BytesIO(content))


def relist(packed: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what ``pack.json`` says, and leave the rest as it is."""
    (header, content), *rest = members_of(packed)
    listed = json.loads(content)
    change(listed)
    rewrite(packed, [(header, json.dumps(listed).encode()), *rest])


def refused(there: Path, packed: Path, message: str, kind: type[LongtailError] = PackInvalid) -> None:
    """Unpacking fails with a message, and leaves nothing but empty folders."""
    with pytest.raises(kind, match=message):
        unpack_into(there, packed)
    assert files_below(there) == {}
    assert not list(there.rglob("*/.[!.]*"))


def test_a_release_comes_out_as_it_went_in(house: House, packed: Path, there: Path) -> None:
    done = unpack_into(there, packed)
    assert read_release(there / "var", "one") == read_release(house.var, "one")
    for part in parts_of(read_release(house.var, "one"), var=there / "var", model_repository=there / "models"):
        verify_files(part.folder, part.pinned)
    assert files_below(there / "models") == files_below(house.models)
    assert files_below(there / "var" / "catalogues") == files_below(house.var / "catalogues")
    assert read_state(there / "var") == ReleaseState(revision=1, staged=("one",))
    assert (done.release, done.place, done.reused, len(done.published)) == ("one", "staged", (), 4)


def test_a_pack_is_a_tar_that_begins_with_its_list(packed: Path) -> None:
    members = members_of(packed)
    assert [header.name for header, _ in members] == MEMBERS
    listed = json.loads(members[0][1])
    assert (listed["format"], listed["release"], list(listed["members"])) == (1, "one", MEMBERS[1:])
    for header, content in members[1:]:
        assert listed["members"][header.name] == {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def test_the_same_release_packs_to_the_same_bytes(house: House, packed: Path, there: Path) -> None:
    unpack_into(there, packed)
    again = packed.with_name("again.tar")
    pack("one", again, var=there / "var", model_repository=there / "models", advance=lambda _: None)
    assert again.read_bytes() == packed.read_bytes()


def test_progress_tells_every_byte(house: House, packed: Path, there: Path) -> None:
    packing, unpacking = [], []
    pack("one", packed.with_name("b"), var=house.var, model_repository=house.models, advance=packing.append)
    unpack_into(there, packed, unpacking.append)
    sizes = {header.name: header.size for header, _ in members_of(packed)}
    assert sum(packing) == sum(sizes.values()) - sizes["pack.json"]
    assert sum(unpacking) == sum(packing) - sizes["releases/one/release.json"]


def test_a_file_that_exists_is_not_overwritten(house: House, packed: Path) -> None:
    before = packed.read_bytes()
    with pytest.raises(DataInvalid, match=r"one\.tar exists .* name another file with --output"):
        pack("one", packed, var=house.var, model_repository=house.models, advance=lambda _: None)
    assert packed.read_bytes() == before


def test_of_two_who_pack_into_one_file_the_second_is_refused(house: House, packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "both.tar"
    refused: list[str] = []

    def pack_again(_n_bytes: int) -> None:
        with pytest.raises(DataInvalid, match=r"both\.tar is being packed by another process") as error:
            pack("one", target, var=house.var, model_repository=house.models, advance=lambda _: None)
        refused.append(str(error.value))

    pack("one", target, var=house.var, model_repository=house.models, advance=pack_again)
    assert len(refused) > 1
    assert target.read_bytes() == packed.read_bytes()
    assert not list(tmp_path.glob(".*.new"))


@pytest.mark.parametrize("damage", ["flip", "remove", "manifest"])
def test_a_release_that_is_not_whole_is_not_packed(house: House, tmp_path: Path, damage: str) -> None:
    house.create("one")
    path = house.models / "text_encoder" / "1" / ("manifest.json" if damage == "manifest" else "model.onnx")
    if damage == "flip":
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    else:
        path.unlink()
    with pytest.raises(ReleaseInvalid, match=re.escape(str(path))):
        pack("one", tmp_path / "one.tar", var=house.var, model_repository=house.models, advance=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


def test_parts_that_are_there_are_used(house: House, packed: Path, there: Path) -> None:
    unpack_into(there, packed)
    house.create("two", encoder="2", catalogue="films")
    second = packed.with_name("two.tar")
    pack("two", second, var=house.var, model_repository=house.models, advance=lambda _: None)
    inode = (there / "models" / "generator" / "1" / "weights.bin").stat().st_ino
    done = unpack_into(there, second)
    assert [Path(folder).name for folder in done.reused] == ["films", "1"]
    assert [Path(folder).as_posix().removeprefix(there.as_posix()) for folder in done.published] == [
        "/models/text_encoder/2",
        "/var/releases/two",
    ]
    assert (there / "models" / "generator" / "1" / "weights.bin").stat().st_ino == inode
    assert read_state(there / "var").staged == ("one", "two")


def test_a_part_with_other_content_is_refused_by_name(packed: Path, there: Path) -> None:
    other = there / "models" / "generator" / "1"
    other.mkdir(parents=True)
    (other / "generator.json").write_text("another generator")
    with pytest.raises(ReleaseInvalid, match=rf"{re.escape(str(other))} is here already .*generator\.json: expected"):
        unpack_into(there, packed)
    assert files_below(there).keys() == {"models/generator/1/generator.json"}


def test_a_release_of_the_same_name_with_other_content_is_refused(packed: Path, there: Path) -> None:
    path = there / "var" / "releases" / "one" / "release.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ReleaseInvalid, match=r"releases/one is here already and is not what the pack has"):
        unpack_into(there, packed)
    assert path.read_text() == "{}"
    assert files_below(there).keys() == {"var/releases/one/release.json"}


@pytest.mark.parametrize("place", ["live", "previous", "retired"])
def test_a_release_that_has_a_place_keeps_it_unless_it_was_retired(packed: Path, there: Path, place: str) -> None:
    unpack_into(there, packed)
    with changing_state(there / "var"):
        write_state(there / "var", ReleaseState.model_validate({place: ("one",) if place == "retired" else "one"}))
    assert unpack_into(there, packed).place == ("staged" if place == "retired" else place)


def truncated_lengths(packed: Path) -> Iterator[int]:
    with tarfile.open(packed) as archive:
        for header in archive:
            yield from (header.offset, header.offset + 100, header.offset_data, header.offset_data + header.size // 2)


def test_a_truncated_pack_is_refused_wherever_it_is_cut(packed: Path, there: Path) -> None:
    whole = packed.read_bytes()
    lengths = list(truncated_lengths(packed))
    assert len(lengths) == 4 * len(MEMBERS)
    for length in lengths:
        packed.write_bytes(whole[:length])
        refused(there, packed, re.escape(str(packed)))


@pytest.mark.parametrize("member", MEMBERS)
def test_one_flipped_byte_is_refused_and_its_member_named(packed: Path, there: Path, member: str) -> None:
    with tarfile.open(packed) as archive:
        at = archive.getmember(member).offset_data + archive.getmember(member).size // 2
    content = bytearray(packed.read_bytes())
    content[at] ^= 1
    packed.write_bytes(content)
    refused(there, packed, "pack.json|releases/one" if member == "pack.json" else re.escape(member))


def test_a_flipped_byte_in_a_header_is_refused(packed: Path, there: Path) -> None:
    with tarfile.open(packed) as archive:
        offsets = [header.offset for header in archive]
    whole = packed.read_bytes()
    for offset in offsets:
        content = bytearray(whole)
        content[offset + 5] ^= 1
        packed.write_bytes(content)
        refused(there, packed, re.escape(str(packed)))


EVIL = b"* * * * * root true\n"


def header(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, len(EVIL) if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    "name",
    ["/etc/cron.d/evil", "../evil", "models/text_encoder/1/../../../../evil", "models/text_encoder/1/extra", "x"],
)
@pytest.mark.parametrize("is_listed", [False, True])
def test_a_member_that_no_release_pins_is_refused(packed: Path, there: Path, name: str, is_listed: bool) -> None:
    rewrite(packed, [*members_of(packed), (header(name), EVIL)])
    if is_listed:
        entry = {"size": len(EVIL), "sha256": hashlib.sha256(EVIL).hexdigest()}
        relist(packed, lambda listed: listed["members"].update({name: entry}))
    refused(there, packed, re.escape(name))
    assert not list(there.parent.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_member_that_is_no_plain_file_is_refused(packed: Path, there: Path, kind: bytes) -> None:
    name = "models/text_encoder/1/model.onnx"
    members = [
        (header(name, kind, "/etc/passwd") if each.name == name else each, content)
        for each, content in members_of(packed)
    ]
    rewrite(packed, members)
    refused(there, packed, f"{re.escape(name)}: expected a plain file, got a link, a folder or a device")


def test_a_member_that_comes_twice_is_refused(packed: Path, there: Path) -> None:
    members = members_of(packed)
    rewrite(packed, [*members, members[-1]])
    refused(there, packed, r"models/generator/1/manifest\.json: expected each listed member once")


def test_a_member_that_is_listed_and_not_there_is_named(packed: Path, there: Path) -> None:
    rewrite(packed, [each for each in members_of(packed) if each[0].name != "models/generator/1/weights.bin"])
    refused(there, packed, r"models/generator/1/weights\.bin: expected the member that is listed, found none")


def test_a_name_of_both_a_file_and_a_folder_is_refused(packed: Path, there: Path) -> None:
    pinned = dict.fromkeys(("weights.bin", "weights.bin/part"), sha256_of(packed))
    (listed, content), (header, release), *rest = members_of(packed)
    document = json.loads(release)
    document["generator"]["files"] |= pinned
    changed = json.dumps(document).encode()
    members = json.loads(content)
    members["members"][header.name] = {"size": len(changed), "sha256": hashlib.sha256(changed).hexdigest()}
    rewrite(packed, [(listed, json.dumps(members).encode()), (header, changed), *rest])
    refused(there, packed, r"models/generator/1/weights\.bin: expected a file or a folder, got both")


def test_a_list_that_leaves_out_what_the_release_pins_is_refused(packed: Path, there: Path) -> None:
    relist(packed, lambda listed: listed["members"].pop("catalogues/films/vectors.npy"))
    refused(there, packed, r"catalogues/films/vectors\.npy: expected a member of this name, which the release pins")


def test_a_part_that_the_release_does_not_pin_is_refused_though_the_list_agrees(packed: Path, there: Path) -> None:
    name = "models/text_encoder/1/model.onnx"
    rewrite(packed, [(each, EVIL if each.name == name else content) for each, content in members_of(packed)])
    entry = {"size": len(EVIL), "sha256": hashlib.sha256(EVIL).hexdigest()}
    relist(packed, lambda listed: listed["members"].update({name: entry}))
    refused(there, packed, rf"{re.escape(name)}: expected sha256 .*which the release pins")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("name",), "../../one"),
        (("catalogue", "name"), "../../films"),
        (("encoder", "version"), "/1"),
        (("generator", "version"), ".."),
        (("encoder", "files"), {"../../evil": "ab"}),
        (("encoder", "files"), {"/evil": "ab"}),
        (("encoder", "files"), {"a//b": "ab"}),
    ],
)
def test_a_release_whose_names_lead_elsewhere_is_refused(
    packed: Path, there: Path, keys: tuple[str, ...], value: Any
) -> None:
    (first, listing), (second, content), *rest = members_of(packed)
    release = json.loads(content)
    inner = release
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    content = json.dumps(release).encode()
    listed = json.loads(listing)
    listed["members"]["releases/one/release.json"] = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    rewrite(packed, [(first, json.dumps(listed).encode()), (second, content), *rest])
    refused(there, packed, r"expected names of letters|expected release one, got \.\./\.\./one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda listed: listed.update(format=2), "expected format 1, got 2"),
        (lambda listed: listed.update(release="../one"), r"got '\.\./one'"),
        (lambda listed: listed.update(surprise=1), r"pack\.json: surprise: "),
        (lambda listed: listed["members"]["releases/one/release.json"].update(size=1), "expected 1 bytes of sha256"),
        (lambda listed: listed["members"].pop("releases/one/release.json"), "expected a member that is listed"),
    ],
)
def test_a_wrong_list_is_refused(
    packed: Path, there: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    relist(packed, change)
    refused(there, packed, message)


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\0" * 10_240, b"PK\x03\x04" + b"\0" * 600])
def test_what_is_no_pack_is_refused(tmp_path: Path, there: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    refused(there, tmp_path / "file", r"file: expected ")


def test_a_tar_of_something_else_is_refused(tmp_path: Path, there: Path) -> None:
    rewrite(tmp_path / "other.tar", [(header("readme.txt"), EVIL)])
    refused(there, tmp_path / "other.tar", r"expected pack\.json as the next member, got readme\.txt")


def test_a_pack_that_is_not_there_is_one_error(tmp_path: Path, there: Path) -> None:
    refused(there, tmp_path / "gone.tar", r"gone\.tar: expected a packed release, got No such file")
    refused(there, tmp_path, "expected a packed release, got Is a directory")


def test_pack_and_unpack_from_a_shell(house: House, there: Path, longtail: Callable[..., Done]) -> None:
    house.create("one")
    target = house.root / "one.tar"
    done = longtail("release", "pack", "one", "--output", str(target), "--json")
    assert done.code == 0, done.err
    assert done.document == {"release": "one", "path": str(target), "members": 11, "bytes": done.document["bytes"]}
    to = ("--var", str(there / "var"), "--model-repository", str(there / "models"))
    unpacked = longtail("release", "unpack", str(target), *to)
    assert unpacked.code == 0, unpacked.err
    assert f"published {there / 'models' / 'text_encoder' / '1'}\n" in unpacked.out
    assert "one is staged" in unpacked.out
    again = longtail("release", "unpack", str(target), *to, "--json").document
    assert (again["published"], len(again["reused"])) == ([], 4)
    target.write_bytes(target.read_bytes()[:-20_000])
    refused_again = longtail("release", "unpack", str(target), *to, "--json")
    assert (refused_again.code, refused_again.out) == (3, "")
    assert refused_again.err.splitlines()[-1].startswith(f"error: {target}: ")

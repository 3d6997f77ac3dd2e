"""Messages of `recommend.proto` in, the JSON that they mirror out; and back.

Field names are the same on both sides, so that one walk over a message's fields serves every message. The few that JSON
writes in another shape (a vector is a list, a value is what it holds) are named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from longtail_client.errors import InvalidRequest

M = TypeVar("M", bound=Message)

_LISTS = {"longtail.v1.Texts": "texts", "longtail.v1.Vector": "values", "longtail.v1.Values": "values"}
"""Messages that are a list in JSON, by the one field that they have."""

_VALUE = "longtail.v1.Value"
_FIELDS = "longtail.v1.Fields"
"""A JSON object, by the one map that it has."""

_TYPES: dict[int, tuple[tuple[type, ...], str]] = {
    FieldDescriptor.CPPTYPE_STRING: ((str,), "a text"),
    FieldDescriptor.CPPTYPE_INT64: ((int,), "a whole number"),
    FieldDescriptor.CPPTYPE_DOUBLE: ((float, int), "a number"),
    FieldDescriptor.CPPTYPE_FLOAT: ((float, int), "a number"),
    FieldDescriptor.CPPTYPE_BOOL: ((bool,), "true or false"),
}


def document_of(message: Message, *, strict: bool = False) -> Any:
    """Write a message as JSON has it; optional fields that are not set and empty lists are left out.

    Args:
        message: Any message of `recommend.proto`.
        strict: Write fields that this version does not know too, under their numbers, so that whoever reads the
            document can refuse them as JSON with unknown fields is refused.
    """
    name = message.DESCRIPTOR.full_name
    unknown = [each.field_number for each in UnknownFieldSet(message)] if strict else []
    if name == _VALUE:
        kind = message.WhichOneof("kind")
        return None if kind is None else _plain(getattr(message, kind), strict)
    if name == _FIELDS and not unknown:
        fields = getattr(message, "fields")  # noqa: B009, a field of this name would read as the type
        return {key: _plain(fields[key], strict) for key in fields}
    if name in _LISTS and not unknown:
        return [_plain(each, strict) for each in getattr(message, _LISTS[name])]
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if _is_map(field):
            if value:
                document[field.name] = {key: _plain(value[key], strict) for key in value}
        elif field.is_repeated:
            if value:
                document[field.name] = [_plain(each, strict) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            document[field.name] = _plain(value, strict)
    return document | {str(number): None for number in unknown}


def message_of(document: Any, kind: type[M]) -> M:
    """Write JSON as the message that mirrors it; what is None is left out.

    Raises:
        InvalidRequest: A field is unknown to the message, or of a type that it cannot hold; named as in JSON.
    """
    message: M = kind()
    _fill(message, document, ())
    return message


def _plain(value: Any, strict: bool) -> Any:
    return document_of(value, strict=strict) if isinstance(value, Message) else value


def _is_map(field: FieldDescriptor) -> bool:
    entry = field.message_type
    return entry is not None and bool(entry.GetOptions().map_entry)


def _fill(message: Message, document: Any, place: tuple[str, ...]) -> None:
    name = message.DESCRIPTOR.full_name
    if name == _VALUE:
        _fill_value(message, document, place)
    elif name in _LISTS:
        _fill_list(message, message.DESCRIPTOR.fields_by_name[_LISTS[name]], document, place)
    elif not isinstance(document, Mapping):
        raise _refused(place, "an object")
    else:
        for key, value in document.items():
            field = message.DESCRIPTOR.fields_by_name.get(key)
            if field is None:
                raise InvalidRequest(
                    f"{'.'.join((*place, key))}: there is no such field", field=".".join((*place, key))
                )
            if value is not None:
                _fill_field(message, field, value, (*place, key))


def _fill_field(message: Message, field: FieldDescriptor, value: Any, place: tuple[str, ...]) -> None:
    if _is_map(field):
        if not isinstance(value, Mapping):
            raise _refused(place, "an object")
        target = getattr(message, field.name)
        for key, each in value.items():
            try:
                part = target[key]
            except (TypeError, ValueError) as error:
                raise _refused(place, "an object with texts for keys") from error
            if isinstance(part, Message):
                _fill(part, each, (*place, key))
            else:
                target[key] = each
    elif field.is_repeated:
        _fill_list(message, field, value, place)
    elif field.message_type is not None:
        part = getattr(message, field.name)
        part.SetInParent()
        _fill(part, value, place)
    else:
        try:
            setattr(message, field.name, _checked(field, value, place))
        except ValueError as error:  # out of range, or half a character
            raise _refused(place, f"{_TYPES[field.cpp_type][1]} that protobuf can carry") from error


def _fill_list(message: Message, field: FieldDescriptor, values: Any, place: tuple[str, ...]) -> None:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise _refused(place, "a list")
    target = getattr(message, field.name)
    message.SetInParent()
    if (
        field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT
    ):  # vectors, which only the service writes: there are many numbers
        target.extend(values)
        return
    for index, value in enumerate(values):
        if field.message_type is not None:
            _fill(target.add(), value, (*place, str(index)))
        else:
            try:
                target.append(_checked(field, value, (*place, str(index))))
            except ValueError as error:
                raise _refused((*place, str(index)), f"{_TYPES[field.cpp_type][1]} that protobuf can carry") from error


def _fill_value(message: Message, value: Any, place: tuple[str, ...]) -> None:
    kinds = {bool: "flag", int: "integer", float: "number", str: "text"}
    if isinstance(value, list | tuple):
        part = getattr(message, "list")  # noqa: B009, a field of this name would read as the type
        part.SetInParent()
        _fill(part, value, place)
    elif isinstance(value, Mapping):
        part = getattr(message, "fields")  # noqa: B009, as above
        part.SetInParent()
        _fill_field(part, part.DESCRIPTOR.fields_by_name["fields"], value, place)
    elif type(value) in kinds:
        _fill_field(message, message.DESCRIPTOR.fields_by_name[kinds[type(value)]], value, place)
    elif value is not None:
        raise _refused(place, "a text, a number, true, false, or a list or an object of them")


def _checked(field: FieldDescriptor, value: Any, place: tuple[str, ...]) -> Any:
    """Let through what JSON would: protobuf takes a bool for a number, and a number for a bool."""
    types, expected = _TYPES[field.cpp_type]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise _refused(place, expected)
    return value


def _refused(place: tuple[str, ...], expected: str) -> InvalidRequest:
    field = ".".join(place) or "body"
    return InvalidRequest(f"{field}: expected {expected}", field=field)

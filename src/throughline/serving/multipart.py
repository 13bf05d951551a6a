"""The pictures of a request: one as its body, or one or several as the field ``image`` of a form."""

from __future__ import annotations

import asyncio
from typing import Final

from throughline.contracts.errors import InputError
from throughline.serving.http import Request
from throughline.serving.refusals import Refused

FIELD: Final = "image"
_MOST_PARTS: Final = 500
_SMALL: Final = 2**18


async def images_of(request: Request, most: int) -> list[tuple[str, bytes | bytearray]]:
    """Their names and bytes."""
    kind = request.header(b"content-type") or ""
    if not kind.lower().startswith("multipart/form-data"):
        return [("the picture", await request.body())]
    body = bytes(await request.body())
    if len(body) > _SMALL:
        return await asyncio.to_thread(_parts, kind, body, most)  # it is read in Python, which others can interrupt
    return _parts(kind, body, most)


def _parts(kind: str, body: bytes, most: int) -> list[tuple[str, bytes | bytearray]]:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(kind)
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise InputError("the form has no boundary", "send multipart/form-data as any client makes it")
    found: list[tuple[str, bytes | bytearray]] = []
    header, value = bytearray(), bytearray()
    current: dict[str, str] = {}
    data = bytearray()
    headers = parts = 0

    def on_part_begin() -> None:
        nonlocal headers, parts
        parts += 1
        if parts > _MOST_PARTS:
            raise Refused(413, f"the form has more than {_MOST_PARTS} parts", "send fewer")
        current.clear()
        data.clear()
        headers = 0

    def on_header_field(piece: bytes, start: int, end: int) -> None:
        header.extend(piece[start:end])

    def on_header_value(piece: bytes, start: int, end: int) -> None:
        value.extend(piece[start:end])

    def on_header_end() -> None:
        nonlocal headers
        headers += 1
        if headers > 20 or len(header) + len(value) > 4096:
            raise Refused(413, "a part of the form has too many headers", "send fewer")
        if header.lower() == b"content-disposition":
            _, said = parse_options_header(bytes(value))
            current.update({name.decode("latin-1"): text.decode("utf-8", "replace") for name, text in said.items()})
        header.clear()
        value.clear()

    def on_part_data(piece: bytes, start: int, end: int) -> None:
        if current.get("name") == FIELD:
            data.extend(piece[start:end])

    def on_part_end() -> None:
        if current.get("name") == FIELD:
            if len(found) >= most:
                raise Refused(413, f"there are more than {most} pictures", "send several requests")
            found.append((current.get("filename", f"picture {len(found) + 1}")[:80], bytes(data)))

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": on_part_begin, "on_header_field": on_header_field, "on_header_value": on_header_value,
            "on_header_end": on_header_end, "on_part_data": on_part_data, "on_part_end": on_part_end,
        },
    )  # fmt: skip
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InputError(f"the form is malformed: {str(error)[:120]}", "send it as any client makes it") from None
    if not found:
        raise InputError(f"the form has no field '{FIELD}'", f"send the picture as '{FIELD}'")
    return found

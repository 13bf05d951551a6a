"""A real RTSP sender on loopback: H.264 in RTP, interleaved with the talk on one TCP connection, as cameras do it."""

from __future__ import annotations

import socketserver
import struct
import threading
from pathlib import Path

import av

_REPLIES = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\nRange: npt=0-\r\n",
    "TEARDOWN": "Session: 1\r\n",
}
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=clip\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)


def pictures(path: Path) -> list[list[bytes]]:
    """The NAL units of each picture of an Annex B file."""
    with av.open(str(path)) as media:
        packets = [bytes(packet) for packet in media.demux(video=0) if packet.size]
    return [[unit.rstrip(b"\0") for unit in packet.split(b"\0\0\1")[1:]] for packet in packets]


def rtp(clip: list[list[bytes]], step: int) -> bytes:
    """As the connection carries them."""
    sent, number = bytearray(), 0
    for at, units in enumerate(clip):
        for unit in units:
            marker = 0x80 if unit is units[-1] else 0
            packet = struct.pack(">BBHII", 0x80, marker | 96, number & 0xFFFF, at * step, 7) + unit
            sent += struct.pack(">BBH", 0x24, 0, len(packet)) + packet
            number += 1
    return bytes(sent)


class RtspSender:
    """Each of the first connections gets the clip; then the sender says nothing more, or, where told so, hangs up."""

    def __init__(self, clip: list[list[bytes]], rate: int, *, connections: int, hangs_up: bool) -> None:
        stream, over = rtp(clip, 90_000 // rate), threading.Event()
        self.asked: list[str] = []
        asked = self.asked

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if asked.count("PLAY") == connections:
                    return
                while line := self.rfile.readline().decode():
                    verb, number = line.split(" ")[0], "0"
                    while (header := self.rfile.readline().decode().strip()) != "":
                        if header.lower().startswith("cseq:"):
                            number = header.split(":")[1].strip()
                    asked.append(verb)
                    body = _SDP if verb == "DESCRIBE" else ""
                    more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
                    said = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{_REPLIES.get(verb, '')}{more}\r\n{body}"
                    self.wfile.write(said.encode())
                    if verb == "PLAY":
                        self.wfile.write(stream)
                        if not hangs_up:
                            over.wait()
                        return

        self._over = over
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"rtsp://127.0.0.1:{self._server.server_address[1]}/live"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""gRPC's own client against the server, made from api/weir.proto, and bare HTTP/2 for the rest.

Debian's packages are looked for where Debian puts them, whichever python runs the tests.
"""

import importlib
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

DEBIAN = "/usr/lib/python3/dist-packages"
if DEBIAN not in sys.path:
    sys.path.append(DEBIAN)

import grpc  # noqa: E402
import hpack  # noqa: E402
import hyperframe.frame as frames  # noqa: E402

API = pathlib.Path(__file__).resolve().parents[2] / "api"
SECONDS_MAX = 30


def _compiled():
    """The contract as python has it, made anew: generated code is nobody's source."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["protoc", f"--proto_path={API}", f"--python_out={place}",
                        "weir.proto", "health.proto"], check=True)
        sys.path.insert(0, place)
        try:
            return importlib.import_module("weir_pb2"), importlib.import_module("health_pb2")
        finally:
            sys.path.remove(place)


pb, health = _compiled()

METHODS = {
    "Authorize": (pb.AuthorizeRequest, pb.Decision),
    "Consume": (pb.ConsumeRequest, pb.Decision),
    "Check": (pb.CheckRequest, pb.Decision),
    "Commit": (pb.CommitRequest, pb.Settlement),
    "Release": (pb.ReleaseRequest, pb.Released),
    "Extend": (pb.ExtendRequest, pb.Decision),
    "Report": (pb.ReportRequest, pb.Decision),
}


def port_of(server):
    """Where the newest start of a server listens for gRPC."""
    found = re.findall(r"listening on grpcs?://127\.0\.0\.1:(\d+)",
                       server.stderr_file.read_text(errors="replace"))
    assert found, server.stderr()
    return int(found[-1])


class Refused(Exception):
    """An error's status, message and trailing metadata."""

    def __init__(self, error):
        super().__init__(f"{error.code()}: {error.details()}")
        self.status = error.code().name
        self.message = error.details()
        self.trailing = {key: value for key, value in error.trailing_metadata() or ()}
        self.code = self.trailing.get("weir-code")


class Caller:
    """A channel: caller.Consume(customer=..., ...) answers the message or raises Refused."""

    def __init__(self, port, credentials=None, metadata=()):
        target = f"127.0.0.1:{port}"
        options = [("grpc.enable_retries", 0)]
        self.channel = (grpc.insecure_channel(target, options) if credentials is None else
                        grpc.secure_channel(target, credentials, options))
        self.metadata = list(metadata)

    def raw(self, path, message, metadata=(), timeout=SECONDS_MAX, **options):
        """(bytes of the answer, trailing metadata)."""
        call = self.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            answer, done = call.with_call(message, metadata=[*self.metadata, *metadata],
                                          timeout=timeout, **options)
        except grpc.RpcError as error:
            raise Refused(error) from None
        return answer, dict(done.trailing_metadata() or ())

    def call(self, method, metadata=(), **fields):
        request, answer = METHODS[method]
        message = request(**fields).SerializeToString()
        return answer.FromString(self.raw(f"/weir.v1.Weir/{method}", message, metadata)[0])

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(name)
        return lambda metadata=(), **fields: self.call(name, metadata, **fields)

    def health(self, service=""):
        message = health.HealthCheckRequest(service=service).SerializeToString()
        answer, _ = self.raw("/grpc.health.v1.Health/Check", message)
        return health.HealthCheckResponse.FromString(answer).status

    def close(self):
        self.channel.close()


# ---- bare HTTP/2 ---------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def framed(message, compressed=0):
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


class Wire:
    """One connection, frame by frame."""

    def __init__(self, port, receive_bytes=None, window=None, sock=None):
        self.sock = sock or socket.socket()
        if sock is None:
            if receive_bytes:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self.sock.settimeout(SECONDS_MAX)
            self.sock.connect(("127.0.0.1", port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder, self.kept = hpack.Encoder(), hpack.Decoder(), b""
        settings = frames.SettingsFrame(0)
        if window is not None:
            settings.settings[frames.SettingsFrame.INITIAL_WINDOW_SIZE] = window
        self.sock.sendall(PREFACE + settings.serialize())

    def send(self, *some):
        self.sock.sendall(b"".join(frame.serialize() for frame in some))

    def head(self, stream, method="Consume", more=(), path=None, end=False, verb="POST",
             kind="application/grpc"):
        frame = frames.HeadersFrame(stream)
        frame.data = self.encoder.encode([
            (":method", verb), (":scheme", "http"), (":authority", "a"),
            (":path", path or f"/weir.v1.Weir/{method}"), ("content-type", kind),
            ("te", "trailers"), *more])
        frame.flags = {"END_HEADERS", "END_STREAM"} if end else {"END_HEADERS"}
        return frame

    @staticmethod
    def data(stream, payload, end=True):
        frame = frames.DataFrame(stream, payload)
        frame.flags = {"END_STREAM"} if end else set()
        return frame

    @staticmethod
    def reset(stream):
        return frames.RstStreamFrame(stream, 8)

    def read(self):
        """The next frame; None: the server has closed."""
        def take(count):
            while len(self.kept) < count:
                try:
                    piece = self.sock.recv(65536)
                except (ConnectionResetError, BrokenPipeError):
                    return None
                if not piece:
                    return None
                self.kept += piece
            taken, self.kept = self.kept[:count], self.kept[count:]
            return taken
        top = take(9)
        if top is None:
            return None
        frame, length = frames.Frame.parse_frame_header(memoryview(top))
        body = take(length)
        if body is None:
            return None
        frame.parse_body(memoryview(body))
        if isinstance(frame, frames.HeadersFrame):
            frame.fields = dict(self.decoder.decode(frame.data))
        return frame

    def until(self, wanted):
        """Frames up to one for which `wanted` holds; fails where the server closes before."""
        while True:
            frame = self.read()
            assert frame is not None, "the server has closed"
            if wanted(frame):
                return frame

    def answer(self, stream):
        """(headers and trailers in one, message without its prefix) of one stream."""
        fields, body = {}, b""
        while True:
            frame = self.until(lambda frame: frame.stream_id == stream)
            assert not isinstance(frame, frames.RstStreamFrame), frame
            if isinstance(frame, frames.DataFrame):
                body += frame.data
            if isinstance(frame, frames.HeadersFrame):
                fields.update(frame.fields)
            if "END_STREAM" in frame.flags:
                return fields, body[5:]

    def goodbye(self):
        """Reads to the end; the error of the GOAWAY before it, None where there was none."""
        error = None
        while (frame := self.read()) is not None:
            if isinstance(frame, frames.GoAwayFrame):
                error = frame.error_code
        return error

    def close(self):
        self.sock.close()

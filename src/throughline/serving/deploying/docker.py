"""A container image of ``throughline serve`` with the model inside.

The Dockerfile is the same text for every model but for versions, numbers and the name, which are checked. Only the
files that it needs can reach the image, because everything else is ignored; nobody in it is root; and it runs with a
root file system that cannot be written to.
"""

from __future__ import annotations

import json
import platform
import shlex
from pathlib import Path
from typing import Final

from throughline.plugins import Plugin
from throughline.serving.deploying import GRPC, HTTP, OPS, USER, Made, Order, serve_options
from throughline.serving.deploying._model import carried
from throughline.serving.deploying._requirements import pack_wheel, pins

_HEALTH: Final = (
    f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{OPS}/v2/health/ready', timeout=2)"  # no curl
)
_DOCKERFILE: Final = """\
# Written by throughline deploy. It is the same for every model but for versions, numbers and the model's name.
FROM python:{python}-slim AS build
WORKDIR /install
COPY requirements.txt {wheel} ./
RUN python -m venv --without-pip /opt/throughline \\
 && pip --python /opt/throughline/bin/python install --no-cache-dir --no-deps -r requirements.txt \\
 && pip --python /opt/throughline/bin/python check

FROM python:{python}-slim
LABEL throughline.version="{version}" throughline.model.sha256="{sha256}"
ENV PATH=/opt/throughline/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
COPY --from=build /opt/throughline /opt/throughline
COPY --chown={user}:{user} model/ model/
USER {user}:{user}
EXPOSE {http} {grpc} {ops}
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 CMD {health}
STOPSIGNAL SIGTERM
ENTRYPOINT {entrypoint}
CMD {command}
"""
_IGNORED: Final = "*\n!requirements.txt\n!*.whl\n!model/\n"
_README: Final = """\
# {name}

The model `{sha256}` behind `throughline serve`, as a container image.

```sh
{build}
{run}
{ask}
```

The first builds the image, the second starts it, the third says whether it is ready. HTTP is on port {http}, gRPC on
{grpc}; health and metrics are on {ops}, which is for those who look after it. `docker stop -t 40` lets it finish
what it has accepted. What stands behind `CMD` in the Dockerfile can be given anew after the image's name.
"""


def make(order: Order, folder: Path) -> Made:
    """Write a Dockerfile with everything that it needs beside it."""
    model = carried(order.model, folder / "model", order.name)
    wheel = pack_wheel(folder)
    version = wheel.name.split("-")[1]
    commands = (
        ("docker", "build", "--tag", order.image, str(order.out)),
        ("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
         "--security-opt", "no-new-privileges", "--publish", f"{HTTP}:{HTTP}", "--publish", f"{GRPC}:{GRPC}",
         "--publish", f"127.0.0.1:{OPS}:{OPS}", order.image),
        ("curl", "--fail", f"http://127.0.0.1:{OPS}/v2/health/ready"),
    )  # fmt: skip
    build = (*commands[0][:-1], ".")
    texts = {
        "requirements.txt": "".join(f"{line}\n" for line in (f"./{wheel.name}", *pins("serve"))),
        ".dockerignore": _IGNORED,
        "Dockerfile": _DOCKERFILE.format(
            python=platform.python_version().rstrip("+"),
            wheel=wheel.name,
            version=version,
            sha256=order.model.sha256,
            user=USER,
            http=HTTP,
            grpc=GRPC,
            ops=OPS,
            health=json.dumps(["python", "-c", _HEALTH]),
            entrypoint=json.dumps(["throughline", "serve", f"/srv/model/{model.name}", "--host", "0.0.0.0"]),
            command=json.dumps(serve_options(order)),
        ),
        "README.md": _README.format(
            name=order.name, sha256=order.model.sha256, http=HTTP, grpc=GRPC, ops=OPS,
            build=shlex.join(build), run=shlex.join(commands[1]), ask=shlex.join(commands[2]),
        ),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    return Made(commands)


PLUGIN = Plugin(
    make=make,
    summary="a container image with the model inside",
    needs=("packaging",),
    facts={"formats": ("onnx", "openvino")},
)

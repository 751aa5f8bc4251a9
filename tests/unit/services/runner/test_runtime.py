from typing import Any

import pytest

from services.runner.runtime import Runtime


@pytest.mark.parametrize(
    ("name", "described", "own_kernel"),
    [
        ("runc", {"path": "runc"}, False),
        ("crun", {"path": "/usr/bin/crun", "runtimeArgs": ["--runsc"]}, False),
        ("runsc", {"path": "/usr/bin/runsc"}, True),
        ("guarded", {"path": "/opt/gvisor/runsc", "runtimeArgs": ["--platform=systrap"]}, True),
        ("guarded", {"runtimeType": "io.containerd.runsc.v1"}, True),
        ("runsc-kvm", {"path": "/opt/start"}, True),
        ("unknown", None, False),
    ],
)
def test_gvisor_is_known_by_its_program(name: str, described: dict[str, Any] | None, own_kernel: bool) -> None:
    others = {"runc": {"path": "runc"}}
    assert Runtime.of(name, {"Runtimes": others if described is None else others | {name: described}}) == Runtime(name, own_kernel)


def test_an_engine_that_names_no_runtimes_has_runc() -> None:
    assert Runtime.of("runc", {}) == Runtime()

"""What benchmarks/speed.py --output writes."""

import importlib

import pytest

from keras_vas.prediction import openvino_parts


def test_every_runtime_has_a_case(repository, monkeypatch):
    if not openvino_parts.installed():
        pytest.skip("no OpenVINO: pip install 'keras_vas[openvino]'")
    monkeypatch.syspath_prepend(repository / "benchmarks")
    cases = importlib.import_module("runtime_cases")
    monkeypatch.setattr(openvino_parts, "has_bfloat16", lambda: False)
    found = cases.measure(
        1, 32, width=0.0625, encoders="temporal", cmam_stages=(5,)
    )["cases"]
    assert list(found) == [
        "full_32/tensorflow/float32",
        "full_32/openvino/float32",
    ]
    for case in found.values():
        assert set(case) == {"seconds", "gmac", "rate_share"}
        assert min(case.values()) > 0
    first, second = found.values()
    assert first["gmac"] == second["gmac"]

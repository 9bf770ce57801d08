"""What benchmarks/speed.py --output writes."""

import importlib
import importlib.util

import pytest

from keras_vas.prediction import openvino_parts


def test_every_runtime_has_a_case(repository, monkeypatch):
    if not openvino_parts.installed():
        pytest.skip("no OpenVINO: pip install 'keras_vas[openvino]'")
    monkeypatch.syspath_prepend(repository / "benchmarks")
    cases = importlib.import_module("runtime_cases")
    monkeypatch.setattr(openvino_parts, "has_bfloat16", lambda: False)
    found = cases.measure(
        1, "tiny", (32, 32), width=0.0625, encoders="temporal", cmam_stages=(5,)
    )["cases"]
    assert list(found) == [
        "tiny/tensorflow/float32",
        "tiny/openvino/float32",
    ]
    for case in found.values():
        assert set(case) == {"seconds", "gmac", "rate_share"}
        assert min(case.values()) > 0
    first, second = found.values()
    assert first["gmac"] == second["gmac"]


def test_the_page_has_every_case_and_axis(repository, monkeypatch):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("no matplotlib: pip install 'keras_vas[benchmarks]'")
    monkeypatch.syspath_prepend(repository / "benchmarks")
    performance = importlib.import_module("performance")
    cases = importlib.import_module("runtime_cases")
    monkeypatch.setattr(openvino_parts, "installed", lambda: False)
    monkeypatch.setattr(performance, "SIZES", ((32, 32), (32, 64)))
    monkeypatch.setattr(performance, "CLIPS", (1, 2))
    monkeypatch.setattr(performance, "SENTENCES", (1, 3))
    tiny = {"width": 0.0625, "encoders": "temporal", "cmam_stages": (5,)}
    growth = performance.growth(tiny, 1)
    where = {axis: [row["at"] for row in x] for axis, x in growth.items()}
    assert where == {
        "frame size": [1024, 2048],
        "clips": [1, 2],
        "sentences": [1, 3],
    }
    page = performance.markdown(
        {
            "machine": "2 cores, one of them idle",
            "load": (0.25, 0, 0),
            "cases": cases.measure(1, "tiny", (32, 32), **tiny)["cases"],
            "growth": growth,
            "memory": {10: 1000.4, 60: 1001.0},
        }
    )
    assert "2 cores, one of them idle; load of the minutes before: 0.2" in page
    assert "| tiny/tensorflow/float32 | " in page
    assert "10 s: 1,000 MiB, 60 s: 1,001 MiB" in page
    figure = performance.plot(growth)
    lines = [line for panel in figure.axes for line in panel.lines]
    assert [list(line.get_xdata()) for line in lines] == list(where.values())


def test_the_network_measured_is_the_presets(repository, monkeypatch):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("no matplotlib: pip install 'keras_vas[benchmarks]'")
    monkeypatch.syspath_prepend(repository / "benchmarks")
    performance = importlib.import_module("performance")
    arguments = performance.preset_arguments()
    assert arguments["spatial_backbone"] == "resnet50"
    assert arguments["class_prior"]

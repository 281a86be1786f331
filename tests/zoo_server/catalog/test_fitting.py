"""An artifact's files hold what its main file reads from them."""

import pytest

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput
from zoo_server.artifacts.models import Blob
from zoo_server.catalog.fitting import check_fits


def blob(kind: str, size: int = 100, **facts: object) -> Blob:
    return Blob(sha256=f"sha256:{'0' * 64}", size=size, format=kind, facts=facts)


def check(kind: str, **files: Blob | None) -> None:
    paths = {name.replace("__", "/").replace("_", "."): item for name, item in files.items()}
    check_fits(ArtifactDescription(format=kind, files=tuple(paths)), list(paths.values()))


def test_external_data_of_onnx_belongs_to_the_artifact_whole() -> None:
    model = blob("onnx", external_data={"w.bin": 500})
    check("onnx", a__m_onnx=model, a__w_bin=blob("opaque", 500))
    with pytest.raises(InvalidInput, match=r"'a/m.onnx' reads 500 bytes of 'a/w.bin', which is no file"):
        check("onnx", a__m_onnx=model)
    with pytest.raises(InvalidInput, match=r"is no file"):
        check("onnx", a__m_onnx=model, w_bin=blob("opaque", 500))
    with pytest.raises(InvalidInput, match=r"which has 499"):
        check("onnx", a__m_onnx=model, a__w_bin=blob("opaque", 499))


def test_the_weights_of_openvino_ir_are_long_enough() -> None:
    graph = blob("openvino-ir", bin_size_needed=432)
    check("openvino-ir", m_xml=graph, m_bin=blob("opaque", 432))
    with pytest.raises(InvalidInput, match=r"which has 431"):
        check("openvino-ir", m_xml=graph, m_bin=blob("opaque", 431))
    with pytest.raises(InvalidInput, match=r"is no file"):
        check("openvino-ir", m_xml=graph)


def test_files_that_are_not_here_yet_are_not_checked() -> None:
    check("onnx", m_onnx=blob("onnx", external_data={"w.bin": 500}), w_bin=None)

"""What the server is started with: a bundle that it can use, or a plain word why not."""

from pathlib import Path

import pytest

from toolkit.model import predictor as predictors
from toolkit.serving import __main__ as serving


def test_outside_of_a_release_the_version_is_the_model_alone(bundle: Path) -> None:
    predictor = predictors.load(bundle)
    assert serving.identity(bundle, predictor) == {
        **{"release": None, "commit": None, "digest": None},
        "model_sha256": predictor.sha256,
    }


def test_a_release_record_that_cannot_be_read_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "release.json").write_text("{", encoding="utf-8")
    assert serving.main(["--bundle", str(bundle), "--port", "0"]) == 2
    assert "release.json: Expecting property name" in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--bundle", str(tmp_path / "nowhere"), "--port", "0"]) == 2
    assert "nowhere/model.onnx: No such file" in capsys.readouterr().err


def test_a_socket_that_was_not_inherited_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main(["--bundle", str(bundle), "--fd", "999"]) == 2
    assert "--fd: Bad file descriptor" in capsys.readouterr().err


def test_a_server_must_be_told_where_to_listen(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serving.main(["--bundle", str(bundle)])
    assert ended.value.code == 2
    assert "one of the arguments --fd --port is required" in capsys.readouterr().err

"""A run as a folder that OpenVINO computes.

    DIR/<version>/
      openvino.json, clip.*, text.*, joint.*    see `openvino_parts`
      and what `fixed_folder` writes

In int8 the convolutions are of 8 bits, as many as `quantization` allows.
"""

from keras_vas.errors import UserError
from keras_vas.export import fixed_folder, quantization, saved_model
from keras_vas.prediction import openvino_parts
from keras_vas.presence import score as presence_score


def export(
    run, output, variant, *, which="best", data=None, force=False, **about
):
    """Writes the next version of a model for OpenVINO.

    Args:
        run: run directory written by train.py.
        output: folder of the model, made if it is missing.
        variant: `saved_model.Variant`; its `fixed_shape` is the size at which
            the model sees frames.
        which: `"best"` or `"last"` checkpoint.
        data: folder with the run's records, which the precision int8 needs,
            see `quantization`.
        force: write a model in int8 also if it loses too much by it.
        **about: `evaluation`, `licence` and `preset` as
            `saved_model.saved_model` takes them.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        UserError: OpenVINO (or NNCF, for int8) is missing, the run is no whole
            run, the records do not fit, int8 loses too much, or the folder
            cannot be written.
    """
    openvino_parts.library()
    in_int8 = variant.precision == "int8"
    if in_int8:
        quantization.library()
        if data is None:
            raise UserError(
                "--precision=int8 is calibrated on records; give --data=RECORDS"
            )
    elif force:
        raise UserError("--force is for --precision=int8; leave it out")
    saved_model.check_folder(output)
    model, vocabulary, config = saved_model.load(run, which)
    size = fixed_folder.network_size(variant, config)
    if in_int8:
        samples = quantization.draw(data, config["flags"], vocabulary, force)
    parts, further = openvino_parts.convert(model, *size), {}
    if in_int8:
        calibration = presence_score.Calibration.load(run)
        parts, further["int8"] = quantization.quantize(
            parts, size, vocabulary, calibration, samples, force
        )
    return fixed_folder.write(
        run,
        output,
        (model, vocabulary, config),
        size,
        lambda folder: openvino_parts.save(
            folder, parts, *size, variant.precision
        ),
        {"runtime": "OpenVINO", **further},
        precision=variant.precision,
        which=which,
        **{"evaluation": None, **about},
    )

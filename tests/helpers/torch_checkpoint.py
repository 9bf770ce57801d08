"""Files as torch.save writes them, and the authors' CSTM, without PyTorch."""

import collections
import io
import pickle
import sys
import types
import zipfile
from unittest import mock

import numpy as np


class _Tensor:
    """Pickles as a tensor does."""

    def __init__(self, array, rebuild):
        self.array, self.rebuild = np.ascontiguousarray(array), rebuild

    def __reduce__(self):
        strides = np.array(self.array.strides, int) // self.array.itemsize
        hooks = collections.OrderedDict()
        arguments = (_Storage(self.array), 0, self.array.shape)
        return self.rebuild, (
            *arguments, tuple(map(int, strides)), False, hooks
        )  # fmt: skip


class _Storage:
    def __init__(self, array):
        self.array = array


def save(path, content, folder="archive"):
    """Writes nested dicts and lists, their arrays as tensors."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = types.FunctionType(
        (lambda *_: None).__code__, {"__name__": "torch._utils"}
    )
    utils._rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    kinds = {"f4": "FloatStorage", "i8": "LongStorage", "f2": "HalfStorage"}
    for name in kinds.values():
        kind = type(name, (), {"__module__": "torch"})
        setattr(module, name, kind)
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, _Storage):
                return None
            storages.append(value.array)
            kind = kinds[value.array.dtype.str[1:]]
            return (
                "storage", getattr(module, kind), str(len(storages) - 1),
                "cpu", value.array.size,
            )  # fmt: skip

    def wrapped(value):
        if isinstance(value, dict):
            inner = ((key, wrapped(x)) for key, x in value.items())
            return collections.OrderedDict(inner)
        if isinstance(value, np.ndarray):
            return _Tensor(value, utils._rebuild_tensor_v2)
        return value

    content = wrapped(content)
    if isinstance(content.get("state_dict"), dict):
        content["state_dict"]._metadata = {"": {"version": 1}}
    file = io.BytesIO()
    known = {"torch": module, "torch._utils": utils}
    with mock.patch.dict(sys.modules, known):
        Pickler(file, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", file.getvalue())
        for number, array in enumerate(storages):
            archive.writestr(f"{folder}/data/{number}", array.tobytes())
        archive.writestr(f"{folder}/version", "3\n")


class Authors:
    """The authors' network in JAX, channels first, from its tensors alone.

    Every tensor is made when it is first used, by its name and shape, so that
    `state` is what a checkpoint of a network of these channels holds.
    """

    def __init__(self, channels, text, embedding, seed=0):
        self.channels, self.text, self.embedding = channels, text, embedding
        self.state = {}
        self.rng = np.random.default_rng(seed)

    def tensor(self, name, *shape):
        if name not in self.state:
            if name.endswith("running_var"):
                array = self.rng.uniform(0.2, 2, shape)
            elif name.endswith(("running_mean", "bias")):
                array = self.rng.normal(0, 0.2, shape)
            elif len(shape) == 1:
                array = self.rng.uniform(0.5, 1.5, shape)
            else:
                spread = np.sqrt(2 / np.prod(shape[1:]))
                array = self.rng.normal(0, spread, shape)
            self.state[name] = array.astype(np.float32)
        assert self.state[name].shape == shape, name
        return self.state[name]

    def convolve(
        self, x, name, channels, kernel, stride=1, pads=None, bias=False
    ):
        import jax

        rank = x.ndim - 2
        size = (kernel,) * rank
        pads = pads or [((k - 1) // 2,) * 2 for k in size]
        weight = self.tensor(f"{name}.weight", channels, x.shape[1], *size)
        axes = ("NCHW", "OIHW", "NCHW") if rank == 2 else (
            "NCDHW", "OIDHW", "NCDHW")  # fmt: skip
        if rank == 1:
            axes = ("NCH", "OIH", "NCH")
        x = jax.lax.conv_general_dilated(
            x, weight, (stride,) * rank, pads, dimension_numbers=axes,
            precision="highest",
        )  # fmt: skip
        if bias:
            x += self.tensor(f"{name}.bias", channels).reshape(-1, *(1,) * rank)
        return np.asarray(x)

    def normalise(self, x, name):
        weight, bias, mean, variance = (
            self.tensor(f"{name}.{part}", x.shape[1]).reshape(
                -1, *(1,) * (x.ndim - 2)
            )
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        self.state[f"{name}.num_batches_tracked"] = np.array(7)
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def pool(self, x, size, stride, pads, fill):
        import jax

        full = ((0, 0), (0, 0), *pads)
        x = np.pad(x, full, constant_values=fill)
        return np.asarray(
            jax.lax.reduce_window(
                x, -np.inf, jax.lax.max, (1, 1, *size), (1, 1, *stride), "VALID"
            )
        )

    def unit(self, x, name, channels, kernel, stride=1):
        """A unit of I3D: convolution, batch normalization, ReLU."""
        total = max(kernel - stride, 0)
        pads = [(total // 2, total - total // 2)] * 3
        x = self.convolve(x, f"{name}.conv3d", channels, kernel, stride, pads)
        return np.maximum(self.normalise(x, f"{name}.batch3d"), 0)

    def tf_pool(self, x, size, stride):
        pads = [
            (max(k - s, 0) // 2, max(k - s, 0) - max(k - s, 0) // 2)
            for k, s in zip(size, stride, strict=True)
        ]
        return self.pool(x, size, stride, pads, 0.0)

    def mixed(self, x, name, widths):
        c = self.channels
        a, b, d, e, f, g = (c(w) for w in widths)
        second = self.unit(x, f"{name}.branch_1.0", b, 1)
        third = self.unit(x, f"{name}.branch_2.0", e, 1)
        pooled = self.tf_pool(x, (3, 3, 3), (1, 1, 1))
        return np.concatenate(
            [
                self.unit(x, f"{name}.branch_0", a, 1),
                self.unit(second, f"{name}.branch_1.1", d, 3),
                self.unit(third, f"{name}.branch_2.1", f, 3),
                self.unit(pooled, f"{name}.branch_3.1", g, 1),
            ],
            1,
        )

    def temporal(self, stage, x):
        c = self.channels
        if stage == 1:
            return self.unit(x, "t_layer1.0", c(64), 7, 2)
        if stage == 2:
            x = self.tf_pool(x, (1, 3, 3), (1, 2, 2))
            x = self.unit(x, "t_layer2.1", c(64), 1)
            return self.unit(x, "t_layer2.2", c(192), 3)
        size, stride, blocks = {
            3: ((1, 3, 3), (1, 2, 2), [
                (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)]),
            4: ((3, 3, 3), (2, 2, 2), [
                (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
                (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
                (256, 160, 320, 32, 128, 128)]),
            5: ((2, 2, 2), (2, 2, 2), [
                (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]),
        }[stage]  # fmt: skip
        x = self.tf_pool(x, size, stride)
        for number, widths in enumerate(blocks, 1):
            x = self.mixed(x, f"t_layer{stage}.{number}", widths)
        return x

    def spatial(self, stage, x):
        c = self.channels
        if stage == 1:
            x = self.convolve(x, "s_layer1.0", c(64), 7, 2)
            return np.maximum(self.normalise(x, "s_layer1.1"), 0)
        inner = "s_layer2.1" if stage == 2 else f"s_layer{stage}"
        if stage == 2:
            x = self.pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)], -np.inf)
        width = 64 * 2 ** (stage - 2)
        for number in range({2: 3, 3: 4, 4: 6, 5: 3}[stage]):
            stride = 2 if number == 0 and stage > 2 else 1
            name, before = f"{inner}.{number}", x
            for i, (channels, kernel) in enumerate(
                ((c(width), 1), (c(width), 3), (c(4 * width), 1)), 1
            ):
                x = self.convolve(
                    x, f"{name}.conv{i}", channels, kernel,
                    stride if i == 2 else 1,
                )  # fmt: skip
                x = self.normalise(x, f"{name}.bn{i}")
                x = np.maximum(x, 0) if i < 3 else x
            if number == 0:
                before = self.convolve(
                    before, f"{name}.downsample.0", c(4 * width), 1, stride
                )
                before = self.normalise(before, f"{name}.downsample.1")
            x = np.maximum(x + before, 0)
        return x

    def read(self, vectors):
        """Word vectors `(words, embedding)` to features `(text, words)`."""
        inner = self.tensor("txt_encoder.weight_ih_l0", 3 * self.text,
                            self.embedding)  # fmt: skip
        outer = self.tensor("txt_encoder.weight_hh_l0", 3 * self.text,
                            self.text)  # fmt: skip
        h, rows = np.zeros(self.text), []
        for vector in vectors:
            i_r, i_z, i_n = np.split(inner @ vector, 3)
            h_r, h_z, h_n = np.split(outer @ h, 3)
            r, z = (1 / (1 + np.exp(-x)) for x in (i_r + h_r, i_z + h_z))
            h = (1 - z) * np.tanh(i_n + r * h_n) + z * h
            rows.append(h)
        rows = np.array(rows)
        rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(
            rows.var(1, keepdims=True) + 1e-5
        )
        weight = self.tensor("txt_norm.0.weight", self.text)
        return np.tanh(
            rows * weight + self.tensor("txt_norm.0.bias", self.text)
        ).T

    def modulated(self, x, words, name):
        """A feature after its CMAM, by the literal equations."""
        rank, channels = x.ndim - 2, x.shape[1]
        conv, norm = ("conv", "bn") if rank == 2 else ("conv3d", "batch3d")
        h, w = x.shape[-2:]
        where = np.zeros((8, h, w))
        for i in range(h):
            for j in range(w):
                left, right = 2 * j / w - 1, 2 * (j + 1) / w - 1
                top, low = 2 * i / h - 1, 2 * (i + 1) / h - 1
                where[:, i, j] = (
                    left, top, right, low, (left + right) / 2,
                    (top + low) / 2, 1 / w, 1 / h,
                )  # fmt: skip
        if rank == 3:
            where = np.repeat(where[:, None], x.shape[2], 1)
        u = np.concatenate([x, where[None].astype(np.float32)], 1)
        u = self.convolve(u, f"{name}.vt.{conv}", channels, 3)
        u = np.maximum(self.normalise(u, f"{name}.vt.{norm}"), 0)
        keys = self.convolve(u, f"{name}.v_key.{conv}", self.text, 1)
        keys = self.normalise(keys, f"{name}.v_key.{norm}")
        keys = keys.reshape(self.text, -1)
        queries = self.convolve(
            words[None].astype(np.float32), f"{name}.l_query.0", self.text, 1
        )
        queries = self.normalise(queries, f"{name}.l_query.1")[0]
        relevance = (keys.T @ queries).sum(0)
        relevance = relevance / np.sqrt((relevance**2).sum())
        share = np.exp(relevance) / np.exp(relevance).sum()
        sentence = words @ share
        weight = self.tensor(f"{name}.gamma.0.weight", channels, self.text)
        gate = weight @ sentence + self.tensor(f"{name}.gamma.0.bias", channels)
        gate = 1 / (1 + np.exp(-gate)) - 0.5
        return (x + u * gate.reshape(-1, *(1,) * rank)).astype(np.float32)

    def relu_unit(self, x, name, bias=False):
        x = self.convolve(x, f"{name}.0", self.channels(256), 3, bias=bias)
        return np.maximum(self.normalise(x, f"{name}.1"), 0)

    def logits(self, frames, vectors):
        """`(8, height, width, 3)` in 0..255 and word vectors to the mask."""
        clip = np.moveaxis(frames, -1, 0)[None].astype(np.float32) / 255
        words = self.read(vectors)
        t, s, pairs = clip, clip[:, :, 4], []
        for i in range(5):
            t = self.modulated(self.temporal(i + 1, t), words, f"cmam_t.{i}")
            s = self.modulated(self.spatial(i + 1, s), words, f"cmam_s.{i}")
            middle = t[:, :, t.shape[2] // 2]
            pairs.append((
                self.relu_unit(middle, f"vres_trans.{i}"),
                self.relu_unit(s, f"ires_trans.{i}"),
            ))  # fmt: skip
        x = self.relu_unit(
            np.concatenate(pairs[4][::-1], 1), "conv_fuse1.4", True
        )
        for i in (3, 2, 1, 0):
            fused = np.concatenate(pairs[i], 1)
            fused = self.relu_unit(fused, f"conv_fuse1.{i}", True)
            x = np.concatenate([self.doubled(x), fused], 1)
            x = self.relu_unit(x, f"conv_fuse2.{i}", True)
        x = self.doubled(x)
        head = "conv_mask.5"
        for i in (0, 2):
            x = self.convolve(
                x, f"{head}.{i}", self.channels(256), 3, bias=True
            )
            x = np.maximum(x, 0)
        logits = self.convolve(x, f"{head}.4", 1, 1, bias=True)[0, 0]
        for name in [n for n in self.state if n.startswith(head)]:
            for i in range(5):  # of deep supervision
                other = name.replace(head, f"conv_mask.{i}")
                self.tensor(other, *self.state[name].shape)
        return logits

    @staticmethod
    def doubled(x):
        """Bilinear, corner to corner, one output cell after the other."""
        for axis in (2, 3):
            n = x.shape[axis]
            parts = []
            for i in range(2 * n):
                place = i * (n - 1) / (2 * n - 1)
                low = min(int(place), max(n - 2, 0))
                part = np.float32(place - low)
                high = min(low + 1, n - 1)
                parts.append(
                    x.take(low, axis) * (1 - part) + x.take(high, axis) * part
                )
            x = np.stack(parts, axis)
        return x

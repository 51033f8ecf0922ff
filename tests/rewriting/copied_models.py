"""Models with more to them than a configuration and weights, and comparisons."""

import keras
import numpy as np
import tensorflow as tf

import fcdcc_keras as fk

layers = keras.layers
SHAPE = (8, 8, 3)


def images(batch=2):
    rng = np.random.default_rng(3)
    return tf.constant(rng.normal(size=(batch, *SHAPE)).astype("float32"))


def conv(filters=3, **options):
    return layers.Conv2D(filters, 3, **{"padding": "same", **options})


def sequential(*more, name=None):
    return keras.Sequential([keras.Input(SHAPE), *more], name=name)


def distributed(model, workers=3):
    return fk.distribute(model, fk.LocalExecutor(workers), fallback="raise")


def assert_same(found, expected, rtol=1e-5):
    """Compares outputs or weights, each relative to its largest value."""
    found, expected = keras.tree.flatten(found), keras.tree.flatten(expected)
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if b.dtype.kind == "f":
            np.testing.assert_allclose(a, b, atol=rtol * max(abs(b).max(), 1e-3))
        else:
            np.testing.assert_array_equal(a, b)


class Maybe(layers.Layer):
    """Adds an input where there is one."""

    def call(self, x, y=None):
        return x if y is None else x + y


class Rows(layers.Layer):
    """Sums the rows of a sparse or ragged tensor, and takes no other."""

    def __init__(self, kind, **options):
        super().__init__(**options)
        self.kind = kind

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            assert getattr(x, self.kind)
        elif self.kind == "ragged":
            assert isinstance(x, tf.RaggedTensor)
            return tf.reduce_sum(x, axis=1, keepdims=True)
        else:
            assert isinstance(x, tf.SparseTensor)
        return tf.sparse.reduce_sum(x, axis=1, keepdims=True)

    def compute_output_spec(self, x):
        assert getattr(x, self.kind)
        return keras.KerasTensor((x.shape[0], 1))

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


class Pair(layers.Layer):
    """Two convolutions with a normalization between them, made in ``__init__``."""

    def __init__(self, activation=None, **options):
        super().__init__(**options)
        self.activation = activation
        self.first = conv(activation=activation)
        self.norm = layers.BatchNormalization()
        self.second = conv()

    def call(self, x, training=False):
        return self.second(self.norm(self.first(x), training=training))

    def get_config(self):
        return {**super().get_config(), "activation": self.activation}


class Remembering(layers.Layer):
    """Has a state that is no weight: a number, and words."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = conv()
        self.count, self.words = 0, ()

    def build(self, shape):
        self.conv.build(shape)

    def call(self, x):
        return self.conv(x) * self.count

    def save_own_variables(self, store):
        store["count"] = self.count

    def load_own_variables(self, store):
        self.count = int(store["count"][()])

    def save_assets(self, folder):
        with open(f"{folder}/words.txt", "w") as file:
            file.write(" ".join(self.words))

    def load_assets(self, folder):
        with open(f"{folder}/words.txt") as file:
            self.words = tuple(file.read().split())


class Head(layers.Layer):
    """A convolution after a layer that others may have too."""

    def __init__(self, shared, filters=2, **options):
        super().__init__(**options)
        self.shared = shared
        self.filters = filters
        self.own = conv(filters)

    def build(self, shape):
        if not self.shared.built:
            self.shared.build(shape)
        self.own.build(shape)

    def call(self, x):
        return self.own(self.shared(x))

    def get_config(self):
        shared = self.shared.get_config()
        return {**super().get_config(), "shared": shared, "filters": self.filters}

    @classmethod
    def from_config(cls, config):
        shared = dict(config.pop("shared"))
        kind = layers.Conv2D if "kernel_size" in shared else layers.ReLU
        return cls(kind.from_config(shared), **config)


class Detector(keras.Model):
    """Two heads that may share a layer, which its configuration names twice."""

    def __init__(self, boxes, classes, **options):
        super().__init__(**options)
        self.boxes, self.classes = boxes, classes

    def call(self, x):
        return {"boxes": self.boxes(x), "classes": self.classes(x)}

    def get_config(self):
        heads = {"boxes": self.boxes, "classes": self.classes}
        made = {k: keras.saving.serialize_keras_object(v) for k, v in heads.items()}
        return {"name": self.name, **made}

    @classmethod
    def from_config(cls, config):
        load = keras.saving.deserialize_keras_object
        heads = {k: load(config.pop(k)) for k in ("boxes", "classes")}
        return cls(**heads, **config)


class CompiledDetector(Detector):
    """Is compiled with a loss for each head."""

    def compile(self, box_loss, class_loss, **options):
        super().compile(loss={"boxes": box_loss, "classes": class_loss}, **options)
        self.box_loss, self.class_loss = box_loss, class_loss


class RecompiledDetector(CompiledDetector):
    """The same, which says how it was compiled, as Keras's documentation has it."""

    def get_compile_config(self):
        return {
            "box_loss": self.box_loss,
            "class_loss": self.class_loss,
            "optimizer": self.optimizer,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))


def detector(kind=Detector, shared=None):
    heads = [Head(shared or layers.ReLU(), n, name=f"head{n}") for n in (2, 4)]
    if shared is None:
        heads[1].shared = heads[0].shared = layers.ReLU(name="shared")
    model = kind(*heads, name="detector")
    model(images())
    return model


class Conv3x3(layers.Conv2D):
    """Presets arguments, and takes none of those that its configuration has."""

    def __init__(self, filters, **options):
        super().__init__(filters, 3, padding="same", **options)
        self.label = f"{filters} wide"

    def described(self):
        return self.label


@keras.saving.register_keras_serializable("fcdcc_tests", name="Registered")
class Narrow(layers.SeparableConv2D):
    """Presets arguments by other names, and says so."""

    def __init__(self, width, **options):
        super().__init__(width, 3, **options)

    def get_config(self):
        config = super().get_config()
        mine = {"width": config["filters"]}
        return {k: config[k] for k in ("name", "trainable", "dtype")} | mine


class Larger(layers.Conv2DTranspose):
    """Presets arguments that may be given all the same."""

    def __init__(self, filters, kernel_size=3, strides=2, **options):
        super().__init__(filters, kernel_size, strides, **options)

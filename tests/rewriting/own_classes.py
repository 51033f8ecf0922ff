"""Layers and models of users' own classes, which make their layers themselves."""

import keras


class Block(keras.layers.Layer):
    """Two convolutions and a shortcut, made in ``__init__`` and kept in a list."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters
        self.convolutions = [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
            for _ in range(2)
        ]

    def call(self, x):
        y = x
        for convolution in self.convolutions:
            y = convolution(y)
        return x + y

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


class LateBlock(keras.layers.Layer):
    """Makes its convolution when it is built, and has no ``get_config``."""

    def __init__(self, filters=4, **options):
        super().__init__(**options)
        self.filters = filters

    def build(self, shape):
        self.conv = keras.layers.Conv2D(self.filters, 3, padding="same")
        self.conv.build(shape)

    def call(self, x):
        return self.conv(x)


class Stack(keras.layers.Layer):
    """A layer that holds layers that hold layers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = {"a": Block(6), "b": LateBlock(6)}

    def call(self, x):
        return self.blocks["b"](self.blocks["a"](x))


class Net(keras.Model):
    """A subclassed model without arguments."""

    def __init__(self):
        super().__init__()
        self.stem = keras.layers.Conv2D(6, 3)
        self.normalize = keras.layers.BatchNormalization()
        self.stack = Stack()
        self.head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])

    def call(self, x, training=False):
        x = self.normalize(self.stem(x), training=training)
        return self.head(self.stack(x))


class Configured(keras.Model):
    """A subclassed model with arguments, which its ``get_config`` gives."""

    def __init__(self, widths, **options):
        super().__init__(**options)
        self.widths = widths
        self.convolutions = [keras.layers.Conv2D(w, 3) for w in widths]

    def call(self, x):
        for convolution in self.convolutions:
            x = convolution(x)
        return {"map": x, "mean": keras.ops.mean(x, axis=(1, 2))}

    def get_config(self):
        return {**super().get_config(), "widths": self.widths}


class Unconfigured(keras.Model):
    """A Functional model whose class takes an argument of its own."""

    def __init__(self, filters=3, **options):
        inputs = keras.Input((12, 12, 3))
        x = keras.layers.Conv2D(filters, 3, name="first")(inputs)
        outputs = keras.layers.Conv2D(filters, 3, name="second")(x)
        super().__init__(inputs, outputs, **options)
        self.filters = filters


class OwnGraph(Unconfigured):
    """The same, with what it is made from."""

    def get_config(self):
        return {"name": self.name, "filters": self.filters}


class Policied(keras.layers.Layer):
    """Gives the layer that it holds its own type."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = keras.layers.Conv2D(4, 3, dtype=self.dtype_policy)

    def call(self, x):
        return self.conv(x)

"""Where inputs come from, and who calls: every way gives the plain model's answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import fcdcc_keras as fk

# Keras says so of every generator, as its length is not known.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")

IMAGES, BATCH = 10, 4


def rng():
    return np.random.default_rng(7)


def images():
    return rng().normal(size=(IMAGES, 9, 10, 3)).astype("float32")


def labels():
    return rng().integers(0, 5, IMAGES)


def make():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 10, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(inputs)
    x = keras.layers.Conv2D(4, 2, padding="same")(x)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, x)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return model


def batches():
    starts = range(0, IMAGES, BATCH)
    return [(images()[i : i + BATCH], labels()[i : i + BATCH]) for i in starts]


class Sequence(keras.utils.PyDataset):
    """Batches by number, prepared in threads."""

    def __init__(self):
        super().__init__(workers=2, use_multiprocessing=False)

    def __len__(self):
        return len(batches())

    def __getitem__(self, i):
        return batches()[i]


def dataset():
    slices = tf.data.Dataset.from_tensor_slices((images(), labels()))
    return slices.batch(BATCH).prefetch(2)


def generated():
    spec = tf.TensorSpec((None, 9, 10, 3)), tf.TensorSpec((None,), tf.int64)
    made = tf.data.Dataset.from_generator(batches, output_signature=spec)
    return made.apply(tf.data.experimental.assert_cardinality(3))


SOURCES = {  # what is passed in place of x, y
    "arrays": lambda: {"x": images(), "y": labels(), "batch_size": BATCH},
    "tensors": lambda: {
        "x": tf.constant(images()),
        "y": tf.constant(labels()),
        "batch_size": BATCH,
    },
    "dataset": lambda: {"x": dataset()},
    "unknown batch": lambda: {"x": generated()},
    "generator": lambda: {"x": (batch for batch in batches())},
    "sequence": lambda: {"x": Sequence()},
}


@pytest.fixture(scope="module")
def pair():
    plain = make()
    return plain, fk.distribute(plain, fk.LocalExecutor(4), fallback="raise")


@pytest.mark.parametrize("source", SOURCES)
def test_predict_and_evaluate(pair, source):
    plain, coded = pair
    with fk.trace(coded) as trace:
        data = SOURCES[source]()
        data.pop("y", None)
        predicted = coded.predict(**data, verbose=0)
        scores = coded.evaluate(**SOURCES[source](), verbose=0)
    assert trace.distributed_convolutions == 2 * 2 * 3
    assert trace.local_convolutions == 0
    np.testing.assert_allclose(predicted, plain(images()), atol=1e-5)
    expected = plain.evaluate(images(), labels(), batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted():
    """The weights of the plain model after an epoch."""
    plain = make()
    plain.fit(images(), labels(), batch_size=BATCH, shuffle=False, verbose=0)
    return plain.get_weights()


@pytest.mark.parametrize("source", SOURCES)
def test_fit(source, fitted):
    coded = fk.distribute(make(), fk.LocalExecutor(4), fallback="raise")
    with fk.trace(coded) as trace:
        coded.fit(**SOURCES[source](), shuffle=False, verbose=0)
    assert trace.distributed_convolutions == 2 * 3
    for a, b in zip(coded.get_weights(), fitted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_one_batch_at_a_time():
    plain, coded = make(), fk.distribute(make(), fk.LocalExecutor(4), fallback="raise")
    for x, y in batches():
        for method in ("test_on_batch", "train_on_batch"):
            found, expected = (getattr(m, method)(x, y) for m in (coded, plain))
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    for call in (lambda m, x: m.predict_on_batch(x), lambda m, x: m(x, training=False)):
        np.testing.assert_allclose(call(coded, x), call(plain, x), atol=1e-5)


def test_own_functions(pair):
    plain, coded = pair

    @tf.function
    def largest(model, x):
        # Called twice, and once under a condition, within one graph.
        y = tf.nn.softmax(model(x) + model(-x))
        return tf.argmax(y if tf.reduce_sum(x) > 1e9 else model(2 * x) * y, -1)

    with fk.trace(coded) as trace:
        found = [largest(coded, x).numpy() for x, _ in batches()]
    assert trace.distributed_convolutions == 3 * 2 * 3
    for (x, _), y in zip(batches(), found, strict=True):
        np.testing.assert_array_equal(y, largest(plain, x))


def test_own_training_loop():
    plain, coded = make(), fk.distribute(make(), fk.LocalExecutor(4), fallback="raise")

    def train(model):
        optimizer = keras.optimizers.Adam(1e-2)

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = model.loss(y, model(x, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(
                zip(gradients, model.trainable_variables, strict=True)
            )
            return loss

        return [step(x, y).numpy() for x, y in dataset()]

    np.testing.assert_allclose(train(coded), train(plain), rtol=1e-4)


def test_map_of_a_dataset(pair):
    plain, coded = pair
    mapped = dataset().map(lambda x, y: coded(x), num_parallel_calls=2)
    with fk.trace(coded) as trace:
        found = np.concatenate([y.numpy() for y in mapped])
    assert trace.distributed_convolutions == 2 * 3
    np.testing.assert_allclose(found, plain(images()), atol=1e-5)


def test_eager_models():
    plain = make()
    plain.compile("sgd", plain.loss, run_eagerly=True)
    coded = fk.distribute(plain, fk.LocalExecutor(4), fallback="raise")
    found = coded.fit(dataset(), shuffle=False, verbose=0).history["loss"]
    expected = plain.fit(dataset(), shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_on_a_cluster(client):
    plain = make()
    with fk.closing(fk.distribute(plain, client, fallback="raise")) as coded:
        with fk.trace(coded) as trace:
            found = coded.predict(dataset(), verbose=0)
            coded.fit(Sequence(), shuffle=False, verbose=0)
            scores = coded.evaluate((batch for batch in batches()), verbose=0)
        assert trace.distributed_convolutions == 3 * 2 * 3
        assert trace.local_convolutions == 0
    np.testing.assert_allclose(found, plain(images()), atol=1e-5)
    plain.fit(Sequence(), shuffle=False, verbose=0)
    expected = plain.evaluate(dataset(), verbose=0)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)

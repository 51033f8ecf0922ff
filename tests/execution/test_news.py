"""What the scheduler tells a client at once reaches all that want to know."""

import gc

from fcdcc_keras.execution.cluster.news import ignore, listen


class Client:
    """As Dask's: one listener for each topic."""

    def __init__(self):
        self.handlers = {}

    def subscribe_topic(self, topic, handler):
        assert topic not in self.handlers
        self.handlers[topic] = handler

    def tell(self, news):
        (handler,) = self.handlers.values()
        handler((0.0, news))


class Ears:
    def __init__(self):
        self.heard = []

    def hear(self, news):
        self.heard.append(news)


def test_all_of_one_client_are_told_until_they_do_not_want_to_be():
    client, first, second = Client(), Ears(), Ears()
    listen(client, first)
    client.tell({"come": "a"})
    listen(client, second)
    client.tell({"gone": "a"})
    ignore(client, first)
    client.tell({"leaving": "Worker-1"})
    assert first.heard == [{"come": "a"}, {"gone": "a"}]
    assert second.heard == [{"gone": "a"}, {"leaving": "Worker-1"}]


def test_what_makes_no_sense_is_not_passed_on():
    client, ears = Client(), Ears()
    listen(client, ears)
    for nonsense in (None, "leaving", 7, ["leaving"]):
        client.tell(nonsense)
    assert ears.heard == []


def test_nobody_is_kept_for_having_listened():
    client = Client()
    listen(client, Ears())
    gc.collect()
    client.tell({"come": "a"})  # there is nobody
    ignore(Client(), Ears())  # that nobody ever told anything

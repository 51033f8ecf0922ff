"""``python -m fcdcc_keras.worker``; see ``command``."""

from fcdcc_keras.worker.command import worker

if __name__ == "__main__":
    worker(prog_name="fcdcc-keras worker")

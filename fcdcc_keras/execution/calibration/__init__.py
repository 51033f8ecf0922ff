"""``fk.calibrate``: measuring what workers, their links and this client can do."""

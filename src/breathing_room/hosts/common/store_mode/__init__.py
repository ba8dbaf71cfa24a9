"""Store mode: a room that is only a store, with any number of writers and a controller that runs now and
then.
"""

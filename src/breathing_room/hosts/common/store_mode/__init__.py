"""A room that is only a store: any number of writers, and a controller that runs now and then."""

"""How the properties of the core are searched."""

from hypothesis import settings

# A busy machine is slow, and that is no failure. What is found is printed such that it can be found again.
settings.register_profile("core", deadline=None, print_blob=True)
settings.load_profile("core")

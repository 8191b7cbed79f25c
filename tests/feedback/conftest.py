from tests.train.conftest import prepare_tiny, tiny_recipe  # noqa: F401  fixtures
